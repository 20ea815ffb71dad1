package replica

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestRestamp: the reading alone changes, in the bodies of every kind, also
// those that a newer program wrote.
func TestRestamp(t *testing.T) {
	for _, tt := range []struct {
		name, body, want string
		reading          model.HLC
	}{
		{"first", `{"hlc":17,"uid":"x"}`, `{"hlc":5,"uid":"x"}`, 17},
		{"last, and strange keys", `{"uid":"x","new":{"hlc":3, "a" : [1]},"hlc":17}`, `{"uid":"x","new":{"hlc":3, "a" : [1]},"hlc":5}`, 17},
		{"spaces", "{ \"hlc\" :\t17 , \"b\": \"{\\\"hlc\\\":4}\" }", "{ \"hlc\" :\t5 , \"b\": \"{\\\"hlc\\\":4}\" }", 17},
		{"as the decoder folds it", `{"HLC":17}`, `{"HLC":5}`, 17},
		{"none", `{"uid":"x"}`, `{"uid":"x"}`, 0},
		{"no object", `[17]`, `[17]`, 0},
		{"cut", `{"hlc":17,"a`, `{"hlc":17,"a`, 0},
		{"nothing", ``, ``, 0},
	} {
		if got := Reading([]byte(tt.body)); got != tt.reading {
			t.Errorf("%s: Reading = %d, want %d", tt.name, got, tt.reading)
		}
		got, err := Restamp([]byte(tt.body), 5)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: Restamp = %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestRestampedNoun(t *testing.T) {
	s := model.ApplicationState{UID: uid(1), ApplicationUID: uid(2), Status: model.StatusError, Description: `"hlc":1`, HLC: 1 << 60, NodeUID: uid(3)}
	body, err := EncodeApplicationState(s)
	if err != nil {
		t.Fatal(err)
	}
	if body, err = Restamp(body, 1<<50); err != nil {
		t.Fatal(err)
	}
	s.HLC = 1 << 50
	got, err := DecodeApplicationState(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, got); diff != "" {
		t.Errorf("restamped (-want +got)\n%s", diff)
	}
}

func TestRestampKeepsTheBound(t *testing.T) {
	body := `{"hlc":1,"a":"` + strings.Repeat("x", MaxBody-16) + `"}`
	if _, err := Restamp([]byte(body), 2); err != nil {
		t.Errorf("Restamp at the bound = %v", err)
	}
	if _, err := Restamp([]byte(body), 22); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Restamp beyond the bound = %v, want ErrTooLarge", err)
	}
}
