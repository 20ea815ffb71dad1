package cli

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func drainJSON(enabled bool, running string) string {
	if !enabled {
		return `{"by":"","enabled":false,"persistent":false,"running":` + running + `,"shutdown":false}`
	}
	return `{"by":"admin","enabled":true,"persistent":true,"running":` + running + `,"shutdown":false,"since":"2026-11-22T11:59:00Z"}`
}

// answers gives one after the other, and then the last one again.
func answers(texts ...string) func(*http.Request) (int, string) {
	return func(*http.Request) (int, string) {
		text := texts[0]
		if len(texts) > 1 {
			texts = texts[1:]
		}
		return http.StatusOK, text
	}
}

func TestNodeDrainWaits(t *testing.T) {
	f := newFarm(t)
	f.on("POST /node/this/drain", drainJSON(true, "2"))
	f.answer("GET /node/this/drain", answers(drainJSON(true, "2"), drainJSON(true, "2"), drainJSON(true, "1"), drainJSON(true, "0")))
	code, stdout, stderr := f.run("node", "drain", "--wait")
	if code != 0 || !strings.Contains(stdout, "Running") || !strings.Contains(stdout, "0") {
		t.Errorf("exit code %d, %q, %q; want the empty node", code, stdout, stderr)
	}
	if want := "applications that still run: 2\napplications that still run: 1\n"; stderr != want {
		t.Errorf("told %q, want %q", stderr, want)
	}

	f.answer("GET /node/this/drain", answers(drainJSON(true, "2")))
	f.fails(CodeTimeout, "still run on the node", "node", "drain", "--wait", "--timeout", "1ms")
	f.answer("GET /node/this/drain", answers(drainJSON(true, "2"), drainJSON(false, "2")))
	f.fails(CodeEnded, "somebody ended the drain", "node", "drain", "--wait")
	f.serving.Lock()
	defer f.serving.Unlock()
	if n := len(slices.DeleteFunc(f.asked, func(s string) bool { return !strings.HasPrefix(s, "POST") })); n != 3 {
		t.Errorf("%d drains were sent, want one for each command", n)
	}
}
