package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// rowsToRead are a row of a state and one of a Resource, and what they say.
func rowsToRead(t *testing.T, writer model.UID) (rows map[string]replica.Row, say map[string]any) {
	t.Helper()
	state := model.ApplicationState{
		UID: model.UID{1}, ApplicationUID: model.UID{2}, NodeUID: writer, Status: model.StatusAllocated, Description: "it runs", HLC: 7,
	}
	resource := model.Resource{UID: model.UID{3}, ApplicationUID: model.UID{2}, NodeUID: writer, Identifier: "vm", Metadata: emptyObject(), HLC: 7}
	stateBody, err := replica.EncodeApplicationState(state)
	if err != nil {
		t.Fatal(err)
	}
	resourceBody, err := replica.EncodeResource(resource)
	if err != nil {
		t.Fatal(err)
	}
	version := replica.Version{HLC: 7, Origin: replica.Origin{Node: writer, Incarnation: 1}, Seq: 1}
	rows = map[string]replica.Row{
		"state":    {Kind: replica.KindApplicationState, Key: state.UID[:], Version: version, Body: stateBody},
		"resource": {Kind: replica.KindResource, Key: resource.UID[:], Version: version, Body: resourceBody},
	}
	return rows, map[string]any{"state": state, "resource": resource}
}

// TestArriveSays: a row is what its owner wrote, and nothing else.
func TestArriveSays(t *testing.T) {
	writer, other := model.UID{9}, model.UID{8}
	rows, say := rowsToRead(t, writer)
	for name, row := range rows {
		got := arrive(row)
		if diff := cmp.Diff(say[name], got.noun); diff != "" || !got.authentic {
			t.Errorf("%s: authentic %v, noun (-want +got):\n%s", name, got.authentic, diff)
		}
		stranger := row
		stranger.Version.Origin.Node = other
		if got := arrive(stranger); got.authentic || got.noun != nil {
			t.Errorf("%s of another node: got %v, %v, want it dropped", name, got.authentic, got.noun)
		}
		misplaced := row
		misplaced.Key = other[:]
		if got := arrive(misplaced); got.noun != nil {
			t.Errorf("%s under another key: got %v, want nothing", name, got.noun)
		}
		deleted := row
		deleted.Deleted, deleted.Body = true, nil
		if got := arrive(deleted); got.noun != nil {
			t.Errorf("%s deleted: got %v, want nothing", name, got.noun)
		}
		broken := row
		broken.Body = []byte(`{"UID":`)
		if got := arrive(broken); got.noun != nil || got.authentic != (row.Kind == replica.KindApplicationState) {
			t.Errorf("%s broken: got %v, %v, want no noun", name, got.authentic, got.noun)
		}
	}
}

// TestArriveReadsOnce: half of what rows of other nodes cost outside of the
// writer is the reading of their bodies.
func TestArriveReadsOnce(t *testing.T) {
	rows, _ := rowsToRead(t, model.UID{9})
	for name, decode := range map[string]func([]byte) (any, error){
		"state":    func(b []byte) (any, error) { return replica.DecodeApplicationState(b) },
		"resource": func(b []byte) (any, error) { return replica.DecodeResource(b) },
	} {
		once := testing.AllocsPerRun(100, func() { _, _ = decode(rows[name].Body) })
		got := testing.AllocsPerRun(100, func() { arrive(rows[name]) })
		if got > once+3 {
			t.Errorf("%s: %v allocations, and %v to read it once", name, got, once)
		}
	}
}
