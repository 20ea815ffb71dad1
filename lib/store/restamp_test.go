package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// leaper is a store whose clock can be set.
type leaper struct {
	t     *testing.T
	place place
	ahead time.Duration
	s     *Store
}

// eachLeaper runs a test over a fresh database of each engine, and an other
// node's, whose clock is right.
func eachLeaper(t *testing.T, test func(t *testing.T, l *leaper, other *Store)) {
	for _, p := range places(filepath.Join(t.TempDir(), "db")) {
		t.Run(p.name, func(t *testing.T) {
			l := &leaper{t: t, place: p}
			l.open()
			t.Cleanup(func() { _ = l.s.Close() })
			test(t, l, openOther(t, 1))
		})
	}
}

func (l *leaper) open() {
	l.t.Helper()
	s, err := l.place.open(Options{Node: testNode, Logger: quiet(), Now: func() time.Time { return time.Now().Add(l.ahead) }})
	if err != nil {
		l.t.Fatal(err)
	}
	l.s = s
}

func (l *leaper) reopen() {
	l.t.Helper()
	if err := l.s.Close(); err != nil {
		l.t.Fatal(err)
	}
	l.open()
}

// restamp wants that a number of rows is stamped anew.
func (l *leaper) restamp(rows int) {
	l.t.Helper()
	done, err := l.s.Restamp(l.t.Context())
	if err != nil || done.Rows != rows {
		l.t.Fatalf("Restamp = %+v, %v, want %d rows", done, err, rows)
	}
	if by, held := l.s.Ahead(); held {
		l.t.Fatalf("the node is still %v ahead", by)
	}
}

// everything writes a row of most kinds, and lets one be deleted.
func (l *leaper) everything() (labels []model.Label, apps []model.UID) {
	t, s := l.t, l.s
	t.Helper()
	labels = append(labels, newLabel(t, s), newLabel(t, s))
	for range 3 {
		apps = append(apps, newApplication(t, s, labels[0].UID, "u").Application.UID)
	}
	update(t, s, apps[0], elected(apps[0], 1))
	update(t, s, apps[0], intent(1))
	update(t, s, apps[0], allocated(1))
	update(t, s, apps[0], model.Change{Tasks: []model.ApplicationTask{{Task: "snapshot", When: "DEALLOCATE"}}})
	apps = append(apps, live(t, s, labels[0].UID))
	_, err1 := s.PutUser(t.Context(), "u", func(*model.User) (model.User, error) { return model.User{Hash: model.PasswordHash{Algo: "x"}}, nil })
	_, err2 := s.PutLocation(t.Context(), model.Location{Name: "here"})
	_, err3 := s.CreateServiceMapping(t.Context(), model.ServiceMapping{Service: "a", Redirect: "b"})
	_, err4 := s.PutNode(t.Context(), model.Node{UID: testNode, Name: "n", Pubkey: []byte("k")})
	err5 := s.AddHandover(t.Context(), model.Handover{Successor: model.UID{9}})
	_, err6 := s.DeleteLabel(t.Context(), labels[1].UID)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	return labels, apps
}

// rowsOf are all that this node would pass on of itself.
func ownRows(t *testing.T, s *Store) (rows []replica.Row) {
	t.Helper()
	for origin := range s.Vector() {
		b, err := s.Rows(t.Context(), origin, 0, replica.Limit{Rows: 1000, Bytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if origin.Node == s.opts.Node {
			rows = append(rows, b.Rows...)
		}
	}
	slices.SortFunc(rows, func(a, b replica.Row) int { return a.Version.Compare(b.Version) })
	return rows
}

func keysOf(rows []replica.Row) (keys []string) {
	for _, r := range rows {
		keys = append(keys, fmt.Sprintf("%d %x", r.Kind, r.Key))
	}
	return keys
}

// TestRestamp: what was written by a clock that was ahead, and is held back by
// the others, reaches them once it is stamped anew: all of it, in its order, and
// this node goes on with the right time.
func TestRestamp(t *testing.T) {
	eachLeaper(t, func(t *testing.T, l *leaper, other *Store) {
		before := newLabel(t, l.s)
		hand(t, l.s, other)
		l.ahead = 3 * time.Hour
		_, apps := l.everything()
		l.ahead = 0
		late := newApplication(t, l.s, before.UID, "u").Application.UID // readings never fall
		queue := fmt.Sprint(uidsOf(l.s.Open()))
		was := ownRows(t, l.s)
		if err := other.Replicate(t.Context(), []replica.Batch{rowsFrom(t, l.s)}); !errors.Is(err, ErrAhead) {
			t.Fatalf("Replicate of what is ahead = %v, want ErrAhead", err)
		}
		l.restamp(len(was) - 1)
		wantIncarnation(t, l.s, 2, false)
		if _, lapsed := l.s.Lapsed(); lapsed {
			t.Error("there is a lapse although nothing was forgotten")
		}
		now := ownRows(t, l.s)
		if diff := cmp.Diff(keysOf(was), keysOf(now)); diff != "" {
			t.Errorf("the order of the rows changed (-before +after)\n%s", diff)
		}
		if got := fmt.Sprint(uidsOf(l.s.Open())); got != queue {
			t.Errorf("queue is %s, before it was %s", got, queue)
		}
		l.restamp(0) // nothing is left to do
		wantIncarnation(t, l.s, 2, false)

		later := newApplication(t, l.s, before.UID, "u").Application
		if by := time.Until(time.Unix(0, int64(later.HLC))); by > time.Minute {
			t.Errorf("what is written now is still %v ahead", by)
		}
		hand(t, l.s, other)
		l.alike(other, append(apps, late, later.UID))
		l.reopen()
		l.alike(other, append(apps, late, later.UID))
		wantIncarnation(t, l.s, 2, false)
	})
}

func uidsOf(entries []*model.Entry) (uids []model.UID) {
	for _, e := range entries {
		uids = append(uids, e.Application.UID)
	}
	return uids
}

// alike wants both stores to hold and show the same.
func (l *leaper) alike(other *Store, apps []model.UID) {
	t := l.t
	t.Helper()
	if diff := cmp.Diff(withoutZero(l.s.Vector()), withoutZero(other.Vector())); diff != "" {
		t.Errorf("vectors differ\n%s", diff)
	}
	if !cmp.Equal(digestsOf(t, l.s, always), digestsOf(t, other, always)) {
		t.Error("digests differ")
	}
	for _, app := range apps {
		mine, err1 := l.s.Application(t.Context(), app)
		theirs, err2 := other.Application(t.Context(), app)
		if err1 != nil || err2 != nil {
			t.Fatalf("application %s: %v, %v", app, err1, err2)
		}
		for what, diff := range map[string]string{
			"application": cmp.Diff(mine.Application, theirs.Application), "states": cmp.Diff(mine.States, theirs.States),
			"tasks": cmp.Diff(mine.Tasks, theirs.Tasks), "resource": cmp.Diff(mine.Resource, theirs.Resource),
		} {
			if diff != "" {
				t.Errorf("%s differs\n%s", what, diff)
			}
		}
	}
	if diff := cmp.Diff(l.s.Labels(), other.Labels()); diff != "" {
		t.Errorf("labels differ\n%s", diff)
	}
	if diff := cmp.Diff(l.s.Nodes(), other.Nodes()); diff != "" {
		t.Errorf("nodes differ\n%s", diff)
	}
	if diff := cmp.Diff(l.s.Handovers(), other.Handovers()); diff != "" {
		t.Errorf("handovers differ\n%s", diff)
	}
}

// TestRestampedTables: the tables say what the rows say, without a rebuild.
func TestRestampedTables(t *testing.T) {
	l := &leaper{t: t, place: places(filepath.Join(t.TempDir(), "db"))[0], ahead: 3 * time.Hour}
	l.open()
	l.everything()
	l.ahead = 0
	l.restamp(len(ownRows(t, l.s)))
	folder := l.s.opts.Folder
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := Rebuild(t.Context(), Options{Folder: folder, Node: testNode, Logger: quiet()})
	if err != nil || report.Changed() != 0 {
		t.Errorf("Rebuild = %+v, %v, want nothing to do", report, err)
	}
}

// TestRestampAgain: a clock that is wrong again is no trouble, nor is one that
// is ahead by less than anybody minds.
func TestRestampAgain(t *testing.T) {
	eachLeaper(t, func(t *testing.T, l *leaper, other *Store) {
		for round := range 3 {
			l.ahead = 2 * time.Hour
			newLabel(t, l.s)
			l.restamp(0) // by that clock nothing is ahead
			l.ahead = 0
			if round == 1 {
				l.reopen()
			}
			l.restamp(1)
			hand(t, l.s, other)
			if n := len(other.Labels()); n != round+1 {
				t.Fatalf("round %d: the other has %d labels", round, n)
			}
		}
		wantIncarnation(t, l.s, 4, false)
		l.ahead = 4 * time.Minute
		newLabel(t, l.s)
		l.ahead = 0
		l.restamp(0)
		wantIncarnation(t, l.s, 4, false)
	})
}

// TestRestampFails: while nothing can be written all stays as it was, and what
// is written later is as far ahead as before.
func TestRestampFails(t *testing.T) {
	disk := NewDisk()
	l := &leaper{t: t, ahead: time.Hour, place: place{"memory", func(o Options) (*Store, error) { return OpenMemory(context.Background(), o, disk) }}}
	l.open()
	first := newLabel(t, l.s)
	l.ahead = 0
	rows := ownRows(t, l.s)
	full := errors.New("no space left on device")
	disk.Fail(full)
	if _, err := l.s.Restamp(t.Context()); !errors.Is(err, full) {
		t.Fatalf("Restamp = %v, want %v", err, full)
	}
	disk.Fail(nil)
	if _, held := l.s.Ahead(); !held || l.s.Origin().Incarnation != 1 {
		t.Errorf("after a try that failed the origin is %v, held back %t", l.s.Origin(), held)
	}
	if diff := cmp.Diff(rows, ownRows(t, l.s)); diff != "" {
		t.Errorf("a try that failed changed rows\n%s", diff)
	}
	if second := newLabel(t, l.s); second.HLC <= first.HLC {
		t.Errorf("readings fell from %d to %d", first.HLC, second.HLC)
	}
	l.restamp(2)
	disk.Crash()
	l.reopen()
	if by, held := l.s.Ahead(); held || len(ownRows(t, l.s)) != 2 {
		t.Errorf("after a loss of power %d rows are left, ahead by %v", len(ownRows(t, l.s)), by)
	}
}

// ending is a context that is done after some looks.
type ending struct {
	context.Context
	looks int
}

func (e *ending) Err() error {
	if e.looks--; e.looks < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// TestRestampEnds: a try that takes too long is given up between two rows and
// changes nothing, and while it goes on the writer does not look stuck.
func TestRestampEnds(t *testing.T) {
	eachLeaper(t, func(t *testing.T, l *leaper, other *Store) {
		l.ahead = 3 * time.Hour
		_, apps := l.everything()
		l.ahead = 0
		was, clock := ownRows(t, l.s), l.s.clock.Last()
		if _, err := l.s.Restamp(&ending{t.Context(), len(was) - 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Restamp = %v, want DeadlineExceeded", err)
		}
		if diff := cmp.Diff(was, ownRows(t, l.s)); diff != "" || l.s.clock.Last() != clock {
			t.Errorf("a try that was given up left the clock at %d, before %d, and changed rows\n%s", l.s.clock.Last(), clock, diff)
		}
		wantIncarnation(t, l.s, 1, false)
		beats := l.s.Beats()
		l.restamp(len(was))
		if n := l.s.Beats() - beats; n < uint64(len(was)) {
			t.Errorf("the writer's heart beat %d times over %d rows", n, len(was))
		}
		hand(t, l.s, other)
		l.alike(other, apps)
	})
}

// broken is an engine that fails within a transaction, and must get no more of it.
type broken struct {
	engine
	after int
}

var errBroken = errors.New("disk I/O error")

func (b *broken) putSession(uint32, int64) error { return errBroken }

func (b *broken) putLapse(until model.HLC) error {
	b.after++
	return b.engine.putLapse(until)
}

func (b *broken) putMarkUntil(until model.HLC) error {
	b.after++
	return b.engine.putMarkUntil(until)
}

// TestRestampStops: SQLite may have ended a transaction that failed, so nothing
// may be written after that.
func TestRestampStops(t *testing.T) {
	eachLeaper(t, func(t *testing.T, l *leaper, _ *Store) {
		l.ahead = 3 * time.Hour
		newLabel(t, l.s)
		origin := l.s.Origin()
		if !l.s.Suspect(origin, 99) {
			t.Fatal("Suspect = false")
		}
		whole := l.s.engine
		cut := &broken{engine: whole}
		l.s.engine = cut
		if err := l.s.Reincarnate(t.Context(), origin, 99); !errors.Is(err, errBroken) || cut.after != 0 {
			t.Errorf("Reincarnate = %v, and %d writes after that", err, cut.after)
		}
		l.s.engine = whole
		if err := l.s.Reincarnate(t.Context(), origin, 99); err != nil {
			t.Fatal(err)
		}
		l.ahead = 0
		l.s.engine = cut
		if _, err := l.s.Restamp(t.Context()); !errors.Is(err, errBroken) || cut.after != 0 {
			t.Errorf("Restamp = %v, and %d writes after that", err, cut.after)
		}
		l.s.engine = whole
		l.restamp(1)
	})
}

// TestRestampKeepsTheLapse: the same applications are of before it, in memory
// and after a start, and new ones are not.
func TestRestampKeepsTheLapse(t *testing.T) {
	eachLeaper(t, func(t *testing.T, l *leaper, other *Store) {
		label := newLabel(t, l.s)
		hand(t, l.s, other)
		l.ahead = 3 * time.Hour
		old := newApplication(t, l.s, label.UID, "u").Application
		origin := l.s.Origin()
		if !l.s.Suspect(origin, 99) {
			t.Fatal("Suspect = false")
		}
		l.ahead = 0
		if _, err := l.s.Restamp(t.Context()); !errors.Is(err, errSuspected) {
			t.Fatalf("Restamp before the incarnation that is due = %v, want errSuspected", err)
		}
		if err := l.s.Reincarnate(t.Context(), origin, 99); err != nil {
			t.Fatal(err)
		}
		young := newApplication(t, l.s, label.UID, "u").Application
		l.restamp(4)
		for range 2 {
			last := newApplication(t, l.s, label.UID, "u").Application
			for app, want := range map[model.UID]bool{old.UID: true, young.UID: false, last.UID: false} {
				e, err := l.s.Application(t.Context(), app)
				if err != nil || l.s.Forgot(e.Application) != want {
					t.Errorf("Forgot = %t, %v, want %t", !want, err, want)
				}
			}
			l.reopen()
		}
	})
}

// TestRestampKeepsTheDoubt: of a copy that was put back the same applications
// are in doubt, and new ones are not.
func TestRestampKeepsTheDoubt(t *testing.T) {
	l := &leaper{t: t, place: places(filepath.Join(t.TempDir(), "db"))[0], ahead: 3 * time.Hour}
	l.open()
	label := newLabel(t, l.s)
	old := newApplication(t, l.s, label.UID, "u").Application.UID
	if err := markCopy(t.Context(), l.s.db.writer, time.Now()); err != nil {
		t.Fatal(err)
	}
	l.reopen()
	young := newApplication(t, l.s, label.UID, "u").Application.UID
	l.ahead = 0
	l.restamp(5)
	for range 2 {
		last := newApplication(t, l.s, label.UID, "u").Application.UID
		for app, want := range map[model.UID]Doubt{old: Doubtful, young: Certain, last: Certain} {
			e, err := l.s.Application(t.Context(), app)
			if err != nil || l.s.Doubt(e.Application) != want {
				t.Errorf("Doubt = %v, %v, want %v", l.s.Doubt(e.Application), err, want)
			}
		}
		l.reopen()
	}
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRestampable: this node stamps anew what it wrote, and what all may change.
func TestRestampable(t *testing.T) {
	stranger := model.UID{7}
	for _, tt := range []struct {
		name string
		kind replica.Kind
		node model.UID
		want bool
	}{
		{"own state", replica.KindApplicationState, testNode, true},
		{"own node", replica.KindNode, testNode, true},
		{"own, of a newer program", 999, testNode, true},
		{"own handover", replica.KindHandover, testNode, true},
		{"own retirement of another", replica.KindRetirement, testNode, true},
		{"own ownership", replica.KindOwnership, testNode, true},
		{"another's state", replica.KindApplicationState, stranger, false},
		{"another's resource", replica.KindResource, stranger, false},
		{"another's handover", replica.KindHandover, stranger, false},
		{"another's change of a user", replica.KindUser, stranger, true},
		{"another's task", replica.KindApplicationTask, stranger, true},
	} {
		found := []syncRow{
			{Row: replica.Row{Kind: tt.kind, Version: replica.Version{Origin: replica.Origin{Node: tt.node}}}},
			{Row: replica.Row{Kind: replica.KindApplication, Version: replica.Version{Origin: replica.Origin{Node: stranger}}}},
		}
		if got := len(restampable(found, testNode)) == 1; got != tt.want {
			t.Errorf("%s: restamped %t, want %t", tt.name, got, tt.want)
		}
	}
}

// TestReadingsKeepTheirOrder: whatever two readings are, those in their place
// are in the same order.
func TestReadingsKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := model.HLC(100)
		var rows []*syncRow
		for _, at := range rapid.SliceOf(rapid.IntRange(0, 300)).Draw(t, "rows") {
			rows = append(rows, &syncRow{Row: replica.Row{Version: replica.Version{HLC: model.HLC(at)}}})
		}
		r := newReadings(rows, limit, model.HLC(rapid.IntRange(50, 100).Draw(t, "base")))
		a, b := model.HLC(rapid.IntRange(0, 400).Draw(t, "a")), model.HLC(rapid.IntRange(0, 400).Draw(t, "b"))
		if a > b {
			a, b = b, a
		}
		if a > limit && r.of(a) > r.of(b) || r.of(b) > max(r.newest(), limit) || a <= limit && r.of(a) != a {
			t.Fatalf("readings %d and %d become %d and %d", a, b, r.of(a), r.of(b))
		}
		if _, known := slices.BinarySearch(r.ahead, b); known && a != b && a > limit && r.of(a) >= r.of(b) {
			t.Fatalf("readings %d and %d of rows become %d and %d", a, b, r.of(a), r.of(b))
		}
	})
}

// leap lets the clocks of members be set.
func (f *farm) leap(t *rapid.T) (ahead []time.Duration) {
	ahead = make([]time.Duration, len(f.members))
	for i, m := range f.members {
		m.shut(t)
		now := m.opts.Now
		m.opts.Now = func() time.Time { return now().Add(ahead[i]) }
		m.open(t)
	}
	return ahead
}

// exchange is calm for a farm in which something may be ahead of somebody.
func (f *farm) exchange(t *rapid.T) {
	for range 8 {
		for _, from := range f.members {
			for _, to := range f.members {
				if from != to {
					f.offer(t, from, to)
				}
			}
		}
	}
}

// offer gives all that one member lacks to it, which it may refuse.
func (f *farm) offer(t *rapid.T, from, to *member) {
	has := to.s.Vector()
	for origin := range from.s.Vector() {
		b, err := from.s.Rows(context.Background(), origin, has[origin], replica.Limit{Rows: 1000, Bytes: 1 << 20})
		if err != nil {
			t.Fatalf("Rows: %v", err)
		}
		if b.To <= b.From {
			continue
		}
		if err := to.s.Replicate(context.Background(), []replica.Batch{b}); err != nil && !errors.Is(err, ErrAhead) {
			t.Fatalf("Replicate: %v", err)
		}
	}
}

// TestLeapsConverge plays random histories in which clocks are hours ahead for a
// while. Where it was one node's at a time all is alike as soon as that has
// stamped anew what it wrote, and rows were compared; where several were and know of each other, at the
// latest when that time has come.
func TestLeapsConverge(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		folder := ""
		if rapid.IntRange(0, 4).Draw(rt, "engine") == 0 {
			var err error
			if folder, err = os.MkdirTemp(base, "db"); err != nil {
				rt.Fatal(err)
			}
		}
		f := newFarm(rt, rapid.IntRange(2, 4).Draw(rt, "members"), folder)
		ahead := f.leap(rt)
		leapers := rapid.IntRange(1, len(f.members)).Draw(rt, "leapers")
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			switch i := rapid.IntRange(0, len(f.members)-1).Draw(rt, "leaper"); rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				if i < leapers {
					ahead[i] = 3*time.Hour - ahead[i]
				}
			case 1:
				if ahead[i] == 0 {
					f.restamp(rt, i)
				}
			case 2:
				f.offer(rt, f.members[rapid.IntRange(0, len(f.members)-1).Draw(rt, "from")], f.members[i])
			default:
				f.playOne(rt)
			}
		}
		clear(ahead)
		for i := range f.members {
			if waits := f.restamp(rt, i); waits && leapers == 1 {
				rt.Fatalf("member %d waits although no other was ahead", i)
			}
		}
		f.exchange(rt)
		if leapers > 1 {
			f.now = f.now.Add(4 * time.Hour)
			f.calm(rt)
		}
		f.mergeAll(rt) // a user that was changed on a node whose clock is minutes ahead may be newer than what replaced it
		f.compare(rt)
		for _, m := range f.members {
			m.shut(rt)
			m.open(rt)
		}
		f.compare(rt)
		for _, m := range f.members {
			m.shut(rt)
		}
	})
}

// restamp does at a member what the node does once its clock is right, and
// reports whether it has to wait for others.
func (f *farm) restamp(t *rapid.T, i int) (waits bool) {
	m := f.members[i]
	was := arbiters(m.s)
	_, err := m.s.Restamp(context.Background())
	waits = errors.Is(err, errOrder)
	if err != nil && !waits {
		t.Fatalf("Restamp: %v", err)
	}
	if by, held := m.s.Ahead(); held != waits {
		t.Fatalf("member %d is %v ahead, and waits: %t", i, by, waits)
	}
	if diff := cmp.Diff(was, arbiters(m.s)); diff != "" {
		t.Fatalf("others decide than before (-before +after)\n%s", diff)
	}
	return waits
}

// arbiters are who decides about all that is open.
func arbiters(s *Store) map[model.UID]model.UID {
	retirements, handovers := s.Succession()
	known := map[model.UID]model.UID{}
	for _, e := range s.Open() {
		known[e.Application.UID] = model.Arbiter(e.Application, retirements, handovers)
	}
	return known
}

// playOne is a step without an exchange.
func (f *farm) playOne(t *rapid.T) {
	m := f.members[rapid.IntRange(0, len(f.members)-1).Draw(t, "member")]
	kind := rapid.IntRange(-1, 22).Draw(t, "kind")
	switch kind {
	case -1:
		m.shut(t)
		if m.disk != nil {
			m.disk.Crash()
		}
		m.open(t)
	case 10, 18: // expiry, and a Resource that is dropped alone, are of one node
	case 22:
		_, _ = m.s.CreateHandover(context.Background(), model.Handover{Successor: f.members[0].opts.Node})
	default:
		f.play(m, step{kind, rapid.IntRange(0, 59).Draw(t, "n"), rapid.Uint32Range(1, 3).Draw(t, "epoch")})
	}
}

// mergeAll merges all rows of all, as the comparison does.
func (f *farm) mergeAll(t *rapid.T) {
	for range 2 {
		for _, from := range f.members {
			rows := from.allRows(t)
			for _, to := range f.members {
				if _, err := to.s.MergeRows(context.Background(), rows, always); err != nil {
					t.Fatalf("MergeRows: %v", err)
				}
			}
		}
	}
}
