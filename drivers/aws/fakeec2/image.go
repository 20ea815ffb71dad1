package fakeec2

import (
	"context"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// image is an AMI.
type image struct {
	cloud.Image
	description string
	public      bool
	shared      []string // accounts that may use it
	remains     []string // devices whose volumes are not removed with their instance
}

// visible reports whether an account may see and start the image.
func (i image) visible(account string) bool {
	return i.public || i.Owner == account || slices.Contains(i.shared, account)
}

// ImageSpec is an image to be made, with a snapshot for each disk.
type ImageSpec struct {
	Name         string
	Owner        string // the account itself if empty
	Architecture string // x86_64 if empty
	State        string // available if empty
	Created      time.Time
	SizeGB       int // of the root disk; 8 if 0
	Encrypted    bool
	Public       bool
	SharedWith   []string
	More         []cloud.ImageDisk // beyond the root disk; a snapshot is made where none is named
	Remains      []string          // devices whose volumes are not removed with their instance
	Tags         cloud.Tags
}

// AddImage makes an image.
func (c *Cloud) AddImage(spec ImageSpec) (id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.catchUp()
	before := c.furnishing
	c.furnishing = true
	defer func() { c.furnishing = before }()
	i := image{
		Image: cloud.Image{
			ID: c.newID("ami"), Name: spec.Name, Owner: orElse(spec.Owner, c.opts.Account), State: orElse(spec.State, cloud.ImageAvailable),
			Created: spec.Created, Architecture: orElse(spec.Architecture, "x86_64"), RootDevice: "/dev/sda1", Tags: copyTags(spec.Tags),
		},
		public: spec.Public, shared: slices.Clone(spec.SharedWith), remains: slices.Clone(spec.Remains),
	}
	if i.Created.IsZero() {
		i.Created = now.Add(-24 * time.Hour).UTC().Truncate(time.Second)
	}
	size := spec.SizeGB
	if size == 0 {
		size = 8
	}
	for _, d := range append([]cloud.ImageDisk{{Device: i.RootDevice, SizeGB: size, Encrypted: spec.Encrypted}}, spec.More...) {
		if d.SnapshotID == "" {
			d.SnapshotID = c.addSnapshot(SnapshotSpec{Owner: i.Owner, SizeGB: d.SizeGB, Encrypted: d.Encrypted, Public: spec.Public, Tags: spec.Tags}, now)
		}
		i.Disks = append(i.Disks, d)
	}
	c.images.put(i.ID, now, i)
	c.open("image", i.ID, "", 0, true)
	return i.ID
}

func orElse(value, other string) string {
	if value == "" {
		return other
	}
	return value
}

// Images implements cloud.API.
func (c *Cloud) Images(ctx context.Context, owners []string, q cloud.Query) ([]cloud.Image, error) {
	return ask(ctx, c, "DescribeImages", func(time.Time) ([]cloud.Image, error) {
		return list(c.account, q, &c.images, imageFields(), func(i image) (cloud.Image, bool) {
			return i.show(), i.visible(c.opts.Account) && c.ownedBy(i.Owner, owners)
		})
	})
}

// Image is an image as it really is, whatever lists show.
func (c *Cloud) Image(id string) (cloud.Image, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.catchUp()
	i, found := c.images.get(id)
	return i.show(), found
}

func (i image) show() cloud.Image {
	shown := i.Image
	shown.Tags, shown.Disks = copyTags(i.Tags), slices.Clone(i.Disks)
	return shown
}

// ownedBy reports whether the owner is one of those asked for: of anybody if none is.
func (a *account) ownedBy(owner string, wanted []string) bool {
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(w string) bool {
		return w == owner || w == "self" && owner == a.opts.Account || w == "amazon" && owner == Amazon
	})
}

func imageFields() fields[image] {
	return withTags(fields[image]{
		"image-id":            func(i image) []string { return one(i.ID) },
		"name":                func(i image) []string { return one(i.Name) },
		"description":         func(i image) []string { return one(i.description) },
		"owner-id":            func(i image) []string { return one(i.Owner) },
		"owner-alias":         func(i image) []string { return one(either(i.Owner == Amazon, "amazon", "")) },
		"state":               func(i image) []string { return one(i.State) },
		"state-reason-code":   func(i image) []string { return one(i.Reason) },
		"architecture":        func(i image) []string { return one(i.Architecture) },
		"is-public":           func(i image) []string { return flag(i.public) },
		"creation-date":       func(i image) []string { return stamp(i.Created) },
		"root-device-name":    func(i image) []string { return one(i.RootDevice) },
		"root-device-type":    func(image) []string { return one("ebs") },
		"image-type":          func(image) []string { return one("machine") },
		"virtualization-type": func(image) []string { return one("hvm") },
		"block-device-mapping.snapshot-id": func(i image) []string {
			var ids []string
			for _, d := range i.Disks {
				ids = append(ids, d.SnapshotID)
			}
			return ids
		},
		"block-device-mapping.device-name": func(i image) []string {
			var names []string
			for _, d := range i.Disks {
				names = append(names, d.Device)
			}
			return names
		},
	}, func(i image) cloud.Tags { return i.Tags })
}
