package recall

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

var (
	self    = model.UID{1}
	nodes   = []model.UID{{2}, {3}, {4}}
	forever = 20 * lookEvery
)

// farm is a node with a lapse and what the others would answer.
type farm struct {
	t      *testing.T
	store  *store.Store
	recall *Recall
	log    *bytes.Buffer
	stop   func()

	mu      sync.Mutex
	others  []model.UID
	unknown bool
	answers map[model.UID]replica.Vector // of those that can be reached
	asked   map[model.UID]int
	heard   int
}

// lapse is a disk whose database is older than what its node wrote.
func lapse(t *testing.T) *store.Disk {
	t.Helper()
	disk := store.NewDisk()
	s := open(t, disk)
	if _, err := s.CreateLabel(t.Context(), model.Label{Name: "l"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	disk.Restore(disk)
	return disk
}

func open(t *testing.T, disk *store.Disk) *store.Store {
	t.Helper()
	s, err := store.OpenMemory(context.Background(), store.Options{Node: self, Logger: slog.New(slog.DiscardHandler)}, disk)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// play runs a test on a lapse, in fake time.
func play(t *testing.T, test func(f *farm, disk *store.Disk)) {
	t.Helper()
	disk := lapse(t)
	synctest.Test(t, func(t *testing.T) {
		f := &farm{t: t, store: open(t, disk), log: &bytes.Buffer{}, answers: map[model.UID]replica.Vector{}, asked: map[model.UID]int{}}
		defer func() {
			f.stop()
			_ = f.store.Close()
		}()
		test(f, disk)
	})
}

func (f *farm) start() {
	var err error
	f.recall, err = New(Options{
		Store: f.store, Ask: f.ask, Logger: slog.New(slog.NewTextHandler(f.log, nil)), Name: func(n model.UID) string { return "node-" + string('0'+n[0]) },
		Others: func() ([]model.UID, bool) { f.mu.Lock(); defer f.mu.Unlock(); return f.others, !f.unknown },
		Heard:  func() { f.mu.Lock(); defer f.mu.Unlock(); f.heard++ },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- f.recall.Run(ctx) }()
	f.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Errorf("Run = %v", err)
		}
	}
}

func (f *farm) ask(_ context.Context, node model.UID) (replica.Vector, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[node]++
	v, ok := f.answers[node]
	if !ok {
		return nil, errors.New("not reachable")
	}
	return maps.Clone(v), nil
}

func (f *farm) change(change func()) {
	f.mu.Lock()
	change()
	f.mu.Unlock()
	time.Sleep(2 * lookEvery)
	synctest.Wait()
}

func (f *farm) want(lapsed bool, heard ...model.UID) {
	f.t.Helper()
	if got := f.recall.Lapsed(); got != lapsed {
		f.t.Fatalf("Lapsed = %t, want %t", got, lapsed)
	}
	for _, n := range heard {
		if !f.recall.Heard(n) {
			f.t.Errorf("node %d was not heard", n[0])
		}
	}
}

// TestAloneAtOnce: a node that knows of nobody has nobody to wait for.
func TestAloneAtOnce(t *testing.T) {
	play(t, func(f *farm, _ *store.Disk) {
		f.start()
		time.Sleep(time.Millisecond)
		synctest.Wait()
		f.want(false)
	})
}

// TestNobodyKnownOfThoseToJoin: the copy may be older than the first meeting.
func TestNobodyKnownOfThoseToJoin(t *testing.T) {
	play(t, func(f *farm, _ *store.Disk) {
		f.unknown = true
		f.start()
		time.Sleep(tellAfter + 2*lookEvery)
		synctest.Wait()
		f.want(true)
		if !strings.Contains(f.log.String(), "cluster_join") {
			f.t.Errorf("the log does not say for whom is waited: %s", f.log)
		}
	})
}

// TestAllAreHeard: each at its own time, and not before what it knows is here;
// one that is learned of from the others too.
func TestAllAreHeard(t *testing.T) {
	play(t, func(f *farm, _ *store.Disk) {
		f.others = nodes[:2]
		f.start()
		foreign := replica.Origin{Node: nodes[0], Incarnation: 1}
		f.change(func() { f.answers[nodes[0]] = replica.Vector{foreign: 3} })
		f.want(true)
		if f.recall.Heard(nodes[0]) {
			f.t.Error("heard although its rows are not here")
		}
		f.change(func() { f.answers[nodes[0]] = replica.Vector{foreign: 500} }) // what it writes later is not waited for
		if err := f.store.Replicate(f.t.Context(), []replica.Batch{{Origin: foreign, To: 3}}); err != nil {
			f.t.Fatal(err)
		}
		f.change(func() { delete(f.answers, nodes[0]) }) // it was heard, and may go
		f.want(true, nodes[0])
		time.Sleep(tellAfter)
		synctest.Wait()
		f.change(func() { f.others, f.answers[nodes[1]] = nodes, replica.Vector{} })
		f.want(true, nodes[0], nodes[1])
		f.change(func() { f.answers[nodes[2]] = replica.Vector{} })
		f.want(false)
		time.Sleep(forever)
		synctest.Wait()
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.asked[nodes[2]] > 10 || f.asked[nodes[0]] != 1 || f.heard != 3 {
			f.t.Errorf("asked %v, heard %d times: who was heard is not asked again", f.asked, f.heard)
		}
		if n := strings.Count(f.log.String(), "missing=[node-3]"); n != 1 {
			f.t.Errorf("the log names who is missing %d times, want once: %s", n, f.log)
		}
	})
}

// TestWhatNobodyHasIsNotWaitedFor: a member answered with rows that it then lost
// with the power. It is asked again, and so are the others, who may have got from
// it what they did not have when they answered.
func TestWhatNobodyHasIsNotWaitedFor(t *testing.T) {
	play(t, func(f *farm, _ *store.Disk) {
		lost, kept := replica.Origin{Node: nodes[0], Incarnation: 1}, replica.Origin{Node: nodes[1], Incarnation: 1}
		f.others = nodes[:2]
		f.answers = map[model.UID]replica.Vector{nodes[0]: {lost: 7, kept: 3}, nodes[1]: {}}
		f.start()
		f.change(func() {})
		f.want(true, nodes[1])
		time.Sleep(askAgain + lookEvery)
		synctest.Wait()
		f.want(true, nodes[1]) // it says the same again
		f.change(func() { f.answers[nodes[0]], f.answers[nodes[1]] = replica.Vector{lost: 2}, replica.Vector{kept: 3} })
		time.Sleep(askAgain + lookEvery)
		synctest.Wait()
		f.want(true)
		for _, b := range []replica.Batch{{Origin: lost, To: 2}, {Origin: kept, To: 3}} {
			if f.recall.Heard(b.Origin.Node) {
				t.Errorf("node %d was heard although what it knows now is not here", b.Origin.Node[0])
			}
			if err := f.store.Replicate(t.Context(), []replica.Batch{b}); err != nil {
				t.Fatal(err)
			}
		}
		f.change(func() {})
		f.want(false)
	})
}

// TestAnswersOfBeforeCountNothing: neither after a restart, nor when another
// incarnation is taken.
func TestAnswersOfBeforeCountNothing(t *testing.T) {
	play(t, func(f *farm, disk *store.Disk) {
		f.others, f.answers = nodes[:2], map[model.UID]replica.Vector{nodes[0]: {}}
		f.start()
		f.change(func() {})
		f.want(true, nodes[0])

		f.stop()
		_ = f.store.Close()
		f.store, f.answers = open(f.t, disk), map[model.UID]replica.Vector{}
		f.start()
		f.change(func() { f.answers[nodes[1]] = replica.Vector{} })
		f.want(true, nodes[1])
		if f.recall.Heard(nodes[0]) {
			f.t.Error("what was heard before a restart counts")
		}

		origin := f.store.Origin()
		if seq := f.store.Vector()[origin] + 7; !f.store.Suspect(origin, seq) || f.store.Reincarnate(f.t.Context(), origin, seq) != nil {
			f.t.Fatal("no incarnation taken")
		}
		f.change(func() { f.answers = map[model.UID]replica.Vector{nodes[0]: {}} })
		f.want(true, nodes[0])
		if f.recall.Heard(nodes[1]) {
			f.t.Error("what was heard before the incarnation counts")
		}
		f.change(func() { f.answers[nodes[1]] = replica.Vector{} })
		f.want(false)
		if f.recall.Heard(nodes[0]) {
			f.t.Error("answers are kept without a lapse")
		}
	})
}
