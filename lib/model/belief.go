package model

import "slices"

// TakeoverEpoch is the first epoch of a node that decides in place of a silent
// arbiter, in a cluster that allows it: what the arbiter itself had granted then
// has a lower one, and stays.
const TakeoverEpoch = 1000

// Succession returns all retirements and handovers that are known.
type Succession func() ([]Retirement, []Handover)

// Believe sorts out an Application's rows: those that count, and those that are
// void, because their writer had no right to them. Every node keeps the void
// ones and passes them on, as the row that gives the right may come later; but
// nothing is concluded from them. The answer depends on the rows alone, and not
// on their order, so that all nodes that know the same believe the same.
//
//   - ELECTED, CLOSED and an ERROR without epoch are believed of who is, or ever
//     was, the arbiter, by whatever clock: a grant that was made in time may have
//     been stamped by a clock that is ahead. An ELECTED from TakeoverEpoch on is
//     believed of anybody: who was active then, nobody can check later.
//   - Of several ELECTED of one epoch, by nodes that did not know of each other,
//     the oldest counts.
//   - DECLINED, DEALLOCATED and ERROR of an epoch are believed of the node that
//     its grant names, and if that was retired of who is or was the arbiter. Where
//     the grant has not come yet they are believed too: else something would be
//     begun a second time.
func Believe(app Application, rows []ApplicationState, succession Succession) (counts, void []ApplicationState) {
	b := belief{rows: rows, deciders: []UID{app.Arbiter}}
	if app.Arbiter == NilUID || b.all() {
		return rows, nil
	}
	var handovers []Handover
	b.retirements, handovers = succession()
	b.deciders = Deciders(app, b.retirements, handovers)
	if b.all() {
		return rows, nil
	}
	for i := range rows {
		if b.counts(&rows[i]) {
			counts = append(counts, rows[i])
		} else {
			void = append(void, rows[i])
		}
	}
	return counts, void
}

// Deciders are those who are, or ever were, the arbiter as far as anybody says:
// also the successor of a retirement that was not the first of its node.
func Deciders(app Application, retirements []Retirement, handovers []Handover) []UID {
	list := []UID{app.Arbiter}
	add := func(node UID) {
		if !slices.Contains(list, node) {
			list = append(list, node)
		}
	}
	for i := 0; i < len(list); i++ {
		for _, r := range retirements {
			if r.NodeUID == list[i] {
				add(r.Successor)
			}
		}
		for _, h := range handovers {
			if h.NodeUID == list[i] && app.HLC <= h.HLC {
				add(h.Successor)
			}
		}
	}
	return list
}

// belief is what the rows are judged by.
type belief struct {
	rows        []ApplicationState
	deciders    []UID
	retirements []Retirement
}

func (b belief) all() bool {
	for i := range b.rows {
		if !b.counts(&b.rows[i]) {
			return false
		}
	}
	return true
}

// decides reports whether the row's writer may be the arbiter. Rows of before
// there was more than one node may name none.
func (b belief) decides(row *ApplicationState) bool {
	return row.NodeUID == NilUID || slices.Contains(b.deciders, row.NodeUID)
}

func (b belief) counts(row *ApplicationState) bool {
	switch row.Status {
	case StatusElected:
		return b.grants(row) && b.grant(row.Epoch).UID == row.UID
	case StatusClosed:
		return b.decides(row)
	case StatusError, StatusDeclined, StatusDeallocated:
		g := b.grant(row.Epoch)
		if row.Epoch == 0 || g == nil || g.Decision == nil || g.Decision.Winner == row.NodeUID {
			return row.Epoch > 0 || b.decides(row)
		}
		_, retired := Retired(g.Decision.Winner, b.retirements)
		return row.NodeUID == NilUID || retired && b.decides(row)
	}
	return true
}

// grants reports whether the row's writer may grant its epoch.
func (b belief) grants(row *ApplicationState) bool {
	return row.Epoch >= TakeoverEpoch || b.decides(row)
}

// grant is the one of an epoch that counts; nil if there is none.
func (b belief) grant(epoch uint32) *ApplicationState {
	var g *ApplicationState
	for i := range b.rows {
		if row := &b.rows[i]; row.Status == StatusElected && row.Epoch == epoch && b.grants(row) {
			g = pick(g, row, older)
		}
	}
	return g
}
