package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// What this node stamps anew falls behind what others wrote by clocks that are
// ahead too. Who decides follows from the order of retirements and handovers
// among applications, and who owns a thing from that of ownerships: where another
// order says something else, this node waits until the others have stamped theirs
// anew, and stamps nothing at all. To leave such facts alone behind would be worse:
// a handover that is ahead gives away all that is accepted until then.

// errOrder says that what this node wrote has to wait for others' rows.
var errOrder = errors.New("other nodes wrote by a clock that was ahead too, and what this node gave away, took over or owns counts only after that: " +
	"see that these nodes run and that their clocks are right, they give it the right time first; else it is done when that time has come")

// own and others' nouns of a kind that are ahead.
type sides[T any] struct{ own, others []T }

func (s *sides[T]) add(r syncRow, own bool, decode func([]byte) (T, error)) {
	noun, err := decode(r.Body)
	switch {
	case err != nil: // of a newer program: nobody here counts it
	case own:
		s.own = append(s.own, noun)
	default:
		s.others = append(s.others, noun)
	}
}

// orderly are the rows that count by their order.
type orderly struct {
	applications sides[model.Application]
	retirements  sides[model.Retirement]
	handovers    sides[model.Handover]
	ownerships   sides[model.Ownership]
	writers      []model.UID // of those of others
}

func readOrderly(rows []syncRow, node model.UID) (o orderly) {
	for _, r := range rows {
		if r.Deleted {
			continue
		}
		writer := r.Version.Origin.Node
		own := writer == node
		switch r.Kind {
		case replica.KindApplication:
			o.applications.add(r, own, replica.DecodeApplication)
		case replica.KindRetirement:
			o.retirements.add(r, own, replica.DecodeRetirement)
		case replica.KindHandover:
			o.handovers.add(r, own, replica.DecodeHandover)
		case replica.KindOwnership:
			o.ownerships.add(r, own, replica.DecodeOwnership)
		default:
			continue
		}
		if !own && !slices.Contains(o.writers, writer) {
			o.writers = append(o.writers, writer)
		}
	}
	return o
}

// keepsOrder returns nil if everybody decides about the same as before, and owns
// the same, when the rows that are ahead have the readings r.
func (s *Store) keepsOrder(found []syncRow, r readings) error {
	o := readOrderly(found, s.opts.Node)
	if len(o.writers) == 0 {
		return nil
	}
	retirements, handovers := s.Succession()
	if o.ownersStay() && o.decidersStay(s.memory.open, retirements, handovers, r) {
		return nil
	}
	slices.SortFunc(o.writers, func(a, b model.UID) int { return bytes.Compare(a[:], b[:]) })
	return fmt.Errorf("%w (nodes %v)", errOrder, o.writers)
}

// ownersStay reports whether no own ownership or retirement comes before an older
// one of others that is about the same.
func (o orderly) ownersStay() bool {
	for _, mine := range o.ownerships.own {
		of := func(node model.UID) bool { return node == mine.From || node == mine.By }
		if slices.ContainsFunc(o.ownerships.others, func(t model.Ownership) bool { return t.HLC <= mine.HLC && t.Thing == mine.Thing }) ||
			slices.ContainsFunc(o.retirements.others, func(t model.Retirement) bool { return t.HLC <= mine.HLC && of(t.NodeUID) }) {
			return false
		}
	}
	for _, mine := range o.retirements.own {
		about := func(node model.UID) bool { return node == mine.NodeUID }
		if slices.ContainsFunc(o.ownerships.others, func(t model.Ownership) bool { return t.HLC <= mine.HLC && (about(t.From) || about(t.By)) }) ||
			slices.ContainsFunc(o.retirements.others, func(t model.Retirement) bool { return t.HLC <= mine.HLC && about(t.NodeUID) }) {
			return false
		}
	}
	return true
}

// decidersStay reports whether all that is open has the same arbiter, and whoever
// decided about an application that stays ahead had the right to.
func (o orderly) decidersStay(open map[model.UID]*model.Entry, retirements []model.Retirement, handovers []model.Handover, r readings) bool {
	laterRetirements, laterHandovers := o.later(retirements, handovers, r)
	mine := make(map[model.UID]bool, len(o.applications.own))
	for _, app := range o.applications.own {
		mine[app.UID] = true
	}
	for uid, e := range open {
		then := e.Application
		if mine[uid] {
			then.HLC = r.of(then.HLC)
		}
		if model.Arbiter(e.Application, retirements, handovers) != model.Arbiter(then, laterRetirements, laterHandovers) {
			return false
		}
	}
	for _, app := range o.applications.others { // also what has ended: its decisions have to count where they are read later
		then := model.Deciders(app, laterRetirements, laterHandovers)
		for _, node := range model.Deciders(app, retirements, handovers) {
			if !slices.Contains(then, node) {
				return false
			}
		}
	}
	return true
}

// later is the succession with the readings that the own facts will have.
func (o orderly) later(retirements []model.Retirement, handovers []model.Handover, r readings) ([]model.Retirement, []model.Handover) {
	retirements, handovers = slices.Clone(retirements), slices.Clone(handovers)
	for i, known := range retirements {
		if slices.ContainsFunc(o.retirements.own, func(own model.Retirement) bool {
			return own.NodeUID == known.NodeUID && own.Successor == known.Successor
		}) {
			retirements[i].HLC = r.of(known.HLC)
		}
	}
	for i, known := range handovers {
		if slices.ContainsFunc(o.handovers.own, func(own model.Handover) bool { return own.UID == known.UID }) {
			handovers[i].HLC = r.of(known.HLC)
		}
	}
	return retirements, handovers
}
