package store

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// rowsFrom is all that a store would pass on of its own.
func rowsFrom(t testing.TB, s *Store) replica.Batch {
	t.Helper()
	b, err := s.Rows(t.Context(), s.Origin(), 0, replica.Limit{Rows: 1000, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// cut is the part of a batch in (from, to].
func cut(b replica.Batch, from, to uint64) replica.Batch {
	b.From, b.To = from, to
	b.Rows = slices.DeleteFunc(slices.Clone(b.Rows), func(r replica.Row) bool { return r.Version.Seq <= from || r.Version.Seq > to })
	return b
}

func TestReplicateRefuses(t *testing.T) {
	a, b := openOther(t, 1), openOther(t, 2)
	for range 3 {
		newLabel(t, a)
	}
	all := rowsFrom(t, a)
	ahead := cut(all, 0, 3)
	ahead.Rows = slices.Clone(ahead.Rows)
	ahead.Rows[2].Version.HLC = model.HLC(time.Now().Add(maxAhead + time.Minute).UnixNano())
	stranger := cut(all, 0, 1)
	stranger.Rows[0].Version.Origin.Node = model.UID{5}
	own := replica.Batch{Origin: b.Origin(), From: 0, To: 5}
	for _, tt := range []struct {
		name  string
		batch replica.Batch
		want  error
		seq   uint64
	}{
		{"a gap", cut(all, 1, 3), ErrGap, 0},
		{"ahead of the clock", ahead, ErrAhead, 0},
		{"own rows that are lost", own, ErrLost, 0},
		{"a row of another origin", stranger, nil, 0},
		{"the first", cut(all, 0, 1), nil, 1},
		{"an overlap", cut(all, 0, 2), nil, 2},
		{"what is known", cut(all, 0, 2), nil, 2},
		{"the rest", all, nil, 3},
	} {
		err := b.Replicate(t.Context(), []replica.Batch{tt.batch})
		if tt.want != nil && !errors.Is(err, tt.want) || tt.want == nil && (err != nil) != (tt.name == "a row of another origin") {
			t.Errorf("%s: Replicate = %v, want %v", tt.name, err, tt.want)
		}
		if got := b.Vector()[a.Origin()]; got != tt.seq || len(b.Labels()) != int(tt.seq) {
			t.Errorf("%s: vector is %d with %d labels, want %d of both", tt.name, got, len(b.Labels()), tt.seq)
		}
	}
	if _, other := b.Vector()[own.Origin]; other {
		t.Error("the vector has an entry of what was refused")
	}
}

// TestOneBadBatchStopsNoOther gives a batch with a gap and good ones at once.
func TestOneBadBatchStopsNoOther(t *testing.T) {
	a, b, c := openOther(t, 1), openOther(t, 2), openOther(t, 3)
	newLabel(t, a)
	newLabel(t, a)
	newLabel(t, b)
	err := c.Replicate(t.Context(), []replica.Batch{cut(rowsFrom(t, a), 1, 2), rowsFrom(t, b)})
	if !errors.Is(err, ErrGap) || len(c.Labels()) != 1 {
		t.Errorf("Replicate = %v with %d labels, want %v and one", err, len(c.Labels()), ErrGap)
	}
}

// TestUnknownRowsAreKept takes in a kind, and a body, of a newer program: both
// are passed on as they came.
func TestUnknownRowsAreKept(t *testing.T) {
	a, b := openOther(t, 2), openOther(t, 3)
	origin := replica.Origin{Node: model.UID{1}, Incarnation: 4}
	row := func(seq uint64, kind replica.Kind, key string, body string) replica.Row {
		return replica.Row{Kind: kind, Key: []byte(key), Body: []byte(body), Version: replica.Version{HLC: 5, Origin: origin, Seq: seq}}
	}
	batch := replica.Batch{Origin: origin, To: 9, Rows: []replica.Row{
		row(1, 999, "what", `{"is": "this"}`), row(2, replica.KindUser, "u", `[]`), row(3, replica.KindLabel, "short", `{"uid":1}`),
	}}
	if err := a.Replicate(t.Context(), []replica.Batch{batch}); err != nil {
		t.Fatal(err)
	}
	hand(t, a, b)
	got, err := b.Rows(t.Context(), origin, 0, replica.Limit{Rows: 10, Bytes: 1000})
	if err != nil || got.To != 9 || len(got.Rows) != 3 || string(got.Rows[0].Body) != `{"is": "this"}` || string(got.Rows[1].Body) != `[]` {
		t.Errorf("Rows = %+v, %v, want what came", got, err)
	}
}

// TestForgedRowsAreDropped takes in a Node row that another node wrote.
func TestForgedRowsAreDropped(t *testing.T) {
	a, b := openOther(t, 1), openOther(t, 2)
	body, err := replica.EncodeNode(model.Node{UID: model.UID{9}, Name: "forged", Definition: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	batch := replica.Batch{Origin: a.Origin(), To: 1, Rows: []replica.Row{{
		Kind: replica.KindNode, Key: key(model.UID{9}), Body: body, Version: replica.Version{HLC: 1, Origin: a.Origin(), Seq: 1},
	}}}
	if err := b.Replicate(t.Context(), []replica.Batch{batch}); err != nil {
		t.Fatal(err)
	}
	if len(b.memory.nodes.list) != 0 || b.Vector()[a.Origin()] != 1 || len(rowsOf(t, b, a.Origin())) != 0 {
		t.Errorf("nodes are %v with the vector %v, want none, and the vector past it", b.memory.nodes.list, b.Vector())
	}
}

func rowsOf(t testing.TB, s *Store, origin replica.Origin) []replica.Row {
	t.Helper()
	b, err := s.Rows(t.Context(), origin, 0, replica.Limit{Rows: 1000, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return b.Rows
}

// TestAnyOrderOfNodes brings an application's rows, which three nodes wrote, in
// every order of the nodes: nothing is shown before it is whole, and ALLOCATED
// not before Resource, application and label are here.
func TestAnyOrderOfNodes(t *testing.T) {
	labels, arbiter, executor := openOther(t, 1), openOther(t, 2), openOther(t, 3)
	label := newLabel(t, labels)
	hand(t, labels, arbiter)
	app := newApplication(t, arbiter, label.UID, "u").Application.UID
	grant := elected(app, 1)
	grant.States[0].Decision.Winner = executor.opts.Node
	update(t, arbiter, app, grant)
	hand(t, labels, executor)
	hand(t, arbiter, executor)
	update(t, executor, app, intent(1))
	update(t, executor, app, allocated(1))
	sources := []*Store{labels, arbiter, executor}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		eachEngine(t, func(t *testing.T, reopen func() *Store) {
			s := reopen()
			sub := s.Subscribe(KindApplication)
			defer sub.Close()
			have := map[int]bool{}
			for _, i := range order {
				from := sources[i]
				for seq, all := uint64(0), rowsFrom(t, from); seq < all.To; seq++ { // row by row
					if err := s.Replicate(t.Context(), []replica.Batch{cut(all, seq, seq+1)}); err != nil {
						t.Fatal(err)
					}
				}
				have[i] = true
				checkShown(t, s, app, have)
				s = reopen()
				checkShown(t, s, app, have)
			}
			if keys, _ := sub.Take(); len(keys) > 1 {
				t.Errorf("feed told %v, want the application alone", keys)
			}
		})
	}
}

func checkShown(t *testing.T, s *Store, app model.UID, have map[int]bool) {
	t.Helper()
	e, err := s.Application(t.Context(), app)
	switch {
	case !have[1]:
		if !errors.Is(err, ErrNotFound) || len(s.Open()) != 0 {
			t.Errorf("with %v: Application = %v, %v, want none yet", have, e, err)
		}
	case err != nil:
		t.Errorf("with %v: %v", have, err)
	case have[0] && have[2]:
		if e.Fold.Status() != model.StatusAllocated || e.Resource == nil || e.Resource.IPAddr != "127.0.0.1" {
			t.Errorf("with %v: it is %s with %v, want it ALLOCATED", have, e.Fold.Status(), e.Resource)
		}
		if _, _, ok := s.Resource(e.Resource.UID); !ok || len(s.Resources()) != 1 {
			t.Errorf("with %v: its Resource is not found", have)
		}
	default:
		if e.Fold.Status() != model.StatusElected || e.Resource != nil {
			t.Errorf("with %v: it is %s with %v, want it ELECTED", have, e.Fold.Status(), e.Resource)
		}
	}
}

// TestEndedElsewhere lets an application end on another node: it is closed here
// when its last row was made, and goes with its rows, but not out of the vector.
func TestEndedElsewhere(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		a, s := openOther(t, 1), reopen()
		label := newLabel(t, a)
		app := live(t, a, label.UID)
		if _, err := a.CreateServiceMapping(t.Context(), model.ServiceMapping{ApplicationUID: app, Service: "s", Redirect: "r"}); err != nil {
			t.Fatal(err)
		}
		done := time.Now()
		hand(t, a, s)
		e, err := s.Application(t.Context(), app)
		if err != nil || !e.Done() || len(s.Open()) != 0 || e.Resource != nil {
			t.Fatalf("Application = %+v, %v, want it over", e, err)
		}
		before := s.Vector()
		if n, err := s.removeClosed(t.Context(), done); n != 1 || err != nil {
			t.Errorf("removeClosed = %d, %v, want what ended before it came here", n, err)
		}
		rows := rowsOf(t, s, a.Origin())
		if len(rows) != 1 || rows[0].Kind != replica.KindLabel || s.Vector()[a.Origin()] != before[a.Origin()] {
			t.Errorf("%d rows are left with the vector %v, want the label's, and %v", len(rows), s.Vector(), before)
		}
		s = reopen()
		if _, err := s.Application(t.Context(), app); !errors.Is(err, ErrNotFound) {
			t.Errorf("Application = %v, want it gone", err)
		}
		hand(t, a, s)
		if n := len(rowsOf(t, s, a.Origin())); n != 1 {
			t.Errorf("%d rows came again", n)
		}
	})
}

// TestOldRowsGo drops tombstones after 400 days, and rows whose application was
// removed here.
func TestOldRowsGo(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		a, x, s := openOther(t, 1), openOther(t, 3), reopen()
		label := newLabel(t, a)
		app := newApplication(t, a, label.UID, "u").Application.UID
		hand(t, a, x)
		update(t, x, app, requested())
		batch := rowsFrom(t, x) // the request alone, without its application
		if err := s.Replicate(t.Context(), []replica.Batch{batch}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.PutLocation(t.Context(), model.Location{Name: "x"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.DeleteLocation(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		for _, tt := range []struct {
			after          time.Duration
			waiting, tombs int
		}{{keepWaiting - time.Hour, 1, 1}, {keepWaiting + 2*time.Hour, 0, 1}, {keepDeleted + 3*time.Hour, 0, 0}} {
			s.opts.Now = func() time.Time { return now.Add(tt.after) }
			s.steady, s.opened = steady{begin: stamp(now.Add(tt.after))}, time.Now()
			if err := s.expireRows(t.Context()); err != nil {
				t.Fatal(err)
			}
			if w, d := len(rowsOf(t, s, x.Origin())), len(rowsOf(t, s, s.Origin())); w != tt.waiting || d != tt.tombs {
				t.Errorf("after %s %d rows wait and %d tombstones are there, want %d and %d", tt.after, w, d, tt.waiting, tt.tombs)
			}
		}
		if s.Vector()[x.Origin()] != batch.To {
			t.Error("the vector fell")
		}
	})
}

// TestNewerFieldsStay changes a user that a newer program wrote: what this one
// does not know stays in the row.
func TestNewerFieldsStay(t *testing.T) {
	s := openOther(t, 1)
	origin := replica.Origin{Node: model.UID{9}, Incarnation: 1}
	body, err := replica.EncodeUser(model.User{Name: "u"})
	if err != nil {
		t.Fatal(err)
	}
	body = append(body[:len(body)-1], `,"later":[1, 2]}`...)
	batch := replica.Batch{Origin: origin, To: 1, Rows: []replica.Row{{
		Kind: replica.KindUser, Key: []byte("u"), Body: body, Version: replica.Version{HLC: 1, Origin: origin, Seq: 1},
	}}}
	if err := s.Replicate(t.Context(), []replica.Batch{batch}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutUser(t.Context(), "u", func(old *model.User) (model.User, error) { return *old, nil }); err != nil {
		t.Fatal(err)
	}
	if rows := rowsFrom(t, s).Rows; len(rows) != 1 || !strings.Contains(string(rows[0].Body), `"later":[1, 2]`) {
		t.Errorf("rows are %v, want the field of the newer program", rows)
	}
}
