package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// TestAccessArrivesInAnyOrder brings label, application, environment, credentials
// and their use, which four nodes wrote, in every order of the nodes: once all is
// here, the credentials are found, and used.
func TestAccessArrivesInAnyOrder(t *testing.T) {
	labels, arbiter, executor, entry := openOther(t, 1), openOther(t, 2), openOther(t, 3), openOther(t, 4)
	label := newLabel(t, labels)
	hand(t, labels, arbiter)
	app := newApplication(t, arbiter, label.UID, "u").Application.UID
	grant := elected(app, 1)
	grant.States[0].Decision.Winner = executor.opts.Node
	update(t, arbiter, app, grant)
	hand(t, labels, executor)
	hand(t, arbiter, executor)
	update(t, executor, app, intent(1))
	resource := update(t, executor, app, allocated(1)).Resource.UID
	hand(t, executor, entry)
	a, unused := newAccess(t, entry, resource, "p"), newAccess(t, entry, resource, "unused")
	if _, err := entry.UseAccess(t.Context(), aUse(a.UID, 1)); !errors.Is(err, ErrNotAllocated) {
		t.Errorf("UseAccess on another node = %v, want %v", err, ErrNotAllocated)
	}
	hand(t, entry, executor)
	use, err := executor.UseAccess(t.Context(), aUse(a.UID, 1))
	if err != nil {
		t.Fatal(err)
	}
	sources := []*Store{labels, arbiter, executor, entry}
	eachEngine(t, func(t *testing.T, reopen func() *Store) { // some orders over SQLite, as it takes its time to make them anew
		s := reopen()
		for n := range permutations(len(sources)) {
			var fresh *Store
			switch {
			case s.db == nil:
				fresh = openOther(t, byte(10+n.number))
			case n.number%6 == 0:
				fresh = openStore(t, testOptions(t))
			default:
				continue
			}
			sub := fresh.Subscribe(KindResourceAccess)
			for _, i := range n.order {
				for seq, all := uint64(0), rowsFrom(t, sources[i]); seq < all.To; seq++ { // row by row
					if err := fresh.Replicate(t.Context(), []replica.Batch{cut(all, seq, seq+1)}); err != nil {
						t.Fatal(err)
					}
				}
			}
			wantFound(t, fresh, a, "p", true, true)
			wantFound(t, fresh, unused, "unused", true, false)
			if uses := fresh.AccessUses(resource); !cmp.Equal(uses, []model.AccessUse{use}) {
				t.Errorf("order %v: AccessUses = %v, want %v", n.order, uses, use)
			}
			keys, _ := sub.Take()
			for _, want := range []model.UID{a.UID, unused.UID} {
				if !slices.Contains(keys, Key{Kind: KindResourceAccess, UID: want}) {
					t.Errorf("order %v: feed told %v, want %v too", n.order, keys, want)
				}
			}
			sub.Close()
		}
	})
}

type permutation struct {
	number int
	order  []int
}

// permutations are all orders of n things.
func permutations(n int) func(yield func(permutation) bool) {
	return func(yield func(permutation) bool) {
		number := 0
		var place func(order []int) bool
		place = func(order []int) bool {
			if len(order) == n {
				number++
				return yield(permutation{number - 1, slices.Clone(order)})
			}
			for i := range n {
				if !slices.Contains(order, i) && !place(append(order, i)) {
					return false
				}
			}
			return true
		}
		place(nil)
	}
}

// TestForgedAccessRows: neither credentials nor a use are taken from who may not
// write them, however old they pretend to be.
func TestForgedAccessRows(t *testing.T) {
	s, liar := openOther(t, 1), openOther(t, 2)
	resource := allocate(t, s, newLabel(t, s).UID).Resource.UID
	a, other := newAccess(t, s, resource, "p"), newAccess(t, s, resource, "q")
	use, err := s.UseAccess(t.Context(), aUse(a.UID, 1))
	if err != nil {
		t.Fatal(err)
	}
	hand(t, s, liar)
	forgedAccess := a
	forgedAccess.Digest = digestOf("of the liar")
	forged, own, foreign := use, use, use
	forged.SessionUID = model.UID{9}
	own.ResourceUID = liar.uids.New(time.Now()) // under a key of its own
	foreign.AccessUID = other.UID
	batch := replica.Batch{Origin: liar.Origin()}
	add := func(kind replica.Kind, key, body []byte, err error, deleted bool) {
		if err != nil {
			t.Fatal(err)
		}
		batch.To++
		row := replica.Row{Kind: kind, Key: key, Body: body, Deleted: deleted, Version: replica.Version{HLC: 1, Origin: liar.Origin(), Seq: batch.To}}
		if deleted {
			row.Body = nil
		}
		batch.Rows = append(batch.Rows, row)
	}
	for _, deleted := range []bool{false, true} {
		body, err := replica.EncodeResourceAccess(forgedAccess)
		add(replica.KindResourceAccess, a.UID[:], body, err, deleted)
		for _, u := range []model.AccessUse{forged, own, foreign} {
			kind, key := replica.KeyOf(u)
			body, err := replica.EncodeAccessUse(u)
			add(kind, key, body, err, deleted)
		}
	}
	before := s.AccessUses(resource)
	if err := s.Replicate(t.Context(), []replica.Batch{batch}); err != nil {
		t.Fatal(err)
	}
	wantFound(t, s, a, "p", true, true)
	wantFound(t, s, other, "q", true, false)
	if _, found := s.AccessByDigest(digestOf("of the liar")); found || !cmp.Equal(s.AccessUses(resource), before) {
		t.Errorf("forged credentials are found: %t; uses are %v, want %v", found, s.AccessUses(resource), before)
	}
	if again, err := s.UseAccess(t.Context(), aUse(a.UID, 1)); err != nil || !cmp.Equal(again, use) {
		t.Errorf("UseAccess = %v, %v, want the use of before", again, err)
	}
}

// TestAccessWaitsInVain: what came for an application that never does goes.
func TestAccessWaitsInVain(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		a, x, s := openOther(t, 1), openOther(t, 2), reopen()
		resource := allocate(t, a, newLabel(t, a).UID).Resource.UID
		hand(t, a, x)
		made := newAccess(t, x, resource, "p")
		if err := s.Replicate(t.Context(), []replica.Batch{rowsFrom(t, x)}); err != nil {
			t.Fatal(err)
		}
		wantFound(t, s, made, "p", false, false)
		if _, err := s.UseAccess(t.Context(), aUse(made.UID, 1)); !errors.Is(err, ErrNotAllocated) {
			t.Errorf("UseAccess = %v, want %v", err, ErrNotAllocated)
		}
		now := time.Now().Add(keepWaiting + 2*time.Hour)
		s.opts.Now = func() time.Time { return now }
		s.steady, s.opened = steady{begin: stamp(now)}, time.Now()
		if err := s.expireRows(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(rowsOf(t, s, x.Origin())); n != 0 {
			t.Errorf("%d rows are left of what never came", n)
		}
	})
}

// TestAccessesConverge plays one environment's credentials on several stores,
// which exchange random parts of what they wrote, lose power and start again. At
// no moment two sessions have used the same ones; when all is exchanged, all find
// the same, and what was used is used everywhere.
func TestAccessesConverge(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		folder := ""
		if rapid.IntRange(0, 9).Draw(rt, "engine") == 0 {
			var err error
			if folder, err = os.MkdirTemp(base, "db"); err != nil {
				rt.Fatal(err)
			}
		}
		f := newFarm(rt, rapid.IntRange(2, 3).Draw(rt, "members"), folder)
		g := &accessGame{farm: f, winners: map[model.UID]model.UID{}}
		g.begin(rt)
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			g.step(rt)
		}
		f.calm(rt)
		g.check(rt)
		f.compareAtLast(rt)
	})
}

// accessGame is a farm with one environment.
type accessGame struct {
	*farm
	executor *member
	app      model.UID
	winners  map[model.UID]model.UID // sessions by credentials
}

// begin allocates the environment by one member, for an application of the first.
func (g *accessGame) begin(t *rapid.T) {
	ctx, first := context.Background(), g.members[0]
	g.executor = g.members[rapid.IntRange(0, len(g.members)-1).Draw(t, "executor")]
	label, err := first.s.CreateLabel(ctx, model.Label{Name: "l"})
	if err != nil {
		t.Fatal(err)
	}
	e, err := first.s.CreateApplication(ctx, model.Application{LabelUID: label.UID})
	if err != nil {
		t.Fatal(err)
	}
	g.app = e.Application.UID
	g.shared.labels, g.shared.apps = []model.UID{label.UID}, []model.UID{g.app}
	grant := elected(g.app, 1)
	grant.States[0].Decision.Winner = g.executor.opts.Node
	g.change(t, first, grant)
	g.calm(t)
	g.change(t, g.executor, intent(1))
	g.change(t, g.executor, allocated(1))
}

func (g *accessGame) change(t *rapid.T, m *member, c model.Change) {
	if _, err := m.s.Update(context.Background(), g.app, func(*model.Entry) (model.Change, error) { return c, nil }); err != nil {
		t.Fatal(err)
	}
}

func (g *accessGame) step(t *rapid.T) {
	m := g.members[rapid.IntRange(0, len(g.members)-1).Draw(t, "member")]
	switch kind := rapid.IntRange(0, 19).Draw(t, "kind"); {
	case kind < 7:
		if from := g.members[rapid.IntRange(0, len(g.members)-1).Draw(t, "from")]; from != m {
			g.send(t, from, m, rapid.IntRange(1, 4).Draw(t, "rows"))
		}
	case kind == 7:
		m.crash(t)
	case kind == 8 && rapid.IntRange(0, 9).Draw(t, "ends") == 0:
		g.change(t, g.executor, requested()) // others may have lost it with the power
	case kind == 8: // lib/recall has heard all
		g.calm(t)
		if err := g.executor.s.EndLapse(context.Background(), g.executor.s.Origin().Incarnation); err != nil {
			t.Fatal(err)
		}
	case kind < 13:
		g.play(m, step{kind: 20, n: rapid.IntRange(0, 59).Draw(t, "n")})
	default:
		if kind < 18 {
			m = g.executor
		}
		g.use(t, m)
	}
}

// use asks for any of the credentials, by any session.
func (g *accessGame) use(t *rapid.T, m *member) {
	access := (&player{}).pick(g.shared.access, rapid.IntRange(0, 59).Draw(t, "access"))
	use := aUse(access, rapid.ByteRange(1, 9).Draw(t, "session"))
	use.HostKey = fmt.Append(nil, rapid.IntRange(0, 4).Draw(t, "host key")/4)
	used, err := m.s.UseAccess(context.Background(), use)
	if err != nil {
		return
	}
	won, known := g.winners[access]
	if m != g.executor && !known { // else it is told what it has heard
		t.Fatalf("credentials were used on a node that has not the environment")
	}
	if known && won != use.SessionUID || used.SessionUID != use.SessionUID {
		t.Fatalf("the credentials were used by two sessions")
	}
	g.winners[access] = use.SessionUID
	if pin, known := m.s.HostKey(used.ResourceUID); known && string(pin) != string(use.HostKey) {
		t.Fatalf("the environment showed another host key than %s", pin)
	}
}

// check: all that was acknowledged is used, on all members that show the
// environment, and no other is.
func (g *accessGame) check(t *rapid.T) {
	for i, m := range g.members {
		e, err := m.s.Application(context.Background(), g.app)
		if err != nil {
			t.Fatal(err)
		}
		for _, uid := range g.shared.access {
			v, found := m.s.Access(uid)
			_, used := g.winners[uid]
			if found != (e.Resource != nil) || found && v.Used != used {
				t.Fatalf("member %d has the credentials: %t, used: %t; want %t, %t", i, found, v.Used, e.Resource != nil, used)
			}
		}
		if e.Resource == nil && booked(m.s) != 0 {
			t.Fatalf("member %d has credentials of what is gone in memory", i)
		}
	}
}
