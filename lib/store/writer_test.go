package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// oneBatch runs the requests so that they share one commit, in the order given.
func oneBatch(t *testing.T, s *Store, requests ...func() error) []error {
	t.Helper()
	held, release := make(chan struct{}), make(chan struct{})
	errs := make([]error, len(requests))
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = s.alone(context.Background(), func() error { close(held); <-release; return nil })
	})
	<-held
	for i, r := range requests {
		queued := len(s.requests)
		wg.Go(func() { errs[i] = r() })
		for len(s.requests) == queued {
			time.Sleep(time.Millisecond) // the condition is the queue's length
		}
	}
	before := s.commits.Load()
	close(release)
	wg.Wait()
	if n := s.commits.Load() - before; n > 1 {
		t.Fatalf("requests took %d commits, want one at most", n)
	}
	return errs
}

func TestBatchKeepsRequestsApart(t *testing.T) {
	s := openStore(t, testOptions(t))
	label := newLabel(t, s)
	app := newApplication(t, s, label.UID, "u").Application.UID
	update(t, s, app, elected(app, 1))
	write := func(c model.Change) func() error {
		return func() error {
			_, err := s.Update(t.Context(), app, func(*model.Entry) (model.Change, error) { return c, nil })
			return err
		}
	}
	twice := elected(app, 1) // its UID is taken
	twice.Tasks = []model.ApplicationTask{{Task: "never"}}
	twice.States = append([]model.ApplicationState{{Status: model.StatusRecalled}}, twice.States...)
	sees := func() error {
		_, err := s.Update(t.Context(), app, func(e *model.Entry) (model.Change, error) {
			if n := len(e.States); n != 3 {
				return model.Change{}, fmt.Errorf("sees %d states, want those of the batch too: 3", n)
			}
			return model.Change{}, nil
		})
		return err
	}
	panics := func() error {
		_, err := s.Update(t.Context(), app, func(*model.Entry) (model.Change, error) { panic("nonsense") })
		return err
	}
	errs := oneBatch(t, s, write(intent(1)), write(twice), write(allocated(1)), sees, panics)
	if errs[0] != nil || !errors.Is(errs[1], ErrExists) || errs[2] != nil || errs[3] != nil {
		t.Errorf("answers = %v, want only the second to be %v", errs[:4], ErrExists)
	}
	if errs[4] == nil || !strings.Contains(errs[4].Error(), "nonsense") {
		t.Errorf("answer to a panic = %v, want it named", errs[4])
	}
	s = reopen(t, s)
	e, err := s.Application(t.Context(), app)
	if err != nil || e.Fold.Status() != model.StatusAllocated || len(e.States) != 3 || len(e.Tasks) != 0 || len(e.Allocations) != 1 {
		t.Errorf("Application = %+v, %v, want nothing of the failed request", e, err)
	}
}

func TestBatchSeesItsOwnRows(t *testing.T) {
	s := openStore(t, testOptions(t))
	put := func(old *model.User) (model.User, error) {
		if old != nil {
			return *old, ErrExists
		}
		return model.User{}, nil
	}
	user := func() error { _, err := s.PutUser(t.Context(), "u", put); return err }
	label := func() error { _, err := s.CreateLabel(t.Context(), model.Label{Name: "l"}); return err }
	location := func() error { _, err := s.PutLocation(t.Context(), model.Location{Name: "x"}); return err }
	mapping := func() error {
		_, err := s.CreateServiceMapping(t.Context(), model.ServiceMapping{Service: "s", Redirect: "r"})
		return err
	}
	errs := oneBatch(t, s, user, label, location, mapping, user, label, location, mapping)
	for i, err := range errs {
		if first := i < 4; first != (err == nil) || !first && !errors.Is(err, ErrExists) {
			t.Errorf("answer %d = %v, want only the second of each to be %v", i, err, ErrExists)
		}
	}
	if gone, err := s.DeleteUser(t.Context(), "u"); !gone || err != nil {
		t.Errorf("DeleteUser = %v, %v", gone, err)
	}
	if gone, err := s.DeleteUser(t.Context(), "u"); gone || err != nil {
		t.Errorf("second DeleteUser = %v, %v, want false", gone, err)
	}
}

// fill bounds the database to its present size: the disk is full.
func fill(t *testing.T, s *Store, pages string) {
	t.Helper()
	err := s.alone(context.Background(), func() error {
		_, err := s.db.writer.ExecContext(context.Background(), "PRAGMA max_page_count = "+pages)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func bigMetadata() []byte { return []byte(`{"x":"` + strings.Repeat("y", 60<<10) + `"}`) }

// TestFullDiskRefusesTheWholeBatch fills the disk within a batch: all of it is
// refused, memory stays as it was, and writing comes back by itself.
func TestFullDiskRefusesTheWholeBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, testOptions(t))
		label := newLabel(t, s)
		app := newApplication(t, s, label.UID, "u").Application.UID
		before, _ := s.Application(t.Context(), app)
		sub := s.Subscribe()
		defer sub.Close()
		fill(t, s, "1") // SQLite takes the present size for it
		small := func() error {
			_, err := s.Update(t.Context(), app, func(*model.Entry) (model.Change, error) { return requested(), nil })
			return err
		}
		big := func() error {
			_, err := s.CreateApplication(t.Context(), model.Application{LabelUID: label.UID, Metadata: bigMetadata()})
			return err
		}
		for i, err := range oneBatchInBubble(t, s, small, big, small) {
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "full") {
				t.Errorf("answer %d = %v, want %v because it is full", i, err, ErrUnavailable)
			}
		}
		if err := s.Writable(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Writable() = %v, want %v", err, ErrUnavailable)
		}
		if after, err := s.Application(t.Context(), app); err != nil || after != before {
			t.Errorf("Application = %v, %v, want it untouched", after, err)
		}
		if keys, _ := sub.Take(); len(keys) != 0 {
			t.Errorf("feed told %v of a lost batch", keys)
		}
		fill(t, s, "1000000")
		<-sub.C() // the probe tells
		if _, resync := sub.Take(); !resync || s.Writable() != nil {
			t.Errorf("resync = %v, Writable() = %v after the disk had room, want true, nil", resync, s.Writable())
		}
		if err := errors.Join(small(), big()); err != nil {
			t.Errorf("write after recovery: %v", err)
		}
		if err := s.Close(); err != nil { // within the bubble
			t.Error(err)
		}
	})
}

// oneBatchInBubble is oneBatch where waiting costs nothing.
func oneBatchInBubble(t *testing.T, s *Store, requests ...func() error) []error {
	t.Helper()
	release := make(chan struct{})
	errs := make([]error, len(requests))
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.alone(context.Background(), func() error { <-release; return nil }) })
	synctest.Wait()
	for i, r := range requests {
		wg.Go(func() { errs[i] = r() })
		synctest.Wait()
	}
	close(release)
	wg.Wait()
	return errs
}

// TestFailedCommit lets the statements succeed and COMMIT alone fail, through
// a foreign key that is checked only there: nobody in the batch is told that
// it was written, not even the one who wrote nothing.
func TestFailedCommit(t *testing.T) {
	s := openStore(t, testOptions(t))
	app := newApplication(t, s, newLabel(t, s).UID, "u").Application.UID
	err := s.alone(t.Context(), func() error {
		_, err := s.db.writer.ExecContext(t.Context(), "PRAGMA foreign_keys = 1; CREATE TABLE parent (id INTEGER PRIMARY KEY); "+
			"CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED); "+
			"CREATE TRIGGER poison AFTER INSERT ON users WHEN new.name = 'poison' BEGIN INSERT INTO child VALUES (1); END")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	before, _ := s.Application(t.Context(), app)
	user := func(name string) func() error {
		return func() error {
			_, err := s.PutUser(t.Context(), name, func(*model.User) (model.User, error) { return model.User{}, nil })
			return err
		}
	}
	writes := func(c model.Change) func() error {
		return func() error {
			_, err := s.Update(t.Context(), app, func(*model.Entry) (model.Change, error) { return c, nil })
			return err
		}
	}
	for i, err := range oneBatch(t, s, writes(requested()), user("poison"), user("good"), writes(model.Change{})) {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("answer %d = %v, want %v", i, err, ErrUnavailable)
		}
	}
	if after, _ := s.Application(t.Context(), app); after != before {
		t.Errorf("memory shows what was not committed: %+v", after)
	}
	if _, ok := s.UserByName("good"); ok || !errors.Is(s.Writable(), ErrUnavailable) {
		t.Errorf("user is there: %v, Writable() = %v", ok, s.Writable())
	}
	if err := user("good")(); err != nil || s.Writable() != nil {
		t.Errorf("PutUser = %v, Writable() = %v, want all well again", err, s.Writable())
	}
}

// TestReadOnlyWhileRunning takes the right to write away for a while.
func TestReadOnlyWhileRunning(t *testing.T) {
	s := openStore(t, testOptions(t))
	app := newApplication(t, s, newLabel(t, s).UID, "u").Application.UID
	set := func(on string) {
		err := s.alone(t.Context(), func() error {
			_, err := s.db.writer.ExecContext(context.Background(), "PRAGMA query_only = "+on)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set("1")
	_, err := s.Update(t.Context(), app, func(*model.Entry) (model.Change, error) { return requested(), nil })
	if !errors.Is(err, ErrUnavailable) || !errors.Is(s.Writable(), ErrUnavailable) {
		t.Errorf("Update = %v, Writable() = %v, want %v", err, s.Writable(), ErrUnavailable)
	}
	set("0")
	update(t, s, app, requested()) // a write that succeeds is as good as a probe
	if s.Writable() != nil {
		t.Errorf("Writable() = %v after a write", s.Writable())
	}
}

// TestTransactionThatWasLeftOpen, as by a ROLLBACK that failed: no later BEGIN
// succeeds until it is ended.
func TestTransactionThatWasLeftOpen(t *testing.T) {
	s := openStore(t, testOptions(t))
	app := newApplication(t, s, newLabel(t, s).UID, "u").Application.UID
	err := s.alone(t.Context(), func() error {
		_, err := s.db.writer.ExecContext(t.Context(), "BEGIN IMMEDIATE")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Update(t.Context(), app, func(*model.Entry) (model.Change, error) { return requested(), nil })
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("Update = %v, want %v", err, ErrUnavailable)
	}
	update(t, s, app, requested())
	if s.Writable() != nil {
		t.Errorf("Writable() = %v after a write", s.Writable())
	}
}

// TestCancelledRequestIsNotWritten gives up while the request waits for its turn.
func TestCancelledRequestIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, testOptions(t))
		app := newApplication(t, s, newLabel(t, s).UID, "u").Application.UID
		ctx, cancel := context.WithCancel(t.Context())
		asked := false
		time.AfterFunc(time.Second, cancel)
		release, gone := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(gone)
			_ = s.alone(context.Background(), func() error { <-release; return nil })
		}()
		synctest.Wait()
		_, err := s.Update(ctx, app, func(*model.Entry) (model.Change, error) { asked = true; return requested(), nil })
		close(release)
		<-gone
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Update = %v, want %v", err, context.Canceled)
		}
		e := update(t, s, app, model.Change{}) // comes after it
		if asked || len(e.States) != 1 {
			t.Errorf("decide was called: %v, states: %d, want the request to be dropped", asked, len(e.States))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestClosedStore(t *testing.T) {
	s := openStore(t, testOptions(t))
	label := newLabel(t, s)
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if _, err := s.CreateLabel(t.Context(), label); !errors.Is(err, ErrClosed) {
		t.Errorf("CreateLabel = %v, want %v", err, ErrClosed)
	}
}

// TestCloseAnswersEverybody closes under load: each write is answered, and what
// was answered with success is there.
func TestCloseAnswersEverybody(t *testing.T) {
	s := openStore(t, testOptions(t))
	var wg sync.WaitGroup
	var mu sync.Mutex
	stored := map[string]bool{}
	for i := range 50 {
		wg.Go(func() {
			for j := 0; ; j++ {
				name := fmt.Sprintf("u%d-%d", i, j)
				_, err := s.PutUser(context.Background(), name, func(*model.User) (model.User, error) { return model.User{}, nil })
				if errors.Is(err, ErrClosed) {
					return
				}
				mu.Lock()
				stored[name] = err == nil
				mu.Unlock()
			}
		})
	}
	for len(s.requests) == 0 {
		time.Sleep(time.Millisecond) // until there is load
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	s = openStore(t, s.opts)
	got := map[string]bool{}
	for u := range s.ListUsers(t.Context(), Query{Caller: Caller{Admin: true}}) {
		got[u.Name] = true
	}
	if diff := cmp.Diff(stored, got); diff != "" {
		t.Errorf("users differ from what was answered (-answered +stored):\n%s", diff)
	}
}

// TestSynctest keeps the store usable in bubbles: loops over it are tested
// with fake time.
func TestSynctest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, testOptions(t))
		app := newApplication(t, s, newLabel(t, s).UID, "u").Application
		time.Sleep(time.Hour)
		e := update(t, s, app.UID, requested())
		if d := e.Fold.Current.CreatedAt.Sub(app.CreatedAt); d != time.Hour {
			t.Errorf("states are %s apart, want an hour", d)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestClockNeverFalls sets the wall clock back over a restart.
func TestClockNeverFalls(t *testing.T) {
	o := testOptions(t)
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	o.Now = func() time.Time { return now }
	s := openStore(t, o)
	first := newApplication(t, s, newLabel(t, s).UID, "u")
	now = now.AddDate(-3, 0, 0)
	s = reopen(t, s)
	second := newApplication(t, s, first.Application.LabelUID, "u")
	if second.Application.HLC <= first.States[0].HLC {
		t.Errorf("clock fell from %d to %d over the restart", first.States[0].HLC, second.Application.HLC)
	}
	if open := s.Open(); len(open) != 2 || open[0].Application.UID != first.Application.UID {
		t.Errorf("queue is not in the order of creation")
	}
}

// TestProbeIsNotHeldUpByRequestsThatWriteNothing keeps the writer busy with
// requests that say nothing about the disk.
func TestProbeIsNotHeldUpByRequestsThatWriteNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, testOptions(t))
		label := newLabel(t, s)
		app := newApplication(t, s, label.UID, "u").Application.UID
		fill(t, s, "1")
		_, err := s.CreateApplication(t.Context(), model.Application{LabelUID: label.UID, Metadata: bigMetadata()})
		if !errors.Is(err, ErrUnavailable) {
			t.Fatalf("CreateApplication = %v, want %v", err, ErrUnavailable)
		}
		fill(t, s, "1000000")
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			update(t, s, app, model.Change{})
		}
		if err := s.Writable(); err != nil {
			t.Errorf("Writable() = %v, 5 s after the disk has room", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
