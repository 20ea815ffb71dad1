package aws

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets the heap grow before it is looked through: hundreds of small
// worlds are made and left one after another, and a seventh of the time went into that.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
