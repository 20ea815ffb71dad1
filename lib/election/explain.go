package election

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// Cause names why a definition does not run here now. Clients see it: a value
// never changes its meaning.
type Cause string

// The causes, in the order in which they are looked for.
const (
	// CauseMaintenance: the node takes nothing new.
	CauseMaintenance Cause = "maintenance"
	// CauseUnfit: the node's own health check fails, or it has not caught up.
	CauseUnfit Cause = "unfit"
	// CauseDriverAbsent: the driver instance is configured and not ready.
	CauseDriverAbsent Cause = "driver_absent"
	// CauseDriverUnknown: no such driver instance is configured.
	CauseDriverUnknown Cause = "driver_unknown"
	// CauseNodeFilter: a pattern of the filter matches no identifier.
	CauseNodeFilter Cause = "node_filter"
	// CauseOptions: the driver refuses the definition: its image, disks or
	// other options.
	CauseOptions Cause = "options"
	// CauseTooLarge: it would not fit on an empty node.
	CauseTooLarge Cause = "too_large"
	// CauseCapacityUnknown: the driver can not say what it has left.
	CauseCapacityUnknown Cause = "driver_capacity_unknown"
	// CauseBehind: a starving application is served first.
	CauseBehind Cause = "behind_older"
	// CauseCPU and CauseRAM: too much is in use.
	CauseCPU Cause = "cpu"
	CauseRAM Cause = "ram"
	// CauseDisk: too little of the file system of the disks is free, or what is
	// free is promised.
	CauseDisk Cause = "disk"
	// CauseExclusive: another environment uses what it needs alone, as a disk.
	CauseExclusive Cause = "exclusive"
	// CauseDriverCapacity: the driver itself has no place.
	CauseDriverCapacity Cause = "driver_capacity"
	// CauseDatabase: nothing is granted while nothing can be stored.
	CauseDatabase Cause = "database"
	// CauseHeldOff: grants were declined, or could not be written, and a pause
	// is made.
	CauseHeldOff Cause = "held_off"
	// CauseArbiter: who decides about it can not be reached, or may not decide
	// yet.
	CauseArbiter Cause = "arbiter"
	// CauseVoted: this node voted for it, and the decision is not made yet.
	CauseVoted Cause = "voted"
	// CauseRestored: it waited in a copy of the database that was put back, and
	// nobody has confirmed that.
	CauseRestored Cause = "restored_copy"
	// CauseFits: nothing is in the way, it is about to be granted.
	CauseFits Cause = "fits"
)

// Obstacle is the first reason why a definition does not run here now; its
// cause is CauseFits where there is none.
type Obstacle struct {
	Definition int // index in the label
	Driver     string
	Cause      Cause
	Reason     string // in words for the user
	// Shortage is what is lacking, for CauseCPU, CauseRAM and CauseDisk.
	Shortage capacity.Shortage
	// Head is who is served first, for CauseBehind.
	Head model.UID
	// Lasting is the first reason that would keep it from an empty and sound
	// node as well; "" where there is none. Reason may be one that passes.
	Lasting string
}

// Standing is how an application that waits stands with one node.
type Standing struct {
	// Never says that none of the definitions could run on this node even if
	// it were empty.
	Never bool
	// Others says that there are other nodes, which this one can not speak for.
	Others bool
	// Undecided is why nobody may decide about it now, also where this node could
	// not run it itself; "" if somebody may.
	Undecided   string
	Definitions []Obstacle
}

// Situation is all that Explain looks at.
type Situation struct {
	Waiting Waiting
	Label   model.Label
	Host    Host
	Heads   map[string]model.UID
	// Fits returns nil if the option fits now, or what is lacking.
	Fits func(app model.UID, o Option) error
	// Decides says that this node decides about it.
	Decides bool
	// Doubtful says that the database is a restored copy in which it waits.
	Doubtful bool
	// Unwritable is why nothing can be stored; nil if it can.
	Unwritable error
}

// Explain says for each definition what keeps it from running at the time now.
// It asks what Sort and Ballot ask and so can not say anything else than they
// decide, only more of it.
func Explain(s Situation, now time.Time) Standing {
	st := Standing{Never: true, Undecided: s.Waiting.Role.Asleep}
	for i, def := range s.Label.Definitions {
		option, refusals := examine(def, s.Host, true)
		o := Obstacle{Cause: CauseFits, Reason: "fits: about to be granted"}
		if s.Decides && st.Undecided != "" { // whoever could run it waits for this node
			o = Obstacle{Cause: CauseArbiter, Reason: st.Undecided}
		} else if len(refusals) > 0 {
			o = Obstacle{Cause: refusals[0].Cause, Reason: refusals[0].Reason}
		} else if hindered, ok := s.hindrance(option, now); ok {
			o = hindered
		}
		o.Definition, o.Driver, o.Lasting = i, def.Driver, lasting(refusals)
		st.Definitions = append(st.Definitions, o)
		st.Never = st.Never && o.Lasting != ""
	}
	return st
}

// lasting is the first reason that does not pass.
func lasting(refusals []Refusal) string {
	for _, r := range refusals {
		if r.Lasting {
			return r.Reason
		}
	}
	return ""
}

// hindrance is what keeps an option from being taken now.
func (s Situation) hindrance(o Option, now time.Time) (Obstacle, bool) {
	if s.Unwritable != nil {
		return Obstacle{Cause: CauseDatabase, Reason: fmt.Sprintf("the node grants nothing while it can not store anything: %v", s.Unwritable)}, true
	}
	if s.Doubtful {
		return Obstacle{Cause: CauseRestored, Reason: "the database is a restored copy in which it waits, and it may have been run since: " +
			"aquarium-fish db confirm says whether it is run or ended"}, true
	}
	err := attempt(s.Waiting.Application.UID, o, s.Heads, s.Fits)
	if behind, ok := errors.AsType[Behind](err); ok {
		return Obstacle{Cause: CauseBehind, Reason: err.Error(), Head: behind.Head}, true
	}
	if short, ok := errors.AsType[capacity.Shortage](err); ok {
		return shortObstacle(short), true
	}
	if s.Waiting.Role.Asleep != "" {
		return Obstacle{Cause: CauseArbiter, Reason: s.Waiting.Role.Asleep}, true
	}
	if s.Waiting.Rest == RestStanding {
		return Obstacle{Cause: CauseVoted, Reason: "fits: this node voted for it, and the votes of all nodes decide"}, true
	}
	if pause := s.Waiting.NotBefore.Sub(now); pause > 0 {
		why := fmt.Sprintf("after %d declined grants", s.Waiting.Declined)
		switch s.Waiting.Rest {
		case RestUndecided:
			why = "as this node voted for it and the node that decides did not"
		case RestUnwritten:
			why = "as its grant could not be written; the log says why"
		}
		return Obstacle{Cause: CauseHeldOff, Reason: fmt.Sprintf("tried again in %v, %s", pause.Round(time.Millisecond), why)}, true
	}
	return Obstacle{}, false
}

func shortObstacle(s capacity.Shortage) Obstacle {
	o := Obstacle{Cause: CauseExclusive, Reason: s.Error()}
	switch s.What {
	case capacity.ShortCPU:
		o.Cause, o.Shortage = CauseCPU, s
	case capacity.ShortRAM:
		o.Cause, o.Shortage = CauseRAM, s
	case capacity.ShortDisk:
		o.Cause, o.Shortage = CauseDisk, s
	case capacity.ShortDriver:
		o.Cause, o.Reason = CauseDriverCapacity, "the driver has no place for one more"
	default:
		o.Reason = s.What + " is another environment's now"
	}
	return o
}

// host is this node as a vote sees it now.
func (e *Election) host() Host {
	h := Host{
		Identifiers: e.opts.Identifiers, Maintenance: e.opts.Maintenance(),
		Driver: e.opts.Driver, Configured: e.opts.Configured,
	}
	switch {
	case !e.opts.Cluster.Ready():
		h.Unfit = notReady
	case e.opts.Unfit != nil:
		h.Unfit = e.opts.Unfit()
	}
	return h
}

// publish keeps the heads of a pass for Explain.
func (e *Election) publish(heads map[string]model.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heads = heads
}

// Explain says how an application of the label that waits stands with this
// node now.
func (e *Election) Explain(app model.Application, label model.Label) Standing {
	now := time.Now()
	s := Situation{
		Waiting: Waiting{Application: app, Since: now}, Label: label, Host: e.host(), Unwritable: e.opts.Store.Writable(),
		Doubtful: e.opts.Store.Doubt(app) == store.Doubtful,
		Fits: func(uid model.UID, o Option) error {
			if e.opts.Ledger.Held(uid, now) {
				return nil // its own yes: the grant is being written
			}
			return e.opts.Ledger.Fits(o.Claim, o.Offer)
		},
	}
	e.edit(func(q *queue) {
		s.Heads = e.heads
		if line, i, found := q.find(app); found {
			s.Waiting = *line[i]
			s.Decides = s.Waiting.Role.Decider == e.opts.Node
		}
	})
	st := Explain(s, now)
	st.Others = app.Arbiter != e.opts.Node || slices.ContainsFunc(e.opts.Cluster.Active(), func(n model.UID) bool { return n != e.opts.Node })
	return st
}

// Misfits says for each definition of a label what speaks against it on this
// node, whether anything waits for it or not; maintenance and bad health, which
// pass, and the room do not count.
func (e *Election) Misfits(label model.Label) [][]Refusal {
	host := e.host()
	host.Maintenance, host.Unfit = false, ""
	all := make([][]Refusal, len(label.Definitions))
	for i, def := range label.Definitions {
		_, all[i] = examine(def, host, true)
	}
	return all
}
