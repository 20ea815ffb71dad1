// Package astray decides what a driver instance is paying for by mistake: what
// is provably its own, or of somebody who is not there any more, and belongs to
// nothing. It is pure: things and facts go in, what is astray comes out; who
// removes it looks again before.
//
// Nothing is astray that another node or instance made which is there, nothing
// that the node has an allocation for, no result of a task, and no host of a pool
// that somebody runs: that one is the pool's business.
package astray

import (
	"maps"
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
	// Former is the same of instances that the node is not configured for any more.
	Former map[string]Kept
	// Pools are those that are configured, here or where else they are run from.
	Pools map[string]bool
	// Risen are retired nodes that were seen to run before: see Risen.
	Risen map[string]bool
}

// Kept is what the node keeps for an instance: see Facts.
type Kept struct {
	Wanted map[string]bool
	Whole  bool
}

// Find returns what is astray of the things, in their order.
func Find(things []view.Thing, f Facts) []view.Stray {
	var strays []view.Stray
	risen := Risen(things)
	maps.Copy(risen, f.Risen)
	for _, t := range things {
		reason := f.reason(t)
		if reason == "" || !t.Mine && !t.Former && !t.Retired {
			continue
		}
		if t.Former {
			reason += "; instance " + t.Instance + " is not configured any more"
		}
		doubt := f.doubt(t, risen)
		strays = append(strays, view.Stray{Thing: t, Reason: reason + doubt, Held: f.held(t), Doubtful: doubt != ""})
	}
	return strays
}

// Risen are the retired nodes that run all the same: something of theirs was made
// so long after their retirement that clocks do not explain it.
func Risen(things []view.Thing) map[string]bool {
	risen := map[string]bool{}
	for _, t := range things {
		if t.Retired && !t.RetiredAt.IsZero() && t.Created.After(t.RetiredAt.Add(cloud.Settled)) {
			risen[t.Node] = true
		}
	}
	return risen
}

// kept is what the node keeps for the instance that made a thing.
func (f Facts) kept(t view.Thing) Kept {
	if t.Former {
		return f.Former[t.Instance]
	}
	return Kept{f.Wanted, f.Whole}
}

// doubt is why a thing that seems to be astray may not be, in words that follow
// the reason; empty: it is for certain.
func (f Facts) doubt(t view.Thing, risen map[string]bool) string {
	switch {
	case t.Retired && risen[t.Node]:
		return "; but it made things after that, so that it runs"
	case t.Retired && (t.RetiredAt.IsZero() || t.Created.IsZero()):
		return "; it is not known whether it was made after that"
	case (work(t) || t.Retired) && !f.kept(t).Whole:
		return "; the node's database was restored, and may have forgotten it"
	}
	return ""
}

// work reports whether a thing is of an environment.
func work(t view.Thing) bool { return t.Purpose == "" || t.Purpose == cloud.PurposeWork }

// reason is why a thing is astray, whosever it is; empty if it is not.
func (f Facts) reason(t view.Thing) string {
	reason := f.ownerless(t)
	if reason != "" && t.Retired && !work(t) {
		reason += "; its node was retired"
	}
	return reason
}

// ownerless is why nothing needs a thing; empty if something does.
func (f Facts) ownerless(t view.Thing) string {
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
	wanted := f.kept(t).Wanted
	switch {
	case t.Kind == view.Image, t.Kind == view.Snapshot:
		return ""
	case t.Retired: // what it ran has ended with that
		return "its node was retired"
	case wanted == nil, wanted[t.ID], t.Token != "" && wanted[t.Token]:
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
