package pull

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers"
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

// RefusedError says why nothing of a label can be pulled here.
type RefusedError struct{ Reasons []string }

// Error implements error.
func (e *RefusedError) Error() string {
	if len(e.Reasons) == 0 {
		return "the label has no definitions"
	}
	return strings.Join(e.Reasons, "; ")
}

// ErrCrowded says that too much is on its way already.
var ErrCrowded = errors.New("too many pulls are on their way, wait for one to end")

// ErrStopping says that the node stops.
var ErrStopping = errors.New("the node is stopping")

// Candidate is a definition that this node could run, by a driver that manages
// images.
type Candidate struct {
	Definition int
	Instance   string
	// Cached says that nothing would have to be fetched.
	Cached bool
}

// Candidates are the label's definitions that the host could run, apart from
// the room for them, by drivers that manage images; reasons say why not the
// others. A host in maintenance can fetch, so that does not count.
func Candidates(label model.Label, host election.Host) (found []Candidate, reasons []string) {
	host.Maintenance, host.Unfit = false, ""
	sorted := election.Sort(label, host)
	refuse := func(definition int, reason string) {
		reasons = append(reasons, fmt.Sprintf("definition %d: %s", definition, reason))
	}
	for _, r := range sorted.Refusals {
		refuse(r.Definition, r.Reason)
	}
	for _, o := range sorted.Options {
		name := label.Definitions[o.Definition].Driver
		driver, _ := host.Driver(name)
		if _, ok := driver.(drivers.ImageManager); !ok {
			refuse(o.Definition, fmt.Sprintf("driver %s keeps no images", name))
			continue
		}
		found = append(found, Candidate{Definition: o.Definition, Instance: name, Cached: o.Cached})
	}
	return found, reasons
}
