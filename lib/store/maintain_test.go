package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := testOptions(t)
		o.Retention = time.Hour
		s := openStore(t, o)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.RunMaintenance(ctx) }()
		label := newLabel(t, s).UID
		var old []model.UID
		for range expireBatch + 5 { // more than one step
			old = append(old, live(t, s, label))
		}
		alive := newApplication(t, s, label, "u").Application.UID
		mapped, err := s.CreateServiceMapping(ctx, model.ServiceMapping{Service: "s", Redirect: "r", ApplicationUID: old[0]})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		young := live(t, s, label)
		for _, app := range []model.UID{old[0], old[1], young} { // what a task answered ends with its application
			update(t, s, app, model.Change{Tasks: []model.ApplicationTask{{Task: "snapshot", Result: model.TaskError("it was too late")}}})
		}
		if _, err := s.Application(ctx, old[0]); err != nil {
			t.Errorf("Application before its time: %v", err)
		}
		time.Sleep(31 * time.Minute)
		for _, app := range old {
			if e, err := s.Application(ctx, app); !errors.Is(err, ErrNotFound) {
				t.Errorf("Application past retention = %v, %v, want %v", e, err, ErrNotFound)
			}
		}
		if _, ok := s.ServiceMapping(mapped.UID); ok {
			t.Error("its service mapping is still there")
		}
		for _, app := range []model.UID{alive, young} {
			if _, err := s.Application(ctx, app); err != nil {
				t.Errorf("Application within retention: %v", err)
			}
		}
		for table, want := range map[string]int{"applications": 2, "application_states": 6, "allocations": 1, "resources": 0, "application_tasks": 1} {
			if n, err := countRows(s, table); err != nil || n != want {
				t.Errorf("%s has %d rows, %v, want %d", table, n, err, want)
			}
		}
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Error(err)
		}
	})
}

// TestMaxSize lets a database grow past its bound: the oldest closed
// applications go, and the file gets smaller; what is alive stays.
func TestMaxSize(t *testing.T) {
	o := testOptions(t)
	o.MaxSize = 4 << 20
	s := openStore(t, o)
	label := newLabel(t, s).UID
	var apps []model.UID
	for i := range 80 {
		e, err := s.CreateApplication(t.Context(), model.Application{LabelUID: label, OwnerName: fmt.Sprint(i), Metadata: bigMetadata()})
		if err != nil {
			t.Fatal(err)
		}
		if apps = append(apps, e.Application.UID); i > 0 { // the first one lives
			update(t, s, apps[i], model.Change{States: []model.ApplicationState{{Status: model.StatusRecalled}, {Status: model.StatusClosed}}})
		}
	}
	before, err := s.used(t.Context())
	if err != nil || before < 2*o.MaxSize {
		t.Fatalf("used = %d, %v, want more than twice the bound", before, err)
	}
	for range 100 { // a slow machine does less in one; the first one that finds the node idle empties the log
		if err := s.maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if log, err := os.Stat(s.db.path + "-wal"); err == nil && log.Size() < idleLog {
			break
		}
	}
	if err := s.maintain(t.Context()); err != nil { // what it freed goes back to the file system
		t.Fatal(err)
	}
	if after, err := s.used(t.Context()); err != nil || after > o.MaxSize || after < o.MaxSize/2 {
		t.Errorf("used = %d, %v, want it just below %d", after, err, o.MaxSize)
	}
	for i, want := range map[int]bool{0: true, 1: false, 79: true} {
		if _, err := s.Application(t.Context(), apps[i]); want != (err == nil) {
			t.Errorf("application %d: %v, want it kept: %v", i, err, want)
		}
	}
	info, err := os.Stat(s.db.path)
	if err != nil || info.Size() > before*3/4 {
		t.Errorf("file has %d bytes, %v, of %d before", info.Size(), err, before)
	}
	if log, err := os.Stat(s.db.path + "-wal"); err != nil || log.Size() >= idleLog {
		t.Errorf("log has %d bytes, %v, want it emptied", log.Size(), err)
	}
}

// TestRecentlyClosedStayInMemory polls an application that is done.
func TestRecentlyClosedStayInMemory(t *testing.T) {
	s := openStore(t, testOptions(t))
	app := live(t, s, newLabel(t, s).UID)
	first, err := s.Application(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := s.Application(t.Context(), app); err != nil || first != second {
		t.Errorf("Application = %p, %v, want the same entry %p", second, err, first)
	}
	late := update(t, s, app, model.Change{Tasks: []model.ApplicationTask{{Task: "late"}}})
	if late.Done() || len(s.Open()) != 1 {
		t.Errorf("a task that has not ended leaves the application done: %v", late.Done())
	}
	if s = reopen(t, s); len(s.Open()) != 1 {
		t.Error("and is forgotten by a restart")
	}
	late.Tasks[0].Result = model.TaskError("too late")
	if done := update(t, s, app, model.Change{Tasks: late.Tasks}); !done.Done() || len(s.Open()) != 0 {
		t.Error("an ended task keeps the application open")
	}
}

func TestRing(t *testing.T) {
	r := ring{entries: map[model.UID]*model.Entry{}}
	uid := func(i int) model.UID { return model.UID{1, byte(i >> 8), byte(i)} }
	for i := range keepClosed + 10 {
		r.add(uid(i), &model.Entry{})
		r.add(uid(i), &model.Entry{}) // again: takes no second place
	}
	if len(r.entries) != keepClosed || r.entries[uid(9)] != nil || r.entries[uid(10)] == nil {
		t.Errorf("ring has %d entries, want the newest %d", len(r.entries), keepClosed)
	}
	r.remove(uid(10))
	if len(r.entries) != keepClosed-1 {
		t.Errorf("ring has %d entries after a removal", len(r.entries))
	}
}
