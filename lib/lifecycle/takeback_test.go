package lifecycle_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

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
					if f.world.most != 1 || f.identifier() != was {
						t.Errorf("%d environments, now %s, want only the one that ran, %s", f.world.most, f.identifier(), was)
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

// TestTakenUpBeforeItsLabel: of what the node runs and has forgotten it hears before it hears of the label, which another
// node has told it of once. As soon as that comes it counts, with its lifetime.
func TestTakenUpBeforeItsLabel(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		other, err := store.OpenMemory(t.Context(), store.Options{
			Node: model.UID{7, 7, 7, 7, 7, 7, 0x40, 0, 0x80}, Logger: slog.New(slog.DiscardHandler),
		}, store.NewDisk())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		label, err := other.CreateLabel(t.Context(), model.Label{
			Name: "theirs", Version: 1, Definitions: []model.LabelDefinition{definition(2, 1, "1h")}, Metadata: json.RawMessage(`{"B":2}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		tell := func() {
			b, err := other.Rows(t.Context(), other.Origin(), 0, replica.Limit{Rows: 100, Bytes: 1 << 20})
			if err == nil {
				err = f.store.Replicate(t.Context(), []replica.Batch{b})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		_, before := f.labelled() // so that there is something to put back
		f.start()
		tell()
		app := f.apply(label)
		f.want(app, model.StatusAllocated)
		f.rewind(before, func() {})
		rest(2 * time.Minute)
		f.want(app, model.StatusAllocated)
		tell()
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
				if f.world.most != tt.most || tt.most == 1 && f.identifier() != was {
					t.Errorf("%d environments at once, %s, want %d, %s", f.world.most, f.identifier(), tt.most, was)
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
