package fakeec2

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// volume is a disk.
type volume struct {
	cloud.Volume
	device    string
	snapshot  string
	encrypted bool
	key       string
	remains   bool // it is not removed with its instance
	snapped   time.Time
}

// planned is a volume of a launch.
type planned struct {
	cloud.Disk
	remains bool
	badKey  bool
}

// planDisks is what volumes a launch gets: those of the image, changed and
// joined by those of the request.
func (a *account) planDisks(l cloud.Launch, t cloud.InstanceType) ([]planned, error) {
	image, _ := a.images.get(l.ImageID)
	var all []planned
	for _, d := range image.Disks {
		all = append(all, planned{
			Disk:    cloud.Disk{Device: d.Device, SnapshotID: d.SnapshotID, SizeGB: d.SizeGB, Encrypted: d.Encrypted},
			remains: slices.Contains(image.remains, d.Device),
		})
	}
	for n, d := range l.Disks {
		if slices.ContainsFunc(l.Disks[:n], func(other cloud.Disk) bool { return other.Device == d.Device }) || d.Device == "" {
			return nil, cloud.NewError("InvalidBlockDeviceMapping", "The device '%s' is used in more than one block-device mapping", d.Device)
		}
		if at := slices.IndexFunc(all, func(p planned) bool { return p.Device == d.Device }); at >= 0 {
			all[at] = change(all[at], d)
			continue
		}
		all = append(all, planned{Disk: d})
	}
	if t.MaxDisks > 0 && len(all) > t.MaxDisks {
		return nil, cloud.NewError("AttachmentLimitExceeded", "Volume attachments exceed the limit of %d of '%s'", t.MaxDisks, t.Name)
	}
	for n := range all {
		if err := a.checkDisk(&all[n]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// change is a disk of an image as the request wants it.
func change(p planned, d cloud.Disk) planned {
	if d.SizeGB == 0 {
		d.SizeGB = p.SizeGB
	}
	if d.SnapshotID == "" {
		d.SnapshotID = p.SnapshotID
	}
	d.Encrypted = d.Encrypted || p.Encrypted
	return planned{Disk: d}
}

// checkDisk refuses a disk that can not be, and completes one that can.
func (a *account) checkDisk(p *planned) error {
	if p.Type == "" {
		p.Type = "gp2"
	}
	if p.SnapshotID != "" {
		s, err := a.usable(p.SnapshotID)
		if err != nil {
			return err
		}
		if p.SizeGB == 0 {
			p.SizeGB = s.SizeGB
		}
		if p.SizeGB < s.SizeGB {
			return cloud.NewError("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB",
				p.SizeGB, s.ID, s.SizeGB)
		}
		p.Encrypted = p.Encrypted || s.Encrypted
	}
	if p.KeyID != "" {
		if !p.Encrypted {
			return cloud.NewError("InvalidParameterCombination", "KmsKeyId may only be given for encrypted volumes")
		}
		_, known := a.keys[p.KeyID]
		p.badKey = !known
	}
	return checkShape(p)
}

// checkShape refuses sizes and speeds that the type of volume has not.
func checkShape(p *planned) error {
	shapes := map[string]shape{
		"gp2": {gb: 16384}, "gp3": {16384, 3000, 16000, 1000}, "io1": {16384, 100, 64000, 0}, "io2": {65536, 100, 256000, 0},
		"st1": {gb: 16384}, "sc1": {gb: 16384}, "standard": {gb: 1024},
	}
	s, known := shapes[p.Type]
	switch {
	case !known:
		return cloud.NewError("InvalidParameterValue", "Invalid value '%s' for volumeType", p.Type)
	case p.SizeGB == 0:
		return cloud.NewError("MissingParameter", "The request must contain the parameter size or snapshotId")
	case p.SizeGB < 0 || p.SizeGB > s.gb:
		return cloud.NewError("InvalidParameterValue", "Volume of %dGiB is outside of the limits of '%s'", p.SizeGB, p.Type)
	case p.IOPS == 0 && strings.HasPrefix(p.Type, "io"):
		return cloud.NewError("MissingParameter", "The parameter iops must be specified for %s volumes.", p.Type)
	}
	return s.checkSpeed(p)
}

// shape is what a type of volume can be like.
type shape struct{ gb, minIOPS, maxIOPS, throughput int }

func (s shape) checkSpeed(p *planned) error {
	const minThroughput = 125
	switch {
	case p.IOPS != 0 && s.maxIOPS == 0:
		return cloud.NewError("InvalidParameterCombination", "The parameter iops is not supported for %s volumes.", p.Type)
	case p.IOPS != 0 && (p.IOPS < s.minIOPS || p.IOPS > s.maxIOPS):
		return cloud.NewError("InvalidParameterValue", "Volume iops of %d is outside of %d-%d of '%s'", p.IOPS, s.minIOPS, s.maxIOPS, p.Type)
	case p.Throughput != 0 && s.throughput == 0:
		return cloud.NewError("InvalidParameterCombination", "The throughput parameter is not supported for %s volumes.", p.Type)
	case p.Throughput != 0 && (p.Throughput < minThroughput || p.Throughput > s.throughput):
		return cloud.NewError("InvalidParameterValue", "Volume throughput of %d is outside of %d-%d", p.Throughput, minThroughput, s.throughput)
	}
	return nil
}

// launchFailure is why a launch will end soon after it began: what EC2 finds
// out only then.
func (a *account) launchFailure(disks []planned) cloud.StateReason {
	for _, d := range disks {
		if d.badKey {
			return cloud.StateReason{Code: "Client.InternalError", Message: "Client.InternalError: Client error on launch"}
		}
	}
	reason := a.nextLaunch
	a.nextLaunch = cloud.StateReason{}
	return reason
}

// FailNextLaunch lets the next launch be accepted and end soon after, for a
// reason such as "Server.InternalError".
func (c *Cloud) FailNextLaunch(code, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nextLaunch = cloud.StateReason{Code: code, Message: message}
}

func (a *account) makeVolume(p planned, i instance, now time.Time) (id string) {
	v := volume{
		Volume: cloud.Volume{
			ID: a.newID("vol"), Zone: i.Zone, State: "in-use", SizeGB: p.SizeGB, Type: p.Type, Created: now.UTC(), InstanceID: i.ID,
			Tags: copyTags(i.Tags),
		},
		device: p.Device, snapshot: p.SnapshotID, encrypted: p.Encrypted, key: a.keys[p.KeyID], remains: p.remains,
	}
	a.volumes.put(v.ID, now, v)
	a.open("volume", v.ID, p.Type, float64(p.SizeGB)*volumePrice, true)
	return v.ID
}

// detach is what becomes of an instance's volumes at its end.
func (a *account) detach(i instance, now time.Time) {
	for _, id := range i.Volumes {
		v, found := a.volumes.get(id)
		switch {
		case found && v.remains:
			a.volumes.change(id, now, func(v *volume) { v.State, v.InstanceID = "available", "" })
		case found:
			a.gone(id, now)
			a.volumes.remove(id, now)
		}
	}
}

// Volumes implements cloud.API.
func (c *Cloud) Volumes(ctx context.Context, q cloud.Query) ([]cloud.Volume, error) {
	return ask(ctx, c, "DescribeVolumes", func(time.Time) ([]cloud.Volume, error) {
		return list(c.account, q, &c.volumes, withTags(fields[volume]{
			"volume-id":                        func(v volume) []string { return one(v.ID) },
			"status":                           func(v volume) []string { return one(v.State) },
			"availability-zone":                func(v volume) []string { return one(v.Zone) },
			"volume-type":                      func(v volume) []string { return one(v.Type) },
			"size":                             func(v volume) []string { return number(v.SizeGB) },
			"snapshot-id":                      func(v volume) []string { return one(v.snapshot) },
			"encrypted":                        func(v volume) []string { return flag(v.encrypted) },
			"create-time":                      func(v volume) []string { return stamp(v.Created) },
			"attachment.instance-id":           func(v volume) []string { return one(v.InstanceID) },
			"attachment.device":                func(v volume) []string { return one(either(v.InstanceID == "", "", v.device)) },
			"attachment.status":                func(v volume) []string { return one(either(v.InstanceID == "", "", "attached")) },
			"attachment.delete-on-termination": func(v volume) []string { return flag(!v.remains) },
		}, func(v volume) cloud.Tags { return v.Tags }), func(v volume) (cloud.Volume, bool) {
			return v.show(), true
		})
	})
}

func (v volume) show() cloud.Volume {
	shown := v.Volume
	shown.Tags = copyTags(v.Tags)
	return shown
}

// Volume is a volume as it really is, whatever lists show.
func (c *Cloud) Volume(id string) (cloud.Volume, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.catchUp()
	v, found := c.volumes.get(id)
	return v.show(), found
}

// DeleteVolume implements cloud.API.
func (c *Cloud) DeleteVolume(ctx context.Context, id string) error {
	_, err := ask(ctx, c, "DeleteVolume", func(now time.Time) (none struct{}, err error) {
		c.touch(id)
		v, _ := c.volumes.get(id)
		switch {
		case !c.volumes.known(c.account, id):
			return none, cloud.NewError("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
		case v.InstanceID != "":
			return none, cloud.NewError("VolumeInUse", "Volume %s is currently attached to %s", id, v.InstanceID)
		}
		c.gone(id, now)
		c.volumes.remove(id, now)
		return none, nil
	})
	return err
}
