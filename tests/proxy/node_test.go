//go:build linux

package proxy

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

var goroutineTotal = regexp.MustCompile(`goroutine profile: total (\d+)`)

// goroutines is how many the node runs.
func goroutines(t testing.TB, c fish.Client) int {
	t.Helper()
	text := c.Request("GET", "/api/v1/node/this/profiling/goroutine?debug=1", nil)
	found := goroutineTotal.FindStringSubmatch(string(text.Body))
	if found == nil {
		t.Fatalf("goroutines: %d %.200s", text.Status, text.Body)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// backTo waits until the node runs no more goroutines than before, but for a few of connections that clients of its API
// keep.
func backTo(t testing.TB, c fish.Client, before int) {
	t.Helper()
	const kept = 6
	last := 0
	defer func() {
		if last > before+kept {
			t.Logf("before %d goroutines, now:\n%.6000s", before, c.Request("GET", "/api/v1/node/this/profiling/goroutine?debug=1", nil).Body)
		}
	}()
	fish.Eventually(t, "goroutines are back", func() bool {
		last = goroutines(t, c)
		return last <= before+kept
	})
}

// memory is what a process takes of the machine's, in bytes.
func memory(t testing.TB, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatalf("no VmRSS in %s", text)
	return 0
}

// summer is sum for who writes.
type summer struct{ h hash.Hash }

func newSummer() summer { return summer{sha256.New()} }

func (s summer) Write(p []byte) (int, error) { return s.h.Write(p) }

func (s summer) sum() string { return fmt.Sprintf("%x  -\n", s.h.Sum(nil)) }
