package fakeec2_test

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

// imageIs checks the state of an image, and returns it.
func (b bench) imageIs(id, state string) cloud.Image {
	b.Helper()
	images, err := b.Images(b.Context(), []string{"self"}, cloud.Where("image-id", id))
	if err != nil || len(images) != 1 || images[0].State != state {
		b.Fatalf("image %s is %+v, %v, want one that is %s", id, images, err, state)
	}
	return images[0]
}

// running is an instance that runs, with one more disk.
func (b bench) running() cloud.Instance {
	b.Helper()
	l := b.linux("l")
	l.Disks = []cloud.Disk{{Device: "/dev/sdb", Type: "gp3", SizeGB: 30, Encrypted: true}}
	i := b.run(l)
	time.Sleep(time.Minute)
	return b.is(i.ID, cloud.Running)
}

func TestAnImageOfAnInstance(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		i := b.running()
		request := cloud.ImageRequest{InstanceID: i.ID, Name: "mine", Tags: cloud.Tags{"task": "1"}}
		id, err := b.CreateImage(b.Context(), request)
		if err != nil {
			b.Fatal(err)
		}
		_, err = b.CreateImage(b.Context(), request)
		b.refused(err, "InvalidAMIName.Duplicate")
		image := b.imageIs(id, cloud.ImagePending)
		if truth, found := b.Image(id); !found || truth.Name != "mine" {
			b.Errorf("in truth it is %+v", truth)
		}
		for device, id := range i.Volumes {
			if truth, found := b.Volume(id); !found || truth.InstanceID != i.ID {
				b.Errorf("in truth %s is %+v", device, truth)
			}
		}
		if truth, found := b.Snapshot(image.Disks[0].SnapshotID); !found || truth.VolumeID != i.Volumes["/dev/sda1"] {
			b.Errorf("in truth its snapshot is %+v", truth)
		}
		if len(image.Disks) != 2 || !image.Disks[1].Encrypted || image.Tags["task"] != "1" || image.Architecture != "x86_64" {
			b.Errorf("the image is %+v", image)
		}
		_, err = b.RunInstance(b.Context(), cloud.Launch{ClientToken: "of it", ImageID: id, Type: "m5.large", SubnetID: i.SubnetID})
		b.refused(err, "InvalidAMIID.Unavailable")
		time.Sleep(12 * time.Minute)
		b.imageIs(id, cloud.ImageAvailable)
		snapshots, err := b.Snapshots(b.Context(), []string{"self"}, cloud.Where("tag:task", "1"))
		if err != nil || len(snapshots) != 2 || snapshots[0].State != cloud.SnapshotCompleted {
			b.Fatalf("its snapshots are %+v, %v", snapshots, err)
		}
		b.refused(b.DeleteSnapshot(b.Context(), snapshots[0].ID), "InvalidSnapshot.InUse")
		if err := b.DeregisterImage(b.Context(), id); err != nil {
			b.Fatal(err)
		}
		b.refused(b.DeregisterImage(b.Context(), id), "InvalidAMIID.Unavailable")
		b.refused(b.DeleteSnapshot(b.Context(), snapshots[0].ID), "InvalidSnapshot.NotFound")
		b.terminate(i.ID)
		time.Sleep(2 * time.Minute)
		if left := b.Billable(); len(left) > 0 {
			b.Errorf("%v is left", left)
		}
	})
}

func TestACopyIsEncrypted(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		b.AddKey("alias/ci")
		source := b.image(fakeec2.LinuxImage)
		request := cloud.ImageCopy{ClientToken: "one", SourceID: source, Name: "mine", KeyID: "alias/ci"}
		id, err := b.CopyImage(b.Context(), request)
		if err != nil {
			b.Fatal(err)
		}
		if again, err := b.CopyImage(b.Context(), request); err != nil || again != id {
			b.Errorf("the same token made %s and %s, %v", id, again, err)
		}
		bad, err := b.CopyImage(b.Context(), cloud.ImageCopy{ClientToken: "other", SourceID: source, Name: "other", KeyID: "alias/none"})
		if err != nil {
			b.Fatalf("a bad key was refused at once: %v", err)
		}
		time.Sleep(12 * time.Minute)
		if image := b.imageIs(id, cloud.ImageAvailable); !image.Disks[0].Encrypted {
			b.Errorf("the copy is %+v", image)
		}
		if image := b.imageIs(bad, cloud.ImageFailed); image.Reason == "" {
			b.Error("no reason for a failure")
		}
	})
}

func TestACopyNeedsItsSource(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		source := b.image("ci-linux-2026")
		id, err := b.CopyImage(b.Context(), cloud.ImageCopy{ClientToken: "mine", SourceID: source, Name: "mine"})
		if err != nil {
			b.Fatal(err)
		}
		b.DeregisterImage(b.Context(), source)
		time.Sleep(12 * time.Minute)
		b.imageIs(id, cloud.ImageFailed)
		_, err = b.CopyImage(b.Context(), cloud.ImageCopy{ClientToken: "other", SourceID: id, Name: "other"})
		b.refused(err, "InvalidAMIID.Unavailable")
	})
}

func TestWhoseImages(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		const stranger = "999999999999"
		b.AddImage(fakeec2.ImageSpec{Name: "shared", Owner: stranger, SharedWith: []string{"123456789012"}})
		hidden := b.AddImage(fakeec2.ImageSpec{Name: "hidden", Owner: stranger})
		count := func(want int, owners ...string) {
			b.Helper()
			if found, err := b.Images(b.Context(), owners, cloud.Query{}); err != nil || len(found) != want {
				b.Errorf("Images(%q) = %d of them, %v, want %d", owners, len(found), err, want)
			}
		}
		count(6)
		count(2, "self")
		count(3, "amazon")
		count(1, stranger)
		count(3, "self", stranger)
		_, err := b.RunInstance(b.Context(), cloud.Launch{ClientToken: "l", ImageID: hidden, Type: "m5.large"})
		b.refused(err, "InvalidAMIID.NotFound")
		b.refused(b.DeregisterImage(b.Context(), b.image("shared")), "AuthFailure")
	})
}

func TestImagesThatFail(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		i := b.running()
		b.FailNextImage("out of luck")
		id, err := b.CreateImage(b.Context(), cloud.ImageRequest{InstanceID: i.ID, Name: "mine", Omit: []string{"/dev/sdb"}})
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(12 * time.Minute)
		if image := b.imageIs(id, cloud.ImageFailed); image.Reason != "out of luck" || len(image.Disks) != 1 {
			b.Errorf("the image is %+v", image)
		}
		for _, name := range []string{"", "ab", "semi;colon"} {
			_, err = b.CreateImage(b.Context(), cloud.ImageRequest{InstanceID: i.ID, Name: name})
			b.refused(err, "InvalidAMIName.Malformed")
		}
	})
}

func TestSnapshotsOfAnInstance(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		i := b.running()
		request := cloud.SnapshotsRequest{InstanceID: i.ID, Tags: cloud.Tags{"a": "b"}, WithoutRoot: true}
		made, err := b.CreateSnapshots(b.Context(), request)
		if err != nil || len(made) != 1 || made[0].State != cloud.SnapshotPending || made[0].VolumeID != i.Volumes["/dev/sdb"] || made[0].Progress != "0%" {
			b.Fatalf("CreateSnapshots = %+v, %v", made, err)
		}
		_, err = b.CreateSnapshots(b.Context(), request)
		b.refused(err, "SnapshotCreationPerVolumeRateExceeded")
		time.Sleep(11 * time.Minute)
		b.FailNextSnapshot("disk on fire")
		request.WithoutRoot = false
		if made, err = b.CreateSnapshots(b.Context(), request); err != nil || len(made) != 2 {
			b.Fatalf("CreateSnapshots = %+v, %v", made, err)
		}
		time.Sleep(11 * time.Minute)
		failed, err := b.Snapshots(b.Context(), nil, cloud.Where("status", "error"))
		if err != nil || len(failed) != 1 || failed[0].Reason != "disk on fire" {
			b.Errorf("failed are %+v, %v", failed, err)
		}
		before := len(b.Billable())
		if err := b.DeleteSnapshot(b.Context(), failed[0].ID); err != nil || len(b.Billable()) != before-1 {
			b.Errorf("error %v, and %v costs", err, b.Billable())
		}
		l := b.linux("of it")
		l.Disks = []cloud.Disk{{Device: "/dev/sdb", SnapshotID: failed[0].ID}}
		_, err = b.RunInstance(b.Context(), l)
		b.refused(err, "InvalidSnapshot.NotFound")
	})
}

func TestDisksOfALaunch(t *testing.T) {
	inBubble(t, fakeec2.Options{Unthrottled: true}, func(b bench) {
		small := b.AddSnapshot(fakeec2.SnapshotSpec{SizeGB: 10})
		pending := b.AddSnapshot(fakeec2.SnapshotSpec{State: cloud.SnapshotPending})
		for _, test := range []struct {
			name string
			disk cloud.Disk
			code string
		}{
			{"no size", cloud.Disk{Device: "/dev/sdb"}, "MissingParameter"},
			{"unknown type", cloud.Disk{Device: "/dev/sdb", SizeGB: 1, Type: "floppy"}, "InvalidParameterValue"},
			{"too large", cloud.Disk{Device: "/dev/sdb", SizeGB: 20000}, "InvalidParameterValue"},
			{"gp3 too slow", cloud.Disk{Device: "/dev/sdb", SizeGB: 1, Type: "gp3", IOPS: 100}, "InvalidParameterValue"},
			{"gp2 has no iops", cloud.Disk{Device: "/dev/sdb", SizeGB: 1, Type: "gp2", IOPS: 100}, "InvalidParameterCombination"},
			{"gp2 has no throughput", cloud.Disk{Device: "/dev/sdb", SizeGB: 1, Type: "gp2", Throughput: 200}, "InvalidParameterCombination"},
			{"gp3 too wide", cloud.Disk{Device: "/dev/sdb", SizeGB: 1, Type: "gp3", Throughput: 5000}, "InvalidParameterValue"},
			{"io2 without iops", cloud.Disk{Device: "/dev/sdb", SizeGB: 1, Type: "io2"}, "MissingParameter"},
			{"smaller than its snapshot", cloud.Disk{Device: "/dev/sdb", SizeGB: 5, SnapshotID: small}, "InvalidBlockDeviceMapping"},
			{"root smaller than its snapshot", cloud.Disk{Device: "/dev/sda1", SizeGB: 5}, "InvalidBlockDeviceMapping"},
			{"a key without encryption", cloud.Disk{Device: "/dev/sdb", SizeGB: 5, KeyID: "alias/aws/ebs"}, "InvalidParameterCombination"},
			{"a snapshot that is not there yet", cloud.Disk{Device: "/dev/sdb", SnapshotID: pending}, "IncorrectState"},
		} {
			l := b.linux(test.name)
			l.Disks = []cloud.Disk{test.disk}
			if _, err := b.RunInstance(b.Context(), l); err == nil {
				b.Errorf("%s: no error", test.name)
			} else {
				b.refused(err, test.code)
			}
		}
		l := b.linux("root is larger")
		l.Disks = []cloud.Disk{{Device: "/dev/sda1", SizeGB: 50}, {Device: "/dev/sdb", SnapshotID: small}}
		b.run(l)
		volumes, err := b.Volumes(b.Context(), cloud.Where("size", "50", "10").And("tag:owner", "me"))
		if err != nil || len(volumes) != 2 {
			b.Errorf("volumes are %+v, %v", volumes, err)
		}
	})
}

func TestVolumesThatRemain(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		b.AddImage(fakeec2.ImageSpec{Name: "sticky", More: []cloud.ImageDisk{{Device: "/dev/sdb", SizeGB: 5}}, Remains: []string{"/dev/sdb"}})
		l := b.linux("one")
		l.ImageID = b.image("sticky")
		i := b.run(l)
		time.Sleep(time.Minute)
		volume := b.is(i.ID, cloud.Running).Volumes["/dev/sdb"]
		b.refused(b.DeleteVolume(b.Context(), volume), "VolumeInUse")
		b.terminate(i.ID)
		time.Sleep(2 * time.Minute)
		left := b.Billable()
		if len(left) != 1 || left[0].ID != volume || left[0].Tags["owner"] != "me" {
			b.Fatalf("%+v is left, want its second volume", left)
		}
		if err := b.DeleteVolume(b.Context(), volume); err != nil {
			b.Error(err)
		}
		b.refused(b.DeleteVolume(b.Context(), volume), "InvalidVolume.NotFound")
	})
}

func TestABadKeyEndsALaunchLater(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		l := b.linux("one")
		l.Disks = []cloud.Disk{{Device: "/dev/sdb", SizeGB: 5, Encrypted: true, KeyID: "alias/none"}}
		i := b.run(l)
		time.Sleep(3 * time.Minute)
		if got := b.is(i.ID, cloud.Terminated).Reason.Code; got != "Client.InternalError" {
			b.Errorf("it ended by %s", got)
		}
		b.FailNextLaunch("Server.InternalError", "no luck")
		i = b.run(b.linux("two"))
		time.Sleep(3 * time.Minute)
		if got := b.is(i.ID, cloud.Terminated).Reason; got.Message != "no luck" {
			b.Errorf("it ended by %+v", got)
		}
	})
}
