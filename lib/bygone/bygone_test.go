package bygone

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

func node(n byte) model.UID { return model.UID{n, 15: n} }

// app is an application of the arbiter with these rows.
func app(n, arbiter byte, rows ...model.ApplicationState) *model.Entry {
	hlc := model.HLC(time.Now().UnixNano())
	states := append([]model.ApplicationState{{UID: node(n), Status: model.StatusNew, HLC: hlc}}, rows...)
	return &model.Entry{
		Application: model.Application{UID: node(n), Arbiter: node(arbiter), HLC: hlc}, States: states, Fold: model.FoldStates(states),
	}
}

func elected(winner byte) model.ApplicationState {
	return model.ApplicationState{Status: model.StatusElected, Epoch: 1, Decision: &model.Decision{Winner: node(winner)}}
}

func wrote(status model.Status, by byte) model.ApplicationState {
	return model.ApplicationState{Status: status, Epoch: 1, NodeUID: node(by)}
}

func TestWhom(t *testing.T) {
	all := []model.UID{node(2), node(3), node(4)}
	retired := func(n, successor byte) model.Retirement {
		return model.Retirement{NodeUID: node(n), Successor: node(successor), HLC: model.HLC(time.Now().Add(time.Hour).UnixNano())}
	}
	for _, tt := range []struct {
		name        string
		entry       *model.Entry
		retirements []model.Retirement
		want        []model.UID
	}{
		{"another decides", app(9, 2), nil, []model.UID{node(2)}},
		{"this one decides", app(9, 1), nil, all},
		{"granted to another", app(9, 1, elected(3)), nil, []model.UID{node(3)}},
		{"granted to another by another", app(9, 2, elected(3)), nil, []model.UID{node(3)}},
		{"granted to this one", app(9, 2, elected(1)), nil, all},
		{"runs elsewhere, and the grant is not here", app(9, 1, wrote(model.StatusAllocated, 4)), nil, []model.UID{node(4)}},
		{"declined", app(9, 2, elected(3), wrote(model.StatusDeclined, 3)), nil, []model.UID{node(2)}},
		{"granted to a retired one", app(9, 2, elected(5)), []model.Retirement{retired(5, 4)}, []model.UID{node(2)}},
		{"granted to a retired one by this one", app(9, 1, elected(5)), []model.Retirement{retired(5, 4)}, all},
		{"of a retired one with a successor", app(9, 5), []model.Retirement{retired(5, 4)}, []model.UID{node(4)}},
		{"of a retired one that this one follows", app(9, 5), []model.Retirement{retired(5, 1)}, all},
		{"of retired ones that name each other", app(9, 5), []model.Retirement{retired(5, 6), retired(6, 5)}, all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Whom(tt.entry, Farm{Node: node(1), Retirements: tt.retirements, Others: all})
			if !slices.Equal(got, tt.want) {
				t.Errorf("Whom = %v, want %v", got, tt.want)
			}
		})
	}
}

// world is a node's database, and what the others answer.
type world struct {
	mu          sync.Mutex
	open        []*model.Entry
	retirements []model.Retirement
	away        map[model.UID]bool
	fates       map[model.UID]map[model.UID]store.Fate // by node and application
	broken      map[model.UID]error
	asked       map[model.UID]int // questions about an application
	traced      int               // how often the own database was read for questions
	forgotten   []model.UID
	unready     bool
}

func newWorld(open ...*model.Entry) *world {
	return &world{
		open: open, away: map[model.UID]bool{}, fates: map[model.UID]map[model.UID]store.Fate{},
		broken: map[model.UID]error{}, asked: map[model.UID]int{},
	}
}

func (w *world) lock() func() { w.mu.Lock(); return w.mu.Unlock }

func (w *world) Open() []*model.Entry { defer w.lock()(); return slices.Clone(w.open) }

func (w *world) Nodes() []model.Node {
	return []model.Node{{UID: node(1)}, {UID: node(2)}, {UID: node(3)}, {UID: node(4)}}
}

func (w *world) Succession() ([]model.Retirement, []model.Handover) {
	defer w.lock()()
	return w.retirements, nil
}

func (w *world) Traces(apps []model.UID) ([]store.Trace, error) {
	defer w.lock()()
	w.traced++
	var traces []store.Trace
	for _, a := range apps {
		traces = append(traces, store.Trace{Application: a, Version: replica.Version{Seq: 1}})
	}
	return traces, nil
}

func (w *world) Forget(_ context.Context, apps []model.UID) ([]model.UID, error) {
	defer w.lock()()
	w.forgotten = append(w.forgotten, apps...)
	w.open = slices.DeleteFunc(w.open, func(e *model.Entry) bool { return slices.Contains(apps, e.Application.UID) })
	return apps, nil
}

func (w *world) ask(_ context.Context, by model.UID, traces []store.Trace) ([]store.Fate, error) {
	defer w.lock()()
	if err := w.broken[by]; err != nil {
		return nil, err
	}
	var fates []store.Fate
	for _, t := range traces {
		w.asked[t.Application]++
		fates = append(fates, w.fates[by][t.Application])
	}
	return fates, nil
}

func (w *world) says(by, app byte, fate store.Fate) {
	defer w.lock()()
	if w.fates[node(by)] == nil {
		w.fates[node(by)] = map[model.UID]store.Fate{}
	}
	w.fates[node(by)][node(app)] = fate
}

func (w *world) gone() []model.UID { defer w.lock()(); return slices.Clone(w.forgotten) }

func (w *world) readings() int { defer w.lock()(); return w.traced }

func (w *world) times(app byte) int { defer w.lock()(); return w.asked[node(app)] }

func (w *world) change(f func()) { defer w.lock()(); f() }

// keep runs a keeper over the world.
func keep(t *testing.T, w *world, test func(k *Keeper)) {
	t.Helper()
	k := New(Options{
		Node: node(1), Store: w, Ready: func() bool { defer w.lock()(); return !w.unready }, Ask: w.ask, Name: model.UID.String, Logger: slog.New(slog.DiscardHandler),
		Unreachable: func(n model.UID) time.Duration {
			defer w.lock()()
			if w.away[n] {
				return time.Minute
			}
			return 0
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	test(k)
}

// TestForgetsWhatOthersRemoved: of what is quiet and open, when who has to know
// says that it was removed.
func TestForgetsWhatOthersRemoved(t *testing.T) {
	for _, tt := range []struct {
		name   string
		entry  func() *model.Entry
		change func(w *world)
		gone   bool
	}{
		{"the executor has removed it", func() *model.Entry { return app(9, 1, elected(3)) }, func(w *world) { w.says(3, 9, store.FateRemoved) }, true},
		{"another than the executor", func() *model.Entry { return app(9, 1, elected(3)) }, func(w *world) { w.says(2, 9, store.FateRemoved) }, false},
		{"any of the others where this one decides", func() *model.Entry { return app(9, 1) }, func(w *world) { w.says(4, 9, store.FateRemoved) }, true},
		{"it has closed there, and its rows are on their way", func() *model.Entry { return app(9, 2) }, func(w *world) { w.says(2, 9, store.FateClosed) }, false},
		{"it is open there", func() *model.Entry { return app(9, 2) }, func(w *world) { w.says(2, 9, store.FateOpen) }, false},
		{"nobody knows", func() *model.Entry { return app(9, 1) }, func(*world) {}, false},
		{"it may run here", func() *model.Entry {
			e := app(9, 2, elected(1))
			e.Allocations = []model.Allocation{{Epoch: 1}}
			return e
		}, func(w *world) { w.says(2, 9, store.FateRemoved) }, false},
		{"this node has not caught up", func() *model.Entry { return app(9, 2) }, func(w *world) {
			w.says(2, 9, store.FateRemoved)
			w.unready = true
		}, false},
		{"the executor is not known", func() *model.Entry { return app(9, 2, elected(6)) }, func(w *world) {
			w.says(6, 9, store.FateRemoved)
		}, false},
		{"the executor can not be reached", func() *model.Entry { return app(9, 2, elected(3)) }, func(w *world) {
			w.says(3, 9, store.FateRemoved)
			w.away[node(3)] = true
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(tt.entry())
				tt.change(w)
				time.Sleep(quiet + time.Second)
				keep(t, w, func(*Keeper) {
					time.Sleep(time.Minute)
					if got := len(w.gone()) > 0; got != tt.gone {
						t.Errorf("forgotten: %v, want %v", got, tt.gone)
					}
				})
			})
		})
	}
}

// TestWhenItAsks: not for what is young; each hour; at once when somebody comes
// back, when a node is retired, and soon after nobody answered.
func TestWhenItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(app(9, 2))
		w.away[node(3)] = true
		keep(t, w, func(*Keeper) {
			step := func(name string, wait time.Duration, want int, change func()) {
				t.Helper()
				w.change(change)
				time.Sleep(wait)
				if got := w.times(9); got != want {
					t.Errorf("%s: asked %d times, want %d", name, got, want)
				}
			}
			step("while it is young", quiet, 0, func() {})
			step("an hour after the start", time.Hour-quiet+look, 1, func() {})
			step("meanwhile", 30*time.Minute, 1, func() {})
			step("somebody is back", 2*look, 2, func() { w.away[node(3)] = false })
			step("somebody goes", 2*look, 2, func() { w.away[node(3)] = true })
			step("a node is retired", 2*look, 3, func() { w.retirements = []model.Retirement{{NodeUID: node(4), Successor: node(2)}} })
			step("who should answer does not", time.Hour+2*look, 3, func() { w.broken[node(2)] = errors.New("no") })
			step("it answers again", again+2*look, 4, func() { clear(w.broken) })
		})
	})
}

// TestCleared: a successor may go on once all have answered, and nobody knows of
// an end.
func TestCleared(t *testing.T) {
	for _, tt := range []struct {
		name             string
		change           func(w *world)
		whole, reachable bool
	}{
		{"nobody knows of an end", func(w *world) { w.says(3, 9, store.FateOpen) }, true, true},
		{"it has closed", func(w *world) { w.says(3, 9, store.FateClosed) }, false, false},
		{"it was removed", func(w *world) { w.says(3, 9, store.FateRemoved) }, false, false},
		{"one can not be reached", func(w *world) { w.away[node(3)] = true }, false, true},
		{"one does not answer", func(w *world) { w.broken[node(3)] = errors.New("no") }, false, false},
		{"a retired one can not be reached", func(w *world) {
			w.away[node(3)] = true
			w.retirements = []model.Retirement{{NodeUID: node(3), Successor: node(2)}}
		}, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(app(9, 5))
				tt.change(w)
				keep(t, w, func(k *Keeper) {
					time.Sleep(time.Second)
					if k.Cleared(node(9), false) || k.Cleared(node(9), true) {
						t.Error("cleared before anybody was asked")
					}
					time.Sleep(look)
					got := []bool{k.Cleared(node(9), false), k.Cleared(node(9), true)}
					if diff := cmp.Diff([]bool{tt.whole, tt.reachable}, got); diff != "" {
						t.Errorf("Cleared by all, by who can be reached (-want +got):\n%s", diff)
					}
				})
			})
		})
	}
}

// TestClearedDoesNotLast: it is asked anew in time, and at once after another
// node was retired.
func TestClearedDoesNotLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(app(9, 5))
		keep(t, w, func(k *Keeper) {
			k.Cleared(node(9), false)
			for range 30 {
				time.Sleep(time.Minute)
				if !k.Cleared(node(9), false) {
					t.Fatal("not cleared although it is asked for all the time")
				}
			}
			w.change(func() { w.retirements = []model.Retirement{{NodeUID: node(4), Successor: node(2)}} })
			if k.Cleared(node(9), false) {
				t.Error("cleared by what was said before a retirement")
			}
			time.Sleep(look)
			if !k.Cleared(node(9), false) {
				t.Error("not cleared after it was asked again")
			}
			time.Sleep(clearFor + time.Second)
			if k.Cleared(node(9), false) {
				t.Error("cleared by what was said long ago")
			}
		})
	})
}

// TestClearedWhileSomebodyIsAway: who can be reached is asked once, however often
// it is wanted; and all are asked anew when who was away is back.
func TestClearedWhileSomebodyIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.away[node(3)] = true
		keep(t, w, func(k *Keeper) {
			time.Sleep(2 * look) // all are new to it at first
			for range 120 {
				k.Cleared(node(9), true)
				time.Sleep(time.Second)
			}
			if n := w.times(9); n != 2 || !k.Cleared(node(9), true) { // nodes 2 and 4
				t.Errorf("%d questions in two minutes, want one to each; cleared %v", n, k.Cleared(node(9), true))
			}
			w.says(3, 9, store.FateClosed)
			w.change(func() { delete(w.away, node(3)) })
			time.Sleep(2 * look)
			k.Cleared(node(9), true)
			time.Sleep(2 * look)
			if k.Cleared(node(9), true) {
				t.Error("cleared, although who is back knows of the end")
			}
		})
	})
}

// TestWaitingAsksNowAndThen: while a member fails to answer, the others are not
// asked each time that somebody wants to know, and the own database is read once
// for all of them.
func TestWaitingAsksNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(app(9, 5))
		w.broken[node(3)] = errors.New("certificate expired")
		keep(t, w, func(k *Keeper) {
			time.Sleep(2 * look) // all are new to it at first
			before := w.readings()
			for range 120 {
				k.Cleared(node(9), false)
				time.Sleep(time.Second)
			}
			if n, rounds := w.times(9), w.readings()-before; n > 2*9 || n < 2*6 || n != 2*rounds { // nodes 2 and 4
				t.Errorf("%d questions in two minutes and %d readings, want some eight of each node, and a reading for both", n, rounds)
			}
			w.change(func() { clear(w.broken) })
			k.Cleared(node(9), false)
			time.Sleep(retry)
			k.Cleared(node(9), false)
			time.Sleep(look)
			if !k.Cleared(node(9), false) {
				t.Error("not cleared although all answer")
			}
		})
	})
}
