// Package cli runs scripts of command lines, as users type them, against the real binary and a real node.
package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestMain(m *testing.M) { fish.Main(m) }

// TestScripts gives each script a node of its own, with the label t1 in the versions 1 and 2, and a home that is empty.
// $ADDRESS and $CA say where the node is; the file admin-password holds its password.
func TestScripts(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			t.Parallel()
			n := fish.Start(t, fish.Options{Config: "drivers: [{name: test}]\n"})
			n.CreateLabel(fish.TestLabel("t1", `{}`))
			n.CreateLabel(strings.Replace(fish.TestLabel("t1", `{}`), `"version":1`, `"version":2`, 1))
			testscript.Run(t, testscript.Params{
				Files: []string{script}, RequireExplicitExec: true, RequireUniqueNames: true,
				Setup: func(env *testscript.Env) error { return setup(env, n) },
			})
		})
	}
}

// setup makes the user's machine.
func setup(env *testscript.Env, n *fish.Node) error {
	bin := filepath.Join(env.WorkDir, ".bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return err
	}
	if err := os.Symlink(os.Getenv(fish.BinaryEnv), filepath.Join(bin, "aquarium-fish")); err != nil {
		return err
	}
	home := filepath.Join(env.WorkDir, ".home")
	env.Setenv("HOME", home)
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	env.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	env.Setenv("ADDRESS", n.Address())
	env.Setenv("CA", filepath.Join(n.Dir, "fish_data", "ca.crt"))
	return os.WriteFile(filepath.Join(env.WorkDir, "admin-password"), []byte(n.AdminPassword+"\n"), 0o600)
}
