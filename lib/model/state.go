package model

import "time"

// Status is a step in the life of an Application.
type Status string

// The statuses that the API shows, and two that it never does: DECLINED ends
// one grant without ending the Application, CLOSED says that a recalled one
// will never be granted.
const (
	StatusNew         Status = "NEW"
	StatusElected     Status = "ELECTED"
	StatusAllocated   Status = "ALLOCATED"
	StatusDeallocate  Status = "DEALLOCATE"
	StatusRecalled    Status = "RECALLED"
	StatusDeallocated Status = "DEALLOCATED"
	StatusError       Status = "ERROR"
	StatusDeclined    Status = "DECLINED"
	StatusClosed      Status = "CLOSED"
)

// Active reports whether an Application in this status may still be
// deallocated by its user (contract 11).
func (s Status) Active() bool {
	return s == StatusNew || s == StatusElected || s == StatusAllocated
}

// Internal reports whether the API never shows the status.
func (s Status) Internal() bool { return s == StatusDeclined || s == StatusClosed }

// ApplicationState is one fact in the life of an Application: append-only.
// Who may write it: NEW, ELECTED and CLOSED the arbiter; DECLINED, ALLOCATED,
// DEALLOCATED and ERROR the node that the grant names (ERROR also the
// arbiter); DEALLOCATE and RECALLED any node for a user, or the executor.
type ApplicationState struct {
	UID            UID
	ApplicationUID UID
	Status         Status
	Description    string
	CreatedAt      time.Time
	HLC            HLC
	// Epoch is the grant that an execution's row belongs to, from 1; 0 in
	// rows that belong to none (NEW, requests, CLOSED).
	Epoch uint32
	// NodeUID is the node that wrote the row.
	NodeUID UID
	// Decision is what the arbiter decided; ELECTED rows only.
	Decision *Decision
}

// Fold is the current state of an Application: what its rows amount to,
// whatever the order in which they arrived.
type Fold struct {
	// Current is the row that the API shows. Zero if there are no rows.
	Current ApplicationState
	// Request is the first DEALLOCATE or RECALLED, nil if nobody asked.
	Request *ApplicationState
	// Grant is the ELECTED row in force: the one of the ALLOCATED epoch, else
	// of the highest epoch not declined; nil if there is none.
	Grant *ApplicationState
	// Allocated is the ALLOCATED row in force, nil if there is none.
	Allocated *ApplicationState
	// Final says that Current is DEALLOCATED or ERROR: nothing is granted after.
	Final bool
	// Closed says that nothing will ever be written again by an execution.
	Closed bool
	// LastEpoch is the highest epoch ever granted, declined ones included.
	LastEpoch uint32
	// Declined is how many grants were declined.
	Declined int
}

// Status is the status that the API shows.
func (f Fold) Status() Status { return f.Current.Status }

// Runs reports whether the Application is ALLOCATED: nobody asked to end it, and
// nothing has.
func (f Fold) Runs() bool { return f.Allocated != nil && f.Request == nil && !f.Final }

// Waiting reports whether the Application waits for a grant.
func (f Fold) Waiting() bool {
	return f.Grant == nil && f.Request == nil && !f.Final && f.Current.Status == StatusNew
}

// Overtaken reports whether the epoch was followed by another grant before
// anything was allocated: who holds it begins nothing, whatever became of the
// later one.
func (f Fold) Overtaken(epoch uint32) bool { return f.Allocated == nil && epoch < f.LastEpoch }

// FoldStates computes the current state from an Application's rows. It never
// looks at times of day, and gives the same answer for every order of rows and
// for repeated ones. First match wins: (1) rows of a declined epoch are void,
// and so is an ALLOCATED of another node than its grant names;
// (2) DEALLOCATED or ERROR, highest epoch, then newest; (3) a request, the
// oldest; (4) ALLOCATED of the lowest epoch; (5) ELECTED of the highest;
// (6) NEW.
func FoldStates(rows []ApplicationState) Fold {
	declined := declinedEpochs(rows)
	f := Fold{Declined: len(declined)}
	var first, final, elected *ApplicationState
	ended := make(map[uint32]bool) // epochs whose execution is over
	closed := false
	for i := range rows {
		row := &rows[i]
		f.LastEpoch = max(f.LastEpoch, row.Epoch)
		if row.Epoch != 0 && declined[row.Epoch] {
			continue
		}
		switch row.Status {
		case StatusNew:
			first = pick(first, row, older)
		case StatusElected:
			elected = pick(elected, row, higherEpoch)
		case StatusAllocated:
			if !usurped(rows, row) {
				f.Allocated = pick(f.Allocated, row, lowerEpoch)
			}
		case StatusDeallocate, StatusRecalled:
			f.Request = pick(f.Request, row, older)
		case StatusDeallocated, StatusError:
			ended[row.Epoch] = true
			final = pick(final, row, higherEpoch)
		case StatusClosed:
			closed = true
		}
	}
	f.Final = final != nil
	f.Grant = grantInForce(rows, f.Allocated, elected)
	f.Closed = closed || f.Final && allEnded(rows, declined, ended)
	for _, row := range []*ApplicationState{final, f.Request, f.Allocated, elected, first} {
		if row != nil {
			f.Current = *row
			break
		}
	}
	return f
}

// usurped reports whether the row's grant is known and names another node: two
// arbiters may have granted one epoch, of which every node keeps the same one.
func usurped(rows []ApplicationState, allocated *ApplicationState) bool {
	if allocated.NodeUID == NilUID {
		return false
	}
	for i := range rows {
		d := rows[i].Decision
		if rows[i].Status == StatusElected && rows[i].Epoch == allocated.Epoch && d != nil {
			return d.Winner != allocated.NodeUID
		}
	}
	return false
}

func declinedEpochs(rows []ApplicationState) map[uint32]bool {
	var declined map[uint32]bool
	for i := range rows {
		if rows[i].Status == StatusDeclined {
			if declined == nil {
				declined = make(map[uint32]bool)
			}
			declined[rows[i].Epoch] = true
		}
	}
	return declined
}

// grantInForce is the ELECTED row of the ALLOCATED epoch, also when its own
// row has not arrived, else the highest not declined.
func grantInForce(rows []ApplicationState, allocated, elected *ApplicationState) *ApplicationState {
	if allocated == nil {
		return elected
	}
	var grant *ApplicationState
	for i := range rows {
		if rows[i].Status == StatusElected && rows[i].Epoch == allocated.Epoch {
			grant = pick(grant, &rows[i], older)
		}
	}
	if grant == nil {
		return elected
	}
	return grant
}

// allEnded reports whether every grant that was not declined has ended.
func allEnded(rows []ApplicationState, declined, ended map[uint32]bool) bool {
	for i := range rows {
		epoch := rows[i].Epoch
		started := rows[i].Status == StatusElected || rows[i].Status == StatusAllocated
		if started && !declined[epoch] && !ended[epoch] {
			return false
		}
	}
	return true
}

// pick returns the better of two rows; nil loses.
func pick(a, b *ApplicationState, better func(a, b *ApplicationState) bool) *ApplicationState {
	if a == nil || better(b, a) {
		return b
	}
	return a
}

// older prefers the lowest (clock, UID).
func older(a, b *ApplicationState) bool {
	if a.HLC != b.HLC {
		return a.HLC < b.HLC
	}
	return string(a.UID[:]) < string(b.UID[:])
}

// higherEpoch prefers the highest (epoch, clock, UID).
func higherEpoch(a, b *ApplicationState) bool {
	if a.Epoch != b.Epoch {
		return a.Epoch > b.Epoch
	}
	return older(b, a)
}

// lowerEpoch prefers the lowest epoch, then the lowest (clock, UID).
func lowerEpoch(a, b *ApplicationState) bool {
	if a.Epoch != b.Epoch {
		return a.Epoch < b.Epoch
	}
	return older(a, b)
}
