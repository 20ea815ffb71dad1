package storetest

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

func open(t *testing.T, folder string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Folder: folder, Node: model.UID{1, 2, 3}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	return s
}

// finished leaves a store with one user and one closed application.
func finished(t *testing.T, folder string) model.UID {
	t.Helper()
	s := open(t, folder)
	_, err := s.PutUser(t.Context(), "ci", func(*model.User) (model.User, error) {
		return model.User{Hash: model.PasswordHash{Algo: "Argon2id", Salt: []byte("salt"), Hash: []byte("hash")}}, nil
	})
	if err != nil {
		t.Fatalf("put user: %v", err)
	}
	label, err := s.CreateLabel(t.Context(), model.Label{Name: "l", Version: 1})
	if err != nil {
		t.Fatalf("create label: %v", err)
	}
	e, err := s.CreateApplication(t.Context(), model.Application{LabelUID: label.UID, OwnerName: "ci"})
	if err != nil {
		t.Fatalf("create application: %v", err)
	}
	e, err = s.Update(t.Context(), e.Application.UID, func(*model.Entry) (model.Change, error) {
		return model.Change{
			States: []model.ApplicationState{
				{Status: model.StatusElected, Epoch: 1}, {Status: model.StatusAllocated, Epoch: 1}, {Status: model.StatusDeallocated, Epoch: 1},
			},
			Allocations: []model.Allocation{{Epoch: 1, Token: "t", LabelUID: label.UID, ReleasedAt: time.Now()}},
		}, nil
	})
	if err != nil || !e.Done() {
		t.Fatalf("finish: %+v, %v, want it closed", e, err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	return e.Application.UID
}

// schema is what the database says that it is made of.
func schema(t *testing.T, folder string) (text string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(folder, "sqlite.db"))
	if err != nil {
		t.Fatalf("open database: %v", err)
	}
	defer func() { _ = db.Close() }()
	err = db.QueryRowContext(t.Context(), "SELECT group_concat(sql, char(10)) FROM (SELECT sql FROM sqlite_master ORDER BY name)").Scan(&text)
	if err != nil {
		t.Fatalf("read schema: %v", err)
	}
	return text
}

func TestFill(t *testing.T) {
	folder := t.TempDir()
	template := finished(t, folder)
	before := schema(t, folder)
	const users, chunk, applications = 3, 50, 105
	uid, err := fillBy(t.Context(), filepath.Join(folder, "sqlite.db"), Copies{User: "ci", Users: users, Applications: applications}, chunk)
	if err != nil {
		t.Fatalf("fill: %v", err)
	}
	if diff := cmp.Diff(before, schema(t, folder)); diff != "" {
		t.Errorf("fill changed the schema (-before +after):\n%s", diff)
	}
	s := open(t, folder)
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	original, err := s.Application(t.Context(), template)
	if err != nil {
		t.Fatalf("read template: %v", err)
	}
	seen := original.Application.HLC
	for _, i := range []int{applications - 1, chunk, users, users - 1, 0} {
		e, err := s.Application(t.Context(), uuid.MustParse(uid(i)))
		if err != nil {
			t.Fatalf("read copy %d: %v", i, err)
		}
		if len(e.States) != len(original.States) || len(e.Allocations) != 1 || e.Fold.Status() != model.StatusDeallocated || !e.Done() {
			t.Errorf("copy %d is %+v, want it as the template", i, e)
		}
		if e.Application.HLC >= seen {
			t.Errorf("copy %d has clock reading %d, want less than %d", i, e.Application.HLC, seen)
		}
		seen = e.Application.HLC
		owner := "ci"
		if i < users {
			owner = UserName(i)
		}
		if e.Application.OwnerName != owner {
			t.Errorf("copy %d belongs to %q, want %q", i, e.Application.OwnerName, owner)
		}
	}
	if u, ok := s.UserByName(UserName(users - 1)); !ok || string(u.Hash.Hash) != "hash" {
		t.Errorf("copied user = %+v, %v", u, ok)
	}
	if len(s.Open()) != 0 {
		t.Errorf("%d applications are open, want none", len(s.Open()))
	}
}

func TestFillRefuses(t *testing.T) {
	t.Run("nothing to copy", func(t *testing.T) {
		folder := t.TempDir()
		if err := open(t, folder).Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Fill(t.Context(), filepath.Join(folder, "sqlite.db"), Copies{Applications: 1}); err == nil {
			t.Error("no error without an application")
		}
	})
	t.Run("unknown user", func(t *testing.T) {
		folder := t.TempDir()
		finished(t, folder)
		if _, err := Fill(t.Context(), filepath.Join(folder, "sqlite.db"), Copies{User: "nobody", Users: 1}); err == nil {
			t.Error("no error without the user")
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		folder := t.TempDir()
		finished(t, folder)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Fill(ctx, filepath.Join(folder, "sqlite.db"), Copies{User: "ci", Users: 1}); err == nil {
			t.Error("no error after a cancellation")
		}
	})
}
