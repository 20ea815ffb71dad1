package awssdk

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// maxUserData is EC2's limit of user data before it is encoded.
const maxUserData = 16 << 10

// RunInstance implements cloud.API.
func (c *client) RunInstance(ctx context.Context, l cloud.Launch) (cloud.Instance, error) {
	if len(l.UserData) > maxUserData {
		return cloud.Instance{}, cloud.NewError("InvalidParameterValue", "the user data are %d bytes, and EC2 takes %d", len(l.UserData), maxUserData)
	}
	if l.ClientToken == "" { // the SDK would choose one, which nobody knows after a crash
		return cloud.Instance{}, cloud.NewError("MissingParameter", "a launch needs a client token")
	}
	in := launchRequest(l)
	out, err := call(ctx, c, c.ec2.RunInstances, in, string(l.UserData), aws.ToString(in.UserData))
	if err != nil {
		return cloud.Instance{}, err
	}
	if len(out.Instances) != 1 {
		return cloud.Instance{}, fmt.Errorf("RunInstances: the answer has %d instances, and not the one that was asked for", len(out.Instances))
	}
	return instanceOf(out.Instances[0]), nil
}

// launchRequest is a pure function of what it is given, whatever the order of
// its parts: EC2 compares requests of the same token.
func launchRequest(l cloud.Launch) *ec2.RunInstancesInput {
	in := &ec2.RunInstancesInput{
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		ClientToken:         aws.String(l.ClientToken),
		ImageId:             aws.String(l.ImageID),
		InstanceType:        types.InstanceType(l.Type),
		SubnetId:            given(l.SubnetID),
		SecurityGroupIds:    slices.Sorted(slices.Values(l.SecurityGroupIDs)),
		BlockDeviceMappings: diskRequests(l.Disks),
		// Version 1 gives an instance's credentials to whoever makes a server in it
		// ask for a URL.
		MetadataOptions: &types.InstanceMetadataOptionsRequest{
			HttpTokens:   types.HttpTokensStateRequired,
			HttpEndpoint: types.InstanceMetadataEndpointStateEnabled,
		},
		TagSpecifications: launchTags(l),
	}
	if len(l.UserData) > 0 {
		in.UserData = aws.String(base64.StdEncoding.EncodeToString(l.UserData))
	}
	if l.HostID != "" {
		in.Placement = &types.Placement{Tenancy: types.TenancyHost, HostId: aws.String(l.HostID)}
	}
	if l.Spot {
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{
			MarketType: types.MarketTypeSpot,
			SpotOptions: &types.SpotMarketOptions{
				SpotInstanceType:             types.SpotInstanceTypeOneTime,
				InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorTerminate,
			},
		}
	}
	if l.Hibernate {
		in.HibernationOptions = &types.HibernationOptionsRequest{Configured: aws.Bool(true)}
	}
	if strings.HasPrefix(l.IAMProfile, "arn:") {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Arn: aws.String(l.IAMProfile)}
	} else if l.IAMProfile != "" {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(l.IAMProfile)}
	}
	if l.ShutdownTerminates {
		in.InstanceInitiatedShutdownBehavior = types.ShutdownBehaviorTerminate
	}
	return in
}

func launchTags(l cloud.Launch) []types.TagSpecification {
	kinds := []types.ResourceType{types.ResourceTypeInstance, types.ResourceTypeVolume, types.ResourceTypeNetworkInterface}
	if l.Spot {
		kinds = append(kinds, types.ResourceTypeSpotInstancesRequest)
	}
	return tagged(l.Tags, kinds...)
}

func diskRequests(disks []cloud.Disk) []types.BlockDeviceMapping {
	var list []types.BlockDeviceMapping
	for _, d := range disks {
		ebs := &types.EbsBlockDevice{
			DeleteOnTermination: aws.Bool(true),
			VolumeType:          types.VolumeType(d.Type),
			VolumeSize:          number(d.SizeGB),
			Iops:                number(d.IOPS),
			Throughput:          number(d.Throughput),
			SnapshotId:          given(d.SnapshotID),
			KmsKeyId:            given(d.KeyID),
		}
		if d.Encrypted {
			ebs.Encrypted = aws.Bool(true)
		}
		list = append(list, types.BlockDeviceMapping{DeviceName: aws.String(d.Device), Ebs: ebs})
	}
	slices.SortFunc(list, func(a, b types.BlockDeviceMapping) int { return cmp.Compare(*a.DeviceName, *b.DeviceName) })
	return list
}

// given is a parameter that is not sent if it is empty.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s)
}

// number is a parameter that is not sent if it is 0. One that has no room
// becomes one that EC2 refuses.
func number(n int) *int32 {
	if n == 0 {
		return nil
	}
	return aws.Int32(int32(min(max(n, math.MinInt32), math.MaxInt32)))
}

func instanceOf(i types.Instance) cloud.Instance {
	it := cloud.Instance{
		ID:            aws.ToString(i.InstanceId),
		Type:          string(i.InstanceType),
		ImageID:       aws.ToString(i.ImageId),
		LaunchTime:    aws.ToTime(i.LaunchTime),
		ClientToken:   aws.ToString(i.ClientToken),
		Tags:          tagsOf(i.Tags),
		VPCID:         aws.ToString(i.VpcId),
		SubnetID:      aws.ToString(i.SubnetId),
		PrivateIP:     aws.ToString(i.PrivateIpAddress),
		PublicIP:      aws.ToString(i.PublicIpAddress),
		MAC:           macOf(i.NetworkInterfaces),
		Spot:          i.InstanceLifecycle == types.InstanceLifecycleTypeSpot,
		SpotRequestID: aws.ToString(i.SpotInstanceRequestId),
		RootDevice:    aws.ToString(i.RootDeviceName),
		Volumes:       map[string]string{},
	}
	if i.State != nil {
		it.State = string(i.State.Name)
	}
	if i.StateReason != nil {
		it.Reason = cloud.StateReason{Code: aws.ToString(i.StateReason.Code), Message: aws.ToString(i.StateReason.Message)}
	}
	if i.Placement != nil {
		it.Zone, it.HostID = aws.ToString(i.Placement.AvailabilityZone), aws.ToString(i.Placement.HostId)
	}
	if i.HibernationOptions != nil {
		it.Hibernates = aws.ToBool(i.HibernationOptions.Configured)
	}
	for _, d := range i.BlockDeviceMappings {
		if d.Ebs != nil {
			it.Volumes[aws.ToString(d.DeviceName)] = aws.ToString(d.Ebs.VolumeId)
		}
	}
	if i.CpuOptions != nil {
		it.VCPUs = int(aws.ToInt32(i.CpuOptions.CoreCount) * aws.ToInt32(i.CpuOptions.ThreadsPerCore))
	}
	return it
}

// macOf is the address of the first interface of an instance, in EC2's order of
// devices.
func macOf(interfaces []types.InstanceNetworkInterface) string {
	mac := ""
	for _, n := range interfaces {
		first := n.Attachment != nil && aws.ToInt32(n.Attachment.DeviceIndex) == 0
		if first || mac == "" {
			mac = aws.ToString(n.MacAddress)
		}
		if first {
			break
		}
	}
	return mac
}

// Instances implements cloud.API.
func (c *client) Instances(ctx context.Context, q cloud.Query) ([]cloud.Instance, error) {
	all := newFound(func(i cloud.Instance) string { return i.ID })
	for _, f := range requests(q) {
		p := ec2.NewDescribeInstancesPaginator(c.ec2, &ec2.DescribeInstancesInput{Filters: f, MaxResults: aws.Int32(pageSize)})
		if err := pages(ctx, c, p, func(out *ec2.DescribeInstancesOutput) {
			for _, r := range out.Reservations {
				for _, i := range r.Instances {
					all.add(instanceOf(i))
				}
			}
		}); err != nil {
			return nil, err
		}
	}
	return all.list, nil
}

// StopInstance implements cloud.API.
func (c *client) StopInstance(ctx context.Context, id string, how cloud.Stop) error {
	in := &ec2.StopInstancesInput{InstanceIds: []string{id}}
	if how.Hibernate {
		in.Hibernate = aws.Bool(true)
	}
	if how.Force {
		in.Force = aws.Bool(true)
	}
	_, err := call(ctx, c, c.ec2.StopInstances, in)
	return err
}

// StartInstance implements cloud.API.
func (c *client) StartInstance(ctx context.Context, id string) error {
	_, err := call(ctx, c, c.ec2.StartInstances, &ec2.StartInstancesInput{InstanceIds: []string{id}})
	return err
}

// maxBatch is how many things one request is about. EC2 takes 1,000, and
// advises fewer.
const maxBatch = 100

// TerminateInstances implements cloud.API.
func (c *client) TerminateInstances(ctx context.Context, ids []string) error {
	return batched(ids, func(part []string) error {
		_, err := call(ctx, c, c.ec2.TerminateInstances, &ec2.TerminateInstancesInput{InstanceIds: part})
		return err
	})
}

// batched does all things in few requests. One thing that is not there, or that
// EC2 would not touch, keeps it from touching the others of the request: so such
// a request is halved until the odd ones are alone.
func batched(ids []string, do func(part []string) error) error {
	var errs []error
	for part := range slices.Chunk(ids, maxBatch) {
		errs = append(errs, halved(part, do))
	}
	return errors.Join(errs...)
}

func halved(part []string, do func(part []string) error) error {
	err := do(part)
	if len(part) < 2 || !spoiled(err) {
		return err
	}
	half := len(part) / 2
	return errors.Join(halved(part[:half], do), halved(part[half:], do))
}

// spoiled reports whether a request may have failed for one of its things alone.
func spoiled(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	return ok && (e.Kind == cloud.NotFound || e.Kind == cloud.Refused || e.Code == "OperationNotPermitted")
}
