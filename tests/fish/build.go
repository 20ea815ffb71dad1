// Package fish runs the real binary for tests, and talks to it as real clients
// do: over TLS, checked against the CA that the node made.
//
// Every node of a test has a working directory of its own, free ports, and is
// gone when the test ends; a failed test shows what its nodes printed. Nothing
// here sleeps: it waits for lines and for conditions.
package fish

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// BinaryEnv names the environment variable with the path of the binary under
// test. Main sets it; where it is set already that binary is used.
const BinaryEnv = "FISH_BINARY"

// buildTimeout is for a first build with an empty cache on a busy machine.
const buildTimeout = 10 * time.Minute

// Prepare makes something that all tests of a package share, and returns what
// removes it again.
type Prepare func() (release func(), err error)

// Main builds the binary, unless one is given, and runs the tests. It is the
// body of TestMain. What the package needs beside the node is prepared before.
func Main(m *testing.M, prepare ...Prepare) { os.Exit(run(m, prepare)) }

func run(m *testing.M, prepare []Prepare) int {
	for _, p := range prepare {
		release, err := p()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer release()
	}
	if os.Getenv(BinaryEnv) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "fish-test-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make folder for the binary:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // a rest in the temporary folder harms nobody
	binary := filepath.Join(dir, executable("aquarium-fish"))
	if err := Build(context.Background(), binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := os.Setenv(BinaryEnv, binary); err != nil {
		fmt.Fprintln(os.Stderr, "set "+BinaryEnv+":", err)
		return 1
	}
	return m.Run()
}

// Build compiles the node into the file, with build tags such as "crashpoints".
func Build(ctx context.Context, file string, tags ...string) error {
	return BuildWith(ctx, file, "-tags", strings.Join(tags, ","))
}

// BuildWith compiles the node into the file with more flags of `go build`. It
// leaves out what a debugger needs, which takes longer to link than the rest.
func BuildWith(ctx context.Context, file string, flags ...string) error {
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	root, err := ModuleRoot()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build", "-ldflags=-w"}, flags...), "-o", file, "./cmd/aquarium-fish")...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return nil
}

// ModuleRoot is the nearest folder upwards with a go.mod.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("find module: no go.mod above %s", dir)
		}
		dir = parent
	}
}

func executable(name string) string {
	if runtime.GOOS == "windows" {
		return name + ".exe"
	}
	return name
}
