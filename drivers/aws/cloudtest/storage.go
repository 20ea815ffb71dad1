package cloudtest

import (
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func storageCases() []testCase {
	return []testCase{
		{"snapshots: of all disks", snapshotsOfAll},
		{"snapshots: without the root", snapshotsWithoutRoot},
		{"snapshots: filters", snapshotFilters},
		{"snapshots: of no instance", func(k *check) {
			_, err := k.API.CreateSnapshots(k.ctx, cloud.SnapshotsRequest{InstanceID: "i-00000000000000bad"})
			k.is(err, "snapshots of nothing", cloud.NotFound)
		}},
		{"snapshot: delete", snapshotDelete},
		{"snapshot: delete what an image has", snapshotInUse},
		{"volumes: filters", volumeFilters},
		{"volume: delete what is attached", volumeInUse},
		{"volume: delete what is not there", func(k *check) {
			k.is(k.API.DeleteVolume(k.ctx, "vol-00000000000000bad"), "the end of nothing", cloud.NotFound)
		}},
		{"tags: on everything", tagEverything},
		{"tags: of what is not there", func(k *check) {
			k.is(k.API.CreateTags(k.ctx, []string{"i-00000000000000bad"}, tags()), "tags of nothing", cloud.NotFound)
		}},
	}
}

// completed waits until snapshots can be used.
func (k *check) completed(list ...string) (found []cloud.Snapshot) {
	k.until(3*time.Hour, "the snapshots are completed", func() bool {
		var err error
		found, err = k.API.Snapshots(k.ctx, []string{"self"}, cloud.Where("snapshot-id", list...).And("status", cloud.SnapshotCompleted))
		k.ok(err, "list snapshots")
		return len(found) == len(list)
	})
	return found
}

// twoDisks is an instance with a root and another disk.
func (k *check) twoDisks() cloud.Instance {
	return k.launch(func(l *cloud.Launch) { l.Disks = []cloud.Disk{{Device: "/dev/sdb", SizeGB: 3}} })
}

func (k *check) snapshots(q cloud.Query) ([]cloud.Snapshot, error) {
	return k.API.Snapshots(k.ctx, []string{"self"}, q)
}

func snapshotID(s cloud.Snapshot) string { return s.ID }

func snapshotsOfAll(k *check) {
	i := k.twoDisks()
	made, err := k.API.CreateSnapshots(k.ctx, cloud.SnapshotsRequest{InstanceID: i.ID, Description: "by a test", Tags: tags()})
	k.ok(err, "create snapshots")
	if len(made) != len(i.Volumes) || len(made) == 0 {
		k.fatalf("made %+v of %v", made, i.Volumes)
	}
	who, err := k.API.Identity(k.ctx)
	k.ok(err, "identity")
	for _, s := range k.completed(ids(made, snapshotID)...) {
		if s.Owner != who.Account || !fits(s.Tags) || s.VolumeID == "" || s.Started.IsZero() || s.SizeGB == 0 || s.Encrypted {
			k.errorf("the snapshot is %+v", s)
		}
	}
}

func snapshotsWithoutRoot(k *check) {
	i := k.twoDisks()
	made, err := k.API.CreateSnapshots(k.ctx, cloud.SnapshotsRequest{InstanceID: i.ID, WithoutRoot: true, Tags: tags()})
	k.ok(err, "create snapshots")
	if len(made) != 1 || made[0].VolumeID != i.Volumes["/dev/sdb"] || made[0].SizeGB != 3 {
		k.errorf("made %+v of %v", made, i.Volumes)
	}
}

func snapshotFilters(k *check) {
	i := k.twoDisks()
	made, err := k.API.CreateSnapshots(k.ctx, cloud.SnapshotsRequest{InstanceID: i.ID, Tags: tags()})
	k.ok(err, "create snapshots")
	var data string
	for _, s := range made {
		if s.VolumeID == i.Volumes["/dev/sdb"] {
			data = s.ID
		}
	}
	all := ids(made, snapshotID)
	finds(k, k.snapshots, snapshotID, []want{
		{cloud.Where("tag:"+cloud.TagNode, "node-1"), all},
		{cloud.Where("tag-key", cloud.TagNode), all},
		{cloud.Where("tag:"+cloud.TagNode, "node-2"), nil},
		{cloud.Where("volume-id", i.Volumes["/dev/sdb"]), []string{data}},
		{cloud.Where("snapshot-id", data, "snap-00000000000000bad"), []string{data}},
	})
}

func snapshotDelete(k *check) {
	made, err := k.API.CreateSnapshots(k.ctx, cloud.SnapshotsRequest{InstanceID: k.launch(nil).ID})
	k.ok(err, "create snapshots")
	id := made[0].ID
	k.completed(id)
	k.ok(k.API.DeleteSnapshot(k.ctx, id), "delete")
	finds(k, k.snapshots, snapshotID, []want{{cloud.Where("snapshot-id", id), nil}})
	k.is(k.API.DeleteSnapshot(k.ctx, id), "delete again", cloud.NotFound)
}

func snapshotInUse(k *check) {
	i := k.image(cloud.ImageRequest{Name: "keeps"})
	k.is(k.API.DeleteSnapshot(k.ctx, i.Disks[0].SnapshotID), "the end of what an image has", cloud.Busy)
}

func volumeFilters(k *check) {
	i := k.twoDisks()
	other := k.launch(func(l *cloud.Launch) { l.SubnetID, l.Tags = k.Subnets[1], nil })
	all, data := slices.Collect(maps.Values(i.Volumes)), i.Volumes["/dev/sdb"]
	finds(k, func(q cloud.Query) ([]cloud.Volume, error) { return k.API.Volumes(k.ctx, q) }, func(v cloud.Volume) string { return v.ID }, []want{
		{cloud.Where("tag:"+cloud.TagNode, "node-1"), all},
		{cloud.Where("tag-key", cloud.TagNode), all},
		{cloud.Where("attachment.instance-id", i.ID), all},
		{cloud.Where("volume-id", data, "vol-00000000000000bad"), []string{data}},
		{cloud.Where("availability-zone", k.Zones[1]), []string{other.Volumes[other.RootDevice]}},
		{cloud.Where("status", "available"), nil},
	})
}

func volumeInUse(k *check) {
	i := k.launch(nil)
	k.is(k.API.DeleteVolume(k.ctx, i.Volumes[i.RootDevice]), "the end of a disk in use", cloud.Busy)
}

func tagEverything(k *check) {
	i := k.twoDisks()
	made, err := k.API.CreateSnapshots(k.ctx, cloud.SnapshotsRequest{InstanceID: i.ID, WithoutRoot: true})
	k.ok(err, "create snapshots")
	image, err := k.API.CreateImage(k.ctx, cloud.ImageRequest{InstanceID: i.ID, Name: "tagged"})
	k.ok(err, "create image")
	h := k.allocate()
	k.ok(k.API.CreateTags(k.ctx, []string{i.ID, i.Volumes["/dev/sdb"], made[0].ID, image, h.ID}, cloud.Tags{"new": "1", cloud.TagNode: "node-9"}), "tag")
	k.ok(k.API.CreateTags(k.ctx, []string{i.ID}, nil), "no tags")
	q := cloud.Where("tag:new", "1").And("tag:"+cloud.TagNode, "node-9")
	finds(k, func(q cloud.Query) ([]cloud.Instance, error) { return k.API.Instances(k.ctx, q) }, func(i cloud.Instance) string { return i.ID }, []want{{q, []string{i.ID}}})
	finds(k, func(q cloud.Query) ([]cloud.Volume, error) { return k.API.Volumes(k.ctx, q) }, func(v cloud.Volume) string { return v.ID }, []want{{q, []string{i.Volumes["/dev/sdb"]}}})
	finds(k, k.snapshots, snapshotID, []want{{q, []string{made[0].ID}}})
	finds(k, k.images("self"), imageID, []want{{q, []string{image}}})
	finds(k, func(q cloud.Query) ([]cloud.Host, error) { return k.API.Hosts(k.ctx, q) }, func(h cloud.Host) string { return h.ID }, []want{{cloud.Where("tag-key", "new"), []string{h.ID}}})
	if got := k.instance(i.ID).Tags; got[cloud.TagPurpose] != cloud.PurposeWork {
		k.errorf("other tags are %v", got)
	}
}
