package topo

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

// When a node speaks.
const (
	// Renewal is how long a node is silent at most.
	Renewal = 30 * time.Second
	// debounce gathers changes that come together, as when a switch dies.
	debounce = 200 * time.Millisecond
	// holdMin and holdMax are the pause between two LSAs of a node that
	// changes all the time; calm is how long it has to be quiet to be
	// believed that it is over.
	holdMin = time.Second
	holdMax = 10 * time.Second
	calm    = 20 * time.Second
	// patience is how many changes in a row have only the shortest pause: a
	// node that starts gets its links one by one.
	patience = 4
	// fullEvery is how often a renewal is a whole LSA: round trip times and
	// clocks travel only with it.
	fullEvery = 20
	// twinAfter is how many times within a minute another process outbids
	// this one's LSAs before it must be alive: what a dead one left is
	// outbid once.
	twinAfter = 3
	twinSpan  = time.Minute
)

// own is what the node says of itself.
type own struct {
	said    wire.LSA    // the last one; Seq 0: none yet
	want    wire.LSA    // what is to be said, with Seq and Base of no meaning
	started int64       // orders the boots of this node: at least when the process began
	changed time.Time   // since when want differs from said; zero: it does not
	turned  time.Time   // when a change was said last
	flaps   int         // changes said in a row without calm between
	pulses  int         // renewals since the last whole LSA
	renew   time.Time   // when the next renewal is due
	bids    []time.Time // when other boots of this node were newer
}

// Update sets what the node says of itself. Node, Boot, Started, Seq, Base and
// Age of the LSA are not looked at.
func (db *DB) Update(l wire.LSA, now time.Time) {
	o := &db.own
	l.Neighbours, l.Shares = slices.Clone(l.Neighbours), slices.Clone(l.Shares)
	slices.SortFunc(l.Neighbours, func(a, b wire.Neighbour) int { return compare(a.Node, b.Node) })
	l.Node, l.Boot, l.Started = o.said.Node, o.said.Boot, o.started
	o.want = l
	switch {
	case o.said.Seq > 0 && alike(o.want, o.said):
		o.changed = time.Time{}
	case o.changed.IsZero():
		o.changed = now
	}
}

// alike reports whether two LSAs say the same but for figures that a pulse
// renews or that may wait for the next whole LSA.
func alike(a, b wire.LSA) bool {
	return reflect.DeepEqual(skeleton(a), skeleton(b))
}

func skeleton(l wire.LSA) wire.LSA {
	l.Seq, l.Base, l.Age, l.RowSeq, l.Load, l.Free = 0, 0, 0, 0, wire.Load{}, min(l.Free, 1)
	ends := make([]wire.Neighbour, len(l.Neighbours))
	for i, n := range l.Neighbours {
		ends[i].Node = n.Node
	}
	l.Neighbours = ends
	if len(l.Shares) == 0 {
		l.Shares = nil
	}
	return l
}

// outbid looks at an LSA of this node that came from elsewhere. One of an
// earlier process with a later start (its clock was ahead, or ours was set
// back) would hide ours: ours gets a later start.
func (o *own) outbid(l wire.LSA, now time.Time) {
	if l.Boot == o.said.Boot {
		o.said.Seq = max(o.said.Seq, l.Seq)
		return
	}
	if mine := (wire.LSA{Boot: o.said.Boot, Started: o.started}); !later(mine, l) {
		return
	}
	o.started = l.Started + 1
	o.want.Started = o.started
	if o.said.Seq > 0 && o.changed.IsZero() {
		o.changed = now
	}
	o.bids = append(o.bids, now)
}

// Twin reports whether another live process speaks for this node: its key was
// copied.
func (db *DB) Twin(now time.Time) bool {
	o := &db.own
	o.bids = slices.DeleteFunc(o.bids, func(at time.Time) bool { return now.Sub(at) >= twinSpan })
	return len(o.bids) >= twinAfter
}

// Due is when Originate has something to say next. Before the first Update
// there is nothing: the zero time.
func (db *DB) Due() time.Time {
	o := &db.own
	switch {
	case o.changed.IsZero():
		return o.renew
	case o.said.Seq == 0:
		return o.changed
	}
	due := o.changed.Add(debounce)
	if held := o.turned.Add(o.hold()); held.After(due) {
		return held
	}
	return due
}

// RenewBy has the node speak at t at the latest, if it has spoken before.
func (db *DB) RenewBy(t time.Time) {
	if o := &db.own; !o.renew.IsZero() && t.Before(o.renew) {
		o.renew = t
	}
}

// hold is the pause after the last LSA before a change is said.
func (o *own) hold() time.Duration {
	switch {
	case o.flaps == 0:
		return 0
	case o.flaps <= patience:
		return holdMin
	}
	return min(holdMin<<min(o.flaps-patience, 10), holdMax)
}

// Originate returns what the node says at now, for all neighbours; nothing if
// nothing is due. It is called after a successful look at the node's health,
// so that one that hangs falls silent.
func (db *DB) Originate(now time.Time) (wire.Topology, bool) {
	o := &db.own
	due := db.Due()
	if due.IsZero() || now.Before(due) {
		return wire.Topology{}, false
	}
	whole := !o.changed.IsZero() || o.pulses >= fullEvery
	if !o.changed.IsZero() {
		o.turn(now)
	}
	db.cached = nil
	return o.say(whole, now), true
}

// turn counts a change that is about to be said. The first word of a process
// is none: what it lacks, as its health, follows right after.
func (o *own) turn(now time.Time) {
	if o.said.Seq == 0 {
		return
	}
	if now.Sub(o.turned) >= calm {
		o.flaps = 0
	}
	o.flaps++
	o.turned = now
}

// Goodbye returns the last word of a node that stops in order. Nothing is due
// after it.
func (db *DB) Goodbye(now time.Time) wire.Topology {
	db.own.want.Gone, db.cached = true, nil
	t := db.own.say(true, now)
	db.own.renew = time.Time{}
	return t
}

// say writes the next LSA, or the pulse that renews the last.
func (o *own) say(whole bool, now time.Time) wire.Topology {
	next := o.want
	next.Seq = o.said.Seq + 1
	o.changed = time.Time{}
	o.renew = now.Add(Renewal - rand.N(Renewal/6)) // not all nodes at once
	if whole {
		o.said, o.pulses = next, 0
		return wire.Topology{LSAs: []wire.LSA{next}}
	}
	o.pulses++
	base := base(o.said)
	o.said.Seq, o.said.Base, o.said.RowSeq, o.said.Load = next.Seq, base, next.RowSeq, next.Load
	return wire.Topology{Pulses: []wire.Pulse{{
		Node: next.Node, Boot: next.Boot, Seq: next.Seq, RowSeq: next.RowSeq, Load: next.Load, Base: base,
	}}}
}
