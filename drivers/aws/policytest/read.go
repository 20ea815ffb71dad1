package policytest

import (
	"os"
	"testing"
)

// Read reads a policy from a file, or ends the test.
func Read(tb testing.TB, file string) Policy {
	tb.Helper()
	text, err := os.ReadFile(file) //nolint:gosec // of the test
	if err != nil {
		tb.Fatal(err)
	}
	p, err := Parse(text)
	if err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
	return p
}
