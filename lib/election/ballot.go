package election

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Option is one of a label's definitions that this node could run if there is
// room.
type Option struct {
	Definition int // index in the label
	Claim      capacity.Claim
	// Cached says that its image is at hand, Coming that it is on its way instead.
	Cached, Coming bool
	capacity.Offer
}

// Refusal is why this node can not run one of a label's definitions, apart
// from the room for it.
type Refusal struct {
	Definition int
	Cause      Cause
	// Lasting says that it will stay so on this node until the label or the
	// configuration is another.
	Lasting bool
	Reason  string
}

// Candidates are a label's definitions, sorted out for this node.
type Candidates struct {
	Options  []Option // in order of preference
	Refusals []Refusal
}

// Host is what a node brings to a vote.
type Host struct {
	Identifiers []string
	// Maintenance says that nothing new is taken.
	Maintenance bool
	// Unfit is why nothing should be given to the node; "" if it is well.
	Unfit string
	// Driver returns a ready instance, or says why there is none.
	Driver func(name string) (driver drivers.Driver, absent string)
	// Configured says that there may be such an instance later.
	Configured func(name string) bool
}

// Sort says which definitions of the label the host could run, apart from the
// room for them, and the first reason why not the others (contract 13).
func Sort(label model.Label, host Host) Candidates {
	var c Candidates
	for i, def := range label.Definitions {
		option, refusals := examine(def, host, false)
		if len(refusals) > 0 {
			refusals[0].Definition = i
			c.Refusals = append(c.Refusals, refusals[0])
			continue
		}
		option.Definition = i
		c.Options = append(c.Options, option)
	}
	return c
}

// examine finds what speaks against a definition on the host, apart from the
// room for it: all of it if asked to, else no more than what costs little to
// find beside the first. There is an option only if nothing does.
func examine(def model.LabelDefinition, host Host, all bool) (Option, []Refusal) {
	var refusals []Refusal
	if host.Maintenance {
		refusals = append(refusals, refusal(CauseMaintenance, false, "node is in maintenance"))
	}
	if host.Unfit != "" {
		refusals = append(refusals, refusal(CauseUnfit, false, "node takes nothing: %s", host.Unfit))
	}
	driver, absent := host.Driver(def.Driver)
	switch {
	case driver != nil:
	case host.Configured(def.Driver):
		refusals = append(refusals, refusal(CauseDriverAbsent, false, "driver %s is not ready: %s", def.Driver, absent))
	default:
		refusals = append(refusals, refusal(CauseDriverUnknown, true, "driver %s %s", def.Driver, absent))
	}
	if pattern, unmatched := model.UnmatchedPattern(def.Resources.NodeFilter, host.Identifiers); unmatched {
		refusals = append(refusals, refusal(CauseNodeFilter, true, "node filter %q matches no identifier of the node", pattern))
	}
	if driver == nil || !all && len(refusals) > 0 {
		return Option{}, refusals
	}
	option, more := consult(def, driver)
	return option, append(refusals, more...)
}

func refusal(cause Cause, lasting bool, format string, args ...any) Refusal {
	return Refusal{Cause: cause, Lasting: lasting, Reason: fmt.Sprintf(format, args...)}
}

// consult asks the driver about a definition. A panic in it is a reason like
// others: one label must not take the node, and with it all others, along.
func consult(def model.LabelDefinition, driver drivers.Driver) (option Option, refusals []Refusal) {
	defer func() {
		if p := recover(); p != nil {
			option, refusals = Option{}, []Refusal{refusal(CauseOptions, false, "driver fails on the definition, which is a bug of the driver: panic: %v", p)}
		}
	}()
	if err := driver.Validate(def); err != nil {
		refusals = append(refusals, refusal(CauseOptions, true, "driver refuses the definition: %v", err))
		return Option{}, refusals // what it would claim is not known
	}
	option.Claim = capacity.ClaimOf(def, driver)
	var err error
	option.Offer, err = capacity.OfferOf(def, driver, option.Claim)
	if short := capacity.EverFits(option.Claim, option.Offer); short != nil {
		refusals = append(refusals, refusal(CauseTooLarge, true, "does not fit on an empty node: %v", short))
	}
	if holder, ok := driver.(drivers.ImageHolder); ok {
		option.Cached = holder.Cached(def)
	}
	if manager, ok := driver.(drivers.ImageManager); ok {
		option.Coming = !option.Cached && manager.Coming(def)
	}
	if err != nil {
		refusals = append(refusals, refusal(CauseCapacityUnknown, false, "driver can take none now: %v", err))
	}
	return option, refusals
}

// Heads picks the applications that younger ones must stand back for: per
// scope (the local instances of a node together, or one remote instance) the
// oldest that waited longer than starvationAfter and lacks nothing but room
// there: what would not fit on an empty node is no option to begin with. An application heads one scope only:
// of those still free, the one with the highest hash of both, so that several
// starving ones spread.
func Heads(lines []Line, sorted map[model.UID]Candidates, starvationAfter time.Duration, now time.Time) map[string]model.UID {
	heads := make(map[string]model.UID)
	if starvationAfter <= 0 {
		return heads
	}
	var starving []*Waiting
	for _, line := range lines {
		// Each heads a scope, so of one label there are no more than its options.
		options := sorted[line[0].Application.LabelUID].Options
		for _, w := range line[:min(len(options), len(line))] {
			if w.waited(now) >= starvationAfter {
				starving = append(starving, w)
			}
		}
	}
	slices.SortFunc(starving, older)
	for _, w := range starving {
		if scope, ok := headScope(w, sorted[w.Application.LabelUID].Options, heads); ok {
			heads[scope] = w.Application.UID
		}
	}
	return heads
}

func headScope(w *Waiting, options []Option, heads map[string]model.UID) (string, bool) {
	var scopes []string
	for _, o := range options {
		_, headed := heads[o.Claim.Scope()]
		if !headed && !capacity.Crowded(o.Claim, o.Offer) {
			scopes = append(scopes, o.Claim.Scope())
		}
	}
	if len(scopes) == 0 {
		return "", false
	}
	return slices.MaxFunc(scopes, func(a, b string) int {
		return cmp.Or(slices.Compare(rendezvous(w, a), rendezvous(w, b)), cmp.Compare(a, b))
	}), true
}

func rendezvous(w *Waiting, scope string) []byte {
	sum := sha256.Sum256(append(w.Application.UID[:], scope...))
	return sum[:]
}

// Yes is a vote for one's own node together with the hold that backs it.
type Yes struct {
	Waiting *Waiting
	Option
}

// Ballot answers for each waiting application, oldest first, whether this node
// can run it now, and takes hold of the room for each yes. What does not fit
// blocks nobody behind it, except behind a head. Applications of one label
// need the same: once the oldest does not fit, the younger ones are not tried.
// It returns at most most yeses; more says that it stopped there.
func Ballot(lines []Line, sorted map[model.UID]Candidates, heads map[string]model.UID,
	hold func(app model.UID, o Option) error, most int,
) (yeses []Yes, more bool) {
	lines = slices.SortedFunc(slices.Values(lines), byAge)
	for len(lines) > 0 {
		if len(yeses) == most {
			return yeses, true
		}
		w, younger := lines[0][0], lines[0][1:]
		lines = lines[1:]
		option, ok := firstFit(w, sorted[w.Application.LabelUID].Options, heads, hold)
		if !ok {
			continue
		}
		yeses = append(yeses, Yes{Waiting: w, Option: option})
		if len(younger) > 0 {
			i, _ := slices.BinarySearchFunc(lines, younger, byAge)
			lines = slices.Insert(lines, i, younger)
		}
	}
	return yeses, false
}

func firstFit(w *Waiting, options []Option, heads map[string]model.UID, hold func(model.UID, Option) error) (Option, bool) {
	for _, o := range options {
		if attempt(w.Application.UID, o, heads, hold) == nil {
			return o, true
		}
	}
	return Option{}, false
}

// attempt tries to take the room of an option, and says what is in the way: a
// Behind, or what hold answered.
func attempt(app model.UID, o Option, heads map[string]model.UID, hold func(model.UID, Option) error) error {
	if head, ok := heads[o.Claim.Scope()]; ok && head != app {
		return Behind{Head: head}
	}
	return hold(app, o)
}

// Behind says that a starving application is served first.
type Behind struct {
	Head model.UID
}

// Error implements error. It does not name the application, which not
// everybody may know.
func (Behind) Error() string { return "an older application that waits for room is served first" }
