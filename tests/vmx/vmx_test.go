//go:build unix

package vmx

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake/fakehost"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestMain(m *testing.M) { fish.Main(m) }

// site is a node on a machine with VMware, and an image that an admin put there.
type site struct {
	*fish.Node
	t    *testing.T
	host *fakehost.Host
}

func start(t *testing.T) site {
	t.Helper()
	host := fakehost.New(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	host.Image(filepath.Join(dir, "fish_vmx_images", "base-1", "base_abc"), "base")
	config := fmt.Sprintf("drivers:\n- name: vmx\n  cfg:\n    product: fusion\n    vmrun_path: %q\n    vdiskmanager_path: %q\n    lease_files: [%q, %q]\n",
		host.Vmrun, host.VDiskManager,
		filepath.Join(host.Leases, "vmnet-dhcpd-vmnet1.leases"), filepath.Join(host.Leases, "vmnet-dhcpd-vmnet8.leases"))
	return site{fish.Start(t, fish.Options{Dir: dir, Config: config}), t, host}
}

func (s site) label() string {
	return s.CreateLabel(`{"name":"vm","version":1,"definitions":[{"driver":"vmx","options":{"images":[{"url":"https://images.invalid/base-1.tar.xz"}]},` +
		`"resources":{"cpu":1,"ram":1,"multitenancy":true,"disks":{"scratch":{"type":"raw","size":1}}}}]}`)
}

// leftovers are folders, machines and uses of images.
func (s site) leftovers() []string {
	s.t.Helper()
	folders, _ := filepath.Glob(filepath.Join(s.Dir, "fish_vmx_workspace", "0*"))
	gone, _ := filepath.Glob(filepath.Join(s.Dir, "fish_vmx_workspace", ".gone-*"))
	uses, _ := filepath.Glob(filepath.Join(s.Dir, "fish_vmx_images", ".fish", "use", "*", "by-*"))
	found := append(append(folders, gone...), uses...)
	for _, vm := range s.host.VMs() {
		found = append(found, "virtual machine "+vm.VMX)
	}
	return found
}

func (s site) wantNothing() {
	s.t.Helper()
	fish.EventuallyWithin(s.t, time.Minute, "everything is gone", func() bool { return len(s.leftovers()) == 0 })
}

// task runs one and returns its result.
func (s site) task(app, name string) string {
	s.t.Helper()
	type task struct {
		UID    string
		Result json.RawMessage
	}
	made := fish.Post[task](s.Client, "/api/v1/application/"+app+"/task/", fmt.Sprintf(`{"task":%q,"when":"ALLOCATED"}`, name))
	fish.EventuallyWithin(s.t, time.Minute, name+" has a result", func() bool {
		made = fish.Get[task](s.Client, "/api/v1/task/"+made.UID)
		return string(made.Result) != "{}"
	})
	return string(made.Result)
}

// TestLife: a machine is reached at an address, stands still over a kill of the
// node, goes on, and is given back.
func TestLife(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.CreateApplication(s.label(), `{}`)
	s.WaitStatus(app, "ALLOCATED")
	r := s.Resource(app)
	ip, err := netip.ParseAddr(r.IPAddr)
	if name := strings.ReplaceAll(r.HWAddr, ":", ""); err != nil || !ip.IsPrivate() || !strings.HasPrefix(r.HWAddr, "00:50:56:") ||
		r.Identifier != filepath.Join(s.Dir, "fish_vmx_workspace", name, name+".vmx") {
		t.Errorf("resource %+v, want an address and the path of the machine", r)
	}
	if got := s.task(app, "snapshot"); !strings.HasPrefix(got, `{"snapshots":["fish-`) || !strings.HasSuffix(got, `"],"when":"ALLOCATED"}`) {
		t.Errorf("snapshot: %s", got)
	}
	if got := s.task(app, "suspend"); got != `{"suspended":true}` || len(s.host.VMs()) != 0 {
		t.Errorf("suspend: %s, and %v run", got, s.host.VMs())
	}
	s.Kill()
	s.Start()
	if got := s.task(app, "resume"); got != `{"resumed":true}` || len(s.host.VMs()) != 1 {
		t.Errorf("resume: %s, and %v run", got, s.host.VMs())
	}
	if got := s.State(app); got.Status != "ALLOCATED" {
		t.Errorf("it is %+v, want ALLOCATED", got)
	}
	s.Deallocate(app)
	s.WaitStatus(app, "DEALLOCATED")
	s.wantNothing()
}

// TestEnding: a guest that shuts down ends its application, and says so.
func TestEnding(t *testing.T) {
	t.Parallel()
	s := start(t)
	label := s.label()
	for how, end := range map[string]func(vmx string){
		"the guest shut itself down": s.host.PowerOffFromInside, "killed or crashed": s.host.Kill,
	} {
		app := s.CreateApplication(label, `{}`)
		s.WaitStatus(app, "ALLOCATED")
		end(s.Resource(app).Identifier)
		line := s.WaitLine("environment released component=lifecycle application_uid=" + app)
		if !strings.Contains(line, "Environment ended by itself: ") || !strings.Contains(line, how) {
			t.Errorf("it ended with %q, want %q", line, how)
		}
		s.WaitStatus(app, "DEALLOCATED")
		s.wantNothing()
	}
}

// TestKills: nodes die wherever they are, while tools go on behind the back of
// the next one. What was promised is kept, and in the end nothing is left.
func TestKills(t *testing.T) {
	t.Parallel()
	s := start(t)
	label := s.label()
	s.host.Order(
		vmrunfake.Order{Command: "clone", Times: -1, Do: vmrunfake.Slow, Millis: 200},
		vmrunfake.Order{Command: "start", Times: -1, Do: vmrunfake.Slow, Millis: 200})
	var apps []string
	for round := range 10 {
		apps = append(apps, s.CreateApplication(label, `{}`))
		if round%3 == 2 {
			s.Deallocate(apps[round-1])
		}
		time.Sleep(time.Duration(rand.IntN(800)) * time.Millisecond) // somewhere
		s.Kill()
		s.Start()
	}
	s.host.Order()
	for _, app := range apps {
		switch s.State(app).Status {
		case "NEW", "ELECTED", "ALLOCATED":
			s.Deallocate(app)
		}
	}
	for _, app := range apps {
		fish.EventuallyWithin(t, 2*time.Minute, app+" is over", func() bool {
			status := s.State(app).Status
			return status == "DEALLOCATED" || status == "RECALLED" || status == "ERROR"
		})
	}
	s.wantNothing()
	if left, err := os.ReadDir(filepath.Join(s.Dir, "fish_vmx_workspace")); err != nil || len(left) > 12 {
		t.Errorf("%d entries in the workspace, %v", len(left), err)
	}
}
