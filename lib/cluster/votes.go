package cluster

import (
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Bounds of what waits.
const (
	// castBeat is how long votes are gathered after a batch went out; the
	// first ones go at once.
	castBeat = 100 * time.Millisecond
	// castLeast and castPerVote shorten that while few vote: a batch of one
	// vote costs little, and somebody waits for it.
	castLeast   = 10 * time.Millisecond
	castPerVote = 5 * time.Millisecond
	// castMost is how many votes one batch holds.
	castMost = 1000
	// ballotMost is how many votes one message holds: a third of what
	// wire.MaxControl allows.
	ballotMost = 10_000
	// maxBatches is how many batches of others wait to be taken; beyond it
	// the oldest go.
	maxBatches = 4096
	// maxVoters is how many processes that vote are remembered, twice at most,
	// and voterMemory for how long, twice at most: as many as there can be
	// nodes, and far longer than a batch is on its way.
	maxVoters   = 10_000
	voterMemory = time.Hour
)

// ballots are the votes on their way. Guarded by the cluster's mu.
type ballots struct {
	own    []wire.Vote   // to be cast
	seq    uint64        // of the last batch of this node
	last   time.Time     // when it went
	beat   time.Duration // until the next one
	due    time.Time     // when own is to go; zero: it is empty
	came   []wire.Votes
	notify chan struct{} // holds a token when something came
	seen   map[voter]*window
	before map[voter]*window // those of seen until it was too full or too old
	turned time.Time         // when that was
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

// Boot is random, of this process: its votes tell it.
func (c *Cluster) Boot() uint64 { return c.o.Self.Boot }

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
		if next := b.last.Add(b.beat); next.After(now) {
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
	b.beat = beat(len(b.own))
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

// beat is the pause after a batch of so many votes.
func beat(votes int) time.Duration {
	return min(castBeat, max(castLeast, time.Duration(votes)*castPerVote))
}

// pass takes in votes of others, and passes them on when they are new. Those
// that the neighbour has need not be sent to it any more.
func (c *Cluster) pass(from *neighbour, batches ...wire.Votes) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &c.ballots
	for _, v := range batches {
		from.votes = slices.DeleteFunc(from.votes, func(w wire.Votes) bool {
			return w.Node == v.Node && w.Boot == v.Boot && w.Seq == v.Seq
		})
		if v.Node == c.o.Self.Node || !b.fresh(v, now) {
			continue
		}
		b.came = append(b.came, v)
		b.came = b.came[max(0, len(b.came)-maxBatches):]
		poke(b.notify)
		c.spread(v, from)
	}
}

// takeVotes takes the votes that are to be sent now: the first at once, then
// what was gathered. The caller holds the cluster's mu.
func (n *neighbour) takeVotes(now time.Time) (messages []any, due time.Time) {
	if next := n.voted.Add(n.beat); len(n.votes) == 0 || now.Before(next) {
		if len(n.votes) > 0 {
			due = next
		}
		return nil, due
	}
	n.voted, n.beat = now, beat(voices(n.votes))
	first, size := 0, 0
	for i, v := range n.votes {
		size += len(v.Votes) + 5 // what a batch says of itself is as long as five
		if i+1 < len(n.votes) && size+len(n.votes[i+1].Votes)+5 <= ballotMost {
			continue
		}
		messages = append(messages, n.packer.Pack(n.votes[first:i+1]))
		first, size = i+1, 0
	}
	n.votes = nil
	return messages, due
}

// voices counts the votes of all batches.
func voices(batches []wire.Votes) (n int) {
	for _, b := range batches {
		n += len(b.Votes)
	}
	return n
}

// fresh reports whether a batch is new. Voters that say nothing for a while are
// forgotten, or earlier where there are more than there can be nodes.
func (b *ballots) fresh(v wire.Votes, now time.Time) bool {
	if len(b.seen) >= maxVoters || now.Sub(b.turned) >= voterMemory {
		b.seen, b.before, b.turned = map[voter]*window{}, b.seen, now
	}
	key := voter{v.Node, v.Boot}
	w := b.seen[key]
	if w == nil {
		if w = b.before[key]; w == nil {
			w = &window{}
		}
		b.seen[key] = w
	}
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
