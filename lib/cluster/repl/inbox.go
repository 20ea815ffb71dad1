package repl

import (
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// verdict is what becomes of a batch that came.
type verdict int

const (
	taken   verdict = iota // it waits to be written
	covered                // all of it is known
	gapped                 // rows before it are missing: the other side has to begin again
	dropped                // its origin is on hold
	ahead                  // its rows are in the future; its origin is on hold from now on
	rewound                // it is this node's own, and not here
)

// inbox collects what came until it is written. It is pure.
type inbox struct {
	write  int // rows to write at most in one go
	gather time.Duration

	mine    replica.Vector // durable
	reach   replica.Vector // beyond mine: what waits or is being written
	waiting []replica.Batch
	rows    int // waiting
	bytes   int // waiting or being written
	held    map[replica.Origin]hold

	lastAt   time.Time // when the last write began
	lastRows int
}

// hold is an origin whose rows can not be taken in for now.
type hold struct {
	until    time.Time
	failures int
}

func newInbox(o Options, mine replica.Vector) *inbox {
	return &inbox{
		write: o.Write, gather: o.Gather, mine: mine, reach: replica.Vector{}, held: map[replica.Origin]hold{},
	}
}

// known is up to where rows of origin are here or about to be.
func (in *inbox) known(origin replica.Origin) uint64 { return max(in.mine[origin], in.reach[origin]) }

// offer decides about a batch, and takes it in without the rows that are known
// already. fresh is how many were not.
func (in *inbox) offer(b replica.Batch, self replica.Origin, now time.Time) (v verdict, fresh int) {
	known := in.known(b.Origin)
	switch {
	case b.To <= known:
		return covered, 0
	case b.Origin == self:
		return rewound, 0
	case now.Before(in.held[b.Origin].until):
		return dropped, 0
	case b.From > known:
		return gapped, 0
	case newest(b) > model.HLC(now.Add(maxAhead).UnixNano()):
		in.hold(b.Origin, now)
		return ahead, 0
	}
	for len(b.Rows) > 0 && b.Rows[0].Version.Seq <= known {
		b.Rows = b.Rows[1:]
	}
	b.From = known
	in.waiting = append(in.waiting, b)
	in.reach[b.Origin] = b.To
	in.rows += len(b.Rows)
	in.bytes += b.Size()
	return taken, len(b.Rows)
}

func newest(b replica.Batch) model.HLC {
	var hlc model.HLC
	for _, r := range b.Rows {
		hlc = max(hlc, r.Version.HLC)
	}
	return hlc
}

// The pauses before an origin is tried again whose rows can not be taken in.
const (
	holdMin = 2 * time.Second
	holdMax = time.Minute
)

// hold puts an origin aside, longer each time, and forgets what waits of it.
func (in *inbox) hold(origin replica.Origin, now time.Time) {
	h := in.held[origin]
	pause := min(holdMin<<min(h.failures, 10), holdMax)
	in.held[origin] = hold{until: now.Add(pause), failures: h.failures + 1}
	in.drop(origin)
}

// fell drops what followed rows that are not here any more.
func (in *inbox) fell(origins replica.Vector) {
	for origin := range origins {
		in.drop(origin)
	}
}

// drop forgets what waits of an origin.
func (in *inbox) drop(origin replica.Origin) {
	delete(in.reach, origin)
	kept := in.waiting[:0]
	for _, b := range in.waiting {
		if b.Origin == origin {
			in.rows -= len(b.Rows)
			in.bytes -= b.Size()
			continue
		}
		kept = append(kept, b)
	}
	clear(in.waiting[len(kept):])
	in.waiting = kept
}

// delay says how long to wait before the next write: not at all after quiet or
// when there is enough for one, else the longer the more came last time, so
// that a busy node writes few large transactions.
func (in *inbox) delay(now time.Time) time.Duration {
	if len(in.waiting) == 0 || in.rows >= in.write {
		return 0
	}
	rest := time.Duration(in.lastRows) * restPerRow
	rest = min(max(rest, restMin), in.gather)
	return max(0, in.lastAt.Add(rest).Sub(now))
}

// A pause of 1 ms per row makes transactions of up to 250 rows, about what is
// best for the disk. While little comes a row waits 10 ms at most: an
// application takes four such steps from its request to where it is seen, and
// somebody waits for it.
const (
	restPerRow = time.Millisecond
	restMin    = 10 * time.Millisecond
)

// take returns what to write now, in order, at least one batch.
func (in *inbox) take(now time.Time) []replica.Batch {
	n, rows := 0, 0
	for n < len(in.waiting) && (n == 0 || rows+len(in.waiting[n].Rows) <= in.write) {
		rows += len(in.waiting[n].Rows)
		n++
	}
	batches := append([]replica.Batch(nil), in.waiting[:n]...)
	rest := copy(in.waiting, in.waiting[n:])
	clear(in.waiting[rest:])
	in.waiting = in.waiting[:rest]
	in.rows -= rows
	in.lastAt, in.lastRows = now, rows
	return batches
}

// written notes the outcome of a write. failed are the origins of which
// something was not written.
func (in *inbox) written(batches []replica.Batch, mine replica.Vector, failed map[replica.Origin]bool, now time.Time) {
	for _, b := range batches {
		in.bytes -= b.Size()
	}
	in.advance(mine)
	for origin := range failed {
		in.hold(origin, now)
	}
	for _, b := range batches {
		if !failed[b.Origin] {
			delete(in.held, b.Origin)
		}
	}
}

// advance notes that more is durable.
func (in *inbox) advance(mine replica.Vector) {
	in.mine = mine
	for origin, seq := range in.reach {
		if seq <= mine[origin] {
			delete(in.reach, origin)
		}
	}
}
