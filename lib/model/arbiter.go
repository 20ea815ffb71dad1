package model

import (
	"cmp"
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
		list = append(list, passing{r.HLC, r.NodeUID, r.Successor, r.NodeUID})
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
		i := slices.IndexFunc(retirements, func(r Retirement) bool { return r.NodeUID == node && r.HLC <= by })
		if i < 0 {
			return node
		}
		node = retirements[i].Successor
	}
	return NilUID
}

// Heir is who ends what a node leaves undone: the node itself, or if it was
// retired the last of its successors; NilUID if they name each other in a circle.
func Heir(node UID, retirements []Retirement) UID { return living(node, retirements, math.MaxInt64) }

// Retired finds the retirement of a node.
func Retired(node UID, retirements []Retirement) (Retirement, bool) {
	i := slices.IndexFunc(retirements, func(r Retirement) bool { return r.NodeUID == node })
	if i < 0 {
		return Retirement{}, false
	}
	return retirements[i], true
}
