package wire

import (
	"context"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

type imageItem struct {
	ID           string               `xml:"imageId"`
	Name         string               `xml:"name,omitempty"`
	Owner        string               `xml:"imageOwnerId"`
	State        string               `xml:"imageState"`
	Reason       *reasonItem          `xml:"stateReason,omitempty"`
	Created      string               `xml:"creationDate,omitempty"`
	Architecture string               `xml:"architecture,omitempty"`
	RootDevice   string               `xml:"rootDeviceName,omitempty"`
	RootType     string               `xml:"rootDeviceType,omitempty"`
	Devices      set[imageDeviceItem] `xml:"blockDeviceMapping"`
	Tags         set[tagItem]         `xml:"tagSet"`
}

type imageDeviceItem struct {
	Name       string `xml:"deviceName"`
	SnapshotID string `xml:"ebs>snapshotId,omitempty"`
	SizeGB     int    `xml:"ebs>volumeSize,omitempty"`
	Encrypted  bool   `xml:"ebs>encrypted"`
}

func lookOfImage(i cloud.Image) imageItem {
	item := imageItem{
		ID: i.ID, Name: i.Name, Owner: i.Owner, State: i.State, Created: stamp(i.Created),
		Architecture: i.Architecture, RootDevice: i.RootDevice, Tags: tagSet(i.Tags),
		Devices: setOf(i.Disks, func(d cloud.ImageDisk) imageDeviceItem {
			return imageDeviceItem{d.Device, d.SnapshotID, d.SizeGB, d.Encrypted}
		}),
	}
	if i.Reason != "" {
		item.Reason = &reasonItem{Message: i.Reason}
	}
	if i.RootDevice != "" {
		item.RootType = "ebs"
	}
	return item
}

func (h *Handler) describeImages(f form) run {
	owners := f.texts("Owner")
	get := list(h, f, listing[cloud.Image]{
		action: "DescribeImages", ids: "ImageId", idFilter: "image-id", missing: "InvalidAMIID.NotFound",
		idOf: func(i cloud.Image) string { return i.ID },
		fetch: func(ctx context.Context, q cloud.Query) ([]cloud.Image, error) {
			return h.backend.Images(ctx, owners, q)
		},
	})
	type reply struct {
		head
		Images    set[imageItem] `xml:"imagesSet"`
		NextToken string         `xml:"nextToken,omitempty"`
	}
	return func(ctx context.Context) (any, error) {
		page, next, err := get(ctx)
		return &reply{Images: setOf(page, lookOfImage), NextToken: next}, err
	}
}

type imageReply struct {
	head
	ID string `xml:"imageId"`
}

func (h *Handler) createImage(f form) run {
	r := cloud.ImageRequest{
		InstanceID:  f.required("InstanceId"),
		Name:        f.required("Name"),
		Description: f.text("Description"),
		Reboot:      !f.flag("NoReboot"),
		Tags:        f.tagsFor("image", "snapshot"),
	}
	for _, g := range f.groups("BlockDeviceMapping") {
		if !g.has("NoDevice") {
			f.decline("an image with other disks than the instance")
		}
		g.text("NoDevice") // its value says nothing
		r.Omit = append(r.Omit, g.required("DeviceName"))
	}
	return func(ctx context.Context) (any, error) {
		id, err := h.backend.CreateImage(ctx, r)
		return &imageReply{ID: id}, err
	}
}

func (h *Handler) copyImage(f form) run {
	f.only("Encrypted", "true", true) // cloud.API copies to encrypt
	region := f.required("SourceRegion")
	if h.opts.Region != "" && region != h.opts.Region {
		f.decline("a copy from another region (%s)", region)
	}
	r := cloud.ImageCopy{
		ClientToken: f.text("ClientToken"),
		SourceID:    f.required("SourceImageId"),
		Name:        f.required("Name"),
		Description: f.text("Description"),
		KeyID:       f.text("KmsKeyId"),
		Tags:        f.tagsFor("image", "snapshot"),
	}
	return func(ctx context.Context) (any, error) {
		id, err := h.backend.CopyImage(ctx, r)
		return &imageReply{ID: id}, err
	}
}

func (h *Handler) deregisterImage(f form) run {
	id := f.required("ImageId")
	f.only("DeleteAssociatedSnapshots", "true", true)
	return doing(func(ctx context.Context) error { return h.backend.DeregisterImage(ctx, id) })
}
