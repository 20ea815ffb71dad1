//go:build crashpoints

package store

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// crashVariable holds "<point>:<n>": the process kills itself at the n-th pass
// of the point.
const crashVariable = "FISH_CRASH_STORE"

// crashPoints are in the order of a batch. The savepoint ones are around what a
// request writes, also in a batch that needs no SAVEPOINT.
func crashPoints() []string {
	return []string{"savepoint.before", "savepoint.after", "commit.before", "commit.after", "feed.before", "answer.before"}
}

// crasher kills the process at a chosen point, as kill -9 would.
type crasher struct {
	at   string
	left *atomic.Int64
}

func newCrasher() (crasher, error) {
	text := os.Getenv(crashVariable)
	if text == "" {
		return crasher{}, nil
	}
	at, count, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		return crasher{}, fmt.Errorf("%s=%q is not <point>:<n>", crashVariable, text)
	}
	if !slices.Contains(crashPoints(), at) {
		return crasher{}, fmt.Errorf("%s=%q names no point, the points are %s", crashVariable, text, strings.Join(crashPoints(), ", "))
	}
	c := crasher{at: at, left: new(atomic.Int64)}
	c.left.Store(n)
	return c, nil
}

func (c crasher) point(name string) {
	if c.at != name || c.left.Add(-1) != 0 {
		return
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // the signal is on its way; nothing more may happen
}
