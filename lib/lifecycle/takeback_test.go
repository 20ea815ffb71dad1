package lifecycle_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// rewind does to the node what an image of its disk that is put back does: it stops, its folder is as before, it starts,
// and other nodes give it what it told them since. meanwhile happens while it is off.
func (f *farm) rewind(before map[string][]byte, meanwhile func()) {
	f.t.Helper()
	ctx := context.Background()
	told, err := f.store.Rows(ctx, f.store.Origin(), 0, replica.Limit{Rows: 1 << 20, Bytes: 1 << 30})
	if err != nil {
		f.t.Fatal(err)
	}
	f.stop()
	for name := range f.files() {
		if err := os.Remove(filepath.Join(f.folder, name)); err != nil {
			f.t.Fatal(err)
		}
	}
	for name, data := range before {
		if err := os.WriteFile(filepath.Join(f.folder, name), data, 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	meanwhile()
	f.start()
	told.From = f.store.Vector()[told.Origin]
	told.Rows = slices.DeleteFunc(told.Rows, func(r replica.Row) bool { return r.Version.Seq <= told.From })
	if err := f.store.Replicate(ctx, []replica.Batch{told}); err != nil {
		f.t.Fatal(err)
	}
}

// files are those of the node's folder, which has to be stopped.
func (f *farm) files() map[string][]byte {
	f.t.Helper()
	list, err := os.ReadDir(f.folder)
	if err != nil {
		f.t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, entry := range list {
		if files[entry.Name()], err = os.ReadFile(filepath.Join(f.folder, entry.Name())); err != nil {
			f.t.Fatal(err)
		}
	}
	return files
}

// TestForgottenAllocation: what the node runs by its own word it runs on, also if its database knows nothing of it and has
// it from others alone. It is not declined, since it would be run twice, and not lost.
func TestForgottenAllocation(t *testing.T) {
	for _, tt := range []struct {
		name      string
		meanwhile func(f *farm)
		wants     model.Status
		says      string
	}{
		{"runs on", func(*farm) {}, model.StatusAllocated, "Driver allocated the resource"},
		{"its driver comes late", func(f *farm) {
			f.absent = "not yet"
			time.AfterFunc(time.Hour, func() { f.script(func() { f.absent = "" }); f.manager.DriversChanged() })
		}, model.StatusAllocated, "Driver allocated the resource"},
		{"another environment can not be read", func(f *farm) { f.driver.more = errors.New("a claim can not be read") },
			model.StatusAllocated, "Driver allocated the resource"},
		{"has ended", func(f *farm) { f.world.end(f.identifier(), "exit code 1") }, model.StatusDeallocated, "Environment ended by itself: exit code 1"},
		{"is gone", func(f *farm) { f.script(func() { clear(f.world.envs) }) }, model.StatusDeallocated, "Environment is gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *farm) {
				label, before := f.labelled()
				f.start()
				app := f.apply(label)
				f.want(app, model.StatusAllocated)
				was := f.identifier()
				f.rewind(before, func() { tt.meanwhile(f) })
				rest(2 * time.Hour)
				f.wantDescription(app, tt.wants, tt.says)
				if tt.wants == model.StatusAllocated {
					if f.world.peak() != 1 || f.identifier() != was {
						t.Errorf("%d environments, now %s, want only the one that ran, %s", f.world.peak(), f.identifier(), was)
					}
					f.recall(app)
					f.want(app, model.StatusDeallocated)
				}
				f.wantNothingLeft()
			})
		})
	}
}

// labelled has the node make a label and stop, and returns its files.
func (f *farm) labelled() (label model.Label, files map[string][]byte) {
	f.t.Helper()
	f.start()
	label = f.label()
	f.stop()
	return label, f.files()
}

// identifier is that of the only environment.
func (f *farm) identifier() string {
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	for token := range f.world.envs {
		return "env-" + token
	}
	return ""
}

// TestForgottenAndRecalled: the release removes what the database forgot.
func TestForgottenAndRecalled(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		label, before := f.labelled()
		f.start()
		app := f.apply(label)
		f.want(app, model.StatusAllocated)
		f.driver.before = func(_ context.Context, call string) error {
			if call == "deallocate" {
				return context.DeadlineExceeded
			}
			return nil
		}
		f.recall(app)
		f.want(app, model.StatusDeallocate)
		f.rewind(before, func() { f.driver.before = nil })
		rest(time.Second)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

// neighbour is another node, as far as it writes rows.
type neighbour struct {
	*store.Store
	f *farm
}

func (f *farm) neighbour() neighbour {
	f.t.Helper()
	other, err := store.OpenMemory(f.t.Context(), store.Options{
		Node: model.UID{7, 7, 7, 7, 7, 7, 0x40, 0, 0x80}, Logger: slog.New(slog.DiscardHandler),
	}, store.NewDisk())
	if err != nil {
		f.t.Fatal(err)
	}
	return neighbour{other, f}
}

// tell gives the node all that the neighbour wrote.
func (n neighbour) tell() {
	n.f.t.Helper()
	b, err := n.Rows(n.f.t.Context(), n.Origin(), 0, replica.Limit{Rows: 100, Bytes: 1 << 20})
	if err == nil {
		err = n.f.store.Replicate(n.f.t.Context(), []replica.Batch{b})
	}
	if err != nil {
		n.f.t.Fatal(err)
	}
}

// TestTakenUpBeforeItsGrant: of what the node runs and has forgotten its own row comes back before that of its grant, which
// another node wrote. It runs on, watched and for its lifetime, whether that row comes or not.
func TestTakenUpBeforeItsGrant(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(f *farm, them neighbour) // after the node took it up
		rest time.Duration
		want model.Status
		says string
	}{
		{"it comes", func(_ *farm, them neighbour) { them.tell() }, 30 * time.Minute, model.StatusAllocated, "Driver allocated the resource"},
		{"it came long ago", func(_ *farm, them neighbour) { them.tell() }, 2 * time.Hour, model.StatusDeallocated, "Resource lifetime timeout reached:1h0m0s"},
		{"it never comes", func(*farm, neighbour) {}, 2 * time.Hour, model.StatusDeallocated, "Resource lifetime timeout reached:1h0m0s"},
		{"its environment ends before", func(f *farm, _ neighbour) { f.world.end(f.identifier(), "exit code 1") }, time.Minute,
			model.StatusDeallocated, "Environment ended by itself: exit code 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *farm) {
				them := f.neighbour()
				defer func() { _ = them.Close() }()
				app, before := f.grantedBy(them)
				was := f.identifier()
				f.rewind(before, func() {})
				rest(time.Second)
				if f.want(app, model.StatusAllocated); f.identifier() != was {
					t.Fatalf("the environment is %q now, want %q", f.identifier(), was)
				}
				tt.then(f, them)
				rest(tt.rest)
				f.wantDescription(app, tt.want, tt.says)
				if tt.want == model.StatusAllocated {
					f.recall(app)
					rest(time.Second)
				}
				f.wantNothingLeft()
			})
		})
	}
}

// grantedBy has the node run an application that a neighbour created and granted, and returns its files of before the grant.
func (f *farm) grantedBy(them neighbour) (app model.UID, before map[string][]byte) {
	f.t.Helper()
	ctx := f.t.Context()
	label, err := them.CreateLabel(ctx, model.Label{Name: "l", Version: 1, Definitions: []model.LabelDefinition{definition(1, 1, "1h")}})
	if err != nil {
		f.t.Fatal(err)
	}
	e, err := them.CreateApplication(ctx, model.Application{LabelUID: label.UID, OwnerName: "u", Metadata: json.RawMessage(`{}`)})
	if err != nil {
		f.t.Fatal(err)
	}
	app = e.Application.UID
	f.start()
	them.tell()
	f.stop()
	before = f.files()
	f.options = func(o *lifecycle.Options, _ *election.Options) {
		o.Promised = func(model.UID, model.UID) (time.Duration, bool) { return 0, true } // it voted for itself
	}
	f.start()
	f.options = nil
	_, err = them.Update(ctx, app, func(*model.Entry) (model.Change, error) {
		return model.Change{States: []model.ApplicationState{{
			Status: model.StatusElected, Epoch: 1, Decision: &model.Decision{Winner: self, Yes: []model.Vote{{NodeUID: self}}},
		}}}, nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	them.tell()
	f.want(app, model.StatusAllocated)
	return app, before
}

// TestTakenUpBeforeItsLabel: of what the node runs and has forgotten it hears before it hears of the label, which another
// node has told it of once. As soon as that comes it counts, with its lifetime.
func TestTakenUpBeforeItsLabel(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		other := f.neighbour()
		defer func() { _ = other.Close() }()
		label, err := other.CreateLabel(t.Context(), model.Label{
			Name: "theirs", Version: 1, Definitions: []model.LabelDefinition{definition(2, 1, "1h")}, Metadata: json.RawMessage(`{"B":2}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		_, before := f.labelled() // so that there is something to put back
		f.start()
		other.tell()
		app := f.apply(label)
		f.want(app, model.StatusAllocated)
		f.rewind(before, func() {})
		rest(2 * time.Minute)
		f.want(app, model.StatusAllocated)
		other.tell()
		rest(2 * time.Minute)
		if a, ok := f.entry(app).Allocation(1); !ok || a.Definition.Resources.CPU != 2 || string(a.LabelMetadata) != `{"B":2}` {
			t.Errorf("the allocation is %+v, %t, want it with what the label says", a, ok)
		}
		rest(time.Hour)
		f.wantDescription(app, model.StatusDeallocated, "Resource lifetime timeout reached:1h0m0s")
		f.wantNothingLeft()
	})
}

// beginning has a driver make, and never end, what the node was granted, and
// returns the node's files of before.
func (f *farm) beginning() (app model.UID, before map[string][]byte) {
	f.t.Helper()
	label, before := f.labelled()
	f.driver.after = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	f.start()
	app = f.apply(label)
	rest(time.Second)
	f.want(app, model.StatusElected)
	return app, before
}

// TestBeginningForgotten: a volume is put back whole while a driver makes what this node was granted, so that the node knows
// nothing of what it began, nobody else does, and nothing tells that anything is forgotten. The environment is found, and not
// made a second time.
func TestBeginningForgotten(t *testing.T) {
	for _, tt := range []struct {
		name string
		lost bool // no driver answers
		most int
	}{{"its driver has it", false, 1}, {"its driver can not be asked", true, 2}} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *farm) {
				app, before := f.beginning()
				was := f.identifier()
				f.rewind(before, func() {
					f.driver.after = nil
					if tt.lost {
						f.driver.before = func(_ context.Context, call string) error {
							if call == "list" {
								return context.DeadlineExceeded
							}
							return nil
						}
					}
				})
				rest(10 * time.Second)
				f.want(app, model.StatusAllocated)
				if f.world.peak() != tt.most || tt.most == 1 && f.identifier() != was {
					t.Errorf("%d environments at once, %s, want %d, %s", f.world.peak(), f.identifier(), tt.most, was)
				}
				f.script(func() { f.driver.before = nil })
				f.recall(app)
				rest(5 * time.Minute)
				f.want(app, model.StatusDeallocated)
				f.wantNothingLeft()
			})
		})
	}
}
