package lifecycle_test

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// backup copies the database of the running node.
func (f *farm) backup() (file string) {
	f.t.Helper()
	if _, err := f.store.PutNode(context.Background(), model.Node{UID: self, Name: "n1", Pubkey: []byte("key"), Definition: []byte(`{}`)}); err != nil {
		f.t.Fatal(err)
	}
	file = filepath.Join(f.t.TempDir(), "copy.db")
	if _, err := store.Backup(context.Background(), store.BackupOptions{Folder: f.folder, File: file, Now: time.Now()}); err != nil {
		f.t.Fatal(err)
	}
	return file
}

// restore stops the node, puts the copy back and starts it.
func (f *farm) restore(file string) {
	f.t.Helper()
	f.stop()
	_, _, err := store.Restore(context.Background(), store.RestoreOptions{
		Folder: f.folder, File: file, NodeName: "n1", NodeKeyDER: []byte("key"), Now: time.Now(),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.start()
}

// confirm is what an operator says, and lets the node notice.
func (f *farm) confirm(choice store.Choice) {
	f.t.Helper()
	if _, err := store.Confirm(context.Background(), f.folder, choice); err != nil {
		f.t.Fatal(err)
	}
	rest(10 * time.Second)
}

func rest(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestRestoredDatabaseRemovesNothing: what a restored database does not know
// may be what somebody works on. It stays until an operator says otherwise.
func TestRestoredDatabaseRemovesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.restore(f.backup())
		f.want(app, model.StatusAllocated)
		f.script(func() { f.world.envs["0123456789abcdef0123456789abcdef"] = "" })
		rest(time.Hour)
		if f.world.count() != 2 {
			t.Fatal("a stray was removed on a restored database")
		}
		f.recall(app) // what is known is released as ever
		f.want(app, model.StatusDeallocated)
		f.confirm(store.ChoiceNone)
		rest(2 * time.Minute)
		f.wantNothingLeft()
	})
}

// TestRestoredQueueWaits: what waited in the copy may have been run since, so
// it is not run again; what comes after the restore is.
func TestRestoredQueueWaits(t *testing.T) {
	for _, choice := range []store.Choice{store.ChoiceRun, store.ChoiceEnd} {
		t.Run(string(choice), func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *farm) {
				f.absent = "not yet"
				f.start()
				label := f.label()
				app, recalled := f.apply(label), f.apply(label)
				f.want(app, model.StatusNew)
				file := f.backup()
				f.absent = ""
				f.restore(file)
				rest(time.Hour)
				f.want(app, model.StatusNew)
				if got := f.election.Explain(f.entry(app).Application, label).Definitions[0]; got.Cause != "restored_copy" {
					t.Errorf("explained by %+v", got)
				}
				f.recall(recalled)
				f.want(recalled, model.StatusRecalled)
				young := f.apply(label)
				f.want(young, model.StatusAllocated)
				if f.world.peak() != 1 {
					t.Errorf("%d environments, want that of the young one alone", f.world.peak())
				}
				f.confirm(choice)
				if choice == store.ChoiceEnd {
					f.want(app, model.StatusError)
				} else {
					f.want(app, model.StatusAllocated)
					f.recall(app)
				}
				f.recall(young)
				rest(time.Second)
				f.wantNothingLeft()
			})
		})
	}
}

// TestRestoredAllocation: what was being made in the copy is taken up again if
// it is there, and not made a second time if it is not.
func TestRestoredAllocation(t *testing.T) {
	for _, tt := range []struct {
		name   string
		gone   bool
		choice store.Choice
		want   model.Status // after the choice
	}{
		{"is there", false, store.ChoiceNone, model.StatusAllocated},
		{"gone, run again", true, store.ChoiceRun, model.StatusAllocated},
		{"gone, ended", true, store.ChoiceEnd, model.StatusError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *farm) {
				stuck := make(chan struct{})
				f.driver.after = func(ctx context.Context) error {
					select {
					case <-stuck:
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				f.start()
				app := f.apply(f.label())
				f.want(app, model.StatusElected)
				file := f.backup()
				close(stuck)
				f.want(app, model.StatusAllocated)
				if tt.gone {
					f.recall(app)
					f.want(app, model.StatusDeallocated)
				}
				rest(time.Hour) // far past allocate_timeout
				f.restore(file)
				rest(time.Hour)
				if tt.gone {
					f.want(app, model.StatusElected)
					if f.world.count() != 0 {
						t.Error("it was made a second time")
					}
				} else {
					f.want(app, model.StatusAllocated)
				}
				f.confirm(tt.choice)
				f.want(app, tt.want)
				if tt.want == model.StatusAllocated {
					f.recall(app)
				}
				rest(time.Second)
				f.wantNothingLeft()
			})
		})
	}
}
