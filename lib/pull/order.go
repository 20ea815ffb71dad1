package pull

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/calls"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Order asks for everything that the environment of one definition is made from.
type Order struct {
	Instance   string
	Label      model.Label
	Definition int    // index in the label
	By         string // the user who asked; "" is the node itself
}

// key names what an order asks for, whoever asks.
type key struct {
	instance   string
	label      model.UID
	definition int
}

func (o Order) key() key { return key{o.Instance, o.Label.UID, o.Definition} }

// status is what there is to say about the order when it begins.
func (o Order) status(state State, now time.Time) Status {
	return Status{
		Instance: o.Instance, LabelUID: o.Label.UID, LabelName: o.Label.Name, LabelVersion: o.Label.Version,
		Definition: o.Definition, By: o.By, State: state, StartedAt: now,
	}
}

// Refusal is why nothing is pulled for one definition of a label.
type Refusal struct {
	Definition int
	Instance   string
	// Lasting says that this node is not one for it, until the label or the
	// configuration is another.
	Lasting bool
	// Away says that its driver is one that manages images and only lacks
	// something for now, as its engine.
	Away   bool
	Reason string
}

// RefusedError says why nothing of a label can be pulled here.
type RefusedError struct{ Refusals []Refusal }

// Error implements error.
func (e *RefusedError) Error() string {
	if len(e.Refusals) == 0 {
		return "the label has no definitions"
	}
	texts := make([]string, len(e.Refusals))
	for i, r := range e.Refusals {
		texts[i] = fmt.Sprintf("definition %d: %s", r.Definition, r.Reason)
	}
	return strings.Join(texts, "; ")
}

// Lasting reports whether the node is none for any of the label's definitions;
// else it may be, as soon as something comes back.
func (e *RefusedError) Lasting() bool {
	return !slices.ContainsFunc(e.Refusals, func(r Refusal) bool { return !r.Lasting })
}

// ErrCrowded says that too much is on its way already.
var ErrCrowded = errors.New("too many pulls are on their way, wait for one to end")

// Errors of the calls of an instance.
var (
	// ErrStopping says that the node stops.
	ErrStopping = calls.ErrStopping
	// ErrBusy says that an instance is asked nothing more for now.
	ErrBusy = calls.ErrBusy
)

// Candidate is a definition that this node could run, by a driver that manages
// images.
type Candidate struct {
	Definition int
	Instance   string
	// Cached says that nothing would have to be fetched.
	Cached bool
}

// Candidates are the label's definitions that the host could run, apart from
// the room for them, by drivers that manage images, and why not the others. A
// host in maintenance can fetch, so that does not count.
func Candidates(label model.Label, host election.Host) (found []Candidate, refused []Refusal) {
	host.Maintenance, host.Unfit = false, ""
	sorted := election.Sort(label, host)
	managed := func(definition int) (instance string, ok bool) {
		instance = label.Definitions[definition].Driver
		driver, _ := host.Driver(instance)
		_, ok = driver.(drivers.ImageManager)
		return instance, ok
	}
	for _, r := range sorted.Refusals {
		instance, ok := managed(r.Definition)
		refused = append(refused, Refusal{Definition: r.Definition, Instance: instance, Lasting: r.Lasting, Away: ok && !r.Lasting, Reason: r.Reason})
	}
	for _, o := range sorted.Options {
		instance, ok := managed(o.Definition)
		if !ok {
			refused = append(refused, Refusal{
				Definition: o.Definition, Instance: instance, Lasting: true, Reason: fmt.Sprintf("driver %s keeps no images", instance),
			})
			continue
		}
		found = append(found, Candidate{Definition: o.Definition, Instance: instance, Cached: o.Cached})
	}
	slices.SortFunc(refused, func(a, b Refusal) int { return cmp.Compare(a.Definition, b.Definition) })
	return found, refused
}
