//go:build linux

package dockerd

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// Engine is one Docker engine under test. Its methods are for the test's
// goroutine, but Call and Dial.
type Engine struct {
	*Server
	t testing.TB
}

// Start runs an engine and returns when it answers. When the test ends it is
// gone, and with it whatever it made.
func Start(t testing.TB, o Options) *Engine {
	t.Helper()
	o.InMemory = true
	s, err := Run(o)
	if errors.Is(err, ErrMissing) {
		needs.Lacking(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{s, t}
	t.Cleanup(e.remove)
	return e
}

func (e *Engine) remove() {
	if e.t.Failed() {
		e.t.Log(e.logged())
	}
	if err := e.Close(); err != nil {
		e.t.Error(err)
	}
}

func (e *Engine) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// Start runs the ended engine again, with what it had.
func (e *Engine) Start() {
	e.t.Helper()
	e.must(e.Launch())
}

// Stop ends the engine as a system does: it stops its containers, unless it
// runs with --live-restore.
func (e *Engine) Stop() {
	e.t.Helper()
	e.must(e.End(syscall.SIGTERM))
}

// Kill ends the engine by SIGKILL: containers run on, and nobody knows them.
func (e *Engine) Kill() {
	e.t.Helper()
	e.must(e.End(syscall.SIGKILL))
}

// Restart stops and starts.
func (e *Engine) Restart() {
	e.t.Helper()
	e.Stop()
	e.Start()
}

// Freeze lets the engine hang: it accepts connections and answers nothing.
func (e *Engine) Freeze() {
	e.t.Helper()
	e.must(freeze(e.process.Process))
}

// Thaw ends what Freeze began.
func (e *Engine) Thaw() {
	e.t.Helper()
	e.must(e.process.Process.Signal(syscall.SIGCONT))
}

// Load brings the image into the engine.
func (e *Engine) Load(i Image) {
	e.t.Helper()
	e.must(e.LoadImage(i))
}

// Listen listens in the engine's network name space until the test ends: at
// 127.0.0.1:0 it is a registry that the engine speaks plain HTTP to.
func (e *Engine) Listen(address string) net.Listener {
	e.t.Helper()
	l, err := e.listen(address)
	e.must(err)
	e.t.Cleanup(func() { _ = l.Close() }) // a server may have closed it
	return l
}
