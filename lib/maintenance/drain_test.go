package maintenance

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// keeper is one run of a node whose drain is kept in the file.
func keeper(t *testing.T, file string) *Keeper {
	t.Helper()
	k, err := New(Options{
		Running: func() int { return 3 }, Stop: func() {}, File: file, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func set(t *testing.T, k *Keeper, on, persist bool) Drain {
	t.Helper()
	d, err := k.SetDrain(t.Context(), on, persist, "admin")
	if err != nil {
		t.Fatalf("SetDrain(%v, %v): %v", on, persist, err)
	}
	return d
}

func TestDrainOverRestarts(t *testing.T) {
	off, on := func(t *testing.T, k *Keeper) { set(t, k, false, false) }, func(t *testing.T, k *Keeper) { set(t, k, true, false) }
	persistent := func(t *testing.T, k *Keeper) { set(t, k, true, true) }
	v1 := func(r Request) func(*testing.T, *Keeper) {
		return func(t *testing.T, k *Keeper) {
			if err := k.Apply(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	type steps []func(*testing.T, *Keeper)
	for _, tt := range []struct {
		name  string
		steps steps
		want  bool // after a restart
	}{
		{"a plain drain ends", steps{on}, false},
		{"a persistent one stays", steps{persistent}, true},
		{"an undrained one is gone", steps{persistent, off}, false},
		{"a drain made persistent later stays", steps{on, persistent}, true},
		{"one that is no longer persistent ends", steps{persistent, on}, false},
		{"maintenance of contract 18 ends", steps{v1(Request{})}, false},
		{"contract 18 ends a persistent drain", steps{persistent, v1(Request{Enable: no()})}, false},
		{"maintenance on beside it changes nothing", steps{persistent, v1(Request{})}, true},
		{"a shutdown keeps it", steps{persistent, v1(Request{Shutdown: yes()})}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "drain.json")
			first := keeper(t, file)
			for _, step := range tt.steps {
				step(t, first)
			}
			before, got := first.Drain(), keeper(t, file).Drain()
			if got.On != tt.want || got.Persistent != tt.want || got.Running != 3 {
				t.Errorf("after a restart %+v, want on and persistent %v", got, tt.want)
			}
			if tt.want && (!got.Since.Equal(before.Since) || got.By != "admin") {
				t.Errorf("after a restart since %v by %q, want %v by admin", got.Since, got.By, before.Since)
			}
		})
	}
}

func TestDrainTellsSinceWhenAndByWhom(t *testing.T) {
	k := keeper(t, filepath.Join(t.TempDir(), "drain.json"))
	if d := k.Drain(); d.On || !d.Since.IsZero() || d.By != "" {
		t.Errorf("a fresh node: %+v, want no drain", d)
	}
	first := set(t, k, true, false)
	if age := time.Since(first.Since); !first.On || first.By != "admin" || age < 0 || age > time.Minute {
		t.Errorf("drained: %+v, want by admin just now", first)
	}
	again, err := k.SetDrain(t.Context(), true, true, "other")
	if err != nil || again.Since != first.Since || again.By != "admin" || !again.Persistent {
		t.Errorf("drained again: %+v, %v; want it as it began, and persistent", again, err)
	}
}

// TestDrainNotKept: what can not be kept is not promised, and nothing else of
// the request is done either.
func TestDrainNotKept(t *testing.T) {
	if _, err := keeper(t, "").SetDrain(t.Context(), true, true, ""); !errors.Is(err, ErrNotKept) {
		t.Errorf("without a file: %v, want ErrNotKept", err)
	}
	dir := t.TempDir()
	blocked := filepath.Join(dir, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	k := keeper(t, filepath.Join(dir, "drain.json"))
	k.options.File = filepath.Join(blocked, "drain.json") // the folder has gone meanwhile
	if _, err := k.SetDrain(t.Context(), true, true, ""); err == nil {
		t.Error("no folder for the file: no error, want one")
	}
	if d := k.Drain(); d.On || d.Persistent {
		t.Errorf("after the failure %+v, want nothing changed", d)
	}
}

func TestUndrainIsNoShutdown(t *testing.T) {
	k := keeper(t, filepath.Join(t.TempDir(), "drain.json"))
	if err := k.Apply(t.Context(), Request{Shutdown: yes()}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.SetDrain(t.Context(), false, false, ""); !errors.Is(err, ErrShutdownOrdered) {
		t.Errorf("undrain while a shutdown waits: %v, want ErrShutdownOrdered", err)
	}
	if d := k.Drain(); !d.On || !d.Shutdown {
		t.Errorf("after it: %+v, want the shutdown still waiting in maintenance", d)
	}
}

// TestDamagedFileDrains: whatever the file holds, the node stays drained, and
// can be put back to work.
func TestDamagedFileDrains(t *testing.T) {
	for _, content := range []string{"", "{", "null", `{"since":"yesterday"}`, strings.Repeat("x", 100)} {
		file := filepath.Join(t.TempDir(), "drain.json")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		k := keeper(t, file)
		if d := k.Drain(); !d.On || !d.Persistent || d.Since.IsZero() {
			t.Errorf("file %q: %+v, want a persistent drain", content, d)
		}
		set(t, k, false, false)
		if d := keeper(t, file).Drain(); d.On {
			t.Errorf("file %q, undrained and restarted: %+v, want none", content, d)
		}
	}
}

func TestDrainFileIsPrivate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "drain.json")
	set(t, keeper(t, file), true, true)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode = %o, want 600", got)
	}
}

func TestRequestsWaitTheirTurn(t *testing.T) {
	k := keeper(t, "")
	if err := k.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := k.Apply(ctx, Request{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("behind a request that hangs: %v, want the end of its own time", err)
	}
	k.release()
	if err := k.Apply(t.Context(), Request{}); err != nil || !k.On() {
		t.Errorf("after it: %v, on %v; want nil, true", err, k.On())
	}
}

// TestHandOverComesBeforeTheStop, only in maintenance, and holds it up for a
// bounded time.
func TestHandOverComesBeforeTheStop(t *testing.T) {
	yes, no := true, false
	for name, tt := range map[string]struct {
		request Request
		hangs   bool
		want    string
		after   time.Duration
	}{
		"in maintenance":            {Request{Shutdown: &yes}, false, "handover stop", 0},
		"of others who do not take": {Request{Shutdown: &yes}, true, "handover stop", handOverTimeout},
		"without maintenance":       {Request{Enable: &no, Shutdown: &yes}, false, "stop", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var did []string
				start := time.Now()
				stopped := make(chan time.Duration, 1)
				k, err := New(Options{
					Running: func() int { return 0 },
					Stop:    func() { did = append(did, "stop"); stopped <- time.Since(start) },
					HandOver: func(ctx context.Context) {
						did = append(did, "handover")
						if tt.hangs {
							<-ctx.Done()
						}
					},
					Logger: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- k.Run(ctx) }()
				if err := k.Apply(ctx, tt.request); err != nil {
					t.Fatal(err)
				}
				if after := <-stopped; after != tt.after || strings.Join(did, " ") != tt.want {
					t.Errorf("did %v, stopped after %v, want %s after %v", did, after, tt.want, tt.after)
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
