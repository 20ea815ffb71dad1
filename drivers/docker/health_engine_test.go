//go:build linux

package docker

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
)

// TestEngineAway: an instance whose engine is dead or hangs, or only its
// containerd, has no room, what is being made waits for the engine, and who waits
// for room is told when it is back.
func TestEngineAway(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.away(t, []trouble{
		{"killed", s.Kill, s.Start, "does not answer since"},
		{"stopped", s.Stop, s.Start, "does not answer since"},
		{"hangs", s.Freeze, s.Thaw, "no answer within"},
	})
}

// TestContainerdAway: dockerd answers, and can start nothing.
func TestContainerdAway(t *testing.T) {
	t.Parallel()
	needs.Unhurried(t, "starts an engine of its own")
	s := site{dockerd.Start(t, dockerd.Options{Containerd: true}), t.TempDir(), ""}
	s.away(t, []trouble{
		{"killed", s.KillContainerd, s.StartContainerd, "its containerd does not answer"},
		{"hangs", s.FreezeContainerd, s.ThawContainerd, "its containerd does not answer"},
	})
	s.KillContainerd()
	d := s.start(t)
	eventually(t, "an instance that starts knows it at once", func() bool {
		_, err := d.Capacity(guest("wait"))
		return err != nil
	})
	s.StartContainerd()
	d.run(t, "wait")
}

// trouble is a way of an engine to be away, and what is told of it.
type trouble struct {
	name       string
	gone, back func()
	says       string
}

func (s site) away(t *testing.T, troubles []trouble) {
	t.Helper()
	room := make(chan struct{}, 10)
	cfg := s.config("docker", node)
	cfg.HasRoom = func() { room <- struct{}{} }
	made, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	d := made.(*driver)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, tt := range troubles {
		tt.gone()
		type answer struct {
			env drivers.Environment
			err error
		}
		answers := make(chan answer, 1)
		req := request(guest("wait"))
		go func() {
			env, err := d.Allocate(t.Context(), req)
			answers <- answer{env, err}
		}()
		eventually(t, "it is known that the engine is away", func() bool { return d.health.err() != nil })
		if n, err := d.Capacity(req.Definition); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: Capacity() = %d, %v, want %q", tt.name, n, err, tt.says)
		}
		short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if _, err := d.Allocate(short, request(guest("wait"))); err == nil || short.Err() == nil {
			t.Errorf("%s: Allocate() = %v before its time was up, want that it waits", tt.name, err)
		}
		cancel()
		tt.back()
		if got := <-answers; got.err != nil {
			t.Errorf("%s: Allocate() that waited for its engine = %v", tt.name, got.err)
		}
		select {
		case <-room:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: nobody was told that there is room again", tt.name)
		}
		if _, err := d.Capacity(req.Definition); err != nil {
			t.Errorf("%s: Capacity() after it = %v", tt.name, err)
		}
		if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
			t.Error(err)
		}
	}
}

// TestEngineRestartsUnderAllocates: a request is not lost in an engine that is
// killed or stopped in the middle of a call.
func TestEngineRestartsUnderAllocates(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "--live-restore")
	d := s.start(t)
	holds := request(guest("wait")) // the network: see the known limits for one that is just being made
	d.allocate(t, holds)
	for n, again := range []func(){func() { s.Kill(); s.Start() }, func() { s.Restart() }, func() { s.Kill(); s.Start() }, func() { s.Restart() }} {
		errs := make(chan error, 4)
		reqs := make([]drivers.Request, cap(errs))
		for i := range reqs {
			reqs[i] = request(guest("wait"))
			go func() {
				time.Sleep(time.Duration(i) * 40 * time.Millisecond) // in different calls
				_, err := d.Allocate(t.Context(), reqs[i])
				errs <- err
			}()
		}
		time.Sleep(time.Duration(100+50*n) * time.Millisecond)
		again()
		for range reqs {
			if err := <-errs; err != nil {
				t.Errorf("Allocate() whose engine was restarted = %v", err)
			}
		}
		for _, req := range reqs {
			if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
				t.Error(err)
			}
		}
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: holds.Token}); err != nil {
		t.Error(err)
	}
	eventually(t, "nothing is left", func() bool { return len(s.leftovers()) == 0 })
}

// TestRemovedAfterItsStart: somebody else who removes the container while it is
// made is no failure: it is made anew.
func TestRemovedAfterItsStart(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	req := request(guest("wait"))
	d.allocate(t, req)
	m := d.making(t, req)
	list, err := d.find(t.Context(), drivers.Ref{Token: req.Token})
	if err != nil || len(list) != 1 {
		t.Fatalf("find() = %v, %v", list, err)
	}
	if err := d.remove(t.Context(), list[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := m.look(t.Context(), list[0].id); err != errAgain { //nolint:errorlint // itself
		t.Errorf("look() at what was removed = %v, want %v", err, errAgain)
	}
	if err := m.start(t.Context(), list[0].id); err != errAgain { //nolint:errorlint // itself
		t.Errorf("start() of what was removed = %v, want %v", err, errAgain)
	}
}
