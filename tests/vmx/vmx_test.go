//go:build linux

package vmx

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake/fakehost"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestMain(m *testing.M) { fish.Main(m, fakehost.Prepare) }

// site is a node on a machine with VMware on it.
type site struct {
	*fish.Node
	host      *fakehost.Host
	workspace string
	t         testing.TB
}

// shelf is the folder of reused disks in the workspace.
const shelf = ".disks"

// subnet is that of the guests.
const subnet = "172.16.77"

func start(t testing.TB) site {
	t.Helper()
	host := fakehost.New(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := site{host: host, workspace: filepath.Join(dir, "fish_vmx_workspace"), t: t}
	s.Node = fish.Start(t, fish.Options{Dir: dir, Config: fmt.Sprintf(`drivers:
- name: vmx
  cfg:
    vmrun_path: %s
    vdiskmanager_path: %s
    product: fusion
    lease_files: [%s, %s]
    metadata_networks: [%s.0/24]
    address_wait: 20s
    stop_timeout: 1s
    cpu_alter: 64
    ram_alter: 512
`, host.Vmrun, host.VDiskManager, s.leases("vmnet1"), s.leases("vmnet8"), subnet)})
	return s
}

func (s site) leases(net string) string {
	return filepath.Join(s.host.Leases, "vmnet-dhcpd-"+net+".leases")
}

// image serves an archive with a virtual machine, and counts its downloads.
func image(t testing.TB, host *fakehost.Host) (option string, downloads *atomic.Int32) {
	t.Helper()
	dir := t.TempDir()
	host.Image(dir, "base")
	text := archive(t, dir, "base-1")
	downloads = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		downloads.Add(1)
		_, _ = w.Write(text) // a client that hung up asks again
	}))
	t.Cleanup(server.Close)
	return fmt.Sprintf(`{"url":"%s/base-1.tar.gz","sum":"sha256:%x"}`, server.URL, sha256.Sum256(text)), downloads
}

// archive packs the files of a folder below another name.
func archive(t testing.TB, dir, name string) []byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err == nil {
			err = w.WriteHeader(&tar.Header{Name: name + "/" + entry.Name(), Mode: 0o644, Size: int64(len(text))})
		}
		if err == nil {
			_, err = w.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// label makes a label of one image, with resources beside cpu and ram.
func (s site) label(name, image, resources string) string {
	s.t.Helper()
	return s.CreateLabel(fmt.Sprintf(
		`{"name":%q,"version":1,"definitions":[{"driver":"vmx","options":{"images":[%s]},"resources":{"cpu":1,"ram":1%s}}]}`, name, image, resources))
}

// environment is one that runs.
type environment struct {
	fish.Resource
	app string
	vm  vmrunfake.VM
}

// allocate waits until the application has its virtual machine.
func (s site) allocate(app string) environment {
	s.t.Helper()
	s.WaitStatus(app, "ALLOCATED")
	e := environment{Resource: s.Resource(app), app: app}
	for _, vm := range s.host.VMs() {
		if vm.VMX == e.Identifier {
			e.vm = vm
		}
	}
	if e.vm.PID == 0 {
		s.t.Fatalf("application %s has %s, which does not run; running are %v", app, e.Identifier, s.host.VMs())
	}
	return e
}

// release gives the application up and checks that nothing is left.
func (s site) release(apps ...string) {
	s.t.Helper()
	for _, app := range apps {
		s.Deallocate(app)
	}
	for _, app := range apps {
		s.WaitStatus(app, "DEALLOCATED")
	}
	s.wantNothing()
}

// wantNothing checks that there is no trace of any environment. What happens
// after the end of an application takes a moment.
func (s site) wantNothing() {
	s.t.Helper()
	var left []string
	defer func() {
		if len(left) > 0 {
			s.t.Errorf("left:\n%s", strings.Join(left, "\n"))
		}
	}()
	fish.Eventually(s.t, "nothing is left", func() bool {
		left = s.left()
		return len(left) == 0
	})
}

// left is every trace of an environment: virtual machines, whether VMware
// lists them or not, calls of VMware's tools, folders and what is in them,
// mounts and the devices behind them.
func (s site) left() (found []string) {
	s.t.Helper()
	for _, vm := range s.host.VMs() {
		found = append(found, fmt.Sprintf("virtual machine %s, process %d", vm.VMX, vm.PID))
	}
	for _, p := range processes(s.t, filepath.Dir(s.host.Vmrun)) {
		found = append(found, "process "+p)
	}
	entries, err := os.ReadDir(s.workspace)
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	for _, entry := range entries {
		files, _ := filepath.Glob(filepath.Join(s.workspace, entry.Name(), "*"))
		if entry.Name() == shelf { // reused disks stay, but nobody has them
			files, _ = filepath.Glob(filepath.Join(s.workspace, shelf, "*", "taken.json"))
			if len(files) == 0 {
				continue
			}
		}
		found = append(found, fmt.Sprintf("%s with %v", filepath.Join(s.workspace, entry.Name()), files))
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, s.Dir) {
			found = append(found, "mount "+strings.TrimSpace(line))
		}
	}
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, loop := range loops {
		if file, err := os.ReadFile(loop); err == nil && strings.Contains(string(file), s.Dir) {
			found = append(found, "device "+loop+" of "+strings.TrimSpace(string(file)))
		}
	}
	return found
}

// processes are those that run a program of the folder.
func processes(t testing.TB, folder string) (found []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if program, err := os.Readlink(filepath.Join(p, "exe")); err == nil && strings.HasPrefix(program, folder+"/") { // else it has ended
			args, _ := os.ReadFile(filepath.Join(p, "cmdline"))
			found = append(found, filepath.Base(p)+" "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return found
}

// until waits for a call of vmrun that has begun after the first n ones.
func (s site) until(n int, command string, within time.Duration) bool {
	s.t.Helper()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		for _, call := range s.host.Calls()[n:] {
			if len(call.Args) > 3 && call.Args[3] == command {
				return true
			}
		}
	}
	return false
}
