package needs

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// recorder is a testing.TB that notes how a test would have ended.
type recorder struct {
	testing.TB // nil: what is not overridden here must not be called
	ended      string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatal(args ...any) { r.end("FAIL: " + fmt.Sprintln(args...)) }
func (r *recorder) Skip(args ...any)  { r.end("SKIP: " + fmt.Sprintln(args...)) }

func (r *recorder) end(text string) {
	r.ended = text
	panic(r)
}

// ending runs a check and returns how it ended its test; "" is not at all.
func ending(check func(t testing.TB)) string {
	r := &recorder{}
	func() {
		defer func() {
			if p := recover(); p != nil && p != r {
				panic(p)
			}
		}()
		check(r)
	}()
	return r.ended
}

func TestEndings(t *testing.T) {
	lacking := func(t testing.TB) { Lacking(t, "needs a", "tool") }
	machine := func(t testing.TB) { Machine(t, "to make users") }
	root := func(t testing.TB) { Root(t, "to mount") }
	everything := func(t testing.TB) { All(t, "takes minutes") }
	asRoot := func(otherwise string) string {
		if runtime.GOOS == "windows" {
			return "SKIP: there is no root"
		}
		if os.Geteuid() == 0 {
			return ""
		}
		return otherwise
	}
	for _, tt := range []struct {
		name, all, ci string
		check         func(testing.TB)
		want          string // its start
	}{
		{"at a desk", "", "", lacking, "SKIP: needs a tool"},
		{"all at a desk", "1", "", lacking, "SKIP: needs a tool"},
		{"some in CI", "", "true", lacking, "SKIP: needs a tool"},
		{"all in CI", "1", "true", lacking, "FAIL: CI has to provide what this test needs: needs a tool"},
		{"long at a desk", "", "", everything, "SKIP: takes minutes"},
		{"long, all in CI", "1", "true", everything, ""},
		{"machine at a desk", "", "", machine, "SKIP: changes this machine to make users"},
		{"machine, all at a desk", "1", "", machine, asRoot("SKIP: needs root to make users")},
		{"machine, all in CI", "1", "true", machine, asRoot("FAIL: CI has to provide what this test needs: needs root to make users")},
		{"root at a desk", "", "", root, asRoot("SKIP: needs root to mount")},
		{"root, all in CI", "1", "true", root, asRoot("FAIL: CI has to provide what this test needs: needs root to mount")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(allVariable, tt.all)
			t.Setenv(ciVariable, tt.ci)
			if got := ending(tt.check); !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("ended with %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLong(t *testing.T) {
	for text, want := range map[string]bool{"": false, "1": true} {
		t.Setenv(longVariable, text)
		if got := Long(); got != want {
			t.Errorf("with %s=%q Long() = %v", longVariable, text, got)
		}
	}
}
