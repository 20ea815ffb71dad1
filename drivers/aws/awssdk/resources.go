package awssdk

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Volumes implements cloud.API.
func (c *client) Volumes(ctx context.Context, q cloud.Query) ([]cloud.Volume, error) {
	all := newFound(func(v cloud.Volume) string { return v.ID })
	for _, f := range requests(q) {
		p := ec2.NewDescribeVolumesPaginator(c.ec2, &ec2.DescribeVolumesInput{Filters: f, MaxResults: aws.Int32(pageSize)})
		if err := pages(ctx, c, p, func(out *ec2.DescribeVolumesOutput) {
			for _, v := range out.Volumes {
				all.add(volumeOf(v))
			}
		}); err != nil {
			return nil, err
		}
	}
	return all.list, nil
}

func volumeOf(v types.Volume) cloud.Volume {
	volume := cloud.Volume{
		ID:      aws.ToString(v.VolumeId),
		Zone:    aws.ToString(v.AvailabilityZone),
		State:   string(v.State),
		SizeGB:  int(aws.ToInt32(v.Size)),
		Type:    string(v.VolumeType),
		Created: aws.ToTime(v.CreateTime),
		Tags:    tagsOf(v.Tags),
	}
	if len(v.Attachments) > 0 {
		volume.InstanceID = aws.ToString(v.Attachments[0].InstanceId)
	}
	return volume
}

// DeleteVolume implements cloud.API.
func (c *client) DeleteVolume(ctx context.Context, id string) error {
	_, err := call(ctx, c, c.ec2.DeleteVolume, &ec2.DeleteVolumeInput{VolumeId: aws.String(id)})
	return err
}

// CreateTags implements cloud.API.
func (c *client) CreateTags(ctx context.Context, ids []string, tags cloud.Tags) error {
	if len(tags) == 0 {
		return nil
	}
	return batched(ids, func(part []string) error {
		_, err := call(ctx, c, c.ec2.CreateTags, &ec2.CreateTagsInput{Resources: part, Tags: tagList(tags)})
		return err
	})
}

// SpotRequests implements cloud.API.
func (c *client) SpotRequests(ctx context.Context, q cloud.Query) ([]cloud.SpotRequest, error) {
	all := newFound(func(r cloud.SpotRequest) string { return r.ID })
	for _, f := range requests(q) {
		p := ec2.NewDescribeSpotInstanceRequestsPaginator(c.ec2, &ec2.DescribeSpotInstanceRequestsInput{Filters: f, MaxResults: aws.Int32(pageSize)})
		if err := pages(ctx, c, p, func(out *ec2.DescribeSpotInstanceRequestsOutput) {
			for _, r := range out.SpotInstanceRequests {
				all.add(spotRequestOf(r))
			}
		}); err != nil {
			return nil, err
		}
	}
	return all.list, nil
}

func spotRequestOf(r types.SpotInstanceRequest) cloud.SpotRequest {
	request := cloud.SpotRequest{
		ID:         aws.ToString(r.SpotInstanceRequestId),
		InstanceID: aws.ToString(r.InstanceId),
		State:      string(r.State),
		Tags:       tagsOf(r.Tags),
	}
	if r.Status != nil {
		request.Status = aws.ToString(r.Status.Code)
	}
	return request
}

// CancelSpotRequests implements cloud.API.
func (c *client) CancelSpotRequests(ctx context.Context, ids []string) error {
	return batched(ids, func(part []string) error {
		_, err := call(ctx, c, c.ec2.CancelSpotInstanceRequests, &ec2.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: part})
		return err
	})
}

// VPCs implements cloud.API.
func (c *client) VPCs(ctx context.Context, q cloud.Query) ([]cloud.VPC, error) {
	all := newFound(func(v cloud.VPC) string { return v.ID })
	for _, f := range requests(q) {
		p := ec2.NewDescribeVpcsPaginator(c.ec2, &ec2.DescribeVpcsInput{Filters: f, MaxResults: aws.Int32(pageSize)})
		if err := pages(ctx, c, p, func(out *ec2.DescribeVpcsOutput) {
			for _, v := range out.Vpcs {
				all.add(cloud.VPC{ID: aws.ToString(v.VpcId), Default: aws.ToBool(v.IsDefault), Tags: tagsOf(v.Tags)})
			}
		}); err != nil {
			return nil, err
		}
	}
	return all.list, nil
}

// Subnets implements cloud.API.
func (c *client) Subnets(ctx context.Context, q cloud.Query) ([]cloud.Subnet, error) {
	all := newFound(func(s cloud.Subnet) string { return s.ID })
	for _, f := range requests(q) {
		p := ec2.NewDescribeSubnetsPaginator(c.ec2, &ec2.DescribeSubnetsInput{Filters: f, MaxResults: aws.Int32(pageSize)})
		if err := pages(ctx, c, p, func(out *ec2.DescribeSubnetsOutput) {
			for _, s := range out.Subnets {
				all.add(cloud.Subnet{
					ID:            aws.ToString(s.SubnetId),
					VPCID:         aws.ToString(s.VpcId),
					Zone:          aws.ToString(s.AvailabilityZone),
					Owner:         aws.ToString(s.OwnerId),
					FreeAddresses: int(aws.ToInt32(s.AvailableIpAddressCount)),
					Tags:          tagsOf(s.Tags),
				})
			}
		}); err != nil {
			return nil, err
		}
	}
	return all.list, nil
}

// SecurityGroups implements cloud.API.
func (c *client) SecurityGroups(ctx context.Context, q cloud.Query) ([]cloud.SecurityGroup, error) {
	all := newFound(func(g cloud.SecurityGroup) string { return g.ID })
	for _, f := range requests(q) {
		p := ec2.NewDescribeSecurityGroupsPaginator(c.ec2, &ec2.DescribeSecurityGroupsInput{Filters: f, MaxResults: aws.Int32(pageSize)})
		if err := pages(ctx, c, p, func(out *ec2.DescribeSecurityGroupsOutput) {
			for _, g := range out.SecurityGroups {
				all.add(cloud.SecurityGroup{
					ID:    aws.ToString(g.GroupId),
					Name:  aws.ToString(g.GroupName),
					VPCID: aws.ToString(g.VpcId),
					Owner: aws.ToString(g.OwnerId),
					Tags:  tagsOf(g.Tags),
				})
			}
		}); err != nil {
			return nil, err
		}
	}
	return all.list, nil
}
