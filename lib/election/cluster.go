package election

import (
	"math"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// cluster is what the election needs of the other nodes.
type cluster interface {
	// Active are the nodes whose votes count: reachable, alive, healthy, ready
	// and not in maintenance; this one if it is so.
	Active() []model.UID
	// Boot is random, of this process: votes tell it, see model.VoteUID.
	Boot() uint64
	// Cast sends votes to all others. It never blocks.
	Cast(votes []model.Vote)
	// Votes returns what came from others since the last call, in the order in
	// which it came, behind a signal; changed says that something else here
	// would answer differently now. A signal may bring neither.
	Votes() (signal <-chan struct{}, take func() (votes []model.Vote, changed bool))
	// Unreachable is how long nothing was heard of a node, 0 if it can be
	// reached. One that was never heard of since this process started is
	// counted from its start.
	Unreachable(node model.UID) time.Duration
	// Covered reports whether this node knows all that every member that is not
	// retired knew at the given time.
	Covered(since time.Time) bool
	// CoveredReachable is Covered but for the members that can not be reached.
	CoveredReachable(since time.Time) bool
	// Ready reports whether this node has caught up, or is alone, so that it
	// may vote and decide.
	Ready() bool
}

// Alone is the cluster of a node without others.
type Alone struct{ Node model.UID }

// Active is the node itself.
func (a Alone) Active() []model.UID { return []model.UID{a.Node} }

// Boot is of no use: nobody else counts the votes.
func (Alone) Boot() uint64 { return 0 }

// Cast has nobody to tell.
func (Alone) Cast([]model.Vote) {}

// Votes never come.
func (Alone) Votes() (<-chan struct{}, func() ([]model.Vote, bool)) {
	return nil, func() ([]model.Vote, bool) { return nil, false }
}

// Unreachable is for ever for everybody else.
func (a Alone) Unreachable(node model.UID) time.Duration {
	if node == a.Node {
		return 0
	}
	return math.MaxInt64
}

// Covered is true: nobody else wrote anything.
func (Alone) Covered(time.Time) bool { return true }

// CoveredReachable is true, as Covered.
func (Alone) CoveredReachable(time.Time) bool { return true }

// Ready is true.
func (Alone) Ready() bool { return true }
