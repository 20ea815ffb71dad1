package awssdk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Images implements cloud.API.
func (c *client) Images(ctx context.Context, owners []string, q cloud.Query) ([]cloud.Image, error) {
	all := newFound(func(i cloud.Image) string { return i.ID })
	for _, f := range requests(q) {
		p := ec2.NewDescribeImagesPaginator(c.ec2, &ec2.DescribeImagesInput{Owners: owners, Filters: f, MaxResults: aws.Int32(pageSize)})
		if err := pages(ctx, c, p, func(out *ec2.DescribeImagesOutput) {
			for _, i := range out.Images {
				all.add(imageOf(i))
			}
		}); err != nil {
			return nil, err
		}
	}
	return all.list, nil
}

func imageOf(i types.Image) cloud.Image {
	image := cloud.Image{
		ID:           aws.ToString(i.ImageId),
		Name:         aws.ToString(i.Name),
		Owner:        aws.ToString(i.OwnerId),
		State:        string(i.State),
		Architecture: string(i.Architecture),
		RootDevice:   aws.ToString(i.RootDeviceName),
		Tags:         tagsOf(i.Tags),
	}
	// An image whose date can not be read is as old as can be, and never the newest.
	image.Created, _ = time.Parse(time.RFC3339, aws.ToString(i.CreationDate))
	if i.StateReason != nil {
		image.Reason = aws.ToString(i.StateReason.Message)
	}
	for _, d := range i.BlockDeviceMappings {
		if d.Ebs != nil {
			image.Disks = append(image.Disks, cloud.ImageDisk{
				Device:     aws.ToString(d.DeviceName),
				SnapshotID: aws.ToString(d.Ebs.SnapshotId),
				SizeGB:     int(aws.ToInt32(d.Ebs.VolumeSize)),
				Encrypted:  aws.ToBool(d.Ebs.Encrypted),
			})
		}
	}
	return image
}

// CreateImage implements cloud.API.
func (c *client) CreateImage(ctx context.Context, r cloud.ImageRequest) (string, error) {
	in := &ec2.CreateImageInput{
		InstanceId:        aws.String(r.InstanceID),
		Name:              aws.String(r.Name),
		Description:       given(r.Description),
		NoReboot:          aws.Bool(!r.Reboot),
		TagSpecifications: tagged(r.Tags, types.ResourceTypeImage, types.ResourceTypeSnapshot),
	}
	for _, device := range slices.Sorted(slices.Values(r.Omit)) {
		in.BlockDeviceMappings = append(in.BlockDeviceMappings, types.BlockDeviceMapping{DeviceName: aws.String(device), NoDevice: aws.String("")})
	}
	out, err := call(ctx, c, c.ec2.CreateImage, in)
	if err != nil {
		return "", err
	}
	return named("CreateImage", out.ImageId)
}

// named is the id in an answer, which must have one.
func named(action string, id *string) (string, error) {
	if aws.ToString(id) == "" {
		return "", fmt.Errorf("%s: the answer has no id", action)
	}
	return *id, nil
}

// CopyImage implements cloud.API.
func (c *client) CopyImage(ctx context.Context, r cloud.ImageCopy) (string, error) {
	if r.ClientToken == "" {
		return "", cloud.NewError("MissingParameter", "a copy of an image needs a client token")
	}
	out, err := call(ctx, c, c.ec2.CopyImage, &ec2.CopyImageInput{
		ClientToken:       aws.String(r.ClientToken),
		SourceImageId:     aws.String(r.SourceID),
		SourceRegion:      aws.String(c.region),
		Name:              aws.String(r.Name),
		Description:       given(r.Description),
		Encrypted:         aws.Bool(true),
		KmsKeyId:          given(r.KeyID), // none: the account's default key
		TagSpecifications: tagged(r.Tags, types.ResourceTypeImage, types.ResourceTypeSnapshot),
	})
	if err != nil {
		return "", err
	}
	return named("CopyImage", out.ImageId)
}

// DeregisterImage implements cloud.API. The answer tells of snapshots that EC2
// left, which nothing would find afterwards: they are deleted one by one.
func (c *client) DeregisterImage(ctx context.Context, id string) error {
	out, err := call(ctx, c, c.ec2.DeregisterImage, &ec2.DeregisterImageInput{ImageId: aws.String(id), DeleteAssociatedSnapshots: aws.Bool(true)})
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range out.DeleteSnapshotResults {
		switch r.ReturnCode {
		case types.SnapshotReturnCodesSuccess, types.SnapshotReturnCodesWarnSkipped:
			continue // skipped: another image has it too
		}
		left := aws.ToString(r.SnapshotId)
		if err := c.DeleteSnapshot(ctx, left); err != nil && !cloud.IsKind(err, cloud.NotFound) {
			errs = append(errs, fmt.Errorf("the image %s is gone, its snapshot %s is left: %w", id, left, err))
		}
	}
	return errors.Join(errs...)
}

// Snapshots implements cloud.API.
func (c *client) Snapshots(ctx context.Context, owners []string, q cloud.Query) ([]cloud.Snapshot, error) {
	all := newFound(func(s cloud.Snapshot) string { return s.ID })
	for _, f := range requests(q) {
		p := ec2.NewDescribeSnapshotsPaginator(c.ec2, &ec2.DescribeSnapshotsInput{OwnerIds: owners, Filters: f, MaxResults: aws.Int32(pageSize)})
		if err := pages(ctx, c, p, func(out *ec2.DescribeSnapshotsOutput) {
			for _, s := range out.Snapshots {
				all.add(snapshotOf(s))
			}
		}); err != nil {
			return nil, err
		}
	}
	return all.list, nil
}

func snapshotOf(s types.Snapshot) cloud.Snapshot {
	return cloud.Snapshot{
		ID:        aws.ToString(s.SnapshotId),
		VolumeID:  aws.ToString(s.VolumeId),
		Owner:     aws.ToString(s.OwnerId),
		State:     string(s.State),
		Reason:    aws.ToString(s.StateMessage),
		Started:   aws.ToTime(s.StartTime),
		SizeGB:    int(aws.ToInt32(s.VolumeSize)),
		Encrypted: aws.ToBool(s.Encrypted),
		Progress:  aws.ToString(s.Progress),
		Tags:      tagsOf(s.Tags),
	}
}

// CreateSnapshots implements cloud.API.
func (c *client) CreateSnapshots(ctx context.Context, r cloud.SnapshotsRequest) ([]cloud.Snapshot, error) {
	out, err := call(ctx, c, c.ec2.CreateSnapshots, &ec2.CreateSnapshotsInput{
		InstanceSpecification: &types.InstanceSpecification{
			InstanceId:        aws.String(r.InstanceID),
			ExcludeBootVolume: aws.Bool(r.WithoutRoot),
		},
		Description:       given(r.Description),
		TagSpecifications: tagged(r.Tags, types.ResourceTypeSnapshot),
	})
	if err != nil {
		return nil, err
	}
	var list []cloud.Snapshot
	for _, s := range out.Snapshots {
		list = append(list, cloud.Snapshot{
			ID:        aws.ToString(s.SnapshotId),
			VolumeID:  aws.ToString(s.VolumeId),
			Owner:     aws.ToString(s.OwnerId),
			State:     string(s.State),
			Started:   aws.ToTime(s.StartTime),
			SizeGB:    int(aws.ToInt32(s.VolumeSize)),
			Encrypted: aws.ToBool(s.Encrypted),
			Progress:  aws.ToString(s.Progress),
			Tags:      tagsOf(s.Tags),
		})
	}
	return list, nil
}

// DeleteSnapshot implements cloud.API.
func (c *client) DeleteSnapshot(ctx context.Context, id string) error {
	_, err := call(ctx, c, c.ec2.DeleteSnapshot, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id)})
	return err
}
