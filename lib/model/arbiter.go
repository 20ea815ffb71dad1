package model

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
)

// Arbiter is the node that alone may grant the application, as far as these
// retirements and handovers tell: its origin, until that one gave it away or
// was retired, and so on along the chain. The answer does not depend on the
// order in which they are given. NilUID says that nobody is left: those who
// could be retired each other.
//
// Facts count in the order of the hybrid clock. A handover gives away what was
// created up to its reading, and only if its author was the arbiter then; a
// retirement holds for ever, so what is handed to a node after it was retired
// goes on to its successor at once.
func Arbiter(app Application, retirements []Retirement, handovers []Handover) UID {
	if len(retirements) == 0 && len(handovers) == 0 {
		return app.Arbiter
	}
	holder := app.Arbiter
	for _, p := range passings(app, retirements, handovers) {
		if p.from == holder {
			holder = living(p.to, retirements, p.hlc)
		}
	}
	return holder
}

// passing is one step of the role from a node to another.
type passing struct {
	hlc      HLC
	from, to UID
	key      UID // orders those with one clock reading
}

func passings(app Application, retirements []Retirement, handovers []Handover) []passing {
	var list []passing // few: most handovers are of before the application
	for _, r := range retirements {
		if first, _ := Retired(r.NodeUID, retirements); first.Successor == r.Successor {
			list = append(list, passing{r.HLC, r.NodeUID, r.Successor, r.NodeUID})
		}
	}
	for _, h := range handovers {
		if app.HLC <= h.HLC {
			list = append(list, passing{h.HLC, h.NodeUID, h.Successor, h.UID})
		}
	}
	slices.SortFunc(list, func(a, b passing) int {
		return cmp.Or(cmp.Compare(a.hlc, b.hlc), slices.Compare(a.from[:], b.from[:]), slices.Compare(a.key[:], b.key[:]))
	})
	return list
}

// living follows those who were retired by then from a node to the first that
// was not; NilUID if they name each other in a circle.
func living(node UID, retirements []Retirement, by HLC) UID {
	for range len(retirements) + 1 {
		r, retired := Retired(node, retirements)
		if !retired || r.HLC > by {
			return node
		}
		node = r.Successor
	}
	return NilUID
}

// Heir is who ends what a node leaves undone: the node itself, or if it was
// retired the last of its successors; NilUID if they name each other in a circle.
func Heir(node UID, retirements []Retirement) UID { return living(node, retirements, math.MaxInt64) }

// Retired finds the retirement of a node. Where two members that did not know of
// each other retired it, to different successors, the first by the hybrid clock
// counts, whatever the order in which they are given.
func Retired(node UID, retirements []Retirement) (first Retirement, retired bool) {
	for _, r := range retirements {
		if r.NodeUID == node && (!retired || cmp.Or(cmp.Compare(r.HLC, first.HLC), slices.Compare(r.Successor[:], first.Successor[:])) < 0) {
			first, retired = r, true
		}
	}
	return first, retired
}

// SumOfRetirements is the same on two nodes only if they know the same
// retirements, in whatever order they are given, and so name the same
// successors. 0 for none.
func SumOfRetirements(retirements []Retirement) uint64 {
	var sum uint64 // of few: nobody looks for two sets of one sum
	for _, r := range retirements {
		one := sha256.Sum256(binary.BigEndian.AppendUint64(append(r.NodeUID[:], r.Successor[:]...), uint64(r.HLC))) //nolint:gosec // as bits
		sum += binary.BigEndian.Uint64(one[:])
	}
	return sum
}
