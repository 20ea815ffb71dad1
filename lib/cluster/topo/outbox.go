package topo

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// When a neighbour is told.
const (
	// beat is the shortest time between two messages on one link: the first
	// news goes at once, what follows is gathered.
	beat = 100 * time.Millisecond
	// idleBeat is up to how long pulses wait for company: meanwhile they
	// often come from the neighbour itself, and then need not be sent. It
	// halves what a quiet cluster says, and a pulse is worth a minute.
	idleBeat = 2 * time.Second
	// perMessage bounds one Topology far below wire.MaxControl.
	perMessage = 500
)

// Outbox is what one neighbour has yet to be told. It holds no messages, only
// whose news are due, so it never grows beyond the number of nodes. It is not
// safe for concurrent use.
type Outbox struct {
	due  map[model.UID]notice
	last time.Time // when something was taken
}

// notice is one node's news.
type notice struct {
	boot  uint64
	seq   uint64
	whole bool
	at    time.Time // not before
}

// NewOutbox returns the outbox for a neighbour that knows nothing yet: all of
// the database is due.
func NewOutbox(db *DB, now time.Time) *Outbox {
	o := &Outbox{due: map[model.UID]notice{}}
	for _, l := range db.All(now) {
		o.put(l.Node, notice{boot: l.Boot, seq: l.Seq, whole: true, at: now})
	}
	return o
}

// Add notes news that did not come from this neighbour.
func (o *Outbox) Add(t wire.Topology, now time.Time) {
	for _, l := range t.LSAs {
		o.put(l.Node, notice{boot: l.Boot, seq: l.Seq, whole: true, at: now})
	}
	for _, p := range t.Pulses {
		o.put(p.Node, notice{boot: p.Boot, seq: p.Seq, at: now.Add(beat + rand.N(idleBeat))})
	}
}

// put merges a notice into what is due: once a whole LSA is due, a pulse does
// not make it less, and what was due early is not put off.
func (o *Outbox) put(node model.UID, n notice) {
	if old, known := o.due[node]; known {
		n.whole = n.whole || old.whole
		if old.at.Before(n.at) {
			n.at = old.at
		}
	}
	o.due[node] = n
}

// Heard notes what the neighbour sent: that it knows.
func (o *Outbox) Heard(t wire.Topology) {
	for _, l := range t.LSAs {
		o.heard(l.Node, l.Boot, l.Seq)
	}
	for _, p := range t.Pulses {
		o.heard(p.Node, p.Boot, p.Seq) // who sends a pulse has its base
	}
}

func (o *Outbox) heard(node model.UID, boot, seq uint64) {
	if n, due := o.due[node]; due && n.boot == boot && n.seq <= seq {
		delete(o.due, node)
	}
}

// Due is when Take has something; the zero time if nothing is due.
func (o *Outbox) Due() time.Time {
	var first time.Time
	for _, n := range o.due {
		if first.IsZero() || n.at.Before(first) {
			first = n.at
		}
	}
	if next := o.last.Add(beat); !first.IsZero() && !o.last.IsZero() && next.After(first) {
		return next
	}
	return first
}

// Take removes and returns what is to be sent at now, in messages of bounded
// size, with what the database says by then. When one thing is due, all that
// waits goes with it.
func (o *Outbox) Take(db *DB, now time.Time) []wire.Topology {
	due := o.Due()
	if due.IsZero() || now.Before(due) {
		return nil
	}
	o.last = now
	nodes := slices.SortedFunc(maps.Keys(o.due), compare)
	var messages []wire.Topology
	for chunk := range slices.Chunk(nodes, perMessage) {
		var t wire.Topology
		for _, node := range chunk {
			t = o.write(t, db, node, now)
			delete(o.due, node)
		}
		if len(t.LSAs)+len(t.Pulses) > 0 {
			messages = append(messages, t)
		}
	}
	return messages
}

// write adds a node's news to a message.
func (o *Outbox) write(t wire.Topology, db *DB, node model.UID, now time.Time) wire.Topology {
	l, ok := db.lsa(node, now)
	if !ok {
		return t
	}
	n := o.due[node]
	if n.whole || l.Boot != n.boot || l.Base == 0 {
		t.LSAs = append(t.LSAs, l)
		return t
	}
	t.Pulses = append(t.Pulses, wire.Pulse{Node: node, Boot: l.Boot, Seq: l.Seq, RowSeq: l.RowSeq, Load: l.Load, Base: l.Base})
	return t
}
