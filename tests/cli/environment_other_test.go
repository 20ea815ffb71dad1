//go:build !linux

package cli

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// needsOpenSSH ends a test: OpenSSH's server is run for tests on Linux alone.
func needsOpenSSH(t testing.TB) { t.Skip("runs OpenSSH's server on Linux alone") }

func environment(_ *testing.T, _ *fish.Node, ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("environments are run on Linux alone")
}
