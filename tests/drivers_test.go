package tests

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestTestDriver is contract 16: what its options and settings do, and what it
// leaves on the disk. Keys match in any case, node_name may come last.
func TestTestDriver(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: `Drivers:
- Name: test
  Cfg: {}
- {name: test/broken, cfg: {fail_config_apply: 255}}
- {name: test/invalid, cfg: {Fail_Config_Validate: 255}}
Node_Location: lab
node_name: late
`})
	for _, name := range []string{"test/broken", "test/invalid"} {
		n.WaitLine(name)
	}
	waiting := map[string]string{}
	for name, definition := range map[string]string{
		"absent instance": `"driver":"test/broken"`, "invalid instance": `"driver":"test/invalid"`, "unknown instance": `"driver":"test/none"`,
		"no capacity": `"driver":"test","options":{"fail_available_capacity":255}`, "bad options": `"driver":"test","options":{"fail_options_apply":255}`,
		"invalid options": `"driver":"test","options":{"fail_options_validate":255}`,
	} {
		label := n.CreateLabel(fmt.Sprintf(`{"name":%q,"definitions":[{%s,"resources":{"cpu":1,"ram":1}}]}`, name, definition))
		waiting[name] = n.CreateApplication(label, `{}`)
	}
	failing := n.CreateApplication(n.CreateLabel(fish.TestLabel("failing", `{"fail_allocate":255}`)), `{}`)
	app := n.CreateApplication(n.CreateLabel(fish.TestLabel("sound", `{}`)), `{}`)
	n.WaitStatus(app, "ALLOCATED")
	if s := n.WaitStatus(failing, "ERROR"); !strings.HasPrefix(s.Description, "Driver allocate resource error:") {
		t.Errorf("fail_allocate gives %+v", s)
	}
	for name, app := range waiting {
		if s := n.State(app); s.Status != "NEW" || s.Description != "Just created by Fish late" {
			t.Errorf("%s is %+v, want NEW", name, s)
		}
	}
	resource := n.Resource(app)
	if !regexp.MustCompile(`^test-[A-Za-z0-9]{6}$`).MatchString(resource.Identifier) || resource.IPAddr != "127.0.0.1" || resource.HWAddr != "" {
		t.Errorf("resource %+v", resource)
	}
	workspace := filepath.Join(n.Dir, "fish_test_workspace")
	if info, err := os.Stat(workspace); err != nil || info.Mode() != 0o750|fs.ModeDir {
		t.Errorf("workspace: %v %v", info, err)
	}
	if info, err := os.Stat(filepath.Join(workspace, resource.Identifier)); err != nil || info.Size() != 0 {
		t.Errorf("environment: %v %v", info, err)
	}
	n.Deallocate(app)
	n.WaitStatus(app, "DEALLOCATED")
	if left := environments(t, workspace); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestNodeFilter: every pattern must match an identifier; a configured list
// replaces the defaults (contract 13).
func TestNodeFilter(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config  string
		yes, no []string // filters
	}{
		"defaults": {
			"", []string{`["FishName:test-node"]`, `["FishName:test-*","OS:*","HostName:?*","OSVersion:*","OSPlatform:*","OSFamily:*","Arch:*"]`, `["FishName:[s-u]est\\-node"]`, `[]`},
			[]string{`["fishname:test-node"]`, `["FishName:test"]`, `["FishName:test-node","OS:plan9"]`, `["*/x"]`},
		},
		"own": {"node_identifiers: [\"rack:a/1\", gpu]\n", []string{`["gpu"]`, `["rack:a/*","gpu"]`}, []string{`["FishName:test-node"]`, `["rack:*"]`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := fish.Start(t, fish.Options{Config: tt.config})
			ask := func(filter string) string {
				return n.CreateApplication(n.CreateLabel(fmt.Sprintf(
					`{"name":%q,"definitions":[{"driver":"test","resources":{"cpu":1,"ram":1,"node_filter":%s}}]}`, fresh("n"), filter)), `{}`)
			}
			var never []string
			for _, filter := range tt.no {
				never = append(never, ask(filter))
			}
			for _, filter := range tt.yes {
				n.WaitStatus(ask(filter), "ALLOCATED")
			}
			for i, app := range never {
				if s := n.State(app); s.Status != "NEW" {
					t.Errorf("with the filter %s it is %+v, want NEW", tt.no[i], s)
				}
			}
		})
	}
}
