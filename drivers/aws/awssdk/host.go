package awssdk

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// AllocateHost implements cloud.API.
func (c *client) AllocateHost(ctx context.Context, r cloud.HostRequest) (string, error) {
	if r.ClientToken == "" { // the SDK sends none by itself, and a host costs from the first second
		return "", cloud.NewError("MissingParameter", "an allocation of a host needs a client token")
	}
	out, err := call(ctx, c, c.ec2.AllocateHosts, hostRequest(r))
	if err != nil {
		return "", err
	}
	if len(out.HostIds) != 1 {
		return "", fmt.Errorf("AllocateHosts: the answer has %d hosts, and not the one that was asked for", len(out.HostIds))
	}
	return out.HostIds[0], nil
}

// hostRequest turns off all that EC2 would do with a host by itself: put other
// instances on it, move its instances to another one. Defaults have changed.
func hostRequest(r cloud.HostRequest) *ec2.AllocateHostsInput {
	return &ec2.AllocateHostsInput{
		ClientToken:       aws.String(r.ClientToken),
		InstanceType:      aws.String(r.Type),
		AvailabilityZone:  aws.String(r.Zone),
		Quantity:          aws.Int32(1),
		AutoPlacement:     types.AutoPlacementOff,
		HostRecovery:      types.HostRecoveryOff,
		HostMaintenance:   types.HostMaintenanceOff,
		TagSpecifications: tagged(r.Tags, types.ResourceTypeDedicatedHost),
	}
}

// Hosts implements cloud.API. DescribeHosts has few filters: the id, the value
// of a tag, and the state (its documentation lacks "pending") are looked at here.
func (c *client) Hosts(ctx context.Context, q cloud.Query) ([]cloud.Host, error) {
	there, here := local(q, "availability-zone", "client-token", "instance-type", "tag-key")
	all := newFound(func(h cloud.Host) string { return h.ID })
	for _, f := range requests(there) {
		p := ec2.NewDescribeHostsPaginator(c.ec2, &ec2.DescribeHostsInput{Filter: f, MaxResults: aws.Int32(pageSize)})
		if err := pages(ctx, c, p, func(out *ec2.DescribeHostsOutput) {
			for _, h := range out.Hosts {
				all.add(hostOf(h))
			}
		}); err != nil {
			return nil, err
		}
	}
	return filtered(all.list, here, func(h cloud.Host) (cloud.Tags, func(string) (string, bool)) {
		return h.Tags, func(name string) (string, bool) {
			switch name {
			case "host-id":
				return h.ID, true
			case "state":
				return h.State, true
			}
			return "", false
		}
	})
}

// filtered keeps of a list what fits the filters that EC2 does not have.
func filtered[T any](list []T, here cloud.Query, parts func(T) (cloud.Tags, func(string) (string, bool))) ([]T, error) {
	var kept []T
	for _, one := range list {
		tags, value := parts(one)
		ok, err := fits(here, tags, value)
		if err != nil {
			return nil, err
		}
		if ok {
			kept = append(kept, one)
		}
	}
	return kept, nil
}

func hostOf(h types.Host) cloud.Host {
	host := cloud.Host{
		ID:             aws.ToString(h.HostId),
		Zone:           aws.ToString(h.AvailabilityZone),
		State:          string(h.State),
		AllocationTime: aws.ToTime(h.AllocationTime),
		ReleaseTime:    aws.ToTime(h.ReleaseTime),
		Free:           -1,
		ClientToken:    aws.ToString(h.ClientToken),
		Tags:           tagsOf(h.Tags),
	}
	if h.HostProperties != nil {
		host.Type = aws.ToString(h.HostProperties.InstanceType)
	}
	for _, i := range h.Instances {
		host.Instances = append(host.Instances, aws.ToString(i.InstanceId))
	}
	if h.AvailableCapacity != nil {
		for _, room := range h.AvailableCapacity.AvailableInstanceCapacity {
			if aws.ToString(room.InstanceType) == host.Type && room.AvailableCapacity != nil {
				host.Free = int(*room.AvailableCapacity)
			}
		}
	}
	return host
}

// ReleaseHosts implements cloud.API.
func (c *client) ReleaseHosts(ctx context.Context, ids []string) (released []string, refused map[string]*cloud.Error, err error) {
	refused = map[string]*cloud.Error{}
	for part := range slices.Chunk(ids, maxBatch) {
		out, err := call(ctx, c, c.ec2.ReleaseHosts, &ec2.ReleaseHostsInput{HostIds: part})
		if err != nil {
			return released, refused, err
		}
		released = append(released, out.Successful...)
		for _, u := range out.Unsuccessful {
			refused[aws.ToString(u.ResourceId)] = refusal(u.Error)
		}
		for _, id := range part { // what the answer leaves out is nobody's word for anything
			if refused[id] == nil && !slices.Contains(out.Successful, id) {
				refused[id] = &cloud.Error{Code: "NotAnswered", Message: "ReleaseHosts: the answer does not speak of the host", Unsure: true}
			}
		}
	}
	return released, refused, nil
}

func refusal(e *types.UnsuccessfulItemError) *cloud.Error {
	if e == nil {
		return &cloud.Error{Code: "NotAnswered", Message: "ReleaseHosts: it was refused without a reason"}
	}
	return cloud.NewError(aws.ToString(e.Code), "%s", aws.ToString(e.Message))
}

// MacHosts implements cloud.API.
func (c *client) MacHosts(ctx context.Context, q cloud.Query) ([]cloud.MacHost, error) {
	there, here := local(q, "availability-zone", "instance-type")
	all := newFound(func(h cloud.MacHost) string { return h.HostID })
	for _, f := range requests(there) {
		p := ec2.NewDescribeMacHostsPaginator(c.ec2, &ec2.DescribeMacHostsInput{Filters: f, MaxResults: aws.Int32(pageSize)})
		if err := pages(ctx, c, p, func(out *ec2.DescribeMacHostsOutput) {
			for _, h := range out.MacHosts {
				all.add(cloud.MacHost{HostID: aws.ToString(h.HostId), Latest: h.MacOSLatestSupportedVersions})
			}
		}); err != nil {
			return nil, err
		}
	}
	return filtered(all.list, here, func(h cloud.MacHost) (cloud.Tags, func(string) (string, bool)) {
		return nil, func(name string) (string, bool) { return h.HostID, name == "host-id" }
	})
}
