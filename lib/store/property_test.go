package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// anyChange draws what some component might write, sensible or not.
func anyChange(t *rapid.T, app model.UID) func(*model.Entry) (model.Change, error) {
	return changeOf(rapid.IntRange(0, 9).Draw(t, "kind"), app, rapid.Uint32Range(1, 3).Draw(t, "epoch"))
}

// changeOf is the kind's change.
func changeOf(kind int, app model.UID, epoch uint32) func(*model.Entry) (model.Change, error) {
	return func(e *model.Entry) (model.Change, error) {
		switch kind {
		case 0:
			return elected(app, epoch), nil // ErrExists the second time
		case 1:
			return intent(epoch), nil
		case 2:
			return allocated(epoch), nil
		case 3:
			return model.RequestRelease(e, "Requested by user u")
		case 4:
			return deallocated(e, epoch), nil
		case 5:
			return model.Change{Tasks: []model.ApplicationTask{{Task: "t", When: "ALLOCATED"}}}, nil
		case 6:
			tasks := append([]model.ApplicationTask{}, e.Tasks...)
			for i := range tasks {
				tasks[i].Result = model.TaskError("x")
			}
			return model.Change{Tasks: tasks}, nil
		case 7:
			return model.Change{DropResource: true}, nil
		case 8:
			return model.Change{States: []model.ApplicationState{{Status: model.StatusDeclined, Epoch: epoch}}}, nil
		}
		return model.Change{}, errors.New("refused")
	}
}

// TestAnythingReadsBack runs random requests from many goroutines, so that
// they share batches. Each entry that an Update returned is what its Change
// makes of the entry that its decide saw, nobody's write is lost between, and
// a reopened database holds what memory held.
func TestAnythingReadsBack(t *testing.T) {
	rounds := 12
	if raceEnabled {
		rounds = 3
	}
	o := testOptions(t)
	s := openStore(t, o)
	label := newLabel(t, s).UID
	for seed := range rounds { // the database lives on between examples
		rapid.Custom(func(rt *rapid.T) bool { randomRound(rt, t, s, label); return true }).Example(seed)
		want := s.Open()
		s = reopen(t, s)
		if diff := cmp.Diff(want, s.Open()); diff != "" {
			t.Fatalf("memory and database differ (-memory +database):\n%s", diff)
		}
	}
}

func randomRound(rt *rapid.T, t *testing.T, s *Store, label model.UID) {
	apps := make([]model.UID, 3)
	for i := range apps {
		apps[i] = newApplication(t, s, label, "u").Application.UID
	}
	var mu sync.Mutex
	written := map[model.UID]int{} // states that were acknowledged
	var wg sync.WaitGroup
	for range rapid.IntRange(10, 60).Draw(rt, "requests") {
		app := rapid.SampledFrom(apps).Draw(rt, "app")
		decide := anyChange(rt, app)
		wg.Go(func() {
			n := 0
			e, err := s.Update(context.Background(), app, func(e *model.Entry) (model.Change, error) {
				c, err := decide(e)
				n = len(c.States)
				return c, err
			})
			if err != nil {
				return
			}
			if diff := cmp.Diff(model.FoldStates(e.States), e.Fold); diff != "" {
				t.Errorf("fold is not that of the states: %s", diff)
			}
			mu.Lock()
			written[app] += n
			mu.Unlock()
		})
	}
	wg.Wait()
	for _, app := range apps {
		e, err := s.Application(context.Background(), app)
		if err != nil || len(e.States) != written[app]+1 {
			t.Errorf("application has %d states, %v, want NEW and the %d acknowledged", len(e.States), err, written[app])
		}
		checkInvariants(t, s, e)
	}
}

func checkInvariants(t *testing.T, s *Store, e *model.Entry) {
	t.Helper()
	if e.Resource != nil && e.Fold.Status() != model.StatusAllocated {
		t.Errorf("a Resource is there while %s", e.Fold.Status())
	}
	if e.Resource != nil {
		if _, same, ok := s.Resource(e.Resource.UID); !ok || same != e {
			t.Errorf("Resource(%s) does not find its entry", e.Resource.UID)
		}
	}
	stored, err := readEntry(context.Background(), s.db.readers, e.Application.UID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, stored); diff != "" {
		t.Errorf("memory and database differ (-memory +database):\n%s", diff)
	}
	closed, err := column[bool](context.Background(), s.db.readers, "SELECT closed_at IS NOT NULL FROM applications WHERE uid = ?", key(e.Application.UID))
	if err != nil || closed[0] != e.Done() {
		t.Errorf("closed_at is set: %v, %v, Done() = %v", closed, err, e.Done())
	}
}

// TestReadersSeeWholeEntries reads while others write: an entry's parts always
// belong together.
func TestReadersSeeWholeEntries(t *testing.T) {
	lives := 80
	if raceEnabled {
		lives = 20
	}
	s := openStore(t, testOptions(t))
	label := newLabel(t, s).UID
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				checkSnapshot(t, s)
			}
		})
	}
	for range 8 {
		writers.Go(func() {
			for range lives / 8 {
				live(t, s, label)
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if n := len(s.Open()); n != 0 {
		t.Errorf("%d applications are left", n)
	}
}

func checkSnapshot(t *testing.T, s *Store) {
	queue := s.Open()
	for i, e := range queue {
		if i > 0 && queueOrder(queue[i-1], e) >= 0 {
			t.Error("queue is out of order")
		}
		if e.Done() || len(e.States) == 0 || (e.Resource != nil) != (e.Fold.Status() == model.StatusAllocated) {
			t.Errorf("entry is not whole: %+v", e)
		}
	}
	for _, e := range s.Resources() {
		if r, other, ok := s.Resource(e.Resource.UID); ok && r.ApplicationUID != other.Application.UID {
			t.Error(fmt.Sprint("Resource and entry do not belong together: ", r.UID))
		}
	}
}
