package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// openLeaper is another node, whose clock is as far ahead.
func openLeaper(t *testing.T) *leaper {
	t.Helper()
	z := &leaper{t: t, ahead: 3 * time.Hour}
	z.place = place{"memory", func(o Options) (*Store, error) {
		o.Node = model.UID{102, 2, 3, 4, 5, 6, 0x40, 0, 0x80}
		return OpenMemory(context.Background(), o, NewDisk())
	}}
	z.open()
	t.Cleanup(func() { _ = z.s.Close() })
	return z
}

func handOver(t *testing.T, s *Store, to model.UID) {
	t.Helper()
	if err := s.AddHandover(t.Context(), model.Handover{Successor: to}); err != nil {
		t.Fatal(err)
	}
}

func arbiterOf(t *testing.T, s *Store, app model.UID) model.UID {
	t.Helper()
	e, err := s.Application(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	retirements, handovers := s.Succession()
	return model.Arbiter(e.Application, retirements, handovers)
}

// TestRestampedBesideOthers: rows of another node that is ahead too are no reason
// to leave an own handover behind, which would give away all that comes later.
func TestRestampedBesideOthers(t *testing.T) {
	eachLeaper(t, func(t *testing.T, l *leaper, other *Store) {
		z := openLeaper(t)
		l.ahead = 3 * time.Hour
		label := newLabel(t, z.s)
		theirs := newApplication(t, z.s, label.UID, "u").Application.UID
		hand(t, z.s, l.s)
		given := newApplication(t, l.s, label.UID, "u").Application.UID
		successor := model.UID{9}
		handOver(t, l.s, successor)
		kept := newApplication(t, l.s, label.UID, "u").Application.UID
		l.ahead = 0
		l.restamp(len(ownRows(t, l.s)))
		late := newApplication(t, l.s, label.UID, "u").Application.UID
		for app, want := range map[model.UID]model.UID{theirs: z.s.opts.Node, given: successor, kept: testNode, late: testNode} {
			if got := arbiterOf(t, l.s, app); got != want {
				t.Errorf("arbiter = %v, want %v", got, want)
			}
		}
		if err := other.Replicate(t.Context(), []replica.Batch{rowsFrom(t, l.s)}); err != nil || len(other.Handovers()) != 1 {
			t.Errorf("Replicate = %v, with %d handovers", err, len(other.Handovers()))
		}
	})
}

// TestRestampWaits: what another node gave to this one, and this one gave on, is
// of who got it, also after both have stamped anew what they wrote: so this node
// is the second, and held back until then.
func TestRestampWaits(t *testing.T) {
	for _, ended := range []bool{false, true} {
		eachLeaper(t, func(t *testing.T, l *leaper, other *Store) {
			z := openLeaper(t)
			l.ahead = 3 * time.Hour
			label := newLabel(t, z.s).UID
			begin := func() model.UID { return newApplication(t, z.s, label, "u").Application.UID }
			if ended {
				begin = func() model.UID { return live(t, z.s, label) }
			}
			app := begin()
			handOver(t, z.s, testNode)
			hand(t, z.s, l.s)
			successor := model.UID{9}
			handOver(t, l.s, successor)
			l.ahead, z.ahead = 0, 0
			was := ownRows(t, l.s)
			for range 2 {
				if done, err := l.s.Restamp(t.Context()); !errors.Is(err, errOrder) {
					t.Fatalf("Restamp = %+v, %v, want errOrder", done, err)
				}
				if _, held := l.s.Ahead(); !held {
					t.Fatal("the node is not held back any more")
				}
				if diff := cmp.Diff(was, ownRows(t, l.s)); diff != "" {
					t.Fatalf("rows changed (-before +after)\n%s", diff)
				}
				l.reopen()
			}
			wantIncarnation(t, l.s, 1, false)
			z.restamp(len(ownRows(t, z.s)))
			hand(t, z.s, l.s)
			l.restamp(len(was))
			hand(t, z.s, other)
			hand(t, l.s, other)
			for _, s := range []*Store{l.s, other} {
				if got := arbiterOf(t, s, app); got != successor {
					t.Errorf("arbiter = %v, want %v", got, successor)
				}
			}
		})
	}
}

// TestListsWhatIsAhead: what others wrote by a clock that is ahead is listed also
// when this node's own has been set back.
func TestListsWhatIsAhead(t *testing.T) {
	l := leaperOnDisk(t)
	defer func() { _ = l.s.Close() }()
	z := openLeaper(t)
	app := newApplication(t, z.s, newLabel(t, z.s).UID, "u").Application.UID
	task := model.Change{Tasks: []model.ApplicationTask{{Task: "snapshot", When: "DEALLOCATE"}}}
	for _, c := range []model.Change{ofNode(elected(app, 1), z.s), intent(1), allocated(1), task} {
		update(t, z.s, app, c)
	}
	hand(t, z.s, l.s)
	l.ahead = 0
	l.s.clock.Reset(model.HLC(time.Now().UnixNano())) // as Restamp does at its end
	for _, c := range []Caller{admin, {Name: "u"}} {
		q := filtered(c, "created_at > '2020-01-01'")
		q.Application = app
		apps, err1 := names(l.s.ListApplications(t.Context(), q), func(a model.Application) string { return a.OwnerName })
		tasks, err2 := names(l.s.ListTasks(t.Context(), q), func(a model.ApplicationTask) string { return a.Task })
		resources, err3 := names(l.s.ListResources(t.Context(), q), func(r model.Resource) string { return r.Identifier })
		if err := errors.Join(err1, err2, err3); err != nil || len(apps) != 1 || len(tasks) != 1 || len(resources) != 1 {
			t.Errorf("for %s there are applications %q, tasks %q, Resources %q, %v, want one of each", c.Name, apps, tasks, resources, err)
		}
	}
}

// TestOwnersStay: of facts about the same those of others that are older stay
// older.
func TestOwnersStay(t *testing.T) {
	a, b, c := model.UID{1}, model.UID{2}, model.UID{3}
	gone := func(node model.UID, at model.HLC) []model.Retirement {
		return []model.Retirement{{NodeUID: node, Successor: c, HLC: at}}
	}
	owns := func(thing string, from, to, by model.UID, at model.HLC) []model.Ownership {
		return []model.Ownership{{Thing: thing, From: from, To: to, By: by, HLC: at}}
	}
	for _, tt := range []struct {
		name        string
		retirements sides[model.Retirement]
		ownerships  sides[model.Ownership]
		want        bool
	}{
		{"one thing", sides[model.Retirement]{}, sides[model.Ownership]{owns("x", a, b, a, 5), owns("x", c, a, c, 4)}, false},
		{"one thing, later", sides[model.Retirement]{}, sides[model.Ownership]{owns("x", a, b, a, 5), owns("x", b, a, b, 6)}, true},
		{"two things", sides[model.Retirement]{}, sides[model.Ownership]{owns("x", a, b, a, 5), owns("y", c, a, c, 4)}, true},
		{"taken from who was retired", sides[model.Retirement]{others: gone(b, 4)}, sides[model.Ownership]{own: owns("x", b, a, a, 5)}, false},
		{"retired later", sides[model.Retirement]{others: gone(b, 6)}, sides[model.Ownership]{own: owns("x", b, a, a, 5)}, true},
		{"given by who is retired then", sides[model.Retirement]{own: gone(b, 5)}, sides[model.Ownership]{others: owns("x", b, c, b, 4)}, false},
		{"of who is not retired", sides[model.Retirement]{own: gone(b, 5)}, sides[model.Ownership]{others: owns("x", c, a, c, 4)}, true},
		{"retired twice", sides[model.Retirement]{gone(b, 5), gone(b, 4)}, sides[model.Ownership]{}, false},
		{"two retired", sides[model.Retirement]{gone(b, 5), gone(a, 4)}, sides[model.Ownership]{}, true},
	} {
		if got := (orderly{retirements: tt.retirements, ownerships: tt.ownerships}).ownersStay(); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}
