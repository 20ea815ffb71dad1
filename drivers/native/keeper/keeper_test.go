//go:build linux

package keeper

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const token = "0123456789abcdef0123456789abcdef"

// TestMain lets the test binary be the keeper.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Command {
		os.Exit(Main(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == helperCommand {
		os.Exit(playNode())
	}
	os.Exit(m.Run())
}

// patient bounds whatever a test waits for.
func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// specOf is an environment that runs a shell script, stopped at the end of the test.
func specOf(t *testing.T, script string) Spec {
	t.Helper()
	spec := Spec{Folder: t.TempDir(), Token: token, Argv: []string{"/bin/sh", "-c", script}, Dir: "/", Env: []string{"PATH=" + os.Getenv("PATH")}}
	t.Cleanup(func() {
		if err := Stop(patient(t), spec.Folder, spec.Token, time.Millisecond); err != nil {
			t.Errorf("Stop at the end: %v", err)
		}
	})
	return spec
}

func start(t *testing.T, spec Spec) {
	t.Helper()
	if err := Start(patient(t), spec); err != nil {
		t.Fatalf("Start: %v", err)
	}
}

func look(t *testing.T, spec Spec) State {
	t.Helper()
	state, err := Look(spec.Folder, spec.Token)
	if err != nil {
		t.Fatalf("Look: %v", err)
	}
	return state
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// until waits for a condition.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx := patient(t)
	for !condition() {
		if pause(ctx, 5*time.Millisecond) != nil {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestLife(t *testing.T) {
	spec := specOf(t, "echo hello; echo error >&2; exit 7")
	if got := look(t, spec).Presence; got != None {
		t.Errorf("before: presence %v, want none", got)
	}
	start(t, spec)
	ending, err := Wait(patient(t), spec.Folder, spec.Token)
	if err != nil || ending != "exit code 7" {
		t.Errorf("Wait = %q, %v, want exit code 7", ending, err)
	}
	want := State{Presence: Ended, Ending: "exit code 7", ExitCode: 7}
	if got := look(t, spec); got != want {
		t.Errorf("Look = %+v, want %+v", got, want)
	}
	if got := read(t, filepath.Join(spec.Folder, LogFile)); !strings.Contains(got, "hello\nerror\n") {
		t.Errorf("log = %q", got)
	}
}

func TestStop(t *testing.T) {
	tests := []struct {
		name, script, ending string
		grace                time.Duration
	}{
		{name: "interrupt is enough", script: `trap "echo bye; exit 3" INT; echo ready; sleep 1000`, ending: "exit code 3", grace: time.Minute},
		{name: "interrupt is ignored", script: `trap "" INT; echo ready; exec tail -f /dev/null`, ending: "killed by signal 9 (killed)", grace: 50 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := specOf(t, tt.script)
			start(t, spec)
			until(t, "ready", func() bool { return strings.Contains(read(t, filepath.Join(spec.Folder, LogFile)), "ready") })
			if got := look(t, spec); got.Presence != Running || got.Keeper == 0 || got.Entry == 0 {
				t.Fatalf("Look = %+v, want running", got)
			}
			if err := Stop(patient(t), spec.Folder, spec.Token, tt.grace); err != nil {
				t.Fatalf("Stop: %v", err)
			}
			if got := look(t, spec); got.Presence != Ended || got.Ending != tt.ending {
				t.Errorf("Look = %+v, want ending %q", got, tt.ending)
			}
		})
	}
}
