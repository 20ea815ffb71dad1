// Package needs is for tests that need more of a machine than a Go compiler:
// root, a tool, a part of the kernel. Where something is missing such a test is
// skipped with the reason, but never in CI: a check that may skip there checks
// nothing.
package needs

import (
	"os"
	"runtime"
	"testing"
)

const (
	// allVariable is set by `./build.sh test all`: tests may change the machine.
	allVariable = "AQUARIUM_TEST_ALL"
	// ciVariable is "true" in CI.
	ciVariable = "CI"
	// longVariable is set by who has hours for a test.
	longVariable = "FISH_LONG"
)

func all() bool { return os.Getenv(allVariable) != "" }

// everything says that nothing may be missing.
func everything() bool { return all() && os.Getenv(ciVariable) == "true" }

// Lacking ends the test for what is missing here: in CI it fails, elsewhere it
// is skipped.
func Lacking(t testing.TB, what ...any) {
	t.Helper()
	if everything() {
		t.Fatal(append([]any{"CI has to provide what this test needs:"}, what...)...)
	}
	t.Skip(append(what, "(./build.sh test all as root runs it)")...)
}

// Root ends the test unless it is run by root. why is what for, such as "to
// mount a disk". Windows has no such user, and no such test.
func Root(t testing.TB, why string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there is no root on Windows")
	}
	if os.Geteuid() != 0 {
		Lacking(t, "needs root", why)
	}
}

// All ends the test unless somebody asked for all tests. why is what keeps it
// from the others, such as "takes minutes".
func All(t testing.TB, why string) {
	t.Helper()
	if !all() {
		t.Skip(why, "(./build.sh test all as root runs it)")
	}
}

// Machine ends the test unless it may change what all of this machine share,
// such as its users: only where somebody asked for all tests, and as root.
func Machine(t testing.TB, why string) {
	t.Helper()
	All(t, "changes this machine "+why)
	Root(t, why)
}

// MayChangeMachine reports whether Machine would let a test go on. It is for those that do more there than elsewhere.
func MayChangeMachine() bool { return all() && os.Geteuid() == 0 }

// Long reports whether there is time for all of what a test usually does a part
// of: each point at which a process may be killed, a whole year.
func Long() bool { return os.Getenv(longVariable) != "" }

// Unhurried ends the test in a short run (`go test -short`), as that with the
// race detector is. why is what makes it slow there without a race that the
// others would miss, such as "starts an engine of its own".
func Unhurried(t testing.TB, why string) {
	t.Helper()
	if testing.Short() {
		t.Skip(why, "(left out of short runs)")
	}
}
