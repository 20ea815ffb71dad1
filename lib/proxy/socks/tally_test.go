package socksproxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestTallies(t *testing.T) {
	tallies := newTallies()
	now := time.Unix(1000, 0)
	u := use{resource: model.UID{1}, owner: "alice", address: "172.20.0.2", destination: "mirror:80", result: audit.ResultOK}
	first, due := tallies.began(u, "to 10.0.0.9:80", now)
	if !due || first.Count != 1 || first.User != "alice" || first.ObjectUID != u.resource.String() {
		t.Errorf("the first: %+v, %v, want an event at once", first, due)
	}
	for range 9 {
		if e, due := tallies.began(u, "to 10.0.0.9:80", now); due {
			t.Errorf("one more: %+v, want it counted", e)
		}
	}
	tallies.moved(u, 10, 20, now)
	if events := tallies.due(now.Add(tallyEvery - 1)); len(events) != 0 {
		t.Errorf("before its time: %+v", events)
	}
	want := audit.Event{
		Action: ActionConnect, User: "alice", Address: "172.20.0.2", ObjectUID: u.resource.String(), ObjectName: "mirror:80",
		Result: audit.ResultOK, Count: 9, Detail: "to 10.0.0.9:80; 10 bytes sent, 20 received",
	}
	if diff := cmp.Diff([]audit.Event{want}, tallies.due(now.Add(tallyEvery))); diff != "" {
		t.Errorf("after a minute (-want +got):\n%s", diff)
	}
	tallies.moved(u, 1, 0, now)
	if events := tallies.all(); len(events) != 1 || events[0].Detail != "to 10.0.0.9:80; connections noted before; 1 bytes sent, 0 received" {
		t.Errorf("bytes alone: %+v", events)
	}
	if tallies.due(now.Add(time.Hour)); len(tallies.kept) != 0 || len(tallies.ofOne) != 0 {
		t.Errorf("silent ones are kept: %v %v", tallies.kept, tallies.ofOne)
	}
}

// Neither an environment that makes up destinations nor strangers with many
// addresses fill the audit, or take the room of others.
func TestTalliesAreBounded(t *testing.T) {
	tallies := newTallies()
	now := time.Unix(1000, 0)
	noted := 0
	began := func(u use) {
		if _, due := tallies.began(u, "", now); due {
			noted++
		}
	}
	for i := range 10_000 {
		began(use{resource: model.UID{1}, address: "172.20.0.2", destination: fmt.Sprintf("n%d:80", i), result: audit.ResultRefused})
		began(use{address: fmt.Sprintf("198.51.%d.%d", i/256, i%256), result: audit.ResultRefused})
	}
	if most := 2 * (talliesOfOne + 1); noted > most || len(tallies.kept) > most {
		t.Errorf("%d events, %d kept, want at most %d", noted, len(tallies.kept), most)
	}
	if _, due := tallies.began(use{resource: model.UID{2}, destination: "mirror:80", result: audit.ResultOK}, "", now); !due {
		t.Error("another environment has no room")
	}
	for i := range 100 {
		for j := range 100 {
			began(use{resource: model.UID{3, byte(i)}, destination: fmt.Sprintf("n%d:80", j), result: audit.ResultOK})
		}
	}
	if len(tallies.kept) > talliesKept+8 {
		t.Errorf("%d kept, want at most %d", len(tallies.kept), talliesKept)
	}
	var count int64
	for _, e := range tallies.all() {
		count += e.Count
	}
	if want := int64(10_000*3 + 1 - noted); count < want-int64(talliesKept)*2 || count == 0 {
		t.Errorf("%d counted and %d noted, want no more lost than that", count, noted)
	}
}
