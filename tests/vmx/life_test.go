//go:build linux

package vmx

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestLife: an application gets its virtual machine, set up as asked, and when
// it is given up nothing is left.
func TestLife(t *testing.T) {
	t.Parallel()
	s := start(t)
	option, downloads := image(t, s.host)
	label := s.label("life", option, "")
	e := s.allocate(s.CreateApplication(label, `{"GREETING":"hello"}`))
	if !regexp.MustCompile(`^00:50:56:[0-3][0-9a-f](:[0-9a-f]{2}){2}$`).MatchString(e.HWAddr) {
		t.Errorf("hardware address %q, want one of those that VMware leaves to its users", e.HWAddr)
	}
	if !strings.HasPrefix(e.IPAddr, subnet+".") {
		t.Errorf("address %q, want one of %s", e.IPAddr, subnet)
	}
	name := strings.ReplaceAll(e.HWAddr, ":", "")
	if want := filepath.Join(s.workspace, name, name+".vmx"); e.Identifier != want {
		t.Errorf("identifier %s, want %s", e.Identifier, want)
	}
	config, err := vmrunfake.ReadDictionary(e.Identifier)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"numvcpus": "1", "cpuid.corespersocket": "1", "memsize": "1024", "ethernet0.connectiontype": "hostonly",
		"ethernet0.addressType": "static", "ethernet0.address": e.HWAddr,
	} {
		if got := config.Get(key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	second := s.allocate(s.CreateApplication(label, `{}`))
	if second.HWAddr == e.HWAddr || second.IPAddr == e.IPAddr {
		t.Errorf("two environments share %s or %s", e.HWAddr, e.IPAddr)
	}
	s.release(e.app, second.app)
	if n := downloads.Load(); n != 1 {
		t.Errorf("%d downloads of one image", n)
	}
}

// TestEndsFromOutside: however a virtual machine ends, its application ends.
func TestEndsFromOutside(t *testing.T) {
	t.Parallel()
	s := start(t)
	option, _ := image(t, s.host)
	label := s.label("ends", option, "")
	for _, test := range []struct {
		name, said string
		end        func(vmx string)
	}{
		{"killed", "killed or crashed", s.host.Kill},
		{"shut down by its guest", "the guest shut itself down", s.host.PowerOffFromInside},
		{"killed while the node is down", "", func(vmx string) {
			s.Node.Kill()
			s.host.Kill(vmx)
			s.Start()
		}},
		{"folder removed", "", func(vmx string) {
			if err := os.RemoveAll(filepath.Dir(vmx)); err != nil {
				t.Error(err)
			}
			s.host.Kill(vmx)
		}},
	} {
		e := s.allocate(s.CreateApplication(label, `{}`))
		test.end(e.Identifier)
		s.WaitStatus(e.app, "DEALLOCATED")
		if test.said != "" {
			line := s.WaitLine("environment released component=lifecycle application_uid=" + e.app)
			if !strings.Contains(line, "Environment ended by itself: ") || !strings.Contains(line, test.said) {
				t.Errorf("it ended with %q, want %q", line, test.said)
			}
		}
		s.wantNothing()
		if t.Failed() {
			t.Fatal("after one that was", test.name)
		}
	}
}

// TestDisks: own disks go with the virtual machine, a reused one is handed on.
func TestDisks(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		needs.Lacking(t, "needs mkfs.ext4 for a disk with a file system")
	}
	s := start(t)
	option, _ := image(t, s.host)
	label := s.label("disks", option, `,"disks":{"own":{"type":"raw","size":1},"cache":{"type":"ext4","size":1,"label":"cache","reuse":true}}`)
	attached := func(e environment) (own, cache string) {
		config, err := vmrunfake.ReadDictionary(e.Identifier)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range config.Keys() {
			switch file := config.Get(key); {
			case !strings.HasSuffix(file, ".vmdk"):
			case strings.Contains(file, "/"+shelf+"/"):
				cache = file
			case filepath.IsAbs(file):
				own = file
			}
		}
		return own, cache
	}
	first := s.CreateApplication(label, `{}`)
	own, cache := attached(s.allocate(first))
	for _, file := range []string{own, cache} {
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			t.Errorf("attached is %q: %v", file, err)
		}
	}
	waiting := s.CreateApplication(label, `{}`) // for the disk
	before, err := os.Stat(cache)
	if err != nil {
		t.Fatal(err)
	}
	s.Deallocate(first)
	s.WaitStatus(first, "DEALLOCATED")
	if _, err := os.Stat(own); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", own, err)
	}
	_, again := attached(s.allocate(waiting))
	if after, err := os.Stat(again); err != nil || !os.SameFile(before, after) {
		t.Errorf("the second got %s in the place of %s: %v", again, cache, err)
	}
	s.release(waiting)
	if _, err := os.Stat(cache); err != nil {
		t.Errorf("the reused disk is gone: %v", err)
	}
}

// TestOutlivesTheNode: whatever happens to the node, its virtual machines go
// on, and it knows them again.
func TestOutlivesTheNode(t *testing.T) {
	t.Parallel()
	s := start(t)
	option, _ := image(t, s.host)
	e := s.allocate(s.CreateApplication(s.label("outlives", option, ""), `{}`))
	for _, end := range []func(){func() { s.Stop() }, s.Kill} {
		end()
		s.Start()
		if again := s.allocate(e.app); again.vm.PID != e.vm.PID {
			t.Errorf("the virtual machine was process %d, and is %d", e.vm.PID, again.vm.PID)
		}
	}
	s.release(e.app)
}

// TestManyAtOnce: twenty at once from one image, which VMware does not clone
// twice at a time.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	option, downloads := image(t, s.host)
	label := s.label("many", option, "")
	var apps []string
	for range 20 {
		apps = append(apps, s.CreateApplication(label, `{}`))
	}
	addresses := map[string]bool{}
	for _, app := range apps {
		addresses[s.allocate(app).IPAddr] = true
	}
	if len(addresses) != len(apps) || downloads.Load() != 1 {
		t.Errorf("%d environments have %d addresses, after %d downloads", len(apps), len(addresses), downloads.Load())
	}
	s.release(apps...)
}

// TestTrouble: VMware fails in its ways, and no application hangs or leaves
// anything.
func TestTrouble(t *testing.T) {
	t.Parallel()
	s := start(t)
	option, _ := image(t, s.host)
	label := s.label("trouble", option, "")
	for _, order := range []vmrunfake.Order{
		{Command: "clone", Do: vmrunfake.Fail, Output: "Error: The file is already in use\n"},
		{Command: "clone", Do: vmrunfake.Die},
		{Command: "start", Do: vmrunfake.Fail, Output: "Error: The operation was canceled\n"},
		{Command: "start", Do: vmrunfake.FailAfter, Output: "Error: Unknown error\n"},
		{Command: "start", Do: vmrunfake.DieAfter},
		{Command: "list", Nth: 2, Do: vmrunfake.Say, Output: ""},
		{Command: "list", Nth: 3, Do: vmrunfake.Partial, Bytes: 20},
		{Command: "stop", Do: vmrunfake.Hang},
		{Command: "stop", Do: vmrunfake.FailAfter, Output: "Error: Unknown error\n"},
		{Command: "deleteVM", Do: vmrunfake.Die},
		{Command: "deleteVM", Do: vmrunfake.Fail, Output: "Error: Insufficient permissions\n"},
		{Command: "guest", Do: vmrunfake.IgnoreSoft},
		{Command: "guest", Do: vmrunfake.NoTools},
		{Command: "guest", Do: vmrunfake.OldLease},
		{Command: "guest", Do: vmrunfake.TornLease, Millis: 200},
		{Command: "guest", Do: vmrunfake.Vanish, Millis: 10},
	} {
		s.host.Order(order)
		app := s.CreateApplication(label, `{}`)
		fish.Eventually(t, "the application has a machine, or an end", func() bool {
			status := s.State(app).Status
			return status == "ALLOCATED" || over(status)
		})
		if status := s.State(app).Status; !over(status) {
			s.Deallocate(app)
		}
		fish.Eventually(t, "the application ends", func() bool { return over(s.State(app).Status) })
		s.wantNothing()
		if t.Failed() {
			t.Fatalf("after %+v", order)
		}
	}
}

// over says whether an application has ended.
func over(status string) bool {
	return status == "DEALLOCATED" || status == "ERROR" || status == "RECALLED"
}
