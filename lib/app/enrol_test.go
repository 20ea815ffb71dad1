package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/enrol"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestReachedAt(t *testing.T) {
	for _, tt := range []struct {
		node, bound string
		want        []string
	}{
		{"ci-1.example.com:8001", "[::]:8001", []string{"ci-1.example.com:8001"}},
		{"ci-1.example.com:8001", "0.0.0.0:9001", []string{"ci-1.example.com:8001"}},
		{"10.0.0.1:8001", "10.0.0.1:8001", []string{"10.0.0.1:8001"}},
		{"127.0.0.1:8001", "127.0.0.1:41234", []string{"127.0.0.1:8001", "127.0.0.1:41234"}},
	} {
		if diff := cmp.Diff(tt.want, reachedAt(tt.node, tt.bound)); diff != "" {
			t.Errorf("node_address %s, bound to %s (-want +got):\n%s", tt.node, tt.bound, diff)
		}
	}
}

// TestRetiredBeforeItWasKnown: a retirement may come before the row of its node, and its key gets no certificate even then.
func TestRetiredBeforeItWasKnown(t *testing.T) {
	m := storedOnly(t)
	if _, err := m.store.CreateRetirement(t.Context(), model.Retirement{NodeUID: model.UID{7}, Successor: model.UID{1}}); err != nil {
		t.Fatal(err)
	}
	got, err := known{m.store}.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]enrol.Member{{UID: model.UID{1}, Name: "a"}, {UID: model.UID{7}, Retired: true}}, got); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}
