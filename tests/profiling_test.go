package tests

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// testProfiling is contract 24: every handler yields what the tools read.
func testProfiling(t *testing.T, w *world) {
	index := w.admin.Call(fish.Call{Path: w.path("node/this/profiling/")})
	for _, name := range []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"} {
		if !strings.Contains(string(index.Body), fmt.Sprintf("href='%s?debug=", name)) {
			t.Errorf("the index has no relative link to %s:\n%s", name, index.Body)
		}
		profile(t, w, name)
		want(t, name+" as text", w.admin.Call(fish.Call{Path: w.path("node/this/profiling/" + name + "?debug=1")}), 200, "")
	}
	if kind := index.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/html") {
		t.Errorf("the index is %q", kind)
	}
	profile(t, w, "profile?seconds=1")
	want(t, "trace", w.admin.Call(fish.Call{Path: w.path("node/this/profiling/trace?seconds=0.1")}), 200, "go 1.")
	want(t, "symbol", w.admin.Call(fish.Call{Path: w.path("node/this/profiling/symbol")}), 200, "num_symbols: 1")
	want(t, "goroutines", w.admin.Call(fish.Call{Path: w.path("node/this/profiling/goroutine?debug=2")}), 200, "goroutine 1 [")
	want(t, "command line", w.admin.Call(fish.Call{Path: w.path("node/this/profiling/cmdline")}), 200, "--cfg")
}

// profile reads one in the format of pprof: gzipped, not empty.
func profile(t *testing.T, w *world, name string) {
	t.Helper()
	got := w.admin.Call(fish.Call{Path: w.path("node/this/profiling/" + name)})
	unzipped, err := gzip.NewReader(bytes.NewReader(got.Body))
	if err != nil {
		t.Errorf("%s: %d %v", name, got.Status, err)
		return
	}
	if text, err := io.ReadAll(unzipped); err != nil || len(text) == 0 {
		t.Errorf("%s: %d bytes, %v", name, len(text), err)
	}
}
