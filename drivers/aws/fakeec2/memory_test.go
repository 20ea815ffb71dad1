package fakeec2_test

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

func TestATokenIsForgottenADayAfterTheEnd(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		l := b.linux("one")
		first := b.run(l)
		b.terminate(first.ID)
		time.Sleep(24 * time.Hour)
		_, err := b.RunInstance(b.Context(), l)
		b.refused(err, "IdempotentInstanceTerminated")
		time.Sleep(2 * time.Minute) // it took a while to end
		if again := b.run(l); again.ID == first.ID {
			b.Error("what ended two days ago runs again")
		}
	})
}

func TestAHostThatWasBusyJustNow(t *testing.T) {
	timing := fakeec2.QuickTiming()
	timing.Scrub, timing.Vacated = fakeec2.Fixed(time.Hour), fakeec2.Fixed(2*time.Minute)
	inBubble(t, fakeec2.Options{Timing: timing, ScrubbingReleases: true}, func(b bench) {
		id := b.AddHost(fakeec2.HostSpec{Type: "mac2.metal", Zone: "eu-central-1a", Age: 48 * time.Hour})
		i := b.run(b.macOn(id, "one"))
		b.terminate(i.ID)
		time.Sleep(2*time.Minute - time.Second)
		b.hostIs(id, cloud.HostPending)
		b.refusedRelease(id, "Client.InvalidHost.Occupied")
		time.Sleep(time.Second)
		b.released(id)
	})
}

func TestSnapshotsOfSeveralImages(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		shared := b.AddSnapshot(fakeec2.SnapshotSpec{})
		var images []string
		for _, name := range []string{"one", "two"} {
			images = append(images, b.AddImage(fakeec2.ImageSpec{Name: name, More: []cloud.ImageDisk{{Device: "/dev/sdb", SnapshotID: shared, SizeGB: 8}}}))
		}
		for n, id := range images {
			if _, found := b.Snapshot(shared); !found {
				b.Errorf("after %d images are gone the shared snapshot is", n)
			}
			if err := b.DeregisterImage(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		}
		if _, found := b.Snapshot(shared); found {
			b.Error("the last image left its snapshot")
		}
	})
}

func TestTheNameOfAnImageIsHeld(t *testing.T) {
	timing := fakeec2.QuickTiming()
	timing.NameHeld = fakeec2.Fixed(time.Minute)
	inBubble(t, fakeec2.Options{Timing: timing}, func(b bench) {
		request := cloud.ImageRequest{InstanceID: b.running().ID, Name: "mine"}
		id, err := b.CreateImage(b.Context(), request)
		if err != nil {
			b.Fatal(err)
		}
		b.DeregisterImage(b.Context(), id)
		_, err = b.CreateImage(b.Context(), request)
		b.refused(err, "InvalidAMIName.Duplicate")
		time.Sleep(time.Minute)
		if _, err = b.CreateImage(b.Context(), request); err != nil {
			b.Error(err)
		}
	})
}

func TestSnapshotsOnTheirWay(t *testing.T) {
	timing := fakeec2.QuickTiming()
	timing.Snapshot = fakeec2.Fixed(10 * time.Minute)
	inBubble(t, fakeec2.Options{Timing: timing}, func(b bench) {
		request := cloud.SnapshotsRequest{InstanceID: b.running().ID, WithoutRoot: true}
		for range 5 {
			if _, err := b.CreateSnapshots(b.Context(), request); err != nil {
				b.Fatal(err)
			}
			time.Sleep(15 * time.Second)
		}
		_, err := b.CreateSnapshots(b.Context(), request)
		b.refused(err, "ConcurrentSnapshotLimitExceeded")
		time.Sleep(10 * time.Minute)
		if _, err := b.CreateSnapshots(b.Context(), request); err != nil {
			b.Error(err)
		}
	})
}

func TestThingsAreThrottledToo(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		i := b.run(b.linux("one"))
		ids := make([]string, 1001)
		for n := range ids {
			ids[n] = i.ID
		}
		b.refused(b.TerminateInstances(b.Context(), ids), "RequestLimitExceeded")
		b.terminate(ids[:1000]...)
		b.refused(b.TerminateInstances(b.Context(), ids[:1]), "RequestLimitExceeded")
		time.Sleep(time.Second)
		b.terminate(ids[:20]...)
	})
}

func TestWhatIsGoneIsStillListed(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		id := b.AddSnapshot(fakeec2.SnapshotSpec{})
		time.Sleep(time.Hour)
		b.SetLag(fakeec2.Fixed(10 * time.Minute))
		if err := b.DeleteSnapshot(b.Context(), id); err != nil {
			b.Fatal(err)
		}
		for minute := range 20 {
			found, err := b.Snapshots(b.Context(), nil, cloud.Where("snapshot-id", id))
			if shown := len(found) == 1; err != nil || shown != (minute < 10) {
				b.Errorf("after %d minutes Snapshots = %v, %v", minute, found, err)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestFaultsThatComeLater(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		b.Inject(fakeec2.Fault{Action: "GetCallerIdentity", Skip: 2, Times: 2, Err: cloud.NewError("ExpiredToken", "too old")})
		for n := range 6 {
			_, err := b.Identity(b.Context())
			if bad := cloud.IsKind(err, cloud.Denied); bad != (n == 2 || n == 3) {
				b.Errorf("call %d: error %v", n, err)
			}
		}
	})
}
