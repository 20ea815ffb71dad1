//go:build crashpoints

package store

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestCrashPoints dies at every point, early and late: nothing acknowledged is
// lost, whichever it is.
func TestCrashPoints(t *testing.T) {
	for _, point := range crashPoints() {
		t.Run(point, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "n:1")
			for _, pass := range []int{3, 4, 40, 333} {
				promised := killRound(t, folder, -1, fmt.Sprintf("%s=%s:%d", crashVariable, point, pass))
				checkPromises(t, folder, promised)
			}
		})
	}
}

// TestCrashPointsOfUse: credentials that were used stay so.
func TestCrashPointsOfUse(t *testing.T) {
	for _, point := range crashPoints() {
		t.Run(point, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "n:1")
			for _, pass := range []int{10, 40, 333} {
				promised := killRound(t, folder, -1, fmt.Sprintf("%s=%s:%d", crashVariable, point, pass), killAction+"="+killUse)
				checkUsed(t, folder, promised)
			}
		})
	}
}

// TestUnknownCrashPoint: a campaign aimed at a point that is not there would
// prove nothing.
func TestUnknownCrashPoint(t *testing.T) {
	for _, text := range []string{"commit.befor:1", "commit.before", "commit.before:0", ":3"} {
		t.Setenv(crashVariable, text)
		if _, err := newCrasher(); err == nil {
			t.Errorf("%s=%q is taken", crashVariable, text)
		}
	}
}
