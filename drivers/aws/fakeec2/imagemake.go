package fakeec2

import (
	"context"
	"regexp"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// copiedVolume is the volume that EC2 names for snapshots that are copies.
const copiedVolume = "vol-ffffffff"

// CreateImage implements cloud.API.
func (c *Cloud) CreateImage(ctx context.Context, r cloud.ImageRequest) (id string, err error) {
	r.Omit, r.Tags = slices.Clone(r.Omit), copyTags(r.Tags)
	return ask(ctx, c, "CreateImage", func(now time.Time) (string, error) {
		c.touch(r.InstanceID)
		i, err := c.known(r.InstanceID)
		if err != nil {
			return "", err
		}
		if i.State != cloud.Running && i.State != cloud.Stopped && i.State != cloud.Stopping {
			return "", cloud.NewError("IncorrectState", "The instance '%s' is in state '%s'; an image needs it running or stopped", i.ID, i.State)
		}
		if err := c.checkNewImage(r.Name, r.Tags); err != nil {
			return "", err
		}
		if r.Reboot && i.State == cloud.Running {
			c.instances.change(i.ID, now, func(i *instance) { i.boots++ })
		}
		image := c.imageOf(i, r, now)
		c.touch(image)
		return image, nil
	})
}

// imageOf makes an image of an instance's volumes.
func (a *account) imageOf(i instance, r cloud.ImageRequest, now time.Time) (id string) {
	source, _ := a.images.get(i.ImageID)
	t, _ := a.types.get(i.Type)
	made := image{
		Image: cloud.Image{
			ID: a.newID("ami"), Name: r.Name, Architecture: orElse(source.Architecture, t.Architectures[0]), RootDevice: i.RootDevice, Tags: r.Tags,
		},
		description: r.Description,
	}
	var took time.Duration
	for _, v := range a.volumesOf(i) {
		if slices.Contains(r.Omit, v.device) {
			continue
		}
		s, takes := a.takeSnapshot(v, "Created by CreateImage("+i.ID+") for "+made.ID, r.Tags, now)
		took = max(took, takes)
		made.Disks = append(made.Disks, cloud.ImageDisk{Device: v.device, SnapshotID: s, SizeGB: v.SizeGB, Encrypted: v.encrypted})
		if v.remains {
			made.remains = append(made.remains, v.device)
		}
	}
	a.register(made, took, nil, now)
	return made.ID
}

// volumesOf are the volumes of an instance, its root first.
func (a *account) volumesOf(i instance) []volume {
	var devices []string
	for device := range i.Volumes {
		devices = append(devices, device)
	}
	slices.Sort(devices)
	var all []volume
	for _, device := range devices {
		v, found := a.volumes.get(i.Volumes[device])
		switch {
		case found && device == i.RootDevice:
			all = append([]volume{v}, all...)
		case found:
			all = append(all, v)
		}
	}
	return all
}

// register makes an image that will be available when its snapshots are, or
// will fail if failed says why then.
func (a *account) register(i image, snapshots time.Duration, failed func() string, now time.Time) {
	i.Owner, i.State, i.Created = a.opts.Account, cloud.ImagePending, now.UTC().Truncate(time.Second)
	a.images.put(i.ID, now, i)
	a.open("image", i.ID, "", 0, true)
	reason := a.nextImage
	a.nextImage = ""
	a.plan(snapshots+a.opts.Timing.Image.pick(a.random), func(now time.Time) {
		if reason == "" && failed != nil {
			reason = failed()
		}
		a.images.change(i.ID, now, func(i *image) {
			i.State = cloud.ImageAvailable
			if reason != "" {
				i.State, i.Reason = cloud.ImageFailed, reason
			}
		})
		a.happened(now, "image "+either(reason == "", cloud.ImageAvailable, cloud.ImageFailed), i.ID)
	})
}

// FailNextImage lets the next image fail, a good while after it was begun.
func (c *Cloud) FailNextImage(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nextImage = reason
}

func (a *account) checkNewImage(name string, tags cloud.Tags) error {
	if !regexp.MustCompile(`^[a-zA-Z0-9()\[\] ./'@_-]{3,128}$`).MatchString(name) {
		return cloud.NewError("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, "+
			"'(', ')', '.', '-', '/' and '_'")
	}
	for _, i := range a.images.all() {
		if i.Name == name && i.Owner == a.opts.Account {
			return cloud.NewError("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, i.ID)
		}
	}
	if id := a.namesHeld[name]; id != "" { // deregistered a moment ago
		return cloud.NewError("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, id)
	}
	return checkTags(tags)
}

// CopyImage implements cloud.API.
func (c *Cloud) CopyImage(ctx context.Context, r cloud.ImageCopy) (id string, err error) {
	r.Tags = copyTags(r.Tags)
	return ask(ctx, c, "CopyImage", func(now time.Time) (string, error) {
		u := use{"image", c.opts.Region, r.ClientToken}
		if id, err := c.replay(u, r); err != nil || id != "" {
			return id, err
		}
		source, err := c.launchable(r.SourceID)
		if err != nil {
			return "", err
		}
		if err := c.checkNewImage(r.Name, r.Tags); err != nil {
			return "", err
		}
		made := c.copyOf(source, r, now)
		c.promised(u, r, made)
		c.touch(made)
		return made, nil
	})
}

// copyOf copies an image, always encrypted (cloud.ImageCopy). That the key is no
// good, or that the source goes away under the copy, shows only at its end.
func (a *account) copyOf(source image, r cloud.ImageCopy, now time.Time) (id string) {
	made := image{
		Image:       cloud.Image{ID: a.newID("ami"), Name: r.Name, Architecture: source.Architecture, RootDevice: source.RootDevice, Tags: r.Tags},
		description: r.Description, remains: source.remains,
	}
	var took time.Duration
	for _, d := range source.Disks {
		v := volume{Volume: cloud.Volume{ID: copiedVolume, SizeGB: d.SizeGB}, encrypted: true}
		s, takes := a.takeSnapshot(v, "Copied for DestinationAmi "+made.ID+" from SourceAmi "+source.ID, r.Tags, now)
		took = max(took, takes)
		made.Disks = append(made.Disks, cloud.ImageDisk{Device: d.Device, SnapshotID: s, SizeGB: d.SizeGB, Encrypted: v.encrypted})
	}
	a.register(made, took, func() string {
		if _, known := a.keys[r.KeyID]; !known && r.KeyID != "" {
			return "The KMS key '" + r.KeyID + "' does not exist, or may not be used"
		}
		for _, d := range source.Disks {
			if _, found := a.snapshots.get(d.SnapshotID); !found {
				return "The snapshot '" + d.SnapshotID + "' of the source image does not exist"
			}
		}
		return ""
	}, now)
	return made.ID
}

// DeregisterImage implements cloud.API, with what EC2 calls DeleteAssociatedSnapshots.
func (c *Cloud) DeregisterImage(ctx context.Context, id string) error {
	_, err := ask(ctx, c, "DeregisterImage", func(now time.Time) (none struct{}, err error) {
		c.touch(id)
		i, there := c.images.get(id)
		switch {
		case !there && c.images.had(id):
			return none, cloud.NewError("InvalidAMIID.Unavailable", "The image ID '%s' is no longer available", id)
		case !c.images.known(c.account, id) || !i.visible(c.opts.Account):
			return none, cloud.NewError("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
		case i.Owner != c.opts.Account:
			return none, cloud.NewError("AuthFailure", "Not authorized for image:%s", id)
		}
		c.deregister(i, now)
		return none, nil
	})
	return err
}

func (a *account) deregister(i image, now time.Time) {
	a.gone(i.ID, now)
	a.images.remove(i.ID, now)
	a.forgetToken(i.ID)
	a.namesHeld[i.Name] = i.ID
	a.plan(a.opts.Timing.NameHeld.pick(a.random), func(time.Time) {
		if a.namesHeld[i.Name] == i.ID {
			delete(a.namesHeld, i.Name)
		}
	})
	for _, d := range i.Disks {
		if s, found := a.snapshots.get(d.SnapshotID); found && s.Owner == a.opts.Account && a.userOf(s.ID) == "" {
			a.gone(s.ID, now)
			a.snapshots.remove(s.ID, now)
		}
	}
}
