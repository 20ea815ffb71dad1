package store

import (
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestFirstLocation gives way to what anybody wrote about that place, whenever: also to what another node found in its
// config before, if that one counts more.
func TestFirstLocation(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		a, s := openOther(t, 1), reopen()
		for _, name := range []string{"lab", "attic"} {
			l := model.Location{Name: name, Description: "found", HLC: 1}
			if created, err := a.CreateFirstLocation(t.Context(), l); !created || err != nil {
				t.Fatalf("CreateFirstLocation = %v, %v", created, err)
			}
		}
		if _, err := a.DeleteLocation(t.Context(), "lab"); err != nil {
			t.Fatal(err)
		}
		if _, err := a.PutLocation(t.Context(), model.Location{Name: "lab", Description: "known"}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"lab", "attic"} {
			for _, want := range []bool{true, false} { // later than what is known elsewhere
				l := model.Location{Name: name, Description: "found later"}
				if created, err := s.CreateFirstLocation(t.Context(), l); created != want || err != nil {
					t.Errorf("CreateFirstLocation = %v, %v, want %v", created, err, want)
				}
			}
		}
		hand(t, a, s)
		hand(t, s, a)
		for _, store := range []*Store{a, s} {
			for name, want := range map[string]string{"lab": "known", "attic": "found"} {
				if l, ok := store.Location(name); !ok || l.Description != want {
					t.Errorf("location %s is %+v, %v, want the one that is %s", name, l, ok, want)
				}
			}
		}
		if _, err := s.DeleteLocation(t.Context(), "lab"); err != nil {
			t.Fatal(err)
		}
		if created, err := s.CreateFirstLocation(t.Context(), model.Location{Name: "lab"}); created || err != nil {
			t.Errorf("CreateFirstLocation of one that was deleted = %v, %v, want false", created, err)
		}
	})
}
