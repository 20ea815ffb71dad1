package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// member is one node of a simulated cluster.
type member struct {
	*player
	at   place
	disk *Disk // nil over SQLite
	opts Options
}

func (m *member) open(t *rapid.T) {
	s, err := m.at.open(m.opts)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	m.s = s
}

func (m *member) shut(t *rapid.T) {
	if err := m.s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// crash is a loss of power and a start. Over SQLite it is a start alone.
func (m *member) crash(t *rapid.T) {
	m.shut(t)
	if m.disk != nil {
		m.disk.Crash()
	}
	m.open(t)
}

// farm is some members with one time of day, of which each sees its own.
type farm struct {
	now     time.Time
	members []*member
	shared  *player         // the UIDs that all know
	undone  map[rowKey]bool // what was deleted, by an origin whose disk was put back since to before that
}

func newFarm(t *rapid.T, n int, sqliteIn string) *farm {
	f := &farm{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), shared: &player{}, undone: map[rowKey]bool{}}
	for i := range n {
		skew := time.Duration(rapid.IntRange(-120, 120).Draw(t, "skew")) * time.Second
		m := &member{player: &player{}, disk: NewDisk()}
		m.opts = Options{Node: model.UID{byte(i + 1), 1, 1, 1, 1, 1, 0x40, 0, 0x80}, Logger: quiet(), Now: func() time.Time {
			f.now = f.now.Add(time.Millisecond)
			return f.now.Add(skew)
		}}
		m.at = place{"memory", func(o Options) (*Store, error) { return OpenMemory(context.Background(), o, m.disk) }}
		if i == 0 && sqliteIn != "" {
			m.disk, m.opts.Folder = nil, filepath.Join(sqliteIn, fmt.Sprint(i))
			m.at = place{"sqlite", func(o Options) (*Store, error) { return Open(context.Background(), o) }}
		}
		m.open(t)
		f.members = append(f.members, m)
	}
	return f
}

// anyFarm is one of two to four members, the first of them now and then over
// SQLite.
func anyFarm(t *rapid.T, base string) *farm {
	folder := ""
	if rapid.IntRange(0, 4).Draw(t, "engine") == 0 {
		var err error
		if folder, err = os.MkdirTemp(base, "db"); err != nil {
			t.Fatal(err)
		}
	}
	return newFarm(t, rapid.IntRange(2, 4).Draw(t, "members"), folder)
}

// play makes a step at one member, with what any of them made.
func (f *farm) play(m *member, o step) {
	m.labels, m.apps, m.maps, m.access = f.shared.labels, f.shared.apps, f.shared.maps, f.shared.access
	_ = m.player.play(context.Background(), o) // what is refused is refused
	f.shared.labels, f.shared.apps, f.shared.maps, f.shared.access = m.labels, m.apps, m.maps, m.access
}

// send gives a part of what one member lacks to it. It reports whether there
// was something.
func (f *farm) send(t *rapid.T, from, to *member, rows int) bool {
	has, news := to.s.Vector(), false
	var batches []replica.Batch
	for origin := range from.s.Vector() {
		b, err := from.s.Rows(context.Background(), origin, has[origin], replica.Limit{Rows: rows, Bytes: 1 << 20})
		if err != nil {
			t.Fatalf("Rows: %v", err)
		}
		if b.To > b.From {
			news = true
			batches = append(batches, b)
		}
	}
	slices.SortFunc(batches, func(a, b replica.Batch) int { return a.Origin.Compare(b.Origin) })
	if err := to.s.Replicate(context.Background(), batches); err != nil {
		t.Fatalf("Replicate: %v", err)
	}
	return news
}

// calm exchanges everything.
func (f *farm) calm(t *rapid.T) {
	for round := 0; ; round++ {
		news := false
		for _, from := range f.members {
			for _, to := range f.members {
				if from != to && f.send(t, from, to, 1000) {
					news = true
				}
			}
		}
		if !news {
			return
		}
		if round > 50 {
			t.Fatal("the exchange does not end")
		}
	}
}

// allRows is every row that a member would pass on.
func (m *member) allRows(t *rapid.T) []replica.Row { return allRows(t, m.s) }

func allRows(t rapid.TB, s *Store) []replica.Row {
	var rows []replica.Row
	for origin, seq := range s.Vector() {
		b, err := s.Rows(context.Background(), origin, 0, replica.Limit{Rows: 1 << 30, Bytes: 1 << 40})
		if err != nil || b.To != seq {
			t.Fatalf("Rows up to %d: %v, want %d", b.To, err, seq)
		}
		rows = append(rows, b.Rows...)
	}
	slices.SortFunc(rows, func(a, b replica.Row) int { return a.Version.Compare(b.Version) })
	return rows
}

// shown is what clients of a member can see.
func (m *member) shown(t *rapid.T, apps []model.UID) string {
	var entries []any
	for _, app := range apps {
		e, err := m.s.Application(context.Background(), app)
		if err != nil {
			t.Fatalf("Application(%s): %v", app, err)
		}
		states := slices.SortedFunc(slices.Values(e.States), func(a, b model.ApplicationState) int { return cmp.Compare(a.UID.String(), b.UID.String()) })
		tasks := slices.SortedFunc(slices.Values(e.Tasks), taskOrder)
		entries = append(entries, []any{e.Application, states, tasks, e.Resource, e.Fold.Current, accessesOf(m.s, app)})
		if (e.Fold.Status() == model.StatusAllocated) != (e.Resource != nil) {
			t.Errorf("application is %s with the Resource %v", e.Fold.Status(), e.Resource)
		}
	}
	mem := m.s.memory
	text, err := json.MarshalIndent([]any{entries, orNil(mem.users.list), orNil(mem.labels.list), orNil(mem.nodes.list),
		orNil(mem.locations.list), orNil(mem.mappings.list), orNil(mem.retirements.list), orNil(mem.handovers.list)}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// orNil makes an empty list and none look the same.
func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// TestStoresConverge plays random histories on several stores, which exchange
// random parts of what they wrote, lose power and start again. When all is
// exchanged all hold the same rows, and show the same, also after a restart.
func TestStoresConverge(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		f := anyFarm(rt, base)
		for range rapid.IntRange(1, 120).Draw(rt, "steps") {
			f.step(rt)
		}
		f.calm(rt)
		f.compareAtLast(rt)
	})
}

func (f *farm) step(t *rapid.T) {
	m := f.members[rapid.IntRange(0, len(f.members)-1).Draw(t, "member")]
	switch kind := rapid.IntRange(-9, 22).Draw(t, "kind"); {
	case kind <= -2:
		from := f.members[rapid.IntRange(0, len(f.members)-1).Draw(t, "from")]
		if from != m {
			f.send(t, from, m, rapid.IntRange(1, 6).Draw(t, "rows"))
		}
	case kind == -1:
		m.crash(t)
	case kind == 10, kind == 18: // expiry, and a Resource that is dropped alone, are of one node
	case kind == 22:
		if n := rapid.IntRange(0, 9).Draw(t, "retired"); n < len(f.members) {
			_, _ = m.s.CreateRetirement(context.Background(), model.Retirement{NodeUID: f.members[n].opts.Node, Successor: m.opts.Node})
		} else {
			_, _ = m.s.CreateHandover(context.Background(), model.Handover{Successor: f.members[0].opts.Node})
		}
	default:
		f.play(m, step{kind, rapid.IntRange(0, 59).Draw(t, "n"), rapid.Uint32Range(1, 3).Draw(t, "epoch")})
	}
}

func (f *farm) compare(t *rapid.T) {
	first := f.members[0]
	vector, rows, shown := first.s.Vector(), first.allRows(t), first.shown(t, f.shared.apps)
	for i, m := range f.members[1:] {
		if diff := gocmp.Diff(vector, m.s.Vector()); diff != "" {
			t.Fatalf("vectors of members 0 and %d differ:\n%s", i+1, diff)
		}
		if diff := gocmp.Diff(rows, m.allRows(t)); diff != "" {
			t.Fatalf("rows of members 0 and %d differ:\n%s", i+1, diff)
		}
		if diff := gocmp.Diff(shown, m.shown(t, f.shared.apps)); diff != "" {
			t.Fatalf("members 0 and %d show different things:\n%s", i+1, diff)
		}
	}
	f.compareDigests(t)
}

// compareAtLast compares the members before and after a start of all, and shuts
// them.
func (f *farm) compareAtLast(t *rapid.T) {
	f.compare(t)
	for _, m := range f.members {
		m.shut(t)
		m.open(t)
	}
	f.compare(t)
	f.shut(t)
}

func (f *farm) shut(t *rapid.T) {
	for _, m := range f.members {
		m.shut(t)
	}
}
