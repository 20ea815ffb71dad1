package topo

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The times of the protocol.
const (
	// Expiry is how long a node that says nothing is believed: four renewals.
	Expiry = 120 * time.Second
	// Memory is how long a node that went is still shown.
	Memory = 7 * 24 * time.Hour
	// maxNodes bounds the database: twenty times the largest farm that this
	// protocol was measured for.
	maxNodes = 10_000
)

// entry is what is known of one node.
type entry struct {
	lsa  wire.LSA  // Age is 0: said says it
	said time.Time // when the node said it, by the own clock
}

// fresh reports whether the node may still be believed.
func (e *entry) fresh(now time.Time) bool {
	return now.Sub(e.said) < Expiry
}

// yields reports whether l takes the entry's place. One that is believed no more is in no later process's way, whatever
// clock that one began by: nobody would tell it of this one, so it could not raise its start above it.
func (e *entry) yields(l wire.LSA, now time.Time) bool {
	return newer(e.lsa, l) || !e.fresh(now) && e.lsa.Boot != l.Boot
}

// base is the Seq that pulses of this LSA name.
func base(l wire.LSA) uint64 {
	if l.Base != 0 {
		return l.Base
	}
	return l.Seq
}

// DB is the link state database of one node. It is not safe for concurrent
// use. Its answers depend on what was applied, not on the order.
type DB struct {
	self    model.UID
	entries map[model.UID]*entry // without self
	own     own

	cached *Snapshot // nil once something has changed
	from   time.Time // cached holds from here
	until  time.Time // to before here
}

// New returns the database of the process boot of node self, which began at
// started.
func New(self model.UID, boot uint64, started time.Time) *DB {
	return &DB{
		self:    self,
		entries: map[model.UID]*entry{},
		own:     own{said: wire.LSA{Node: self, Boot: boot}, started: started.UnixNano()},
	}
}

// News is what came of a Topology.
type News struct {
	Topology wire.Topology // to pass on to the other neighbours
	Ask      []model.UID   // of these the sender of a pulse has LSAs that are lacking here: ask it
}

// Apply takes in what a neighbour sent.
func (db *DB) Apply(t wire.Topology, now time.Time) News {
	var news News
	for _, l := range t.LSAs {
		if db.apply(l, now) {
			news.Topology.LSAs = append(news.Topology.LSAs, l)
		}
	}
	for _, p := range t.Pulses {
		taken, lacking := db.applyPulse(p, now)
		if taken {
			news.Topology.Pulses = append(news.Topology.Pulses, p)
		}
		if lacking {
			news.Ask = append(news.Ask, p.Node)
		}
	}
	return news
}

// apply takes in one LSA and reports whether it is news.
func (db *DB) apply(l wire.LSA, now time.Time) bool {
	if l.Node == db.self {
		db.own.outbid(l, now)
		return false
	}
	said := now.Add(-time.Duration(l.Age) * time.Millisecond)
	if now.Sub(said) >= Expiry {
		return false
	}
	old, known := db.entries[l.Node]
	if known && !old.yields(l, now) || !known && len(db.entries) >= maxNodes {
		return false
	}
	l.Age = 0
	db.entries[l.Node], db.cached = &entry{lsa: l, said: said}, nil
	return true
}

// newer reports whether b replaces a, an LSA of the same node.
func newer(a, b wire.LSA) bool {
	if a.Boot == b.Boot {
		return b.Seq > a.Seq
	}
	return later(a, b)
}

// later reports whether b's boot came after a's. Two boots that began in the
// same nanosecond are ordered all the same, so that all nodes agree.
func later(a, b wire.LSA) bool {
	if a.Started != b.Started {
		return b.Started > a.Started
	}
	return b.Boot > a.Boot
}

// applyPulse takes in one pulse; lacking says that the LSA it renews is not
// here.
func (db *DB) applyPulse(p wire.Pulse, now time.Time) (taken, lacking bool) {
	if p.Node == db.self {
		return false, p.Boot != db.own.said.Boot // a twin's: its LSA tells
	}
	e, known := db.entries[p.Node]
	switch {
	case !known, e.lsa.Boot != p.Boot, base(e.lsa) < p.Base:
		return false, true
	case base(e.lsa) > p.Base, e.lsa.Seq >= p.Seq, e.lsa.Gone:
		return false, false
	}
	l := e.lsa
	l.Base, l.Seq, l.RowSeq, l.Load = p.Base, p.Seq, p.RowSeq, p.Load
	db.entries[p.Node], db.cached = &entry{lsa: l, said: now}, nil
	return true, false
}

// Forget drops what is known of a node: it was retired.
func (db *DB) Forget(node model.UID) {
	if _, known := db.entries[node]; known {
		delete(db.entries, node)
		db.cached = nil
	}
}

// Expire forgets nodes that were silent for Memory. Whether a node is believed
// needs no call: Snapshot looks at the time.
func (db *DB) Expire(now time.Time) {
	before := len(db.entries)
	maps.DeleteFunc(db.entries, func(_ model.UID, e *entry) bool { return now.Sub(e.said) >= Memory })
	if len(db.entries) != before {
		db.cached = nil
	}
}

// NextExpiry is when the next node that is believed will have been silent for
// too long; the zero time if there is none.
func (db *DB) NextExpiry(now time.Time) time.Time {
	var next time.Time
	for _, e := range db.entries {
		if at := e.said.Add(Expiry); e.fresh(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// All is everything that a new neighbour needs: the LSAs of all that are
// believed, the own one too if it was ever said.
func (db *DB) All(now time.Time) []wire.LSA {
	nodes := slices.SortedFunc(maps.Keys(db.entries), compare)
	return db.Answer(append([]model.UID{db.self}, nodes...), now)
}

// Answer is the LSAs of the nodes, as far as they are known and believed.
func (db *DB) Answer(nodes []model.UID, now time.Time) []wire.LSA {
	var lsas []wire.LSA
	for _, node := range nodes {
		if l, ok := db.lsa(node, now); ok {
			lsas = append(lsas, l)
		}
	}
	return lsas
}

// lsa is the LSA of a node as it is passed on at now.
func (db *DB) lsa(node model.UID, now time.Time) (wire.LSA, bool) {
	if node == db.self {
		return db.own.said, db.own.said.Seq > 0
	}
	e, known := db.entries[node]
	if !known || !e.fresh(now) {
		return wire.LSA{}, false
	}
	l := e.lsa
	if age := now.Sub(e.said); age >= time.Second { // less is not worth its bytes
		l.Age = uint32(age.Milliseconds()) // below Expiry
	}
	return l, true
}

// compare orders UIDs.
func compare(a, b model.UID) int { return bytes.Compare(a[:], b[:]) }
