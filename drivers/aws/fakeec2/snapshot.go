package fakeec2

import (
	"context"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// snapshot is what a volume held.
type snapshot struct {
	cloud.Snapshot
	description string
	public      bool
	shared      []string
	due         time.Time // when it is complete
}

func (s snapshot) visible(account string) bool {
	return s.public || s.Owner == account || slices.Contains(s.shared, account)
}

// SnapshotSpec is a snapshot to be made.
type SnapshotSpec struct {
	Owner      string // the account itself if empty
	State      string // completed if empty
	Started    time.Time
	SizeGB     int // 8 if 0
	Encrypted  bool
	Public     bool
	SharedWith []string
	Tags       cloud.Tags
}

// AddSnapshot makes a snapshot.
func (c *Cloud) AddSnapshot(spec SnapshotSpec) (id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.furnishing
	c.furnishing = true
	defer func() { c.furnishing = before }()
	return c.addSnapshot(spec, c.catchUp())
}

func (a *account) addSnapshot(spec SnapshotSpec, now time.Time) (id string) {
	s := snapshot{
		Snapshot: cloud.Snapshot{
			ID: a.newID("snap"), VolumeID: copiedVolume, Owner: orElse(spec.Owner, a.opts.Account),
			State: orElse(spec.State, cloud.SnapshotCompleted), Started: spec.Started, SizeGB: spec.SizeGB, Encrypted: spec.Encrypted,
			Tags: copyTags(spec.Tags),
		},
		public: spec.Public, shared: slices.Clone(spec.SharedWith),
	}
	if s.Started.IsZero() {
		s.Started = now.Add(-24 * time.Hour).UTC().Truncate(time.Second)
	}
	if s.SizeGB == 0 {
		s.SizeGB = 8
	}
	a.snapshots.put(s.ID, now, s)
	a.open("snapshot", s.ID, "", float64(s.SizeGB)*snapshotPrice, true)
	return s.ID
}

// usable is a snapshot that a volume can be made of.
func (a *account) usable(id string) (snapshot, error) {
	s, _ := a.snapshots.get(id)
	if !a.snapshots.known(a, id) || !s.visible(a.opts.Account) {
		return s, cloud.NewError("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
	}
	if s.State != cloud.SnapshotCompleted {
		return s, cloud.NewError("IncorrectState", "Snapshot is in invalid state - %s", s.State)
	}
	return s, nil
}

// Snapshots implements cloud.API.
func (c *Cloud) Snapshots(ctx context.Context, owners []string, q cloud.Query) ([]cloud.Snapshot, error) {
	return ask(ctx, c, "DescribeSnapshots", func(now time.Time) ([]cloud.Snapshot, error) {
		return list(c.account, q, &c.snapshots, withTags(fields[snapshot]{
			"snapshot-id": func(s snapshot) []string { return one(s.ID) },
			"volume-id":   func(s snapshot) []string { return one(s.VolumeID) },
			"volume-size": func(s snapshot) []string { return number(s.SizeGB) },
			"owner-id":    func(s snapshot) []string { return one(s.Owner) },
			"owner-alias": func(s snapshot) []string { return one(either(s.Owner == Amazon, "amazon", "")) },
			"status":      func(s snapshot) []string { return one(s.State) },
			"progress":    func(s snapshot) []string { return one(s.show(now).Progress) },
			"encrypted":   func(s snapshot) []string { return flag(s.Encrypted) },
			"description": func(s snapshot) []string { return one(s.description) },
			"start-time":  func(s snapshot) []string { return stamp(s.Started) },
		}, func(s snapshot) cloud.Tags { return s.Tags }), func(s snapshot) (cloud.Snapshot, bool) {
			return s.show(now), s.visible(c.opts.Account) && c.ownedBy(s.Owner, owners)
		})
	})
}
