package model

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func row(status Status, epoch uint32, hlc HLC) ApplicationState {
	r := ApplicationState{Status: status, Epoch: epoch, HLC: hlc}
	r.UID[0], r.UID[15] = byte(hlc), byte(epoch)
	return r
}

// by is the row as the node wrote it, granted an ELECTED one that names it.
func by(r ApplicationState, node byte) ApplicationState {
	r.NodeUID = UID{node}
	return r
}

func granted(r ApplicationState, winner byte) ApplicationState {
	r.Decision = &Decision{Winner: UID{winner}}
	return r
}

func TestFoldStates(t *testing.T) {
	tests := []struct {
		name   string
		rows   []ApplicationState
		status Status
		closed bool
	}{
		{"nothing known", nil, "", false},
		{"new", []ApplicationState{row(StatusNew, 0, 1)}, StatusNew, false},
		{"elected", []ApplicationState{row(StatusNew, 0, 1), row(StatusElected, 1, 2)}, StatusElected, false},
		{"declined is new again", []ApplicationState{
			row(StatusNew, 0, 1), row(StatusElected, 1, 2), row(StatusDeclined, 1, 3),
		}, StatusNew, false},
		{"granted again after a decline", []ApplicationState{
			row(StatusNew, 0, 1), row(StatusElected, 1, 2), row(StatusDeclined, 1, 3), row(StatusElected, 2, 4),
		}, StatusElected, false},
		{"recall during allocation is never lost", []ApplicationState{
			row(StatusNew, 0, 1), row(StatusElected, 1, 2), row(StatusRecalled, 0, 3), row(StatusAllocated, 1, 4),
		}, StatusRecalled, false},
		{"recalled grant ends deallocated", []ApplicationState{
			row(StatusNew, 0, 1), row(StatusElected, 1, 2), row(StatusRecalled, 0, 3), row(StatusDeallocated, 1, 5),
		}, StatusDeallocated, true},
		{"recalled without a grant stays so", []ApplicationState{
			row(StatusNew, 0, 1), row(StatusRecalled, 0, 2), row(StatusClosed, 0, 3),
		}, StatusRecalled, true},
		{"recalled without a grant, not closed yet", []ApplicationState{
			row(StatusNew, 0, 1), row(StatusRecalled, 0, 2),
		}, StatusRecalled, false},
		{"late allocated does not undo the end", []ApplicationState{
			row(StatusNew, 0, 1), row(StatusElected, 1, 2), row(StatusDeallocated, 1, 3), row(StatusAllocated, 1, 9),
		}, StatusDeallocated, true},
		{"two allocated: the lowest epoch stays", []ApplicationState{
			row(StatusNew, 0, 1), row(StatusElected, 1, 2), row(StatusAllocated, 1, 8),
			row(StatusElected, 1000, 3), row(StatusAllocated, 1000, 4),
		}, StatusAllocated, false},
		{"ended in one epoch, still running in another", []ApplicationState{
			row(StatusNew, 0, 1), row(StatusElected, 1, 2), row(StatusElected, 1000, 3),
			row(StatusAllocated, 1, 4), row(StatusDeallocated, 1000, 5),
		}, StatusDeallocated, false},
		{"allocated by another than the grant names", []ApplicationState{
			row(StatusNew, 0, 1), granted(row(StatusElected, 1000, 3), 2), by(row(StatusAllocated, 1000, 4), 1),
		}, StatusElected, false},
		{"allocated by whom the grant names", []ApplicationState{
			row(StatusNew, 0, 1), by(row(StatusAllocated, 1000, 4), 1), granted(row(StatusElected, 1000, 3), 2), by(row(StatusAllocated, 1000, 5), 2),
		}, StatusAllocated, false},
		{"error before any grant", []ApplicationState{
			row(StatusNew, 0, 1), row(StatusError, 0, 2),
		}, StatusError, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := FoldStates(tt.rows)
			if f.Status() != tt.status || f.Closed != tt.closed {
				t.Errorf("FoldStates() = %q closed %v, want %q closed %v", f.Status(), f.Closed, tt.status, tt.closed)
			}
		})
	}
}

func TestFoldGrantFollowsTheAllocatedEpoch(t *testing.T) {
	f := FoldStates([]ApplicationState{
		row(StatusNew, 0, 1), row(StatusElected, 1, 2), row(StatusAllocated, 1, 8), row(StatusElected, 1000, 3),
	})
	if f.Grant == nil || f.Grant.Epoch != 1 || f.LastEpoch != 1000 {
		t.Errorf("grant = %+v, last epoch %d, want the grant of epoch 1 and last epoch 1000", f.Grant, f.LastEpoch)
	}
}

// rowsGen draws histories that no single node would write, because a fold
// must stand whatever arrives.
func rowsGen() *rapid.Generator[[]ApplicationState] {
	statuses := []Status{
		StatusNew, StatusElected, StatusAllocated, StatusDeallocate, StatusRecalled,
		StatusDeallocated, StatusError, StatusDeclined, StatusClosed,
	}
	return rapid.Custom(func(t *rapid.T) []ApplicationState {
		n := rapid.IntRange(1, 10).Draw(t, "n")
		rows := make([]ApplicationState, n)
		for i := range rows {
			status := rapid.SampledFrom(statuses).Draw(t, "status")
			var epoch uint32
			switch status {
			case StatusNew, StatusDeallocate, StatusRecalled, StatusClosed:
			case StatusError:
				epoch = rapid.Uint32Range(0, 3).Draw(t, "epoch")
			default:
				epoch = rapid.Uint32Range(1, 3).Draw(t, "epoch")
			}
			rows[i] = row(status, epoch, HLC(rapid.Int64Range(1, 5).Draw(t, "hlc")))
			rows[i].UID[3] = byte(i)
		}
		return rows
	})
}

func TestFoldIgnoresOrderAndRepeats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rowsGen().Draw(t, "rows")
		want := FoldStates(rows)
		shuffled := rapid.Permutation(rows).Draw(t, "shuffled")
		shuffled = append(shuffled, rapid.SampledFrom(rows).Draw(t, "again"))
		if diff := cmp.Diff(want, FoldStates(shuffled)); diff != "" {
			t.Fatalf("fold depends on order or repeats (-want +got):\n%s", diff)
		}
	})
}

func TestFoldIsNeverUndone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rowsGen().Draw(t, "rows")
		before := FoldStates(rows)
		if !before.Final {
			return
		}
		// A late row of the same executions never takes the end back, unless
		// it declines them, which an executor that ended them never writes.
		late := row(rapid.SampledFrom([]Status{
			StatusNew, StatusElected, StatusAllocated, StatusDeallocate, StatusRecalled,
		}).Draw(t, "late"), rapid.Uint32Range(1, 3).Draw(t, "epoch"), 9)
		after := FoldStates(append(rows, late))
		if !after.Final || after.Current.UID != before.Current.UID {
			t.Fatalf("%s after %s shows %s", late.Status, before.Status(), after.Status())
		}
	})
}

func TestFoldNeverShowsInternalStatuses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := FoldStates(rowsGen().Draw(t, "rows"))
		if f.Status().Internal() {
			t.Fatalf("fold shows %s", f.Status())
		}
		if f.Waiting() && (f.Grant != nil || f.Request != nil || f.Final) {
			t.Fatalf("waiting with %+v", f)
		}
	})
}

func TestRequestRelease(t *testing.T) {
	tests := []struct {
		name string
		rows []ApplicationState
		want Status // "" = refused
	}{
		{"new", []ApplicationState{row(StatusNew, 0, 1)}, StatusRecalled},
		{"elected", []ApplicationState{row(StatusNew, 0, 1), row(StatusElected, 1, 2)}, StatusRecalled},
		{"allocated", []ApplicationState{row(StatusElected, 1, 2), row(StatusAllocated, 1, 3)}, StatusDeallocate},
		{"already asked", []ApplicationState{row(StatusNew, 0, 1), row(StatusRecalled, 0, 2)}, ""},
		{"ended", []ApplicationState{row(StatusElected, 1, 2), row(StatusError, 1, 3)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			change, err := RequestRelease(&Entry{Fold: FoldStates(tt.rows)}, "why")
			if tt.want == "" {
				if err == nil || !change.Empty() {
					t.Errorf("RequestRelease() = %+v, %v, want a refusal", change, err)
				}
				return
			}
			if err != nil || len(change.States) != 1 || change.States[0].Status != tt.want {
				t.Errorf("RequestRelease() = %+v, %v, want one %s", change, err, tt.want)
			}
		})
	}
}

func TestOvertaken(t *testing.T) {
	grants := []ApplicationState{row(StatusNew, 0, 1), row(StatusElected, 1, 2), row(StatusElected, 2, 3), row(StatusDeclined, 2, 4)}
	if f := FoldStates(grants); !f.Overtaken(1) || f.Overtaken(2) {
		t.Errorf("Overtaken(1) = %v, Overtaken(2) = %v, want true, false", f.Overtaken(1), f.Overtaken(2))
	}
	if f := FoldStates(append(grants, row(StatusAllocated, 1, 9))); f.Overtaken(1) {
		t.Error("what is allocated counts as overtaken")
	}
}
