package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

const (
	childDir   = "FISH_TEST_CRASH_DIR"
	childPoint = "FISH_TEST_CRASH_POINT" // a line of cfg
	childToken = "FISH_TEST_CRASH_TOKEN"
)

// TestCrashChild is no test of its own: it is the process that dies.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("only runs as the child of TestCrash")
	}
	d := open(t, dir, "test", node, "allow_crash: true\n"+os.Getenv(childPoint))
	req := request(`{}`)
	req.Token = os.Getenv(childToken)
	mustAllocate(t, d, req)
	if _, err := d.RunTask(t.Context(), snapshot(req, `{}`)); err != nil {
		t.Fatal(err)
	}
	mustDeallocate(t, d, ref(req))
}

// TestCrash kills a real process at every point, and looks at what the next
// one finds.
func TestCrash(t *testing.T) {
	for _, tt := range []struct {
		point string
		want  drivers.Presence
	}{
		{"crash_allocate: before", drivers.Absent},
		{"crash_allocate: claimed", drivers.Partial},
		{"crash_allocate: created", drivers.Running},
		{"crash_allocate: after", drivers.Running},
		{"crash_allocate: any:2", drivers.Partial},
		{"crash_task: before", drivers.Running},
		{"crash_task: after:100%", drivers.Running},
		{"crash_deallocate: before", drivers.Running},
		{"crash_deallocate: removed", drivers.Partial},
		{"crash_deallocate: after", drivers.Absent},
	} {
		t.Run(tt.point, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			req := request(`{}`)
			dieAt(t, dir, tt.point, req.Token)
			d := open(t, dir, "test", node, "")
			report, err := d.Inspect(t.Context(), ref(req))
			if err != nil || report.Presence != tt.want {
				t.Errorf("Inspect() in the next process = %+v, %v, want presence %d", report, err, tt.want)
			}
			refs, err := d.List(t.Context())
			if err != nil || (len(refs) == 1) != (tt.want != drivers.Absent) {
				t.Errorf("List() in the next process = %v, %v, want what is left", refs, err)
			}
			for _, left := range refs {
				mustDeallocate(t, d, left)
			}
			if n := count(t, dir); n != 0 {
				t.Errorf("%d things are left", n)
			}
		})
	}
}

// dieAt runs the child and checks that it was killed, not that it failed.
func dieAt(t *testing.T, dir, point, token string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), childDir+"="+dir, childPoint+"="+point, childToken+"="+token)
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("the child ended with %v, want it killed:\n%s", err, out)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v, want SIGKILL:\n%s", err, out)
	}
}

// died is what a crash in this process panics with.
type died struct{}

// crashes runs f with a harmless kill and reports whether it was killed.
func crashed(d *driver, f func()) (killed bool) {
	d.crash.kill = func() { panic(died{}) }
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(died); !ok {
				panic(p)
			}
			killed = true
		}
	}()
	f()
	return false
}

func TestCrashAtPass(t *testing.T) {
	d := open(t, t.TempDir(), "test", node, "allow_crash: true\ncrash_allocate: claimed:3")
	var got []bool
	for range 4 {
		got = append(got, crashed(d, func() { mustAllocate(t, d, request(`{}`)) }))
	}
	if want := []bool{false, false, true, false}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("crashes at pass 3: %v, want %v", got, want)
	}
}

func TestCrashByChance(t *testing.T) {
	d := open(t, t.TempDir(), "test", node, "allow_crash: true")
	hits := 0
	for range 200 {
		if crashed(d, func() { _, _ = d.RunTask(context.Background(), snapshot(request(`{"crash_task":"before:50%"}`), `{}`)) }) {
			hits++
		}
	}
	if hits < 60 || hits > 140 {
		t.Errorf("crashed %d of 200 times, want about 100", hits)
	}
}

func TestCrashNeedsLeave(t *testing.T) {
	d := open(t, t.TempDir(), "test", node, "")
	req := request(`{"crash_allocate":"before"}`)
	killed := crashed(d, func() {
		if _, err := d.Allocate(t.Context(), req); !errors.Is(err, errCrashForbidden) {
			t.Errorf("Allocate() = %v, want %v", err, errCrashForbidden)
		}
		if err := d.Validate(req.Definition); !errors.Is(err, errCrashForbidden) {
			t.Errorf("Validate() = %v, want %v", err, errCrashForbidden)
		}
		req.ApplicationUID = uuid.New()
		mustDeallocate(t, d, drivers.Ref{Token: req.Token, Definition: definition(`{"crash_deallocate":"before"}`)})
	})
	if killed {
		t.Error("a label crashed a node that did not allow it")
	}
}
