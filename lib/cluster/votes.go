package cluster

import (
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Bounds of what waits.
const (
	// castBeat is how long votes are gathered after a batch went out; the
	// first ones go at once (cluster.md 3.5).
	castBeat = 100 * time.Millisecond
	// castMost is how many votes one batch holds.
	castMost = 1000
	// maxBatches is how many batches of others wait to be taken; beyond it
	// the oldest go.
	maxBatches = 4096
)

// ballots are the votes on their way. Guarded by the cluster's mu.
type ballots struct {
	own    []wire.Vote // to be cast
	seq    uint64      // of the last batch of this node
	last   time.Time   // when it went
	due    time.Time   // when own is to go; zero: it is empty
	came   []wire.Votes
	notify chan struct{} // holds a token when something came
	seen   map[voter]*window
}

// voter is one process that votes.
type voter struct {
	node model.UID
	boot uint64
}

func newBallots() ballots {
	return ballots{notify: make(chan struct{}, 1), seen: map[voter]*window{}}
}

// window remembers which of the last 64 numbers were seen: batches of one node
// come by several ways, and may overtake each other.
type window struct {
	top  uint64
	bits uint64 // bit i: top-i was seen
	at   time.Time
}

// fresh reports whether a number is seen for the first time, and notes it. One
// that is older than the window counts as seen.
func (w *window) fresh(seq uint64) bool {
	switch {
	case seq > w.top:
		if shift := seq - w.top; shift < 64 {
			w.bits = w.bits<<shift | 1
		} else {
			w.bits = 1
		}
		w.top = seq
		return true
	case w.top-seq >= 64:
		return false
	}
	bit := uint64(1) << (w.top - seq)
	seen := w.bits&bit != 0
	w.bits |= bit
	return !seen
}

// Cast sends votes of this node to all others. It never blocks.
func (c *Cluster) Cast(votes []wire.Vote) {
	if len(votes) == 0 {
		return
	}
	now := time.Now()
	c.mu.Lock()
	b := &c.ballots
	b.own = append(b.own, votes...)
	if b.due.IsZero() {
		b.due = now
		if next := b.last.Add(castBeat); next.After(now) {
			b.due = next
		}
	}
	c.mu.Unlock()
	poke(c.wake)
}

// castDue sends the own votes that are due. The caller holds mu.
func (c *Cluster) castDue(r Report, now time.Time) {
	b := &c.ballots
	if b.due.IsZero() || now.Before(b.due) {
		return
	}
	for len(b.own) > 0 {
		n := min(len(b.own), castMost)
		b.seq++
		c.spread(wire.Votes{
			Node: c.o.Self.Node, Boot: c.o.Self.Boot, Seq: b.seq, Location: c.o.Self.Location, Load: r.VoteLoad, Votes: b.own[:n:n],
		}, nil)
		b.own = b.own[n:]
	}
	b.own, b.due, b.last = nil, time.Time{}, now
}

// pass takes in votes of others, and passes them on when they are new.
func (c *Cluster) pass(from *neighbour, v wire.Votes) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.Node == c.o.Self.Node || !c.ballots.fresh(v, now) {
		return
	}
	b := &c.ballots
	b.came = append(b.came, v)
	b.came = b.came[max(0, len(b.came)-maxBatches):]
	poke(b.notify)
	c.spread(v, from)
}

// fresh reports whether a batch is new, and forgets voters of old.
func (b *ballots) fresh(v wire.Votes, now time.Time) bool {
	key := voter{v.Node, v.Boot}
	w := b.seen[key]
	if w == nil {
		for old, other := range b.seen {
			if now.Sub(other.at) > time.Hour {
				delete(b.seen, old)
			}
		}
		w = &window{}
		b.seen[key] = w
	}
	w.at = now
	return w.fresh(v.Seq)
}

// spread gives votes to all neighbours but the one they came from. The caller
// holds mu.
func (c *Cluster) spread(v wire.Votes, from *neighbour) {
	for _, n := range c.links {
		if n != from {
			n.votes = append(n.votes, v)
			n.votes = n.votes[max(0, len(n.votes)-maxVotes):]
			poke(n.wake)
		}
	}
}

// Votes returns a channel that holds a token when votes of others came, and
// the function that takes them, in the order of their arrival. There is one
// reader.
func (c *Cluster) Votes() (<-chan struct{}, func() []wire.Votes) {
	return c.ballots.notify, func() []wire.Votes {
		c.mu.Lock()
		defer c.mu.Unlock()
		came := c.ballots.came
		c.ballots.came = nil
		return came
	}
}
