package app

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/aquarium-fish/aquarium-fish/openapi"
)

// TestShownParameters: the access log shows the values of what the
// specification has, and of nothing else.
func TestShownParameters(t *testing.T) {
	var spec yaml.Node
	if err := yaml.Unmarshal(openapi.Spec(), &spec); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	queryParameters(&spec, want)
	if diff := cmp.Diff(want, maps.Clone(shownParameters())); diff != "" {
		t.Errorf("parameters that are shown (-specification +access log):\n%s", diff)
	}
}

// queryParameters collects the names of all mappings with `in: query`.
func queryParameters(n *yaml.Node, names map[string]bool) {
	if n.Kind == yaml.MappingNode {
		var p struct{ Name, In string }
		if n.Decode(&p) == nil && p.In == "query" {
			names[p.Name] = true
		}
	}
	for _, child := range n.Content {
		queryParameters(child, names)
	}
}
