package aws

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/astray"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
)

const (
	// sweepPeriod is how often it is looked for what is left over.
	sweepPeriod = time.Minute
	// sweepTimeout bounds one round.
	sweepTimeout = time.Minute
	// sweepGrace is between two sightings of what is removed by itself: longer
	// than lists lag behind, so that the second shows what was changed before the first.
	sweepGrace = 2 * cloud.Settled
)

// sweeper removes what the driver makes beside environments and does not come
// back to: steps of tasks, and machines that have hosts scrubbed, whose lease is
// over; of the pools that the node runs, also those that another node started.
// Environments are the node's to reap, hosts the pools', results nobody's.
type sweeper struct {
	*driver
	first  sightings
	blind  bool   // not all kinds could be looked at
	estate estate // of who is not there any more: environments and hosts go too
	stop   context.CancelFunc
	done   chan struct{}
}

// startSweeper begins to sweep, until close or the end of ctx.
func (d *driver) startSweeper(ctx context.Context, period time.Duration) *sweeper {
	ctx, cancel := context.WithCancel(ctx)
	s := &sweeper{driver: d, estate: estate{next: d.moment()}, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		loop.Every(ctx, period, s.round)
	}()
	return s
}

// close ends the sweeper and waits for it; of none it does nothing.
func (s *sweeper) close() {
	if s == nil {
		return
	}
	s.stop()
	<-s.done
}

// round looks once. A kind that can not be listed is left for the next round,
// and keeps none of the others from being removed.
func (s *sweeper) round(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	now := time.Now()
	things, err := s.leased(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return // it is closed
	}
	s.tellBlind(err)
	strays := slices.DeleteFunc(astray.Find(things, astray.Facts{Now: now}), s.busy)
	ripe := s.first.ripe(strays, now, err == nil)
	s.removeAll(ctx, ripe, s.first)
	s.settle(ctx, now)
	if err := s.records().old(now, s.tasks.has); err != nil {
		s.log.Warn("old records of tasks are not removed", "error", err)
	}
}

// tellBlind tells once that not all can be looked at, such as for want of a
// permission: what is left over would be paid for, and nobody know.
func (s *sweeper) tellBlind(err error) {
	switch {
	case err != nil && !s.blind:
		s.log.Warn("it can not be looked for all that is left over", "error", err)
	case err == nil && s.blind:
		s.log.Info("it can be looked for all that is left over again")
	}
	s.blind = err != nil
}

// busy reports whether a stray has to stay for now. A task that is under way still
// needs its steps, whatever their lease: it gives up by itself.
func (s *sweeper) busy(t view.Stray) bool { return t.Held != "" || t.Task != "" && s.tasks.has(t.Task) }

// removeAll removes strays, and forgets the first sighting of those that go.
func (s *sweeper) removeAll(ctx context.Context, ripe []view.Stray, first sightings) {
	for _, t := range ripe {
		if ctx.Err() != nil {
			return // the next round goes on
		}
		if err := s.removeStray(ctx, t.Thing); err != nil {
			s.log.Warn("what is left over is not removed yet", "kind", t.Kind, "id", t.ID, "reason", t.Reason, "error", err)
			continue
		}
		s.log.Info("what was left over is removed", "kind", t.Kind, "id", t.ID, "purpose", t.Purpose, "reason", t.Reason)
		delete(first, t.ID)
	}
}

// sightings are when things were first seen to be left over.
type sightings map[string]time.Time

// ripe are the strays that were seen before, a grace ago; whole is false where
// some of them could not be looked at. What is not seen begins anew.
func (s *sightings) ripe(strays []view.Stray, now time.Time, whole bool) (ripe []view.Stray) {
	seen := sightings{}
	if !whole && *s != nil {
		seen = maps.Clone(*s)
	}
	for _, t := range strays {
		first, known := (*s)[t.ID]
		if !known {
			first = now
		}
		seen[t.ID] = first
		if now.Sub(first) >= sweepGrace {
			ripe = append(ripe, t)
		}
	}
	*s = seen
	return ripe
}

// leased are the things of ours that have a lease, images before their
// snapshots, which can not go before them.
func (s *sweeper) leased(ctx context.Context) (things []view.Thing, err error) {
	mine := s.marks().And("tag:"+cloud.TagPurpose, cloud.PurposeStep, cloud.PurposeScrub)
	machines, err := s.leasedMachines(ctx, mine)
	for _, i := range machines {
		things = append(things, leasedThing(view.Instance, i.ID, i.State, i.Tags, i.LaunchTime))
	}
	images, e := s.api.Images(ctx, self(), mine)
	for _, i := range images {
		things = append(things, leasedThing(view.Image, i.ID, i.State, i.Tags, i.Created))
	}
	err = errors.Join(err, e)
	snapshots, e := s.api.Snapshots(ctx, self(), mine)
	for _, one := range snapshots {
		things = append(things, leasedThing(view.Snapshot, one.ID, one.State, one.Tags, one.Started))
	}
	err = errors.Join(err, e)
	volumes, e := s.api.Volumes(ctx, mine.And("status", "available", "error"))
	for _, v := range volumes {
		things = append(things, leasedThing(view.Volume, v.ID, v.State, v.Tags, v.Created))
	}
	return things, errors.Join(err, e)
}

// leasedMachines are those of ours, and those that have hosts of our pools
// scrubbed, whoever started them: a former owner of the pool may never come back,
// and such a machine would keep its host in use, and paid for, for ever.
func (s *sweeper) leasedMachines(ctx context.Context, mine cloud.Query) ([]cloud.Instance, error) {
	there := []string{cloud.Pending, cloud.Running, cloud.Stopping, cloud.Stopped}
	machines, err := s.api.Instances(ctx, mine.And("instance-state-name", there...))
	owned := s.pools.Owned()
	if len(owned) == 0 {
		return machines, err
	}
	scrubs, e := s.api.Instances(ctx, cloud.Where("tag:"+cloud.TagPool, owned...).And("tag:"+cloud.TagPurpose, cloud.PurposeScrub).
		And("instance-state-name", there...))
	for _, one := range scrubs {
		if !slices.ContainsFunc(machines, func(known cloud.Instance) bool { return known.ID == one.ID }) {
			machines = append(machines, one)
		}
	}
	return machines, errors.Join(err, e)
}

// leasedThing is what package astray judges by.
func leasedThing(kind view.Kind, id, state string, tags cloud.Tags, created time.Time) view.Thing {
	return view.Thing{Kind: kind, ID: id, State: state, Created: created, Owner: view.Owner{
		Mine: true, Purpose: tags[cloud.TagPurpose], Task: tags[cloud.TagTask], Pool: tags[cloud.TagPool], Lease: tags.Lease(),
	}}
}
