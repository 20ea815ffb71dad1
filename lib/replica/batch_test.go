package replica

import (
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestBatchValidate(t *testing.T) {
	origin := Origin{Node: uid(1), Incarnation: 1}
	row := func(seq uint64) Row {
		return Row{Kind: 99, Key: []byte("k"), Version: Version{HLC: 1, Origin: origin, Seq: seq}, Body: []byte("{}")}
	}
	change := func(f func(*Row)) Row { r := row(5); f(&r); return r }
	tests := []struct {
		name  string
		batch Batch
		want  string // in the error; "" for none
	}{
		{"good", Batch{origin, 3, 9, []Row{row(4), row(9)}}, ""},
		{"nothing current left", Batch{origin, 3, 9, nil}, ""},
		{"deleted", Batch{origin, 3, 9, []Row{change(func(r *Row) { r.Deleted, r.Body = true, nil })}}, ""},
		{"no origin", Batch{Origin{}, 3, 9, nil}, "no origin"},
		{"covers nothing", Batch{origin, 9, 9, nil}, "covers nothing"},
		{"backwards", Batch{origin, 9, 3, nil}, "covers nothing"},
		{"row before", Batch{origin, 5, 9, []Row{row(5)}}, "sequence number 5"},
		{"row behind", Batch{origin, 3, 4, []Row{row(5)}}, "sequence number 5"},
		{"order", Batch{origin, 3, 9, []Row{row(6), row(5)}}, "sequence number 5"},
		{"twice", Batch{origin, 3, 9, []Row{row(5), row(5)}}, "sequence number 5"},
		{"another origin", Batch{origin, 3, 9, []Row{change(func(r *Row) { r.Version.Origin.Incarnation++ })}}, "another origin"},
		{"no kind", Batch{origin, 3, 9, []Row{change(func(r *Row) { r.Kind = 0 })}}, "no kind"},
		{"no key", Batch{origin, 3, 9, []Row{change(func(r *Row) { r.Key = nil })}}, "no key"},
		{"long key", Batch{origin, 3, 9, []Row{change(func(r *Row) { r.Key = make([]byte, MaxKey+1) })}}, "key of"},
		{"no body", Batch{origin, 3, 9, []Row{change(func(r *Row) { r.Body = nil })}}, "no body"},
		{"large body", Batch{origin, 3, 9, []Row{change(func(r *Row) { r.Body = make([]byte, MaxBody+1) })}}, "body of"},
		{"deleted with body", Batch{origin, 3, 9, []Row{change(func(r *Row) { r.Deleted = true })}}, "has a body"},
		{"no version", Batch{origin, 3, 9, []Row{change(func(r *Row) { r.Version.HLC = -1 })}}, "no version"},
		{"many rows", Batch{origin, 3, 9999, make([]Row, MaxBatchRows+1)}, "rows of at most"},
		{"many bytes", Batch{origin, 0, 9999, bulky(origin, 5)}, "more than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.batch.Validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Validate = %v, want %q", err, tt.want)
			}
		})
	}
}

func bulky(origin Origin, n uint64) []Row {
	var rows []Row
	for seq := range n {
		rows = append(rows, Row{
			Kind: 99, Key: []byte("k"), Version: Version{Origin: origin, Seq: seq + 1}, Body: make([]byte, MaxBody),
		})
	}
	return rows
}

// TestLargestRowTravels: what a node may write fits into a batch.
func TestLargestRowTravels(t *testing.T) {
	origin := Origin{Node: uid(1)}
	row := Row{Kind: KindUser, Key: make([]byte, MaxKey), Body: make([]byte, MaxBody), Version: Version{Origin: origin, Seq: 1}}
	if err := (Batch{origin, 0, 1, []Row{row}}).Validate(); err != nil {
		t.Error(err)
	}
	if limit := (Limit{Rows: 10, Bytes: 10}); !limit.Fits(0, 0, row.Size()) || limit.Fits(1, 1, row.Size()) || limit.Fits(10, 0, 1) {
		t.Error("a limit must take the first row of any size, and no further one past it")
	}
}

func TestVersionCompare(t *testing.T) {
	v := Version{HLC: 5, Origin: Origin{uid(5), 5}, Seq: 5}
	for name, w := range map[string]Version{
		"clock":       {HLC: 6, Origin: Origin{uid(1), 1}, Seq: 1},
		"node":        {HLC: 5, Origin: Origin{uid(6), 1}, Seq: 1},
		"incarnation": {HLC: 5, Origin: Origin{uid(5), 6}, Seq: 1},
		"sequence":    {HLC: 5, Origin: Origin{uid(5), 5}, Seq: 6},
	} {
		if v.Compare(w) >= 0 || w.Compare(v) <= 0 {
			t.Errorf("%s does not order versions", name)
		}
	}
	if v.Compare(v) != 0 || model.NilUID != (model.UID{}) {
		t.Error("a version differs from itself")
	}
}
