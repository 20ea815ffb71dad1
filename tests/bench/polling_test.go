package main

import (
	"testing"

	"github.com/google/pprof/profile"
)

// TestLogSamples: what passes through the access log to the handlers is not the
// log's; its own work is, wherever it is done.
func TestLogSamples(t *testing.T) {
	const at = "example.com/lib/logging."
	for _, tt := range []struct {
		name  string
		stack []string // from the innermost call outwards
		log   bool
	}{
		{"a handler", []string{"runtime.mallocgc", "example.com/lib/api.(*API).ServeHTTP", at + "(*AccessLog).Wrap.func1", "net/http.(*conn).serve"}, false},
		{"the connection", []string{"syscall.write", "net/http.(*response).Write", at + "(*recorder).Write", "example.com/lib/api.x"}, false},
		{"a line", []string{"strconv.AppendInt", at + "(*AccessLog).log", at + "(*AccessLog).Wrap.func1.1", at + "(*AccessLog).Wrap.func1"}, true},
		{"what the application lets it show", []string{"strings.Cut", "example.com/lib/app.logged.func1", at + "(*AccessLog).log", at + "(*AccessLog).Wrap.func1"}, true},
		{"the writer", []string{"syscall.write", "os.(*File).Write", at + "(*Console).flush", at + "(*Console).Run"}, true},
		{"its own frame", []string{at + "(*recorder).WriteHeader", "example.com/lib/api.x"}, true},
		{"its clock", []string{"time.now", "time.Now", at + "(*AccessLog).Wrap.func1", "net/http.(*conn).serve"}, true},
		{"nothing of it", []string{"runtime.futex", "runtime.schedule"}, false},
	} {
		s := &profile.Sample{Value: []int64{3}}
		for _, name := range tt.stack {
			s.Location = append(s.Location, &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: name}}}})
		}
		if log, all := logSamples(&profile.Profile{Sample: []*profile.Sample{s}}); (log == 3) != tt.log || all != 3 {
			t.Errorf("%s: %d of %d samples, want log: %v", tt.name, log, all, tt.log)
		}
	}
}
