package election

import (
	"cmp"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Poll is what the arbiter knows of one application's round.
type Poll struct {
	Round    uint16
	OpenedAt time.Time
	// Active are the nodes whose votes count: alive, reachable, ready, healthy
	// and not in maintenance.
	Active []model.UID
	// Votes are the newest of each node. Those that stand no more are not
	// among them.
	Votes []model.Vote
	// Timeout is how long to wait for the votes of active nodes.
	Timeout time.Duration
	// Location is where the application's origin is; empty if nowhere.
	Location string
}

// Decide settles a poll at the time now. It returns the decision, or nil
// together with the time at which to ask again: the zero time says that all
// active nodes voted, or had their time, and none can run the application.
//
// The winner is the best yes-vote of an active node: the lowest definition
// index, then one with the image at hand, then one that is fetching it, then one
// where the origin is, then the least loaded, then the lowest rand, then the
// lowest node UID. Times of votes do not count: clocks differ. Waiting for every active node, up to
// Timeout, keeps the order of definitions meaningful: a faster node with a
// worse one does not win by being first.
func Decide(p Poll, now time.Time) (decision *model.Decision, again time.Time) {
	byNode := make(map[model.UID]model.Vote, len(p.Votes))
	for _, v := range p.Votes {
		byNode[v.NodeUID] = v
	}
	var yes []model.Vote
	no, missing := 0, 0
	for _, node := range p.Active {
		vote, voted := byNode[node]
		switch {
		case !voted:
			missing++
		case vote.Yes():
			yes = append(yes, vote)
		default:
			no++
		}
	}
	deadline := p.OpenedAt.Add(p.Timeout)
	if missing > 0 && now.Before(deadline) {
		return nil, deadline
	}
	if len(yes) == 0 {
		return nil, time.Time{}
	}
	slices.SortFunc(yes, betterAt(p.Location))
	return &model.Decision{
		Round: p.Round, Winner: yes[0].NodeUID, Definition: yes[0].Available, Location: p.Location,
		Yes: yes, No: no, Missing: missing,
	}, time.Time{}
}

// betterAt orders yes-votes for an application from the location, the winner
// first.
func betterAt(location string) func(a, b model.Vote) int {
	far := func(v model.Vote) bool { return location == "" || v.Location != location }
	return func(a, b model.Vote) int {
		return cmp.Or(
			cmp.Compare(a.Available, b.Available),
			falseFirst(!a.Cached, !b.Cached),
			falseFirst(!a.Coming, !b.Coming),
			falseFirst(far(a), far(b)),
			cmp.Compare(a.Load, b.Load),
			cmp.Compare(a.Rand, b.Rand),
			slices.Compare(a.NodeUID[:], b.NodeUID[:]),
		)
	}
}

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// roundPauses is how long a round without a yes lasts before the next one
// opens; the last holds for all further rounds. A yes in the pause decides at
// once, so this only bounds how long a missed event can go unnoticed.
var roundPauses = [...]time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second} //nolint:gochecknoglobals // constant

// RoundAt is the number, from 0, and the opening time of the round that is
// open at the time now for an application first voted on at the time since.
func RoundAt(since, now time.Time) (round uint16, opened time.Time) {
	opened = since
	for _, pause := range roundPauses[:len(roundPauses)-1] {
		if now.Before(opened.Add(pause)) {
			return round, opened
		}
		opened = opened.Add(pause)
		round++
	}
	last := roundPauses[len(roundPauses)-1]
	more := max(0, int64(now.Sub(opened)/last))
	return round + uint16(min(more, 1<<15)), opened.Add(time.Duration(more) * last) //nolint:gosec // bounded
}

// nextRound is when the round after the one that is open at now opens.
func nextRound(since, now time.Time) time.Time {
	round, opened := RoundAt(since, now)
	return opened.Add(roundPauses[min(int(round), len(roundPauses)-1)])
}
