package aws

import (
	"context"
	"hash/fnv"
	"maps"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/astray"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

const (
	// formerPeriod is how often it is looked for what nobody looks after any more.
	// Each node and instance has its own moment in it, so that those that share an
	// account do not all come at once.
	formerPeriod = 30 * time.Minute
	// retiredGrace is how long after a node's retirement its things stay: as long as
	// who retired the wrong one, or has to look at a build, may need.
	retiredGrace = time.Hour
	// tellAgain is how often it is told of what is there and stays.
	tellAgain = 24 * time.Hour
)

// estate is what the sweeper knows of things that nobody looks after any more: of
// retired nodes, of instances that the node is not configured for, and hosts of
// v0.7 whose pool is configured nowhere. These last have no mark of a node, so
// that they are told of and never removed.
type estate struct {
	next  time.Time // of looking
	first sightings
	told  map[string]time.Time // when it was told what there is; zero: not yet
}

// risen are the retired nodes that were seen to run. It is remembered: what they
// made since may end before what they run from before, which is in use all the same.
type risen struct {
	mu    sync.Mutex
	nodes map[string]bool
}

// see returns those of which there is something among things.
func (r *risen) see(things []view.Thing) map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nodes == nil {
		r.nodes = map[string]bool{}
	}
	maps.Copy(r.nodes, astray.Risen(things))
	there := map[string]bool{}
	for _, t := range things {
		if r.nodes[t.Node] {
			there[t.Node] = true
		}
	}
	return there
}

// moment is when a node's instance looks for the first time.
func (d *driver) moment() time.Time {
	h := fnv.New64a()
	_, _ = h.Write([]byte(d.node.String() + d.instance)) // never fails
	return d.began.Add(time.Duration(h.Sum64() % uint64(formerPeriod)))
}

// settle removes what is of nobody any more and is certain to be so, and tells of the rest.
func (s *sweeper) settle(ctx context.Context, now time.Time) {
	if now.Before(s.estate.next) {
		return
	}
	s.estate.next = now.Add(formerPeriod)
	listing, err := s.inventory.Look(ctx)
	if err != nil || listing.Trouble != "" {
		return // what is remembered is no reason to remove anything
	}
	var others, sure []view.Stray
	for _, t := range s.strays(listing.Things) {
		if t.Mine {
			continue // the pools', the reaper's and this sweeper's own
		}
		others = append(others, t)
		if s.certain(t, now) {
			sure = append(sure, t)
		}
	}
	s.tellOf(now, s.countOwnerless(listing.Things, others), s.risen.see(listing.Things))
	ripe := s.estate.first.ripe(sure, now, len(listing.Missing) == 0)
	s.removeAll(ctx, ripe, s.estate.first)
}

// certain reports whether a thing of somebody who is not there any more may be
// removed without anybody's word.
func (s *sweeper) certain(t view.Stray, now time.Time) bool {
	switch {
	case s.busy(t), t.Doubtful:
		return false
	case t.Kind == view.Host && s.settings.OrphanHosts != orphanRelease:
		return false
	}
	return !t.Retired || now.Sub(t.RetiredAt) >= retiredGrace
}

// unclaimed reports whether a thing is a host of a pool, without any node's mark,
// that nobody runs as far as this node knows.
func (d *driver) unclaimed(t view.Thing) bool {
	return t.Kind == view.Host && t.Node == "" && t.Pool != "" && !d.pools.Kept(t.Pool)
}

// ownerless counts things that are of nobody, by whose they were.
type ownerless struct{ nodes, instances, pools map[string]int }

func (d *driver) countOwnerless(things []view.Thing, others []view.Stray) ownerless {
	o := ownerless{nodes: map[string]int{}, instances: map[string]int{}, pools: map[string]int{}}
	for _, t := range others {
		if t.Retired {
			o.nodes[t.Node]++
		} else {
			o.instances[t.Instance]++
		}
	}
	for _, t := range things {
		if d.unclaimed(t) {
			o.pools[t.Pool]++
		}
	}
	return o
}

// tellOf tells of what is paid for and is of nobody.
func (s *sweeper) tellOf(now time.Time, o ownerless, risen map[string]bool) {
	due := s.estate.dueNotes(now)
	for node, n := range o.nodes {
		if due("node " + node) {
			s.log.Warn("things of a retired node are paid for, `aws sweep` shows them", "node", node, "things", n, "orphan_hosts", s.settings.OrphanHosts)
		}
	}
	for node := range risen {
		if due("risen " + node) {
			s.log.Warn("a retired node runs: it made things since, so nothing of it is removed by itself; switch it off, then `aws sweep --confirm --forgotten`",
				"node", node)
		}
	}
	for instance, n := range o.instances {
		if due("instance " + instance) {
			s.log.Warn("things of an instance that is not configured any more are paid for, `aws sweep` shows them",
				"former_instance", instance, "things", n, "orphan_hosts", s.settings.OrphanHosts)
		}
	}
	for pool, n := range o.pools {
		if due("pool " + pool) {
			s.log.Warn("there are hosts of a pool that is configured nowhere, and they are paid for; configure it, with `max: 0` to have them given back",
				"pool", pool, "hosts", n)
		}
	}
}

// dueNotes says which of the things to tell of are to be told now: those that are so
// for the second time, as who runs a pool shows late after a start, and once a day.
func (e *estate) dueNotes(now time.Time) (due func(key string) bool) {
	old := e.told
	e.told = map[string]time.Time{}
	return func(key string) bool {
		told, known := old[key]
		is := known && (told.IsZero() || now.Sub(told) >= tellAgain)
		if is {
			told = now
		}
		e.told[key] = told
		return is
	}
}
