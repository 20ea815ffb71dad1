//go:build unix

package vmx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake/fakehost"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// nodeVariable says that the test binary is run as a node that is killed.
const nodeVariable = "FISH_VMX_TEST_NODE"

func TestMain(m *testing.M) {
	if text := os.Getenv(nodeVariable); text != "" {
		os.Exit(runNode([]byte(text)))
	}
	fakehost.Main(m)
}

// order is what such a node does, and at which of its records it is killed.
type order struct {
	Cfg    []byte
	Do     string
	Token  string
	KillAt int64
	After  time.Duration // by which it is killed, wherever it is; 0: not
	Disks  map[string]model.Disk
}

func (o order) request() drivers.Request {
	req := drivers.Request{ApplicationUID: uuid.New(), Token: o.Token, Definition: definition()}
	req.Definition.Resources.Disks = o.Disks
	return req
}

// killer is a log of which one record is the last: after each step and each
// call of a tool there is one.
type killer struct {
	slog.Handler
	left *atomic.Int64
}

func (k killer) Enabled(context.Context, slog.Level) bool { return true }

func (k killer) Handle(context.Context, slog.Record) error {
	if k.left.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return nil
}

func runNode(text []byte) int {
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return 2
	}
	k := killer{slog.DiscardHandler, &atomic.Int64{}}
	k.left.Store(o.KillAt)
	made, err := New(context.Background(), drivers.Config{Instance: "vmx", NodeUID: node, Cfg: o.Cfg, Logger: slog.New(k)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	d := made.(*driver)
	req := o.request()
	switch o.Do {
	case "allocate":
		_, err = d.Allocate(context.Background(), req)
	case "deallocate":
		err = d.Deallocate(context.Background(), reference(req))
	case "suspend":
		err = d.Suspend(context.Background(), reference(req))
	case "resume":
		err = d.Resume(context.Background(), reference(req))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 4
	}
	return 0
}

// node runs a node until it is killed, and reports whether it was.
func (s site) node(t *testing.T, o order) (killed bool) {
	t.Helper()
	o.Cfg = s.config("vmx", node, slog.DiscardHandler).Cfg
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), nodeVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	if err = cmd.Start(); err == nil {
		if o.After > 0 {
			timer := time.AfterFunc(o.After, func() { _ = cmd.Process.Kill() })
			defer timer.Stop()
		}
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() {
		return true
	}
	if err != nil {
		t.Fatalf("a node that was to %s: %v", o.Do, err)
	}
	return false
}

// slow lets calls that a killed node began go on behind the back of the next.
func (s site) slow() {
	var list []vmrunfake.Order
	for _, command := range []string{"clone", "start", "vdisk", "deleteVM"} {
		list = append(list, vmrunfake.Order{Command: command, Times: -1, Do: vmrunfake.Slow, Millis: 150})
	}
	s.host.Order(list...)
}

func crashDisks() map[string]model.Disk {
	return map[string]model.Disk{
		"new": {Type: "fat32", Size: 1}, "plain": {Type: "raw", Size: 1}, "kept": {Type: "raw", Size: 1, Reuse: true},
	}
}

// everyMoment kills nodes at one record after the other, until one comes to
// its end.
func everyMoment(t *testing.T, prepare func(*testing.T, site, order), do string, after func(*testing.T, site, order)) {
	s := newSite(t, "")
	for at := int64(1); ; at++ {
		o := order{Do: do, Token: request().Token, KillAt: at, Disks: crashDisks()}
		prepare(t, s, o)
		s.slow()
		killed := s.node(t, o)
		s.host.Order() // what was begun goes on slowly, the rest need not
		after(t, s, o)
		if left := s.leftovers(t); len(left) > 0 {
			t.Fatalf("killed at record %d of %s: left behind: %v", at, do, left)
		}
		if !killed {
			t.Logf("%s: %d moments", do, at-1)
			if at < 8 {
				t.Errorf("only %d moments: who kills it?", at-1)
			}
			return
		}
		if t.Failed() {
			t.Fatalf("killed at record %d of %s", at, do)
		}
	}
}

// wantListed fails where something is there that List does not name.
func (s site) wantListed(t *testing.T, d *driver, o order) {
	t.Helper()
	refs, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	listed := slices.ContainsFunc(refs, func(r drivers.Ref) bool { return r.Token == o.Token })
	if left := s.leftovers(t); !listed && slices.ContainsFunc(left, func(l string) bool { return l[0] != '.' }) {
		t.Errorf("List() does not name it, and there are %v", left)
	}
}

func nothing(*testing.T, site, order) {}

func running(t *testing.T, s site, o order) {
	t.Helper()
	d := s.open(t, "vmx", node)
	defer d.Close()
	if _, err := d.Allocate(within(t, time.Minute), o.request()); err != nil {
		t.Fatal(err)
	}
}

func removed(t *testing.T, s site, o order) {
	t.Helper()
	d := s.open(t, "vmx", node)
	defer d.Close()
	s.wantListed(t, d, o)
	if err := d.Deallocate(within(t, time.Minute), reference(o.request())); err != nil {
		t.Errorf("Deallocate() = %v", err)
	}
	if err := s.open(t, "vmx", node).Close(); err != nil { // a start sweeps what was not made
		t.Error(err)
	}
}

func TestKilledWhileAllocating(t *testing.T) {
	t.Parallel()
	everyMoment(t, nothing, "allocate", removed)
}

func TestKilledWhileAllocatingAndCompleted(t *testing.T) {
	t.Parallel()
	everyMoment(t, nothing, "allocate", func(t *testing.T, s site, o order) {
		running(t, s, o)
		d := s.open(t, "vmx", node)
		report, err := d.Inspect(t.Context(), reference(o.request()))
		if err != nil || report.Presence != drivers.Running || report.Environment.IPAddr == "" {
			t.Errorf("Inspect() of what was completed = %+v, %v", report, err)
		}
		if n := len(s.host.VMs()); n != 1 {
			t.Errorf("%d virtual machines run, want one", n)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		removed(t, s, o)
	})
}

func TestKilledWhileDeallocating(t *testing.T) {
	t.Parallel()
	everyMoment(t, running, "deallocate", removed)
}

// TestKilledWhileSuspending: it has not ended, and goes on.
func TestKilledWhileSuspending(t *testing.T) {
	t.Parallel()
	everyMoment(t, running, "suspend", func(t *testing.T, s site, o order) {
		d := s.open(t, "vmx", node)
		defer d.Close()
		ref := reference(o.request())
		for _, do := range []func(context.Context, drivers.Ref) error{d.Resume, d.Suspend, d.Suspend, d.Resume, d.Resume, d.Suspend} {
			if err := do(within(t, time.Minute), ref); err != nil {
				t.Fatal(err)
			}
			if report, err := d.Inspect(t.Context(), ref); err != nil || report.Presence != drivers.Running {
				t.Fatalf("Inspect() = %+v, %v, want running", report, err)
			}
		}
		removed(t, s, o)
	})
}

func TestKilledWhileResuming(t *testing.T) {
	t.Parallel()
	suspended := func(t *testing.T, s site, o order) {
		running(t, s, o)
		d := s.open(t, "vmx", node)
		defer d.Close()
		if err := d.Suspend(within(t, time.Minute), reference(o.request())); err != nil {
			t.Fatal(err)
		}
	}
	everyMoment(t, suspended, "resume", func(t *testing.T, s site, o order) {
		d := s.open(t, "vmx", node)
		defer d.Close()
		if report, err := d.Inspect(t.Context(), reference(o.request())); err != nil || report.Presence != drivers.Running {
			t.Fatalf("Inspect() = %+v, %v, want running", report, err)
		}
		removed(t, s, o)
	})
}

// TestKilledAnywhere: not only between steps. Each life is cut some times, on
// its way up and down.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.slow()
	killed := 0
	for round := range 12 {
		o := order{Token: request().Token, Disks: crashDisks()}
		for _, do := range []string{"allocate", "allocate", "deallocate"} {
			o.Do, o.After = do, time.Duration(20+rand.IntN(900))*time.Millisecond
			if s.node(t, o) {
				killed++
			}
		}
		removed(t, s, o)
		if left := s.leftovers(t); len(left) > 0 {
			t.Fatalf("round %d: left behind: %v", round, left)
		}
	}
	if killed < 6 {
		t.Errorf("only %d of 36 nodes were killed", killed)
	}
}
