//go:build linux

package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestEndings(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	end := func(what string, method, path string) func(drivers.Environment) {
		return func(env drivers.Environment) {
			if status, answer, err := s.Call(method, "/containers/"+env.Identifier+path, nil); err != nil || status/100 != 2 {
				t.Errorf("%s: %d %s %v", what, status, answer, err)
			}
		}
	}
	for _, tt := range []struct {
		name, commands string
		end            func(drivers.Environment)
		want           string
		presence       drivers.Presence
	}{
		{"by itself", "exit 7", nil, "exit code 7", drivers.Ended},
		{"as the guest has no such command", "exit 127", nil, "exit code 127 (as shells say of a program that is not there or can not be run)", drivers.Ended},
		{"well", "exit 0", nil, "exit code 0", drivers.Ended},
		{"killed", "wait", end("kill", "POST", "/kill"), "exit code 137 (killed)", drivers.Ended},
		{"terminated", "wait", end("stop", "POST", "/stop"), "exit code 0", drivers.Ended},
		{"removed", "wait", end("remove", "DELETE", "?force=1"), "removed by somebody else than the node", drivers.Absent},
		{"removed while it stood still", "wait", func(env drivers.Environment) {
			end("pause", "POST", "/pause")(env)
			end("remove", "DELETE", "?force=1")(env)
		}, "removed by somebody else than the node", drivers.Absent},
	} {
		req := request(guest(tt.commands))
		env := d.allocate(t, req)
		type answer struct {
			ending string
			err    error
		}
		watched := make(chan answer, 1)
		go func() {
			ending, err := d.Watch(t.Context(), drivers.Ref{Token: req.Token})
			watched <- answer{ending, err}
		}()
		if tt.end != nil {
			eventually(t, "the watch has begun", func() bool { return s.waiting(env) })
			tt.end(env)
		}
		if got := <-watched; got.ending != tt.want || got.err != nil {
			t.Errorf("%s: Watch() = %q, %v, want %q", tt.name, got.ending, got.err, tt.want)
		}
		r, err := d.Inspect(t.Context(), drivers.Ref{Token: req.Token})
		if err != nil || r.Presence != tt.presence || tt.presence == drivers.Ended && r.Ending != tt.want {
			t.Errorf("%s: Inspect() = %+v, %v, want presence %d and the same ending", tt.name, r, err, tt.presence)
		}
	}
}

// waiting reports whether a watch has reached the engine, by a moment that is
// long enough for one call on the same machine.
func (s site) waiting(env drivers.Environment) bool {
	start := time.Now()
	for time.Since(start) < 50*time.Millisecond {
		s.Logs(env.Identifier)
	}
	return true
}

// TestEngineKilled: what an engine took with it is known when it is back, and
// until then nothing is taken for gone.
func TestEngineKilled(t *testing.T) {
	t.Parallel()
	for _, live := range []bool{false, true} {
		t.Run(fmt.Sprintf("live_restore_%v", live), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "", fmt.Sprintf("--live-restore=%v", live))
			d := s.start(t)
			req := request(guest("wait"))
			env := d.allocate(t, req)
			ref := drivers.Ref{Token: req.Token, Identifier: env.Identifier, Definition: req.Definition}
			watched := make(chan error, 1)
			go func() {
				_, err := d.Watch(t.Context(), ref)
				watched <- err
			}()
			s.waiting(env)
			s.Kill()
			if err := <-watched; err == nil {
				t.Error("Watch() of an engine that was killed = nil, want an error: nobody knows what became of it")
			}
			if r, err := d.Inspect(t.Context(), ref); err == nil {
				t.Errorf("Inspect() = %+v without an engine, want an error", r)
			}
			if refs, err := d.List(t.Context()); err == nil {
				t.Errorf("List() = %v without an engine, want an error", refs)
			}
			if err := d.Deallocate(t.Context(), ref); err == nil {
				t.Error("Deallocate() without an engine = nil, want an error")
			}
			s.Start()
			r, err := d.Inspect(t.Context(), ref)
			if want := map[bool]drivers.Presence{false: drivers.Ended, true: drivers.Running}[live]; err != nil || r.Presence != want {
				t.Errorf("Inspect() of an engine that is back = %+v, %v, want presence %d", r, err, want)
			}
			if live {
				if diff := cmp.Diff(env.IPAddr, r.Environment.IPAddr); diff != "" {
					t.Errorf("another address than before: %s", diff)
				}
				return
			}
			if ending, err := d.Watch(t.Context(), ref); err != nil || ending != r.Ending {
				t.Errorf("Watch() = %q, %v, want %q", ending, err, r.Ending)
			}
		})
	}
}

// TestEngineHangs: every call ends with its context.
func TestEngineHangs(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	req := request(guest("wait"))
	d.allocate(t, req)
	ref := drivers.Ref{Token: req.Token}
	s.Freeze()
	t.Cleanup(s.Thaw)
	for name, call := range map[string]func(context.Context) error{
		"Inspect":    func(ctx context.Context) error { _, err := d.Inspect(ctx, ref); return err },
		"List":       func(ctx context.Context) error { _, err := d.List(ctx); return err },
		"Watch":      func(ctx context.Context) error { _, err := d.Watch(ctx, ref); return err },
		"Deallocate": func(ctx context.Context) error { return d.Deallocate(ctx, ref) },
		"Suspend":    func(ctx context.Context) error { return d.Suspend(ctx, ref) },
		"Allocate":   func(ctx context.Context) error { _, err := d.Allocate(ctx, request(guest("wait"))); return err },
		"New": func(ctx context.Context) error {
			other, err := New(ctx, s.config("docker/other", node))
			if err == nil {
				_ = other.Close()
			}
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		start := time.Now()
		if err := call(ctx); err == nil {
			t.Errorf("%s of an engine that hangs = nil, want an error", name)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s took %v after its context ended", name, took)
		}
		cancel()
	}
}

// TestSuspend: what stands still is a live environment, and can be removed.
func TestSuspend(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	req := request(guest("wait"))
	env := d.allocate(t, req)
	ref := drivers.Ref{Token: req.Token}
	for _, step := range []struct {
		name  string
		call  func(context.Context, drivers.Ref) error
		state container.ContainerState
	}{
		{"Resume", d.Resume, "running"}, {"Suspend", d.Suspend, "paused"}, {"Suspend", d.Suspend, "paused"},
		{"Resume", d.Resume, "running"}, {"Suspend", d.Suspend, "paused"},
	} {
		if err := step.call(t.Context(), ref); err != nil {
			t.Errorf("%s() = %v", step.name, err)
		}
		if got := d.raw(t, env).State.Status; got != step.state {
			t.Errorf("after %s the container is %s, want %s", step.name, got, step.state)
		}
	}
	if r, err := d.Inspect(t.Context(), ref); err != nil || r.Presence != drivers.Running || r.Environment.IPAddr != env.IPAddr {
		t.Errorf("Inspect() = %+v, %v, want Running", r, err)
	}
	start := time.Now()
	if err := d.Deallocate(t.Context(), ref); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Deallocate() of what stood still took %v", took)
	}
	if err := d.Suspend(t.Context(), ref); !errors.Is(err, errNotRunning) {
		t.Errorf("Suspend() of nothing = %v, want %v", err, errNotRunning)
	}
}

// TestMadeForWhoIsGone: the engine makes a container also for a process that was
// killed. Its successor gets one environment all the same.
func TestMadeForWhoIsGone(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	d.run(t, "wait") // the network is there
	for n := range 8 {
		req := request(guest("wait"))
		m := d.making(t, req)
		b, release, err := d.networks.use(t.Context(), m.plan.network)
		if err != nil {
			t.Fatal(err)
		}
		m.plan.bridge = b
		opts := m.container(m.plan, hwAddress(req.Token, 0))
		cut, cancel := context.WithTimeout(t.Context(), time.Duration(1+5*n)*time.Millisecond)
		_, _ = d.engine.ContainerCreate(cut, opts) // it may be quicker
		cancel()
		release()
		if env, err := d.Allocate(t.Context(), req); err != nil || env.Identifier != opts.Name {
			t.Errorf("Allocate() after a create that nobody waited for = %+v, %v, want %s", env, err, opts.Name)
		}
		if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
			t.Error(err)
		}
	}
	if n := len(s.Containers()); n != 1 {
		t.Errorf("%d containers, want the first alone: %v", n, s.Containers())
	}
}

// TestStubborn: who does not obey is killed, after the grace and not before.
func TestStubborn(t *testing.T) {
	t.Parallel()
	s := newSite(t, "stop_grace: 2s\n")
	d := s.start(t)
	req := request(guest("stubborn ; print ready"))
	s.says(t, d.allocate(t, req), "ready")
	start := time.Now()
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < 2*time.Second || took > 10*time.Second {
		t.Errorf("Deallocate() of a stubborn one took %v, want a little more than 2s", took)
	}
}

// TestRemovedByTwo: a removal that somebody else began is waited for.
func TestRemovedByTwo(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	first, second := s.start(t), s.start(t) // two processes, as turns are kept within one
	for range 5 {
		req := request(guest("wait"))
		first.allocate(t, req)
		var wg sync.WaitGroup
		for _, d := range []*driver{first, second, second, first} {
			wg.Go(func() {
				if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
					t.Errorf("Deallocate() beside another = %v", err)
				}
			})
		}
		wg.Wait()
		if left := s.leftovers(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// TestManyNodesOneNetwork: nodes that make and remove the network under each
// other's feet all get their environment, and the last one takes it away.
func TestManyNodesOneNetwork(t *testing.T) {
	t.Parallel()
	s := newSite(t, "stop_grace: 1s\n")
	var wg sync.WaitGroup
	for range 4 {
		d := s.open(t, "docker", request(definition("")).ApplicationUID)
		wg.Go(func() {
			for range 6 {
				req := request(guest("wait"))
				if _, err := d.Allocate(t.Context(), req); err != nil {
					t.Errorf("Allocate() beside other nodes = %v", err)
				}
				if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
					t.Errorf("Deallocate() beside other nodes = %v", err)
				}
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestTwentyAtOnce is the number that the driver is measured by.
func TestTwentyAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, "cpu_alter: 100\n")
	d := s.start(t)
	var wg sync.WaitGroup
	for range 20 {
		req := request(guest("wait"))
		req.Definition.Resources.CPU = 4 // more than there may be
		wg.Go(func() { d.allocate(t, req) })
	}
	wg.Wait()
	if n := len(s.Containers()); n != 20 {
		t.Errorf("%d containers, want 20", n)
	}
}

// TestSuspendInACommit: an environment that is suspended while a task has it
// stand still stays so when the task is over.
func TestSuspendInACommit(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	req := request(guest("fill /big 128 ; print filled ; wait"))
	env := d.allocate(t, req)
	s.says(t, env, "filled")
	ref := drivers.Ref{Token: req.Token, Identifier: env.Identifier, Definition: req.Definition}
	ended := make(chan error, 1)
	go func() {
		_, err := d.RunTask(t.Context(), drivers.TaskRequest{
			UID: req.ApplicationUID, Task: "snapshot", When: model.StatusAllocated, Options: []byte(`{"full":true}`), Ref: ref,
		})
		ended <- err
	}()
	eventually(t, "the commit begins", func() bool { return d.raw(t, env).State.Paused })
	if err := d.Suspend(t.Context(), ref); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := d.raw(t, env).State.Status; got != "paused" {
		t.Errorf("after the task the container is %s, want paused", got)
	}
	if err := d.Deallocate(t.Context(), ref); err != nil {
		t.Error(err)
	}
}
