package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// hand gives all rows of one node to another one.
func hand(t *testing.T, from, to *node, batch replica.Batch) replica.Batch {
	t.Helper()
	more, err := from.store.Rows(t.Context(), from.store.Origin(), batch.To, replica.Limit{Rows: 100, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if batch.Rows != nil {
		if err := to.store.Replicate(t.Context(), []replica.Batch{batch}); err != nil {
			t.Fatal(err)
		}
	}
	return more
}

// TestToldBefore: a client that was told of ALLOCATED, by way of the node that it asks, is not told of less when the
// application comes there, and what became of it does not yet.
func TestToldBefore(t *testing.T) {
	f := newFarm(t)
	e := f.a.application(t, f.a.label(t, "linux"), "alice")
	first := hand(t, f.a, f.c, replica.Batch{})
	e = f.a.allocate(t, e)
	path := "/api/v1/application/" + e.Application.UID.String()
	state, resource := call{user: "alice", path: path + "/state"}, call{user: "alice", path: path + "/resource"}
	want := func(when string) {
		t.Helper()
		if r := f.c.do(t, state); r.status != http.StatusOK || !strings.Contains(r.body, `"status":"ALLOCATED"`) {
			t.Errorf("%s: state is %d %s, want ALLOCATED", when, r.status, r.body)
		}
		if r := f.c.do(t, resource); r.status != http.StatusOK || !strings.Contains(r.body, e.Resource.UID.String()) {
			t.Errorf("%s: resource is %d %s", when, r.status, r.body)
		}
	}
	want("before it comes")
	rest := hand(t, f.a, f.c, first)
	if here, err := f.c.store.Application(t.Context(), e.Application.UID); err != nil || here.Fold.Status() != model.StatusNew {
		t.Fatalf("on C it is %+v, %v, want NEW", here, err)
	}
	want("when it has come as NEW")
	hand(t, f.a, f.c, rest)
	want("when all has come")
}

// TestWhoToldIsGone: then nobody guesses.
func TestWhoToldIsGone(t *testing.T) {
	f := newFarm(t)
	app := f.a.application(t, f.a.label(t, "linux"), "alice").Application.UID
	hand(t, f.a, f.c, hand(t, f.a, f.c, replica.Batch{}))
	f.c.net().set(func(c *fakeCluster) { c.gone = []model.UID{f.a.uid} })
	state := call{user: "alice", path: "/api/v1/application/" + app.String() + "/state"}
	if r := f.c.do(t, state); r.status != http.StatusOK {
		t.Errorf("state = %d %s", r.status, r.body)
	}
	f.c.api.handlers.sightings.note(app, sighting{f.a.uid, model.StatusAllocated}, time.Now())
	f.c.do(t, state).wantRetry(t, "the state")
}

// TestSightings: the last one counts, they are kept for a while, and are not kept for ever.
func TestSightings(t *testing.T) {
	s, now := &sightings{}, time.Now()
	app, member := model.UID{1}, model.UID{2}
	if got, ok := s.of(app); ok {
		t.Errorf("of() = %v of nothing", got)
	}
	s.note(app, sighting{member, model.StatusAllocated}, now)
	s.note(app, sighting{member, model.StatusDeallocate}, now.Add(time.Second))
	for i, wanted := range []bool{true, true, false} {
		if got, ok := s.of(app); ok != wanted || ok && got.status != model.StatusDeallocate {
			t.Errorf("of() = %v, %v after %d turns, want DEALLOCATE, %v", got, ok, i, wanted)
		}
		s.note(model.UID{3}, sighting{member, model.StatusError}, now.Add(time.Duration(i+1)*(sightingsFor+time.Second)))
	}
	for i := range 3 * maxSightings {
		s.note(model.UID{4, byte(i >> 16), byte(i >> 8), byte(i)}, sighting{member, model.StatusError}, now)
	}
	if len(s.young)+len(s.former) > 2*maxSightings {
		t.Errorf("%d and %d are kept", len(s.young), len(s.former))
	}
}
