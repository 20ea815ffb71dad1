package lifecycle_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// farm is a whole node without its API: real store, election and lifecycle,
// in a synctest bubble.
type farm struct {
	t       *testing.T
	folder  string
	world   *world
	driver  *scripted
	absent  string // why there is no driver; "" = there is one
	boot    func() time.Duration
	now     func() time.Time // of the store; nil: the true time
	options func(*lifecycle.Options, *election.Options)

	store    *store.Store
	ledger   *capacity.Ledger
	election *election.Election
	manager  *lifecycle.Manager
	stop     func()
	labels   int
}

var self = model.UID{1, 2, 3, 4, 5, 6, 7, 8, 0x89}

func newFarm(t *testing.T) *farm {
	w := newWorld()
	start := time.Now()
	f := &farm{t: t, folder: t.TempDir(), world: w, driver: newScripted(w)}
	f.boot = func() time.Duration { return time.Since(start) }
	return f
}

func (f *farm) driverOf(name string) (drivers.Driver, string) {
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	if f.absent != "" || name != "test" {
		return nil, "not there: " + f.absent
	}
	return f.driver, ""
}

// script changes how the outside behaves while a node runs.
func (f *farm) script(change func()) {
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	change()
}

// start starts a node on what the last one left.
func (f *farm) start() {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(f.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if f.store, err = store.Open(ctx, store.Options{Folder: f.folder, Node: self, Logger: log, Now: f.now}); err != nil {
		f.t.Fatal(err)
	}
	f.ledger = capacity.NewLedger()
	promises := election.NewPromises(f.boot)
	eo := election.Options{
		Node: self, NodeName: "n1", Store: f.store, Ledger: f.ledger, Driver: f.driverOf,
		Configured:  func(string) bool { return true },
		Maintenance: func() bool { return false }, Cluster: election.Alone{Node: self}, Promises: promises,
		VoteTimeout: 3 * time.Second, StarvationAfter: 10 * time.Minute, Logger: log,
	}
	mo := lifecycle.Options{
		Node: self, Store: f.store, Ledger: f.ledger, Driver: f.driverOf,
		Instances:       func() []string { return []string{"test"} },
		MetadataURL:     func(token string) string { return "https://127.0.0.1/" + token },
		AllocateTimeout: 10 * time.Minute, TaskTimeout: time.Hour, Boot: f.boot, Logger: log,
		Promised: promises.Age, StartBy: 30 * time.Second,
	}
	if f.options != nil {
		f.options(&mo, &eo)
	}
	f.election, f.manager = election.New(eo), lifecycle.New(mo)
	f.manager.Restore()
	var wg sync.WaitGroup
	wg.Go(func() { _ = f.election.Run(ctx) })
	wg.Go(func() { _ = f.manager.Run(ctx) })
	wg.Go(func() { _ = f.store.RunMaintenance(ctx) })
	f.stop = func() {
		cancel()
		wg.Wait()
		if err := f.store.Close(); err != nil {
			f.t.Error(err)
		}
	}
}

func (f *farm) restart() {
	f.stop()
	f.start()
}

func (f *farm) label(defs ...model.LabelDefinition) model.Label {
	f.t.Helper()
	if len(defs) == 0 {
		defs = []model.LabelDefinition{definition(1, 1, "")}
	}
	f.labels++
	l, err := f.store.CreateLabel(context.Background(), model.Label{
		Name: "l", Version: f.labels, Definitions: defs, Metadata: json.RawMessage(`{"B":2}`),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

func definition(cpu, ram uint, lifetime string) model.LabelDefinition {
	return model.LabelDefinition{
		Driver: "test", Options: json.RawMessage(`{}`),
		Resources: model.Resources{CPU: cpu, RAM: ram, Lifetime: lifetime, NodeFilter: []string{}},
	}
}

func (f *farm) apply(label model.Label) model.UID {
	f.t.Helper()
	e, err := f.store.CreateApplication(context.Background(), model.Application{
		LabelUID: label.UID, OwnerName: "u", Metadata: json.RawMessage(`{"A":1}`),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return e.Application.UID
}

func (f *farm) entry(app model.UID) *model.Entry {
	f.t.Helper()
	e, err := f.store.Application(context.Background(), app)
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}

func (f *farm) recall(app model.UID) {
	f.t.Helper()
	_, err := f.store.Update(context.Background(), app, func(e *model.Entry) (model.Change, error) {
		return model.RequestRelease(e, "Requested by user u")
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *farm) task(app model.UID, name string, when model.Status) model.UID {
	f.t.Helper()
	e, err := f.store.Update(context.Background(), app, func(*model.Entry) (model.Change, error) {
		return model.Change{Tasks: []model.ApplicationTask{{
			Task: name, When: string(when), Options: json.RawMessage(`{}`), Result: json.RawMessage(`{}`),
		}}}, nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return e.Tasks[len(e.Tasks)-1].UID
}

func (f *farm) result(app, task model.UID) string {
	f.t.Helper()
	for _, t := range f.entry(app).Tasks {
		if t.UID == task {
			return string(t.Result)
		}
	}
	f.t.Fatalf("task %s is not known", task)
	return ""
}

// want fails unless the application shows the status now, at rest.
func (f *farm) want(app model.UID, status model.Status) {
	f.t.Helper()
	synctest.Wait()
	if got := f.entry(app).Fold.Current; got.Status != status {
		f.t.Fatalf("application shows %s (%s), want %s", got.Status, got.Description, status)
	}
}

func (f *farm) wantDescription(app model.UID, status model.Status, description string) {
	f.t.Helper()
	f.want(app, status)
	for _, s := range f.entry(app).States {
		if s.Description == description {
			return
		}
	}
	f.t.Errorf("no state says %q: %+v", description, f.entry(app).States)
}

func (f *farm) wantNothingLeft() {
	f.t.Helper()
	synctest.Wait()
	if n := f.world.count(); n != 0 {
		f.t.Errorf("%d environments are left", n)
	}
	if n := f.manager.Running(); n != 0 {
		f.t.Errorf("%d runners are left", n)
	}
	c := capacity.Claim{Instance: "test", CPU: 4, RAM: 4}
	if err := f.ledger.Fits(c, capacity.Offer{Limits: drivers.Limits{CPU: 4, RAM: 4}, Free: 1}); err != nil {
		f.t.Errorf("the ledger is not empty: %v", err)
	}
}
