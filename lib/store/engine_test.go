package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// place is where a store of some engine keeps its rows.
type place struct {
	name string
	open func(Options) (*Store, error)
}

// places is one of each engine.
func places(folder string) []place {
	disk := NewDisk()
	return []place{
		{"sqlite", func(o Options) (*Store, error) {
			o.Folder = folder
			return Open(context.Background(), o)
		}},
		{"memory", func(o Options) (*Store, error) { return OpenMemory(context.Background(), o, disk) }},
	}
}

var uidPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// ticking is a clock that goes on by a second with each look at it.
func ticking() func() time.Time {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

// eachEngine runs a test over a fresh database of each.
func eachEngine(t *testing.T, test func(t *testing.T, reopen func() *Store)) {
	for _, p := range places(filepath.Join(t.TempDir(), "db")) {
		t.Run(p.name, func(t *testing.T) {
			var s *Store
			end := func() {
				if s == nil {
					return
				}
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
			t.Cleanup(func() { end() })
			test(t, func() *Store {
				end()
				var err error
				if s, err = p.open(Options{Node: testNode, Logger: quiet()}); err != nil {
					t.Fatalf("open: %v", err)
				}
				return s
			})
		})
	}
}

// player plays a drawn history on one store, and tells what it sees with the
// UIDs, which are random, numbered in the order in which they appear.
type player struct {
	s      *Store
	names  map[string]string
	labels []model.UID
	apps   []model.UID
	maps   []model.UID
	access []model.UID
}

// step is one drawn operation; n picks what it is about.
type step struct {
	kind, n int
	epoch   uint32
}

func (p *player) pick(uids []model.UID, n int) model.UID {
	if len(uids) == 0 {
		return model.UID{9}
	}
	return uids[n%len(uids)]
}

func (p *player) know(list *[]model.UID, uid model.UID, err error) error {
	if err == nil {
		*list = append(*list, uid)
	}
	return err
}

// play returns the class of the operation's error.
func (p *player) play(ctx context.Context, o step) error {
	s, app := p.s, p.pick(p.apps, o.n)
	switch o.kind {
	case 0:
		_, err := s.PutUser(ctx, fmt.Sprint("u", o.n%3), func(old *model.User) (model.User, error) {
			if old != nil {
				return *old, nil
			}
			return model.User{Hash: model.PasswordHash{Algo: "a", Salt: []byte{1}}}, nil
		})
		return err
	case 1:
		_, err := s.DeleteUser(ctx, fmt.Sprint("u", o.n%3))
		return err
	case 2:
		l, err := s.CreateLabel(ctx, model.Label{Name: fmt.Sprint("l", o.n%4), Metadata: json.RawMessage(`{"a": 1}`)})
		return p.know(&p.labels, l.UID, err)
	case 3:
		_, err := s.DeleteLabel(ctx, p.pick(p.labels, o.n))
		return err
	case 4:
		_, err := s.PutLocation(ctx, model.Location{Name: fmt.Sprint("x", o.n%2)})
		return err
	case 5:
		m, err := s.CreateServiceMapping(ctx, model.ServiceMapping{ApplicationUID: app, Service: fmt.Sprint(o.n % 3), Redirect: "r"})
		return p.know(&p.maps, m.UID, err)
	case 6:
		_, err := s.DeleteServiceMapping(ctx, p.pick(p.maps, o.n))
		return err
	case 7:
		_, err := s.PutNode(ctx, model.Node{UID: s.opts.Node, Name: fmt.Sprint("n", s.opts.Node[0], o.n%2), Pubkey: []byte{1}})
		return err
	case 8, 9:
		e, err := s.CreateApplication(ctx, model.Application{LabelUID: p.pick(p.labels, o.n), OwnerName: "u"})
		if err != nil {
			return err
		}
		return p.know(&p.apps, e.Application.UID, nil)
	case 10:
		_, err := s.removeClosed(ctx, time.Date(2026, 11, 21, 12, o.n, 0, 0, time.UTC))
		return err
	case 20:
		a, err := p.createAccess(ctx, app, o.n)
		return p.know(&p.access, a.UID, err)
	case 21:
		use := aUse(p.pick(p.access, o.n), byte(1+o.n%3))
		use.HostKey = fmt.Append(nil, o.n%4/3)
		_, err := s.UseAccess(ctx, use)
		return err
	}
	decide := changeOf(o.kind-11, app, o.epoch)
	_, err := s.Update(ctx, app, decide)
	return err
}

// createAccess makes credentials for what the application has. They do not get
// old: members forget what does at times of their own.
func (p *player) createAccess(ctx context.Context, app model.UID, n int) (model.ResourceAccess, error) {
	a := anAccess(p.s, model.UID{9}, fmt.Sprint(n%7))
	a.ExpiresAt = a.ExpiresAt.AddDate(100, 0, 0)
	if e, err := p.s.Application(ctx, app); err == nil && e.Resource != nil {
		a.ResourceUID = e.Resource.UID
	}
	return p.s.CreateAccess(ctx, a)
}

// accessesOf is what is in memory of an application's credentials.
func accessesOf(s *Store, app model.UID) []any {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	if set := s.memory.accesses.sets[app]; set != nil {
		return []any{set.resource, set.views, set.uses}
	}
	return nil
}

// sees is all that can be read, as text.
func (p *player) sees(t *rapid.T) string {
	ctx := context.Background()
	ended, err := p.s.Live(ctx, Caller{Admin: true}, time.Unix(1, 0))
	if err != nil {
		t.Fatalf("Live: %v", err)
	}
	byApp := map[string]any{}
	for i, app := range p.apps {
		e, err := p.s.engine.readEntry(ctx, app)
		if err != nil && !errors.Is(err, ErrNotFound) {
			t.Fatalf("read entry: %v", err)
		}
		byApp[fmt.Sprint(i)] = []any{e, accessesOf(p.s, app)}
	}
	m := p.s.memory
	text, err := json.Marshal([]any{
		p.s.Open(), ended, byApp, m.users.list, m.labels.list, m.nodes.list, m.locations.list, m.mappings.list, p.s.clock.Last(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p.numbered(string(text))
}

// TestEnginesAgree plays the same random history on both engines, reopening in
// between: all answers and all that can be read are the same.
func TestEnginesAgree(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		folder, err := os.MkdirTemp(base, "db")
		if err != nil {
			rt.Fatal(err)
		}
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{rapid.IntRange(0, 21).Draw(rt, "kind"), rapid.IntRange(0, 59).Draw(rt, "n"), rapid.Uint32Range(1, 3).Draw(rt, "epoch")}
		}), 1, 60).Draw(rt, "steps")
		reopenAt := rapid.IntRange(0, 60).Draw(rt, "reopen")
		var answers, seen [2]string
		for i, p := range places(folder) {
			answers[i], seen[i] = playAll(rt, p, steps, reopenAt)
		}
		if answers[0] != answers[1] {
			rt.Fatalf("answers differ (-sqlite +memory):\n%s", cmp.Diff(answers[0], answers[1]))
		}
		if seen[0] != seen[1] {
			rt.Fatalf("engines differ (-sqlite +memory):\n%s", cmp.Diff(seen[0], seen[1]))
		}
	})
}

func playAll(t *rapid.T, at place, steps []step, reopenAt int) (answers, seen string) {
	o := Options{Node: testNode, Logger: quiet(), Now: ticking()}
	open := func() *Store {
		s, err := at.open(o)
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		return s
	}
	p := &player{s: open(), names: map[string]string{}}
	for i, st := range steps {
		if i == reopenAt {
			if err := p.s.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			p.s = open()
		}
		err := p.play(context.Background(), st)
		class := "other"
		for _, known := range []error{nil, ErrExists, ErrNotFound, ErrLabelUnknown, ErrUnavailable, ErrAccessUsed, ErrNotAllocated, ErrHostKey} {
			if errors.Is(err, known) {
				class = fmt.Sprint(known)
			}
		}
		answers += class + "\n"
	}
	seen = p.sees(t)
	if err := p.s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	return answers, seen
}

// numbered replaces each UID by its number.
func (p *player) numbered(text string) string {
	return uidPattern.ReplaceAllStringFunc(text, func(uid string) string {
		if p.names[uid] == "" {
			p.names[uid] = fmt.Sprint("#", len(p.names))
		}
		return p.names[uid]
	})
}

// TestDiskLosesPower commits and pulls the plug: what was durable stays, with
// what was committed before it; the store over it can write no more.
func TestDiskLosesPower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := NewDisk()
		open := func() *Store {
			s, err := OpenMemory(t.Context(), Options{Node: testNode, Logger: quiet()}, disk)
			if err != nil {
				t.Fatalf("OpenMemory: %v", err)
			}
			return s
		}
		put := func(s *Store, name string, fleeting bool) error {
			b := newBatch(s)
			b.fleeting = fleeting
			return s.alone(t.Context(), func() error {
				x := &tx{batch: b, now: s.stamp()}
				if err := x.run(func(w nounWriter) error { return w.insertLocation(model.Location{Name: name}) }); err != nil {
					b.rollback()
					return err
				}
				return b.commit()
			})
		}
		s := open()
		for i, name := range []string{"a", "b", "c", "d"} {
			if err := put(s, name, i != 1); err != nil {
				t.Fatal(err)
			}
		}
		disk.Crash()
		if err := put(s, "e", false); !errors.Is(err, errDisk) {
			t.Errorf("write after the loss of power = %v, want %v", err, errDisk)
		}
		next := open()
		if err := s.Close(); err != nil {
			t.Errorf("Close of the store that lost its disk: %v", err)
		}
		_, a := next.Location("a")
		_, b := next.Location("b")
		_, c := next.Location("c")
		if !a || !b || c {
			t.Errorf("a, b, c are there: %v, %v, %v, want those up to the durable commit", a, b, c)
		}
		if _, err := OpenMemory(t.Context(), next.opts, disk); !errors.Is(err, ErrInUse) {
			t.Errorf("second OpenMemory = %v, want %v", err, ErrInUse)
		}
		if err := next.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestDiskFull refuses writes while the disk is full, and takes them again, as
// told by the probe.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := NewDisk()
		s, err := OpenMemory(t.Context(), Options{Node: testNode, Logger: quiet()}, disk)
		if err != nil {
			t.Fatal(err)
		}
		label := newLabel(t, s)
		before := disk.Copy()
		sub := s.Subscribe()
		disk.Fail(errors.New("no space left"))
		_, err = s.CreateApplication(t.Context(), model.Application{LabelUID: label.UID})
		if !errors.Is(err, ErrUnavailable) || !errors.Is(s.Writable(), ErrUnavailable) || len(s.Open()) != 0 {
			t.Errorf("CreateApplication = %v, Writable() = %v, want both %v", err, s.Writable(), ErrUnavailable)
		}
		disk.Fail(nil)
		<-sub.C()
		if _, resync := sub.Take(); !resync || s.Writable() != nil {
			t.Errorf("resync = %v, Writable() = %v, want true, nil", resync, s.Writable())
		}
		newApplication(t, s, label.UID, "u")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		disk.Restore(before)
		if s, err = OpenMemory(t.Context(), s.opts, disk); err != nil {
			t.Fatal(err)
		}
		if n := len(s.Open()); n != 0 || len(s.Labels()) != 1 {
			t.Errorf("after the restore there are %d applications and %d labels, want none and one", n, len(s.Labels()))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestListsOfMemory says what can not be listed there.
func TestListsOfMemory(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		s := reopen()
		newApplication(t, s, newLabel(t, s).UID, "u")
		n, filter := 0, "name = 'x'"
		for _, err := range s.ListApplications(t.Context(), Query{Caller: Caller{Admin: true}}) {
			if (err != nil) != (s.db == nil) {
				t.Errorf("ListApplications: %v", err)
			}
			n++
		}
		for _, err := range s.ListLabels(t.Context(), Query{Filter: &filter}) {
			if s.db != nil || !errors.Is(err, errNoSQL) {
				t.Errorf("ListLabels: %v", err)
			}
			n++
		}
		if want := map[bool]int{true: 2, false: 1}[s.db == nil]; n != want {
			t.Errorf("lists gave %d values and errors, want %d", n, want)
		}
	})
}
