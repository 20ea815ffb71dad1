// Package astray decides what a driver instance is paying for by mistake: what
// is provably its own, and belongs to nothing any more. It is pure: things and
// facts go in, what is astray comes out; who removes it looks again before.
//
// Nothing is astray that another node or instance made, nothing that the node
// has an allocation for, no result of a task, and no host of a pool that somebody
// runs: that one is the pool's business.
package astray

import (
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

// unleased is how long a step of a task, or a scrub, may be without a lease: far
// longer than either takes.
const unleased = 24 * time.Hour

// Facts are what is known beside the things, from after they were listed.
type Facts struct {
	Now time.Time
	// Wanted are the tokens and identifiers of the node's open allocations; nil:
	// they are not known, and nothing of an environment is astray. Whole is false
	// where some may be missing.
	Wanted map[string]bool
	Whole  bool
	// Pools are those that are configured, here or where else they are run from.
	Pools map[string]bool
}

// Find returns what is astray of the things, in their order.
func Find(things []view.Thing, f Facts) []view.Stray {
	var strays []view.Stray
	for _, t := range things {
		reason := f.reason(t)
		if reason == "" || !t.Mine {
			continue
		}
		s := view.Stray{Thing: t, Reason: reason, Held: f.held(t), Doubtful: work(t) && !f.Whole}
		if s.Doubtful {
			s.Reason += "; the node's database was restored, and may have forgotten it"
		}
		strays = append(strays, s)
	}
	return strays
}

// work reports whether a thing is of an environment.
func work(t view.Thing) bool { return t.Purpose == "" || t.Purpose == cloud.PurposeWork }

// reason is why a thing is astray; empty if it is not.
func (f Facts) reason(t view.Thing) string {
	switch {
	case t.Kind == view.Instance && cloud.Gone(t.State),
		t.Kind == view.Volume && (t.On != "" || strings.HasPrefix(t.State, "delet")): // goes by itself, or with its instance
		return ""
	case t.Kind == view.Host:
		return f.orphaned(t)
	case t.Purpose == cloud.PurposeScrub, t.Purpose == cloud.PurposeStep:
		return f.overdue(t)
	case work(t):
		return f.unwanted(t)
	}
	return "" // results of tasks stay, and what is new to this version is not its to judge
}

func (f Facts) orphaned(t view.Thing) string {
	if t.Pool == "" || f.Pools[t.Pool] {
		return ""
	}
	return "pool " + t.Pool + " is not configured any more"
}

func (f Facts) overdue(t view.Thing) string {
	switch {
	case t.Lease.IsZero() && f.Now.Sub(t.Created) > unleased:
		return "it is an old " + t.Purpose + " without a lease"
	case !t.Lease.IsZero() && f.Now.After(t.Lease):
		return "its lease has ended"
	}
	return ""
}

func (f Facts) unwanted(t view.Thing) string {
	switch {
	case f.Wanted == nil, f.Wanted[t.ID], t.Token != "" && f.Wanted[t.Token], t.Kind == view.Image, t.Kind == view.Snapshot:
		return ""
	}
	return "no allocation of the node is for it"
}

// held is why a thing that is astray can not be removed now.
func (f Facts) held(t view.Thing) string {
	switch {
	case f.Now.Sub(t.Created) < cloud.Settled: // lists may lack what it belongs to
		return "it is younger than 5 minutes"
	case t.Kind != view.Host:
		return ""
	case t.Release.After(f.Now):
		return "AWS keeps it until " + t.Release.UTC().Format(time.RFC3339)
	case t.State != cloud.HostAvailable:
		return "it is " + t.State
	case t.Busy:
		return "an instance is on it"
	}
	return ""
}
