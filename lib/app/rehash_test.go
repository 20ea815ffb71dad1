package app

import (
	"context"
	"log/slog"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// TestRehashAcrossCut: a hash that is made anew at a login says nothing new about the user. What somebody did to the user
// on the other side of a cut, before or after it, is not undone.
func TestRehashAcrossCut(t *testing.T) {
	put := func(db *store.Store, hash string) error {
		_, err := db.PutUser(t.Context(), "u", func(*model.User) (model.User, error) {
			return model.User{Hash: model.PasswordHash{Algo: hash}}, nil
		})
		return err
	}
	tests := []struct {
		name string
		do   func(*store.Store) error
		want string // "" for deleted
	}{
		{"password changed", func(db *store.Store) error { return put(db, "changed") }, "changed"},
		{"user deleted", func(db *store.Store) error { _, err := db.DeleteUser(t.Context(), "u"); return err }, ""},
		{"nothing done", func(*store.Store) error { return nil }, "renewed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			admin, login := memoryStore(t, 1), memoryStore(t, 2)
			if err := put(admin, "old"); err != nil {
				t.Fatal(err)
			}
			pass(t, admin, login)
			if err := tt.do(admin); err != nil {
				t.Fatal(err)
			}
			before, _ := login.UserByName("u")
			version, err := rehash(login)(t.Context(), before, model.PasswordHash{Algo: "renewed"})
			if err != nil {
				t.Fatal(err)
			}
			if u, _ := login.UserByName("u"); u.Hash.Algo != "renewed" || u.HLC != version || version == before.HLC {
				t.Errorf("after the login the user is %+v, told is version %d", u, version)
			}
			pass(t, admin, login)
			pass(t, login, admin)
			for i, db := range []*store.Store{admin, login} {
				if u, ok := db.UserByName("u"); ok != (tt.want != "") || u.Hash.Algo != tt.want {
					t.Errorf("after the heal node %d has hash %q, %v, want %q", i+1, u.Hash.Algo, ok, tt.want)
				}
			}
		})
	}
}

// TestRehashOfChanged: a user that was changed while the password was verified keeps what it got.
func TestRehashOfChanged(t *testing.T) {
	db := memoryStore(t, 1)
	put := func(hash string) model.User {
		u, err := db.PutUser(t.Context(), "u", func(*model.User) (model.User, error) {
			return model.User{Hash: model.PasswordHash{Algo: hash}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	seen := put("old")
	changed := put("changed")
	if _, err := rehash(db)(t.Context(), seen, model.PasswordHash{Algo: "renewed"}); err == nil {
		t.Error("rehash of a user that was changed meanwhile: no error")
	}
	seen.HLC = changed.HLC // as two nodes may have given one reading to two passwords
	if _, err := rehash(db)(t.Context(), seen, model.PasswordHash{Algo: "renewed"}); err == nil {
		t.Error("rehash of another password than the stored one, of the same clock reading: no error")
	}
	if u, _ := db.UserByName("u"); u.Hash.Algo != "changed" {
		t.Errorf("the hash is %q, want what the change made", u.Hash.Algo)
	}
	if _, err := rehash(db)(t.Context(), model.User{Name: "nobody"}, model.PasswordHash{}); err == nil {
		t.Error("rehash of nobody: no error")
	}
}

func memoryStore(t *testing.T, node byte) *store.Store {
	t.Helper()
	db, err := store.OpenMemory(context.Background(), store.Options{
		Node: model.UID{node, 1, 1, 1, 1, 1, 0x40, 0, 0x80}, Logger: slog.New(slog.DiscardHandler),
	}, store.NewDisk())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// pass gives all rows that one has to the other.
func pass(t *testing.T, from, to *store.Store) {
	t.Helper()
	for origin, seq := range from.Vector() {
		for to.Vector()[origin] < seq {
			b, err := from.Rows(t.Context(), origin, to.Vector()[origin], replica.Limit{Rows: 1000, Bytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			if err := to.Replicate(t.Context(), []replica.Batch{b}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
