package cloudtest

import (
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func imageCases() []testCase {
	return []testCase{
		{"images: our own", imagesOwn},
		{"images: filters", imageFilters},
		{"image: of an instance", imageOfInstance},
		{"image: without tags", imagePlain},
		{"image: without a disk", imageOmits},
		{"image: a name that is taken", imageNameTaken},
		{"image: of no instance", func(k *check) {
			_, err := k.API.CreateImage(k.ctx, cloud.ImageRequest{InstanceID: "i-00000000000000bad", Name: "nothing"})
			k.is(err, "an image of nothing", cloud.NotFound)
		}},
		{"image: copy", imageCopied},
		{"image: copy is encrypted, with tags", imageCopyEncrypted},
		{"image: copy repeated with its token", imageCopyRepeated},
		{"image: copy without a token", func(k *check) {
			_, err := k.API.CopyImage(k.ctx, cloud.ImageCopy{SourceID: k.Image, Name: "second"})
			k.is(err, "a copy without a token", cloud.Refused)
		}},
		{"image: copy of none", func(k *check) {
			_, err := k.API.CopyImage(k.ctx, cloud.ImageCopy{ClientToken: k.next(), SourceID: "ami-00000000000000bad", Name: "nothing"})
			k.is(err, "a copy of nothing", cloud.NotFound)
		}},
		{"image: deregister", imageDeregister},
		{"image: deregister takes its snapshots", imageDeregisterSnapshots},
	}
}

// available waits until an image can be used.
func (k *check) available(id string) (found cloud.Image) {
	k.until(3*time.Hour, id+" is available", func() bool {
		list, err := k.API.Images(k.ctx, nil, cloud.Where("image-id", id))
		k.ok(err, "list images")
		if len(list) != 1 {
			return false
		}
		found = list[0]
		return found.State == cloud.ImageAvailable
	})
	return found
}

// image makes an image of an instance that is ended.
func (k *check) image(r cloud.ImageRequest) cloud.Image {
	r.InstanceID = k.launch(nil).ID
	id, err := k.API.CreateImage(k.ctx, r)
	k.ok(err, "create image")
	return k.available(id)
}

func (k *check) images(owners ...string) func(cloud.Query) ([]cloud.Image, error) {
	return func(q cloud.Query) ([]cloud.Image, error) { return k.API.Images(k.ctx, owners, q) }
}

func imageID(i cloud.Image) string { return i.ID }

func imagesOwn(k *check) {
	who, err := k.API.Identity(k.ctx)
	k.ok(err, "identity")
	for _, owner := range []string{"self", who.Account} {
		list, err := k.API.Images(k.ctx, []string{owner}, cloud.Where("image-id", k.Image))
		k.ok(err, "list images")
		if len(list) != 1 || list[0].Owner != who.Account || list[0].State != cloud.ImageAvailable || list[0].Created.IsZero() ||
			list[0].RootDevice == "" || list[0].Architecture == "" || len(list[0].Disks) == 0 || list[0].Disks[0].SnapshotID == "" {
			k.errorf("of %s: %+v", owner, list)
		}
	}
	if list, err := k.API.Images(k.ctx, []string{"000000000000"}, cloud.Where("image-id", k.Image)); err != nil || len(list) != 0 {
		k.errorf("of another owner: %v, %v", list, err)
	}
}

func imageFilters(k *check) {
	a := k.image(cloud.ImageRequest{Name: "build/linux-1"})
	b := k.image(cloud.ImageRequest{Name: "build/linux-2"})
	k.ok(k.API.CreateTags(k.ctx, []string{b.ID}, tags()), "tag")
	finds(k, k.images("self"), imageID, []want{
		{cloud.Where("name", "build/linux-1"), []string{a.ID}},
		{cloud.Where("name", "build/linux-*"), []string{a.ID, b.ID}},
		{cloud.Where("name", "build/linux-?").And("state", "available", "pending"), []string{a.ID, b.ID}},
		{cloud.Where("name", "linux"), nil},
		{cloud.Where("image-id", a.ID, "ami-00000000000000bad"), []string{a.ID}},
		{cloud.Where("tag:"+cloud.TagNode, "node-1"), []string{b.ID}},
		{cloud.Where("tag-key", cloud.TagNode), []string{b.ID}},
	})
}

func imageOfInstance(k *check) {
	i := k.image(cloud.ImageRequest{Name: "made", Description: "by a test", Tags: tags()})
	if i.Name != "made" || !fits(i.Tags) || len(i.Disks) == 0 {
		k.errorf("the image is %+v", i)
	}
	finds(k, func(q cloud.Query) ([]cloud.Snapshot, error) { return k.API.Snapshots(k.ctx, []string{"self"}, q) },
		func(s cloud.Snapshot) string { return s.ID }, []want{{cloud.Where("tag:"+cloud.TagNode, "node-1"), snapshotsOf(i)}})
}

func snapshotsOf(i cloud.Image) []string {
	return ids(i.Disks, func(d cloud.ImageDisk) string { return d.SnapshotID })
}

func imagePlain(k *check) {
	i := k.image(cloud.ImageRequest{Name: "plain", Reboot: true})
	if i.Name != "plain" || len(i.Disks) == 0 {
		k.errorf("the image is %+v", i)
	}
}

func imageOmits(k *check) {
	from := k.launch(func(l *cloud.Launch) {
		l.Disks = []cloud.Disk{{Device: "/dev/sdb", SizeGB: 1}, {Device: "/dev/sdc", SizeGB: 1}}
	})
	id, err := k.API.CreateImage(k.ctx, cloud.ImageRequest{InstanceID: from.ID, Name: "less", Omit: []string{"/dev/sdc"}})
	k.ok(err, "create image")
	devices := ids(k.available(id).Disks, func(d cloud.ImageDisk) string { return d.Device })
	if !slices.Contains(devices, "/dev/sdb") || slices.Contains(devices, "/dev/sdc") {
		k.errorf("its disks are %v", devices)
	}
}

func imageNameTaken(k *check) {
	i := k.image(cloud.ImageRequest{Name: "once"})
	_, err := k.API.CreateImage(k.ctx, cloud.ImageRequest{InstanceID: k.launch(nil).ID, Name: i.Name})
	k.is(err, "a second image of the name", cloud.Refused)
}

func imageCopied(k *check) {
	from := k.image(cloud.ImageRequest{Name: "first"})
	id, err := k.API.CopyImage(k.ctx, cloud.ImageCopy{ClientToken: k.next(), SourceID: from.ID, Name: "second"})
	k.ok(err, "copy")
	if i := k.available(id); i.ID == from.ID || i.Name != "second" || len(i.Disks) != len(from.Disks) {
		k.errorf("the copy is %+v", i)
	}
}

func imageCopyEncrypted(k *check) {
	from := k.image(cloud.ImageRequest{Name: "first"})
	for name, key := range map[string]string{"second": k.Key, "third": ""} { // without a key by the account's own
		id, err := k.API.CopyImage(k.ctx, cloud.ImageCopy{ClientToken: k.next(), SourceID: from.ID, Name: name, KeyID: key, Tags: tags()})
		k.ok(err, "copy")
		i := k.available(id)
		if !fits(i.Tags) {
			k.errorf("its tags are %v", i.Tags)
		}
		for _, d := range i.Disks {
			list, err := k.API.Snapshots(k.ctx, nil, cloud.Where("snapshot-id", d.SnapshotID))
			k.ok(err, "list snapshots")
			if !d.Encrypted || len(list) != 1 || !list[0].Encrypted || !fits(list[0].Tags) {
				k.errorf("its disk %+v is of %+v", d, list)
			}
		}
	}
}

func imageCopyRepeated(k *check) {
	r := cloud.ImageCopy{ClientToken: k.next(), SourceID: k.image(cloud.ImageRequest{Name: "first"}).ID, Name: "second"}
	first, err := k.API.CopyImage(k.ctx, r)
	k.ok(err, "copy")
	second, err := k.API.CopyImage(k.ctx, r)
	k.ok(err, "copy again")
	if first != second {
		k.errorf("one token gave %s and %s", first, second)
	}
}

func imageDeregister(k *check) {
	i := k.image(cloud.ImageRequest{Name: "short"})
	k.ok(k.API.DeregisterImage(k.ctx, i.ID), "deregister")
	finds(k, k.images("self"), imageID, []want{{cloud.Where("image-id", i.ID), nil}})
	k.is(k.API.DeregisterImage(k.ctx, i.ID), "deregister again", cloud.NotFound)
	k.is(k.API.DeregisterImage(k.ctx, "ami-00000000000000bad"), "deregister nothing", cloud.NotFound)
}

func imageDeregisterSnapshots(k *check) {
	i := k.image(cloud.ImageRequest{Name: "short"})
	k.ok(k.API.DeregisterImage(k.ctx, i.ID), "deregister")
	finds(k, func(q cloud.Query) ([]cloud.Snapshot, error) { return k.API.Snapshots(k.ctx, []string{"self"}, q) },
		func(s cloud.Snapshot) string { return s.ID }, []want{{cloud.Where("snapshot-id", snapshotsOf(i)...), nil}})
}
