//go:build unix

package vmx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmxfile"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// short are bounds that a test can wait for.
const short = "start_timeout: 1s\nclone_timeout: 1s\nstop_timeout: 500ms\nsuspend_timeout: 1s\naddress_wait: 2s\n"

// TestToolsFail lets each tool fail in each way at each of its calls, on the
// way up and on the way down: in the end nothing is left, and every error is
// in words.
func TestToolsFail(t *testing.T) {
	t.Parallel()
	// How often a life calls them: later orders would meet nobody.
	commands := map[string]int{"list": 4, "clone": 1, "start": 1, "stop": 2, "deleteVM": 1, "vdisk": 2}
	ways := []string{vmrunfake.Hang, vmrunfake.HangAfter, vmrunfake.Fail, vmrunfake.FailAfter, vmrunfake.Partial, vmrunfake.Die, vmrunfake.DieAfter, vmrunfake.Say}
	for command, calls := range commands {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, short)
			d := s.start(t)
			for _, way := range ways {
				for nth := 1; nth <= calls; nth++ {
					s.host.Order(vmrunfake.Order{Command: command, Nth: nth, Do: way, Exit: exitOf(way), Output: "Error: ordered", Bytes: 7})
					s.lifeInTrouble(t, d, fmt.Sprintf("%s at call %d: %s", command, nth, way))
				}
			}
		})
	}
}

func exitOf(way string) int {
	if way == vmrunfake.Say {
		return 0
	}
	return 255
}

func (s site) lifeInTrouble(t *testing.T, d *driver, when string) {
	t.Helper()
	req := request()
	req.Definition.Resources.Disks = map[string]model.Disk{"plain": {Type: "raw", Size: 1}, "kept": {Type: "raw", Size: 1, Reuse: true}}
	ctx := within(t, time.Minute)
	_, err := d.Allocate(ctx, req)
	if err != nil && len(err.Error()) < 10 {
		t.Errorf("%s: Allocate() = %v, want words", when, err)
	}
	if calls := s.calls(t); len(calls) > 0 {
		t.Errorf("%s: after Allocate %v still run", when, calls)
	}
	for range 5 { // as the node does
		if err = d.Deallocate(ctx, reference(req)); err == nil {
			break
		}
	}
	if err != nil {
		t.Errorf("%s: Deallocate() = %v", when, err)
	}
	if left := s.leftovers(t); len(left) > 0 {
		t.Fatalf("%s: left behind: %v", when, left)
	}
}

// TestCancelled: a hanging tool is not waited for, and dies.
func TestCancelled(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	for _, command := range []string{"clone", "start"} {
		s.host.Order(vmrunfake.Order{Command: command, Do: vmrunfake.HangAfter})
		ctx, cancel := context.WithCancel(t.Context())
		req := request()
		done := make(chan error, 1)
		go func() {
			_, err := d.Allocate(ctx, req)
			done <- err
		}()
		s.await(t, command+" to hang", func() bool {
			return strings.Contains(strings.Join(s.calls(t), "\n"), " "+command+" ")
		})
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Allocate() = %v, want that it was cancelled", err)
		}
		if calls := s.calls(t); len(calls) > 0 {
			t.Errorf("%v still run", calls)
		}
		if err := d.Deallocate(within(t, time.Minute), reference(req)); err != nil {
			t.Error(err)
		}
		s.wantNothing(t)
	}
}

func (s site) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestGuests: what becomes of guests that do not do as they should.
func TestGuests(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, do string
		millis   int
		err      string // of Allocate
		ip       bool
	}{
		{"never gets an address", vmrunfake.NoLease, 0, "", false},
		{"gets it late", vmrunfake.LateLease, 700, "", true},
		{"had another before", vmrunfake.OldLease, 0, "", true},
		{"half a lease", vmrunfake.TornLease, 300, "", true},
		{"does not listen", vmrunfake.IgnoreSoft, 0, "", true},
		{"without tools", vmrunfake.NoTools, 0, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, short)
			d := s.start(t)
			s.host.Order(vmrunfake.Order{Command: "guest", Times: -1, Do: tt.do, Millis: tt.millis})
			req := request()
			env, err := d.Allocate(within(t, time.Minute), req)
			if err != nil || (env.IPAddr != "") != tt.ip {
				t.Errorf("Allocate() = %+v, %v, want an address: %v", env, err, tt.ip)
			}
			if err := d.Deallocate(within(t, time.Minute), reference(req)); err != nil {
				t.Error(err)
			}
			s.wantNothing(t)
		})
	}
}

// TestGuestDies while its address is waited for, and after that.
func TestGuestDies(t *testing.T) {
	t.Parallel()
	for _, do := range []string{vmrunfake.Vanish, vmrunfake.PowerOff} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprint(do, after), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, "address_wait: 30s\n")
				d := s.start(t)
				if !after {
					s.host.Configure(vmrunfake.Config{Lease: 60_000})
					s.host.Order(vmrunfake.Order{Command: "guest", Do: do, Millis: 300})
				}
				req := request()
				env, err := d.Allocate(within(t, 20*time.Second), req)
				if after {
					if err != nil {
						t.Fatal(err)
					}
					s.dies(env.Identifier, do)
				} else if !errors.Is(err, errNoGuest) {
					t.Errorf("Allocate() = %+v, %v, want %v", env, err, errNoGuest)
				}
				ending, err := d.Watch(within(t, 20*time.Second), reference(req))
				want := map[string]string{vmrunfake.Vanish: "killed or crashed", vmrunfake.PowerOff: "shut itself down"}[do]
				if err != nil || !strings.Contains(ending, want) {
					t.Errorf("Watch() = %q, %v, want %q", ending, err, want)
				}
				if report, err := d.Inspect(t.Context(), reference(req)); err != nil || report.Presence != drivers.Ended || report.Ending != ending {
					t.Errorf("Inspect() = %+v, %v, want Ended, %q", report, err, ending)
				}
				if err := d.Deallocate(within(t, time.Minute), reference(req)); err != nil {
					t.Error(err)
				}
				s.wantNothing(t)
			})
		}
	}
}

func (s site) dies(vmx, how string) {
	if how == vmrunfake.Vanish {
		s.host.Kill(vmx)
		return
	}
	s.host.PowerOffFromInside(vmx)
}

// TestHaltedGuest: its machine is still there, so only the log tells.
func TestHaltedGuest(t *testing.T) {
	t.Parallel()
	for _, monitor := range []bool{true, false} {
		s := newSite(t, fmt.Sprintf("log_monitor: %v\n", monitor))
		d := s.start(t)
		req := request()
		env, err := d.Allocate(within(t, time.Minute), req)
		if err != nil {
			t.Fatal(err)
		}
		log, err := os.OpenFile(filepath.Join(filepath.Dir(env.Identifier), logFile), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(log, "2026-11-23T02:00:00.000Z| vcpu-0| I005: The CPU has been disabled by the guest operating system. Power off or reset the virtual machine.")
		log.Close()
		want := drivers.Running
		if monitor {
			want = drivers.Ended
			if ending, err := d.Watch(within(t, 20*time.Second), reference(req)); err != nil || !strings.Contains(ending, "halted") {
				t.Errorf("Watch() = %q, %v", ending, err)
			}
		}
		if report, err := d.Inspect(t.Context(), reference(req)); err != nil || report.Presence != want {
			t.Errorf("log_monitor %v: Inspect() = %+v, %v, want %v", monitor, report, err, want)
		}
		if err := d.Deallocate(within(t, time.Minute), reference(req)); err != nil {
			t.Error(err)
		}
		s.wantNothing(t)
	}
}

// TestSuspendedByOthers: it stands still and has not ended, and can go.
func TestSuspendedByOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	req := request()
	env, err := d.Allocate(within(t, time.Minute), req)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.tool.Suspend(within(t, time.Minute), env.Identifier); err != nil {
		t.Fatal(err)
	}
	if report, err := d.Inspect(t.Context(), reference(req)); err != nil || report.Presence != drivers.Running {
		t.Errorf("Inspect() = %+v, %v, want Running", report, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if ending, err := d.Watch(ctx, reference(req)); err == nil {
		t.Errorf("Watch() = %q, nil, want that it goes on", ending)
	}
	if err := d.Deallocate(within(t, time.Minute), reference(req)); err != nil {
		t.Error(err)
	}
	s.wantNothing(t)
}

// TestResumedByOthers: watchers share a list that may be from before it, when
// the .vmx does not say any more that the machine stands still.
func TestResumedByOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	req := request()
	env, err := d.Allocate(within(t, time.Minute), req)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.tool.Suspend(within(t, time.Minute), env.Identifier); err != nil {
		t.Fatal(err)
	}
	if paths, err := d.roster.get(t.Context(), 0); err != nil || paths[env.Identifier] {
		t.Fatalf("the list has %v, %v", paths, err)
	}
	if err := d.tool.Start(within(t, time.Minute), env.Identifier); err != nil {
		t.Fatal(err)
	}
	d.roster.at = time.Now() // however slow this machine is
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if ending, err := d.Watch(ctx, reference(req)); err == nil {
		t.Errorf("Watch() = %q, nil, want that it goes on", ending)
	}
	if err := d.Deallocate(within(t, time.Minute), reference(req)); err != nil {
		t.Error(err)
	}
	s.wantNothing(t)
}

// TestWhatIsMade looks at what VMware was told.
func TestWhatIsMade(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	extra := filepath.Join(s.image("base"), "base.vmx")
	f, err := vmxfile.Read(extra)
	if err != nil {
		t.Fatal(err)
	}
	f.Set("ethernet1.present", "TRUE")
	f.Set("RemoteDisplay.vnc.enabled", "TRUE")
	f.Set("ethernet0.startConnected", "FALSE")
	f.Set("serial0.present", "TRUE")
	f.Set("serial0.fileType", "File")
	f.Set("serial0.fileName", "/etc/profile")
	f.Set("serial1.present", "TRUE")
	f.Set("serial1.fileType", "thinprint")
	f.Set("workingDir", s.dir)
	f.Set("vmx.log.filename", filepath.Join(s.dir, "log"))
	f.Set("logging", "FALSE")
	if err := f.Write(extra); err != nil {
		t.Fatal(err)
	}
	before := snapshotOf(t, s.image("base"))
	d := s.start(t)
	req := request()
	req.Definition.Resources = model.Resources{CPU: 2, RAM: 3, Network: "vmnet5", Disks: map[string]model.Disk{
		"kept": {Type: "ext4", Size: 1, Label: "cache", Reuse: true}, "own": {Type: "raw", Size: 1},
	}}
	d.settings.AddressWait = 0 // nobody has leases of such a network
	env, err := d.Allocate(within(t, time.Minute), req)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.ReplaceAll(env.HWAddr, ":", "")
	if want := filepath.Join(s.workspace(), name, name+".vmx"); env.Identifier != want || !namePattern().MatchString(name) {
		t.Errorf("environment %+v, want identifier %s", env, want)
	}
	made, err := vmxfile.Read(env.Identifier)
	if err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(s.workspace(), ".disks", "cache", "disk", "kept-cache.vmdk")
	for key, want := range map[string]string{
		"ethernet0.present": "TRUE", "ethernet0.addressType": "static", "ethernet0.address": env.HWAddr, "ethernet0.connectiontype": "custom",
		"ethernet0.vnet": "vmnet5", "ethernet1.present": "FALSE", "numvcpus": "2", "cpuid.corespersocket": "2", "memsize": "3072",
		"RemoteDisplay.vnc.enabled": "FALSE", "displayName": name, "msg.autoAnswer": "TRUE",
		"ethernet0.startConnected": "", "serial0.present": "FALSE", "serial1.present": "TRUE",
		"workingDir": "", "vmx.log.filename": "", "logging": "",
	} {
		if got, _ := made.Get(key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if text := string(made.Bytes()); !strings.Contains(text, kept) || !strings.Contains(text, filepath.Join(d.workspace.Folder(name), "disks", "own", "disk", "disk-own.vmdk")) {
		t.Errorf("the disks are not attached in\n%s", text)
	}
	if err := d.Deallocate(within(t, time.Minute), reference(req)); err != nil {
		t.Error(err)
	}
	s.wantNothing(t)
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("the reused disk: %v", err)
	}
	if after := snapshotOf(t, s.image("base")); !maps.Equal(before, after) {
		t.Errorf("the image was changed from %v to %v", before, after)
	}
}

// snapshotOf is all that is in a folder.
func snapshotOf(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			found[path] = ""
			return err
		}
		text, err := os.ReadFile(path)
		found[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestReusedDisk: what one environment wrote the next one finds, and two can
// not have it.
func TestReusedDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d, other := s.start(t), s.open(t, "vmx/other", node)
	defer other.Close()
	first, second := request(), request()
	disks := map[string]model.Disk{"d": {Type: "raw", Size: 1, Label: "cache", Reuse: true}}
	first.Definition.Resources.Disks, second.Definition.Resources.Disks = disks, disks
	if gb, _ := d.DiskNeed(first.Definition); gb != 1 {
		t.Errorf("DiskNeed() of a reused disk that is not made = %d, want 1", gb)
	}
	if _, err := d.Allocate(within(t, time.Minute), first); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.workspace(), ".disks", "cache", "disk", "precious")
	write(t, path, "precious")
	if _, err := other.Allocate(within(t, time.Minute), second); err == nil || !strings.Contains(err.Error(), "in use by environment") {
		t.Errorf("Allocate() with a disk that is taken = %v", err)
	}
	if err := errors.Join(other.Deallocate(within(t, time.Minute), reference(second)), d.Deallocate(within(t, time.Minute), reference(first))); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Allocate(within(t, time.Minute), second); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the disk holds %q, %v", text, err)
	}
	if err := other.Deallocate(within(t, time.Minute), reference(second)); err != nil {
		t.Error(err)
	}
	s.wantNothing(t)
	if got, want := d.Exclusive(first.Definition), "disk cache"; len(got) != 1 || !strings.HasPrefix(got[0], want) {
		t.Errorf("Exclusive() = %v, want %s", got, want)
	}
}

// TestAdopted: what an old version made is stopped and removed, by its path.
func TestAdopted(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	folder := filepath.Join(s.workspace(), "0a1b2c3d4e5f")
	vmx := filepath.Join(folder, "0a1b2c3d4e5f.vmx")
	if err := d.tool.Clone(t.Context(), filepath.Join(s.image("base"), "base.vmx"), vmx, snapshot, "old"); err != nil {
		t.Fatal(err)
	}
	if err := d.tool.Start(t.Context(), vmx); err != nil {
		t.Fatal(err)
	}
	ref := drivers.Ref{Identifier: vmx}
	if report, err := d.Inspect(t.Context(), ref); err != nil || report.Presence != drivers.Running {
		t.Errorf("Inspect() = %+v, %v, want Running", report, err)
	}
	for _, wrong := range []string{filepath.Join(s.image("base"), "base.vmx"), "0a1b2c3d4e5f.vmx", folder, s.workspace() + "/../images/x.vmx", ""} {
		if report, err := d.Inspect(t.Context(), drivers.Ref{Identifier: wrong}); err != nil || report.Presence != drivers.Absent {
			t.Errorf("Inspect(%q) = %+v, %v, want Absent", wrong, report, err)
		}
		if err := d.Deallocate(t.Context(), drivers.Ref{Identifier: wrong}); err != nil {
			t.Errorf("Deallocate(%q) = %v", wrong, err)
		}
	}
	s.host.Kill(vmx)
	if report, err := d.Inspect(t.Context(), ref); err != nil || report.Presence != drivers.Ended {
		t.Errorf("Inspect() = %+v, %v, want Ended", report, err)
	}
	if err := d.tool.Start(t.Context(), vmx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Deallocate(within(t, time.Minute), ref); err != nil {
			t.Error(err)
		}
	}
	s.wantNothing(t)
	if _, err := os.Stat(filepath.Join(s.image("base"), "base.vmx")); err != nil {
		t.Error(err)
	}
}

// TestClockSetBack: who waits for an address after a restart of the node waits no
// longer because the start of the machine lies in the future now.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	req := request()
	req.Definition.Resources.Network = "vmnet5" // of which nobody has leases
	d.settings.AddressWait = 0
	env, err := d.Allocate(within(t, time.Minute), req)
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(filepath.Dir(env.Identifier), startedFile), later, later); err != nil {
		t.Fatal(err)
	}
	d.settings.AddressWait = 100 * time.Millisecond
	if again, err := d.Allocate(within(t, 30*time.Second), req); err != nil || again.Identifier != env.Identifier {
		t.Errorf("Allocate() again = %+v, %v, want the environment without an address", again, err)
	}
	if err := d.Deallocate(within(t, time.Minute), reference(req)); err != nil {
		t.Error(err)
	}
}
