package election

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// overlay is a member of a cluster as lib/cluster offers it.
type overlay interface {
	Active() []model.UID
	Boot() uint64
	Cast(votes []wire.Vote)
	Votes() (<-chan struct{}, func() []wire.Votes)
	Unreachable(node model.UID) time.Duration
	Ready() bool
}

// coverage says what of the others' knowledge is here, as lib/recall finds out.
type coverage interface {
	Covered(since time.Time) bool
	CoveredReachable(since time.Time) bool
}

// Wired is the cluster of an election behind an overlay: it packs and unpacks
// votes. Make it with NewWired and run it; Changed tells it that the members
// are others now.
type Wired struct {
	overlay
	coverage
	signal  chan struct{}
	changed atomic.Bool // since the last look: votes that come at the same time must not hide it
	take    func() []wire.Votes
	came    <-chan struct{}
}

// NewWired returns the cluster behind the overlay. Location and load of the
// node travel with its votes: the overlay knows them.
func NewWired(o overlay, c coverage) *Wired {
	came, take := o.Votes()
	return &Wired{overlay: o, coverage: c, signal: make(chan struct{}, 1), take: take, came: came}
}

// Run passes on that votes came, until ctx is cancelled; it returns nil.
func (w *Wired) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.came:
			w.poke()
		}
	}
}

// Changed says that a member came or went, or counts or does not any more. It
// never blocks.
func (w *Wired) Changed() {
	w.changed.Store(true)
	w.poke()
}

func (w *Wired) poke() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// Cast sends votes to all others. The overlay says once where the node is and
// how loaded.
func (w *Wired) Cast(votes []model.Vote) {
	var list []wire.Vote
	for _, m := range ToWire(votes) {
		list = append(list, m.Votes...)
	}
	w.overlay.Cast(list)
}

// Votes returns what came from others, in the order in which it came, and
// whether the members are others now.
func (w *Wired) Votes() (<-chan struct{}, func() ([]model.Vote, bool)) {
	return w.signal, func() (votes []model.Vote, changed bool) {
		now := time.Now()
		for _, m := range w.take() {
			votes = append(votes, FromWire(m, now)...)
		}
		return votes, w.changed.Swap(false)
	}
}

var (
	_ cluster = (*Wired)(nil)
	_ cluster = Alone{}
)
