package astray

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

var now = time.Date(2026, 5, 2, 12, 0, 0, 0, time.UTC)

func TestFind(t *testing.T) {
	mine := func(purpose string) view.Owner { return view.Owner{Mine: true, Purpose: purpose, Token: "t"} }
	thing := func(kind view.Kind, state string, o view.Owner, change func(t *view.Thing)) view.Thing {
		one := view.Thing{Kind: kind, ID: "x-1", State: state, Owner: o, Created: now.Add(-time.Hour)}
		if change != nil {
			change(&one)
		}
		return one
	}
	pooled := mine(cloud.PurposePool)
	pooled.Pool = "m2"
	gone := view.Owner{Node: "n", Instance: "aws", Retired: true, RetiredAt: now.Add(-time.Minute), Token: "t"}
	former := view.Owner{Instance: "aws/old", Former: true, Token: "t"}
	known := Facts{Now: now, Wanted: map[string]bool{"other": true}, Whole: true}
	with := func(change func(f *Facts)) Facts { f := known; change(&f); return f }
	lease := func(end time.Duration) func(*view.Thing) {
		return func(t *view.Thing) { t.Lease = now.Add(end) }
	}
	for _, tt := range []struct {
		name     string
		thing    view.Thing
		facts    Facts
		reason   string // empty: it is not astray
		held     string
		doubtful bool
	}{
		{"an environment of nobody", thing(view.Instance, "running", mine("work"), nil), known, "no allocation", "", false},
		{"of an old version", thing(view.Instance, "stopped", mine(""), nil), known, "no allocation", "", false},
		{"with an allocation", thing(view.Instance, "running", mine("work"), nil), with(func(f *Facts) { f.Wanted = map[string]bool{"t": true} }), "", "", false},
		{"with an allocation by its id", thing(view.Instance, "running", mine("work"), nil), with(func(f *Facts) { f.Wanted = map[string]bool{"x-1": true} }), "", "", false},
		{"no token, and an allocation without one", thing(view.Instance, "running", view.Owner{Mine: true}, nil), with(func(f *Facts) { f.Wanted = map[string]bool{"": true} }), "no allocation", "", false},
		{"nothing is known", thing(view.Instance, "running", mine("work"), nil), with(func(f *Facts) { f.Wanted = nil }), "", "", false},
		{"a restored database", thing(view.Instance, "running", mine("work"), nil), with(func(f *Facts) { f.Whole = false }), "database was restored", "", true},
		{"of another", thing(view.Instance, "running", view.Owner{Purpose: "work"}, nil), known, "", "", false},
		{"ending", thing(view.Instance, cloud.ShuttingDown, mine("work"), nil), known, "", "", false},
		{"young", thing(view.Instance, "running", mine("work"), func(t *view.Thing) { t.Created = now.Add(-time.Minute) }), known, "no allocation", "younger", false},
		{"a disk that was left", thing(view.Volume, "available", mine("work"), nil), known, "no allocation", "", false},
		{"a disk of an instance", thing(view.Volume, "in-use", mine("work"), func(t *view.Thing) { t.On = "i-1" }), known, "", "", false},
		{"a disk that goes", thing(view.Volume, "deleting", mine("work"), nil), known, "", "", false},
		{"a spot request", thing(view.Spot, "open", mine("work"), nil), known, "no allocation", "", false},
		{"a result of a task", thing(view.Image, "available", mine("task"), nil), known, "", "", false},
		{"an image of an environment", thing(view.Image, "available", mine("work"), nil), known, "", "", false},
		{"a purpose of later versions", thing(view.Instance, "running", mine("probe"), lease(-time.Hour)), known, "", "", false},
		{"a scrub in its time", thing(view.Instance, "running", mine("scrub"), lease(time.Minute)), known, "", "", false},
		{"a scrub past its time", thing(view.Instance, "running", mine("scrub"), lease(-time.Minute)), known, "lease has ended", "", false},
		{"a step past its time, restored", thing(view.Snapshot, "completed", mine("step"), lease(-time.Minute)), with(func(f *Facts) { f.Whole = false }), "lease has ended", "", false},
		{"a step without a lease", thing(view.Image, "available", mine("step"), nil), known, "", "", false},
		{"an old step without a lease", thing(view.Image, "available", mine("step"), func(t *view.Thing) { t.Created = now.Add(-25 * time.Hour) }), known, "without a lease", "", false},
		{"a host of a pool", thing(view.Host, "available", pooled, nil), with(func(f *Facts) { f.Pools = map[string]bool{"m2": true} }), "", "", false},
		{"a host of no pool", thing(view.Host, "available", pooled, nil), known, "pool m2 is not configured", "", false},
		{"a host that AWS keeps", thing(view.Host, "available", pooled, func(t *view.Thing) { t.Release = now.Add(time.Hour) }), known, "pool m2", "AWS keeps it until 2026-05-02T13:00:00Z", false},
		{"a busy host", thing(view.Host, "available", pooled, func(t *view.Thing) { t.Busy = true }), known, "pool m2", "an instance is on it", false},
		{"a host that is scrubbed", thing(view.Host, "pending", pooled, nil), known, "pool m2", "it is pending", false},
		{"of a retired node", thing(view.Instance, "running", gone, nil), with(func(f *Facts) { f.Wanted = nil }), "its node was retired", "", false},
		{"of a retired node, made after", thing(view.Instance, "running", gone, func(t *view.Thing) { t.RetiredAt = now.Add(-2 * time.Hour) }), known, "so that it runs", "", true},
		{"of a retired node, by clocks that differ", thing(view.Instance, "running", gone, func(t *view.Thing) { t.RetiredAt = t.Created.Add(-time.Minute) }), known, "its node was retired", "", false},
		{"of a retired node that was seen to run", thing(view.Instance, "running", gone, nil), with(func(f *Facts) { f.Risen = map[string]bool{"n": true} }), "so that it runs", "", true},
		{"of a node retired nobody knows when", thing(view.Instance, "running", gone, func(t *view.Thing) { t.RetiredAt = time.Time{} }), known, "not known whether", "", true},
		{"of a retired node, a restored database", thing(view.Volume, "available", gone, nil), with(func(f *Facts) { f.Whole = false }), "database was restored", "", true},
		{"a result of a retired node", thing(view.Snapshot, "completed", gone, func(t *view.Thing) { t.Purpose = "task" }), known, "", "", false},
		{"a step of a retired node", thing(view.Snapshot, "completed", gone, func(t *view.Thing) { t.Purpose, t.Lease = "step", now.Add(-time.Hour) }), known, "its lease has ended; its node was retired", "", false},
		{"a step of a retired node in its time", thing(view.Snapshot, "completed", gone, func(t *view.Thing) { t.Purpose, t.Lease = "step", now.Add(time.Hour) }), known, "", "", false},
		{"a retired node's host of a pool that is run", thing(view.Host, "available", gone, func(t *view.Thing) { t.Pool = "m2" }), with(func(f *Facts) { f.Pools = map[string]bool{"m2": true} }), "", "", false},
		{"a retired node's host", thing(view.Host, "available", gone, func(t *view.Thing) { t.Pool = "m2" }), known, "m2 is not configured any more", "", false},
		{"of a former instance", thing(view.Instance, "running", former, nil), with(func(f *Facts) { f.Former = map[string]Kept{"aws/old": {map[string]bool{}, true}} }), "instance aws/old is not configured", "", false},
		{"of a former instance, with an allocation", thing(view.Instance, "running", former, nil), with(func(f *Facts) { f.Former = map[string]Kept{"aws/old": {map[string]bool{"t": true}, true}} }), "", "", false},
		{"of a former instance, and nothing is known", thing(view.Instance, "running", former, nil), known, "", "", false},
		{"of a former instance, a restored database", thing(view.Instance, "running", former, nil), with(func(f *Facts) { f.Former = map[string]Kept{"aws/old": {map[string]bool{}, false}} }), "database was restored", "", true},
		{"a host that was made for no pool", thing(view.Host, "available", mine("work"), nil), known, "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Find([]view.Thing{tt.thing}, tt.facts)
			if tt.reason == "" {
				if len(got) != 0 {
					t.Errorf("it is astray: %+v", got)
				}
				return
			}
			if len(got) != 1 || !strings.Contains(got[0].Reason, tt.reason) || !strings.Contains(got[0].Held, tt.held) ||
				(got[0].Held == "") != (tt.held == "") || got[0].Doubtful != tt.doubtful || got[0].Removed {
				t.Errorf("Find() = %+v, want %q, held %q", got, tt.reason, tt.held)
			}
		})
	}
}

// TestNothingLiveIsAstray: whatever a thing looks like, one of somebody else's,
// one that the node wants, and a host of a configured pool are left alone.
func TestNothingLiveIsAstray(t *testing.T) {
	text := rapid.SampledFrom([]string{"", "work", "scrub", "step", "task", "pool", "x-1", "t", "m2", "running", "available", "in-use", "open"})
	rapid.Check(t, func(t *rapid.T) {
		thing := view.Thing{
			Kind: rapid.SampledFrom(view.Kinds()).Draw(t, "kind"), ID: text.Draw(t, "id"), State: text.Draw(t, "state"), On: text.Draw(t, "on"),
			Created: now.Add(-time.Duration(rapid.IntRange(0, 100).Draw(t, "age")) * time.Hour),
			Owner: view.Owner{
				Mine: rapid.Bool().Draw(t, "mine"), Retired: rapid.Bool().Draw(t, "retired"), Former: rapid.Bool().Draw(t, "former"), Purpose: text.Draw(t, "purpose"), Pool: text.Draw(t, "pool"), Token: text.Draw(t, "token"),
			},
		}
		f := Facts{Now: now, Whole: rapid.Bool().Draw(t, "whole"), Pools: map[string]bool{text.Draw(t, "configured"): true}}
		if rapid.Bool().Draw(t, "known") {
			f.Wanted = map[string]bool{text.Draw(t, "wanted"): true}
		}
		if len(Find([]view.Thing{thing}, f)) == 0 {
			return
		}
		environment := thing.Purpose == "" || thing.Purpose == cloud.PurposeWork
		switch {
		case !thing.Mine && !thing.Retired && !thing.Former:
			t.Fatal("it is another's")
		case thing.Kind == view.Host && f.Pools[thing.Pool]:
			t.Fatal("its pool is configured")
		case thing.Kind != view.Host && environment && !thing.Retired && thing.Former:
			t.Fatal("nothing is known of its former instance")
		case thing.Kind != view.Host && environment && !thing.Retired && (f.Wanted == nil || f.Wanted[thing.ID] || thing.Token != "" && f.Wanted[thing.Token]):
			t.Fatal("the node wants it, or may")
		case thing.Purpose == cloud.PurposeTask && thing.Kind != view.Host:
			t.Fatal("it is a result")
		}
	})
}
