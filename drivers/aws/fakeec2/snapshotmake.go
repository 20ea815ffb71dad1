package fakeec2

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

const (
	// snapshotPause is how long after a snapshot of a volume the next is refused.
	snapshotPause = 15 * time.Second
	// pendingSnapshots is how many of one volume may be on their way.
	pendingSnapshots = 5
)

// CreateSnapshots implements cloud.API.
func (c *Cloud) CreateSnapshots(ctx context.Context, r cloud.SnapshotsRequest) ([]cloud.Snapshot, error) {
	r.Tags = copyTags(r.Tags)
	return ask(ctx, c, "CreateSnapshots", func(now time.Time) ([]cloud.Snapshot, error) {
		c.touch(r.InstanceID)
		i, err := c.known(r.InstanceID)
		if err != nil {
			return nil, err
		}
		if cloud.Gone(i.State) {
			return nil, cloud.NewError("IncorrectState", "The instance '%s' is in state '%s'", i.ID, i.State)
		}
		if err := checkTags(r.Tags); err != nil {
			return nil, err
		}
		volumes := slices.DeleteFunc(c.volumesOf(i), func(v volume) bool { return r.WithoutRoot && v.device == i.RootDevice })
		if len(volumes) == 0 {
			return nil, cloud.NewError("InvalidParameterValue", "The instance '%s' has no volume to take a snapshot of", i.ID)
		}
		for _, v := range volumes { // all or none
			if err := c.checkSnapshot(v, now); err != nil {
				return nil, err
			}
		}
		var made []cloud.Snapshot
		for _, v := range volumes {
			id, _ := c.takeSnapshot(v, r.Description, r.Tags, now)
			s, _ := c.snapshots.get(id)
			made = append(made, s.show(now))
			c.touch(id)
		}
		return made, nil
	})
}

func (a *account) checkSnapshot(v volume, now time.Time) error {
	if !v.snapped.IsZero() && now.Sub(v.snapped) < snapshotPause {
		return cloud.NewError("SnapshotCreationPerVolumeRateExceeded", "The maximum per volume CreateSnapshot request rate has been exceeded. "+
			"Use an increasing or variable sleep interval between requests.")
	}
	pending := 0
	for _, s := range a.snapshots.all() {
		if s.VolumeID == v.ID && s.State == cloud.SnapshotPending {
			pending++
		}
	}
	if pending >= pendingSnapshots {
		return cloud.NewError("ConcurrentSnapshotLimitExceeded", "Maximum allowed in-progress snapshots for a single volume exceeded.")
	}
	return nil
}

// takeSnapshot begins a snapshot, and says how long it takes.
func (a *account) takeSnapshot(v volume, description string, tags cloud.Tags, now time.Time) (id string, took time.Duration) {
	took = a.opts.Timing.Snapshot.pick(a.random)
	s := snapshot{
		Snapshot: cloud.Snapshot{
			ID: a.newID("snap"), VolumeID: v.ID, Owner: a.opts.Account, State: cloud.SnapshotPending, Started: now.UTC(), SizeGB: v.SizeGB,
			Encrypted: v.encrypted, Tags: copyTags(tags),
		},
		description: description, due: now.Add(took),
	}
	a.snapshots.put(s.ID, now, s)
	a.open("snapshot", s.ID, "", float64(s.SizeGB)*snapshotPrice, true)
	a.volumes.change(v.ID, now, func(v *volume) { v.snapped = now })
	reason := a.nextSnapshot
	a.nextSnapshot = ""
	a.plan(took, func(now time.Time) {
		a.snapshots.change(s.ID, now, func(s *snapshot) {
			s.State = cloud.SnapshotCompleted
			if reason != "" {
				s.State, s.Reason = cloud.SnapshotError, reason
			}
		})
	})
	return s.ID, took
}

// FailNextSnapshot lets the next snapshot end in an error.
func (c *Cloud) FailNextSnapshot(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nextSnapshot = reason
}

// Snapshot is a snapshot as it really is, whatever lists show.
func (c *Cloud) Snapshot(id string) (cloud.Snapshot, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.catchUp()
	s, found := c.snapshots.get(id)
	return s.show(now), found
}

// show is a snapshot as the service shows it.
func (s snapshot) show(now time.Time) cloud.Snapshot {
	shown := s.Snapshot
	shown.Tags, shown.Progress = copyTags(s.Tags), "100%"
	if all := s.due.Sub(s.Started); s.State == cloud.SnapshotPending && all > 0 {
		shown.Progress = fmt.Sprintf("%d%%", min(99, max(0, now.Sub(s.Started)*100/all)))
	}
	return shown
}

// DeleteSnapshot implements cloud.API.
func (c *Cloud) DeleteSnapshot(ctx context.Context, id string) error {
	_, err := ask(ctx, c, "DeleteSnapshot", func(now time.Time) (none struct{}, err error) {
		c.touch(id)
		s, _ := c.snapshots.get(id)
		switch user := c.userOf(id); {
		case !c.snapshots.known(c.account, id) || !s.visible(c.opts.Account):
			return none, cloud.NewError("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
		case s.Owner != c.opts.Account:
			return none, cloud.NewError("AuthFailure", "Not authorized for snapshot:%s", id)
		case user != "":
			return none, cloud.NewError("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", id, user)
		}
		c.gone(id, now)
		c.snapshots.remove(id, now)
		return none, nil
	})
	return err
}

// userOf is an image that a snapshot is part of, if there is one.
func (a *account) userOf(snapshotID string) string {
	for _, i := range a.images.all() {
		if slices.ContainsFunc(i.Disks, func(d cloud.ImageDisk) bool { return d.SnapshotID == snapshotID }) {
			return i.ID
		}
	}
	return ""
}
