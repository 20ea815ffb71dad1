// Package cli runs scripts of command lines, as users type them, against the real binary and a real node.
package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestMain(m *testing.M) { fish.Main(m) }

// scriptTimeout is far more than a script takes; what hangs is ended then and shown.
const scriptTimeout = 2 * time.Minute

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
			if filepath.Base(script) == "ssh.txtar" {
				needsOpenSSH(t)
			}
			n := fish.Start(t, fish.Options{Config: "drivers: [{name: test}]\n"})
			n.CreateLabel(fish.TestLabel("t1", `{}`))
			n.CreateLabel(strings.Replace(fish.TestLabel("t1", `{}`), `"version":1`, `"version":2`, 1))
			testscript.Run(t, testscript.Params{
				Files: []string{script}, RequireExplicitExec: true, RequireUniqueNames: true, Deadline: time.Now().Add(scriptTimeout),
				Setup: func(env *testscript.Env) error { return setup(env, n) },
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"environment": func(ts *testscript.TestScript, neg bool, args []string) { environment(t, n, ts, neg, args) },
					"start":       func(ts *testscript.TestScript, neg bool, args []string) { start(t, ts, neg, args) },
					"eventually":  func(ts *testscript.TestScript, neg bool, args []string) { eventually(t, ts, neg, args) },
				},
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
	env.Setenv("CA", authority(n))
	return writePassword(env.WorkDir, "admin", n)
}

// authority is the file of the CA that signed the node's certificate.
func authority(n *fish.Node) string { return filepath.Join(n.Dir, "fish_data", "ca.crt") }

func writePassword(dir, who string, n *fish.Node) error {
	return os.WriteFile(filepath.Join(dir, who+"-password"), []byte(n.AdminPassword+"\n"), 0o600)
}

// start is the command `start NAME [CONFIG]`: one node more, of the config in that file. $NAME_ADDRESS and $NAME_CA say
// where it is, the file NAME-password holds its admin's password.
func start(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: start NAME [CONFIG]")
	}
	config := ""
	if len(args) > 1 {
		config = ts.ReadFile(args[1])
	}
	n := fish.Start(t, fish.Options{Config: config})
	ts.Setenv(args[0]+"_ADDRESS", n.Address())
	ts.Setenv(args[0]+"_CA", authority(n))
	ts.Check(writePassword(ts.MkAbs("."), args[0], n))
}

// eventually is the command `eventually PATTERN FILE`: it waits until a line of a file that grows matches.
func eventually(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: eventually PATTERN FILE")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	fish.Eventually(t, args[1]+" has "+args[0], func() bool {
		text, err := os.ReadFile(ts.MkAbs(args[1]))
		return err == nil && pattern.Match(text)
	})
}
