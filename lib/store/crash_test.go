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
	for _, point := range []string{
		"savepoint.before", "savepoint.after", "commit.before", "commit.after", "feed.before", "answer.before",
	} {
		t.Run(point, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "n:1")
			for _, pass := range []int{3, 4, 40, 333} {
				promised := killRound(t, folder, -1, fmt.Sprintf("%s=%s:%d", crashVariable, point, pass))
				checkPromises(t, folder, promised)
			}
		})
	}
}
