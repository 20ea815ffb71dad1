package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"
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
