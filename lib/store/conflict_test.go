package store

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestLabelsOfOneName are made by two nodes that do not know of each other: the
// older owns the name, the other is hidden until the owner is deleted.
func TestLabelsOfOneName(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		a, s := openOther(t, 1), reopen()
		first, err1 := a.CreateLabel(t.Context(), model.Label{Name: "l", Version: 1})
		second, err2 := s.CreateLabel(t.Context(), model.Label{Name: "l", Version: 1})
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		hand(t, a, s)
		check := func(want ...model.UID) {
			t.Helper()
			var got, filtered []model.UID
			for _, l := range s.Labels() {
				got = append(got, l.UID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("Labels = %v, want %v", got, want)
			}
			if s.db == nil {
				return
			}
			text := "name = 'l'"
			for l, err := range s.ListLabels(t.Context(), Query{Filter: &text, Caller: Caller{Admin: true}}) {
				if err != nil {
					t.Error(err)
				}
				filtered = append(filtered, l.UID)
			}
			if !slices.Equal(filtered, want) {
				t.Errorf("ListLabels = %v, want %v", filtered, want)
			}
		}
		check(first.UID)
		if s.LabelDeleted(first.UID) || s.LabelDeleted(model.UID{77}) {
			t.Error("a label that is there, or not known, is told to be deleted")
		}
		if _, ok := s.Label(second.UID); !ok {
			t.Error("the hidden label can not be read by its UID")
		}
		if _, err := s.CreateLabel(t.Context(), model.Label{Name: "l", Version: 1}); !errors.Is(err, ErrExists) {
			t.Errorf("CreateLabel = %v, want %v", err, ErrExists)
		}
		s = reopen()
		check(first.UID)
		if _, err := a.DeleteLabel(t.Context(), first.UID); err != nil {
			t.Fatal(err)
		}
		hand(t, a, s)
		check(second.UID)
		if !s.LabelDeleted(first.UID) {
			t.Error("the deleted label is not told to be")
		}
	})
}

// TestUserOfTwoNodes is changed on both: the newer stays on both, and a line
// tells of the other. Deleted and made again it is there again.
func TestUserOfTwoNodes(t *testing.T) {
	var log strings.Builder
	disk := NewDisk()
	a := openOther(t, 1)
	s, err := OpenMemory(t.Context(), Options{Node: testNode, Logger: slog.New(slog.NewTextHandler(&log, nil))}, disk)
	if err != nil {
		t.Fatal(err)
	}
	put := func(s *Store, algo string) {
		t.Helper()
		_, err := s.PutUser(t.Context(), "u", func(*model.User) (model.User, error) {
			return model.User{Hash: model.PasswordHash{Algo: algo}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(a, "older")
	put(s, "newer")
	hand(t, a, s)
	hand(t, s, a)
	for _, store := range []*Store{a, s} {
		if u, ok := store.UserByName("u"); !ok || u.Hash.Algo != "newer" {
			t.Errorf("user is %v, %v, want the newer", u, ok)
		}
	}
	if got := log.String(); !strings.Contains(got, "name=u") || !strings.Contains(got, "lost_node="+a.opts.Node.String()) {
		t.Errorf("log is %q, want a line that names the user and whose version was lost", got)
	}
	if _, err := a.DeleteUser(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	hand(t, a, s)
	if _, ok := s.UserByName("u"); ok {
		t.Error("the user is there although it was deleted")
	}
	put(s, "again")
	hand(t, s, a)
	if u, ok := a.UserByName("u"); !ok || u.Hash.Algo != "again" {
		t.Errorf("user is %v, %v, want it again", u, ok)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestFirstUserIsNoConflict: the admin of a node that joins goes without a line
// for whoever looks for trouble.
func TestFirstUserIsNoConflict(t *testing.T) {
	var log strings.Builder
	a := openOther(t, 1)
	s, err := OpenMemory(t.Context(), Options{Node: testNode, Logger: slog.New(slog.NewTextHandler(&log, nil))}, NewDisk())
	if err != nil {
		t.Fatal(err)
	}
	for rank, store := range []*Store{s, a} {
		if _, err := store.CreateFirstUser(t.Context(), model.User{Name: "admin", HLC: model.HLC(rank)}); err != nil {
			t.Fatal(err)
		}
	}
	hand(t, a, s)
	if got := log.String(); strings.Contains(got, "changed on two nodes") {
		t.Errorf("log is %q", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestFirstUser gives way to a user of that name that anybody made, whenever.
func TestFirstUser(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		a, s := openOther(t, 1), reopen()
		if _, err := a.PutUser(t.Context(), "admin", func(*model.User) (model.User, error) {
			return model.User{Hash: model.PasswordHash{Algo: "known"}}, nil
		}); err != nil {
			t.Fatal(err)
		}
		first := model.User{Name: "admin", Hash: model.PasswordHash{Algo: "printed"}}
		for _, want := range []bool{true, false} {
			if created, err := s.CreateFirstUser(t.Context(), first); created != want || err != nil {
				t.Errorf("CreateFirstUser = %v, %v, want %v", created, err, want)
			}
		}
		hand(t, a, s)
		hand(t, s, a)
		for _, store := range []*Store{a, s} {
			if u, ok := store.UserByName("admin"); !ok || u.Hash.Algo != "known" {
				t.Errorf("admin is %v, %v, want the one that was there", u, ok)
			}
		}
		if _, err := s.DeleteUser(t.Context(), "admin"); err != nil {
			t.Fatal(err)
		}
		if created, err := s.CreateFirstUser(t.Context(), first); created || err != nil {
			t.Errorf("CreateFirstUser of one that was deleted = %v, %v, want false", created, err)
		}
	})
}

// TestRetirement is told to all, once per node, and frees the node's name.
func TestRetirement(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		a, s := openOther(t, 1), reopen()
		if _, err := a.PutNode(t.Context(), model.Node{UID: a.opts.Node, Name: "n", Pubkey: []byte{1}}); err != nil {
			t.Fatal(err)
		}
		hand(t, a, s)
		mine := model.Node{UID: testNode, Name: "n", Pubkey: []byte{2}}
		if _, err := s.PutNode(t.Context(), mine); !errors.Is(err, ErrPubkeyChanged) {
			t.Errorf("PutNode = %v, want %v", err, ErrPubkeyChanged)
		}
		sub := s.Subscribe(KindRetirement, KindHandover)
		defer sub.Close()
		want := model.Retirement{NodeUID: a.opts.Node, Successor: testNode, By: "admin"}
		if _, err := s.CreateRetirement(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CreateRetirement(t.Context(), want); !errors.Is(err, ErrExists) {
			t.Errorf("second CreateRetirement = %v, want %v", err, ErrExists)
		}
		h, err := s.CreateHandover(t.Context(), model.Handover{Successor: a.opts.Node})
		if err != nil || h.NodeUID != testNode {
			t.Errorf("CreateHandover = %v, %v", h, err)
		}
		if keys, _ := sub.Take(); len(keys) != 2 {
			t.Errorf("feed told %v, want both", keys)
		}
		s = reopen()
		hand(t, s, a)
		for _, store := range []*Store{a, s} {
			r, ok := store.Retirement(a.opts.Node)
			if !ok || r.By != "admin" || len(store.Retirements()) != 1 || len(store.Handovers()) != 1 {
				t.Errorf("Retirement = %v, %v with %d handovers, want it and one", r, ok, len(store.Handovers()))
			}
		}
		if _, err := s.PutNode(t.Context(), mine); err != nil {
			t.Errorf("PutNode with the name of a retired node: %v", err)
		}
	})
}

// TestFirstUsersOfTwoNodes: the one that counts more stays, whoever has the higher UID.
func TestFirstUsersOfTwoNodes(t *testing.T) {
	for _, founder := range []int{0, 1} {
		stores := []*Store{openOther(t, 1), openOther(t, 2)}
		for i, s := range stores {
			u := model.User{Name: "admin", Hash: model.PasswordHash{Algo: "late"}}
			if i == founder {
				u.Hash.Algo, u.HLC = "founder", 1
			}
			if created, err := s.CreateFirstUser(t.Context(), u); !created || err != nil {
				t.Fatalf("CreateFirstUser = %v, %v", created, err)
			}
		}
		hand(t, stores[0], stores[1])
		hand(t, stores[1], stores[0])
		for i, s := range stores {
			if u, ok := s.UserByName("admin"); !ok || u.Hash.Algo != "founder" {
				t.Errorf("node %d of which %d is the founder: admin is %v, %v", i, founder, u.Hash.Algo, ok)
			}
		}
	}
}
