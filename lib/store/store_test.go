package store

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var testNode = model.UID{1, 2, 3, 4, 5, 6, 0x40, 0, 0x80}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// testOptions name a fresh folder that looks like a real one.
func testOptions(t testing.TB) Options {
	t.Helper()
	return Options{Folder: filepath.Join(t.TempDir(), "127.0.0.1:8001"), Node: testNode, Logger: quiet()}
}

func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// reopen closes the store and opens its database again.
func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	return openStore(t, s.opts)
}

func newLabel(t testing.TB, s *Store) model.Label {
	t.Helper()
	l, err := s.CreateLabel(t.Context(), model.Label{
		Name: "label-" + s.uids.New(time.Now()).String(), Version: 1,
		Definitions: []model.LabelDefinition{{
			Driver: "test", Options: json.RawMessage(`{"b":12345678901234567890,"a":"<&>"}`),
			Resources: model.Resources{CPU: 2, RAM: 4, NodeFilter: []string{}},
		}},
		Metadata: json.RawMessage(`{"z":1,"a":2.50}`),
	})
	if err != nil {
		t.Fatalf("CreateLabel: %v", err)
	}
	return l
}

func newApplication(t testing.TB, s *Store, label model.UID, owner string) *model.Entry {
	t.Helper()
	e, err := s.CreateApplication(t.Context(), model.Application{
		LabelUID: label, OwnerName: owner, Metadata: json.RawMessage(`{"k":  1.0}`),
	})
	if err != nil {
		t.Fatalf("CreateApplication: %v", err)
	}
	return e
}

func update(t testing.TB, s *Store, uid model.UID, c model.Change) *model.Entry {
	t.Helper()
	e, err := s.Update(t.Context(), uid, func(*model.Entry) (model.Change, error) { return c, nil })
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
	return e
}

// The changes of an ordinary life.
func elected(app model.UID, epoch uint32) model.Change {
	return model.Change{States: []model.ApplicationState{{
		Status: model.StatusElected, Description: "Elected node: n", Epoch: epoch,
		Decision: &model.Decision{Round: 3, Winner: testNode, Yes: []model.Vote{{
			UID: model.VoteUID(app, testNode, 0, 3), ApplicationUID: app, NodeUID: testNode, Round: 3, Rand: 7,
			CreatedAt: time.Date(2026, 11, 21, 23, 24, 52, 935066403, time.UTC),
		}}},
	}}}
}

func intent(epoch uint32) model.Change {
	return model.Change{Allocations: []model.Allocation{{
		Epoch: epoch, Token: "0123456789abcdef0123456789abcdef", MetaToken: "fedcba9876543210fedcba9876543210",
		Definition: model.LabelDefinition{Driver: "test", Options: json.RawMessage(`{"x":1.50}`)},
		Metadata:   json.RawMessage(`{"k": 1}`), LabelMetadata: json.RawMessage(`{}`),
	}}}
}

func allocated(epoch uint32) model.Change {
	return model.Change{
		States: []model.ApplicationState{{Status: model.StatusAllocated, Epoch: epoch, Description: "Driver allocated the resource"}},
		Resource: &model.Resource{
			Identifier: "env-1", IPAddr: "127.0.0.1", HWAddr: "00:11", Metadata: json.RawMessage(`{"k":1}`),
			Authentication: &model.Authentication{Username: "u", Password: "p", Port: 22},
		},
	}
}

func requested() model.Change {
	return model.Change{States: []model.ApplicationState{{Status: model.StatusDeallocate, Description: "Requested by user u"}}}
}

func deallocated(e *model.Entry, epoch uint32) model.Change {
	c := model.Change{States: []model.ApplicationState{{Status: model.StatusDeallocated, Epoch: epoch}}}
	for _, a := range e.OpenAllocations() {
		a.ReleasedAt = a.CreatedAt.Add(time.Second)
		c.Allocations = append(c.Allocations, a)
	}
	return c
}

func TestLifeReadsBackAfterReopen(t *testing.T) {
	s := openStore(t, testOptions(t))
	app := newApplication(t, s, newLabel(t, s).UID, "u").Application.UID
	for _, c := range []model.Change{elected(app, 1), intent(1), allocated(1)} {
		update(t, s, app, c)
	}
	task := model.Change{Tasks: []model.ApplicationTask{{Task: "snapshot", When: "DEALLOCATE", Options: json.RawMessage(`{"full":true}`)}}}
	want := update(t, s, app, task)
	s = reopen(t, s)
	got, err := s.Application(t.Context(), app)
	if err != nil {
		t.Fatalf("Application: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entry changed by reopening (-want +got):\n%s", diff)
	}
	if _, e, ok := s.Resource(got.Resource.UID); !ok || e != got {
		t.Errorf("Resource(%s) = %v, %v", got.Resource.UID, e, ok)
	}
	got.Tasks[0].Result = model.TaskError("x")
	update(t, s, app, model.Change{Tasks: got.Tasks})
	want = update(t, s, app, deallocated(update(t, s, app, requested()), 1))
	if !want.Done() || len(s.Open()) != 0 {
		t.Errorf("Done() = %v, Open() has %d, want a closed application", want.Done(), len(s.Open()))
	}
	s = reopen(t, s)
	if got, err = s.Application(t.Context(), app); err != nil {
		t.Fatalf("Application: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("closed entry changed by reopening (-want +got):\n%s", diff)
	}
}

func TestUpdateReturnsErrorOfDecide(t *testing.T) {
	s := openStore(t, testOptions(t))
	app := newApplication(t, s, newLabel(t, s).UID, "u").Application.UID
	refusal := errors.New("no")
	_, err := s.Update(t.Context(), app, func(*model.Entry) (model.Change, error) { return requested(), refusal })
	if err != refusal { //nolint:errorlint // as it is, not wrapped
		t.Errorf("Update = %v, want %v", err, refusal)
	}
	_, err = s.Update(t.Context(), model.UID{9}, func(*model.Entry) (model.Change, error) { return model.Change{}, nil })
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("Update of an unknown application = %v, want %v", err, ErrNotFound)
	}
	e, err := s.Application(context.Background(), app)
	if err != nil || len(e.States) != 1 {
		t.Errorf("Application = %v, %v, want one state", e, err)
	}
}
