package model

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestBelieve(t *testing.T) {
	app := Application{Arbiter: UID{1}, HLC: 10}
	retirements := []Retirement{retirement(50, 1, 2), retirement(40, 1, 3), retirement(60, 7, 1)}
	handovers := []Handover{handover(20, 3, 4), handover(5, 4, 5)} // the second is of before the application
	succession := func() ([]Retirement, []Handover) { return retirements, handovers }
	grant := by(granted(row(StatusElected, 1, 15), 7), 1)
	tests := []struct {
		name string
		row  ApplicationState
		want bool
	}{
		{"the origin's grant, long after it was retired", by(row(StatusElected, 2, 99), 1), true},
		{"the first successor's", by(row(StatusElected, 2, 70), 3), true},
		{"the other successor's", by(row(StatusElected, 2, 70), 2), true},
		{"who was handed the role", by(row(StatusElected, 2, 70), 4), true},
		{"who was handed what is older", by(row(StatusElected, 2, 70), 5), false},
		{"who was never the arbiter", by(row(StatusElected, 2, 70), 6), false},
		{"one retired by itself", by(row(StatusElected, 2, 70), 7), false},
		{"anybody in place of a silent arbiter", by(row(StatusElected, TakeoverEpoch, 70), 6), true},
		{"of one epoch the younger", by(row(StatusElected, 1, 16), 3), false},
		{"of one epoch the older", by(row(StatusElected, 1, 14), 3), true},
		{"of one epoch the older, of a stranger", by(row(StatusElected, 1, 14), 6), false},
		{"the arbiter closes", by(row(StatusClosed, 0, 70), 3), true},
		{"a stranger closes", by(row(StatusClosed, 0, 70), 6), false},
		{"the arbiter ends", by(row(StatusError, 0, 70), 1), true},
		{"a stranger ends", by(row(StatusError, 0, 70), 6), false},
		{"the executor ends", by(row(StatusDeallocated, 1, 70), 7), true},
		{"the successor ends what a retired one ran", by(row(StatusError, 1, 70), 3), true},
		{"a stranger ends what a retired one ran", by(row(StatusError, 1, 70), 6), false},
		{"declined by another", by(row(StatusDeclined, 1, 70), 6), false},
		{"ends a grant that has not come", by(row(StatusDeallocated, 5, 70), 6), true},
		{"anybody asks for its end", by(row(StatusDeallocate, 0, 70), 6), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.row.UID[7] = 1
			counts, void := Believe(app, []ApplicationState{grant, tt.row}, succession)
			if got := slices.ContainsFunc(counts, func(s ApplicationState) bool { return s.UID == tt.row.UID }); got != tt.want || len(counts)+len(void) != 2 {
				t.Errorf("believed %v, want %v; %d count and %d do not", got, tt.want, len(counts), len(void))
			}
		})
	}
	alive := []Retirement{}
	end := by(row(StatusError, 1, 70), 1)
	if _, void := Believe(app, []ApplicationState{grant, end}, func() ([]Retirement, []Handover) { return alive, nil }); len(void) != 1 {
		t.Error("the arbiter ends what another node runs that was not retired")
	}
}

// TestBelieveIsOneEverywhere: the order of rows and facts decides nothing, there
// is one grant of an epoch at most, and no row is lost.
func TestBelieveIsOneEverywhere(t *testing.T) {
	node := rapid.Map(rapid.IntRange(1, 5), func(n int) byte { return byte(n) })
	status := rapid.SampledFrom([]Status{
		StatusNew, StatusElected, StatusElected, StatusElected, StatusDeclined, StatusAllocated, StatusDeallocated, StatusError, StatusClosed,
	})
	rapid.Check(t, func(t *rapid.T) {
		app := Application{Arbiter: UID{node.Draw(t, "origin")}, HLC: 10}
		var rows []ApplicationState
		for i := range rapid.IntRange(0, 8).Draw(t, "rows") {
			r := by(row(status.Draw(t, "status"), uint32(rapid.IntRange(0, 2).Draw(t, "epoch")), HLC(rapid.IntRange(1, 9).Draw(t, "at"))), node.Draw(t, "by"))
			if r.Status == StatusElected {
				r = granted(r, node.Draw(t, "winner"))
			}
			r.UID[3] = byte(i)
			rows = append(rows, r)
		}
		var retirements []Retirement
		for range rapid.IntRange(0, 3).Draw(t, "retirements") {
			retirements = append(retirements, retirement(HLC(rapid.IntRange(0, 50).Draw(t, "at")), node.Draw(t, "gone"), node.Draw(t, "to")))
		}
		believe := func(rows []ApplicationState, retirements []Retirement) (counts, void []ApplicationState) {
			counts, void = Believe(app, rows, func() ([]Retirement, []Handover) { return retirements, nil })
			byUID := func(a, b ApplicationState) int { return slices.Compare(a.UID[:], b.UID[:]) }
			counts, void = slices.Clone(counts), slices.Clone(void)
			slices.SortFunc(counts, byUID)
			slices.SortFunc(void, byUID)
			return counts, void
		}
		counts, void := believe(rows, retirements)
		again, voidAgain := believe(rapid.Permutation(rows).Draw(t, "order"), rapid.Permutation(retirements).Draw(t, "order"))
		if diff := cmp.Diff(counts, again) + cmp.Diff(void, voidAgain); diff != "" {
			t.Fatalf("the order decides:\n%s", diff)
		}
		if len(counts)+len(void) != len(rows) {
			t.Fatalf("%d and %d of %d rows", len(counts), len(void), len(rows))
		}
		seen := map[uint32]bool{}
		for _, s := range counts {
			if s.Status == StatusElected && seen[s.Epoch] {
				t.Fatalf("two grants of epoch %d count", s.Epoch)
			}
			seen[s.Epoch] = seen[s.Epoch] || s.Status == StatusElected
		}
		if SumOfRetirements(retirements) != SumOfRetirements(rapid.Permutation(retirements).Draw(t, "order")) {
			t.Fatal("the order decides the sum")
		}
	})
}
