//go:build unix

// Package fakehost gives a test a machine with VMware on it, which is the fake
// of the package vmrunfake in a folder of the test's own.
package fakehost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake"
)

// BinaryEnv names the variable with the path of the fake's binary. Main sets
// it; where it is set already that binary is used.
const BinaryEnv = "VMRUNFAKE_BINARY"

// program is what `go build` makes the binary of.
const program = "github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake/vmrun"

// buildTimeout is for a first build on a busy machine.
const buildTimeout = 5 * time.Minute

// Main builds the fake once for a package's tests, and runs them. It is the
// body of TestMain.
func Main(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	release, err := Prepare()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer release()
	return m.Run()
}

// Prepare is Main for packages whose TestMain has more to do. release removes
// the binary again.
func Prepare() (release func(), err error) {
	if os.Getenv(BinaryEnv) != "" {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "vmrunfake-*")
	if err != nil {
		return nil, err
	}
	release = func() { _ = os.RemoveAll(dir) } // a rest in the temporary folder harms nobody
	binary := filepath.Join(dir, "vmrun")
	if err := build(binary); err != nil {
		release()
		return nil, err
	}
	if err := os.Setenv(BinaryEnv, binary); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// build compiles the fake.
func build(binary string) error {
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the fake of vmrun: %w\n%s", err, output)
	}
	return nil
}

// Host is a machine with VMware on it.
type Host struct {
	vmrunfake.State
	Vmrun        string // path of vmrun
	VDiskManager string // path of vmware-vdiskmanager
	Leases       string // folder of the DHCP servers' files
	t            testing.TB
}

// New installs the fake in a folder of the test. When the test ends every
// virtual machine is killed.
func New(t testing.TB) *Host {
	t.Helper()
	dir := t.TempDir()
	binary := os.Getenv(BinaryEnv)
	if binary == "" {
		binary = filepath.Join(dir, "binary")
		if err := build(binary); err != nil {
			t.Fatal(err)
		}
	}
	h := &Host{
		State:        vmrunfake.State{Dir: filepath.Join(dir, "state")},
		Vmrun:        filepath.Join(dir, "vmrun"),
		VDiskManager: filepath.Join(dir, "vmware-vdiskmanager"),
		t:            t,
	}
	h.Leases = h.State.Leases()
	for _, name := range []string{h.Vmrun, h.VDiskManager, filepath.Join(dir, "vmware-vmx")} {
		if err := install(binary, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(h.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h
}

// install gives the binary one more name, in a copy where that is on another
// file system.
func install(binary, name string) error {
	if os.Link(binary, name) == nil {
		return nil
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o755) //nolint:gosec // it is a program
}

// close kills what the test left.
func (h *Host) close() {
	vms, err := h.State.VMs()
	if err != nil {
		h.t.Error(err)
	}
	for _, vm := range vms {
		h.kill(vm)
	}
}

// kill ends the machine's process and waits until it is gone.
func (h *Host) kill(vm vmrunfake.VM) {
	h.t.Helper()
	if err := unix.Kill(vm.PID, unix.SIGKILL); err != nil {
		h.t.Error(err)
	}
	h.await("the end of "+vm.VMX, func() bool {
		vms, err := h.State.VMs()
		for _, other := range vms {
			if other.PID == vm.PID {
				return false
			}
		}
		return err == nil
	})
}

// await waits for what another process does.
func (h *Host) await(what string, done func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatal("waited too long for", what)
		}
	}
}

// Order replaces the failures to come.
func (h *Host) Order(orders ...vmrunfake.Order) {
	h.t.Helper()
	h.must(h.SetOrders(orders))
}

// Configure changes how the host behaves from the next command on.
func (h *Host) Configure(config vmrunfake.Config) {
	h.t.Helper()
	h.must(h.State.Configure(config))
}

// Calls returns every call of vmrun and vmware-vdiskmanager, oldest first.
func (h *Host) Calls() []vmrunfake.Call {
	h.t.Helper()
	calls, err := h.State.Calls()
	h.must(err)
	return calls
}

// VMs returns the virtual machines whose process lives.
func (h *Host) VMs() []vmrunfake.VM {
	h.t.Helper()
	vms, err := h.State.VMs()
	h.must(err)
	return vms
}

// Kill ends the process of a running machine as kill -9 does.
func (h *Host) Kill(vmx string) {
	h.t.Helper()
	h.kill(h.find(vmx))
}

// find returns the running machine of the .vmx, which may be gone.
func (h *Host) find(vmx string) vmrunfake.VM {
	h.t.Helper()
	canonical, err := filepath.EvalSymlinks(vmx)
	if errors.Is(err, fs.ErrNotExist) {
		canonical, err = vmx, nil
	}
	h.must(err)
	for _, vm := range h.VMs() {
		if vm.VMX == canonical {
			return vm
		}
	}
	h.t.Fatal(vmx, "does not run")
	return vmrunfake.VM{}
}

// PowerOffFromInside lets the guest shut down, and waits for it.
func (h *Host) PowerOffFromInside(vmx string) {
	h.t.Helper()
	vm := h.find(vmx)
	h.must(h.Halt(vmx))
	h.await("the guest to shut down", func() bool {
		for _, other := range h.VMs() {
			if other.PID == vm.PID {
				return false
			}
		}
		return true
	})
}

// ResetFromInside lets the guest reboot, and waits until the log says so.
func (h *Host) ResetFromInside(vmx string) {
	h.t.Helper()
	before := h.find(vmx).Done
	h.must(h.Reboot(vmx))
	h.await("the guest to reboot", func() bool { return h.find(vmx).Done > before })
}

// Image makes a virtual machine as an image has it: DIR/NAME.vmx with a disk
// and a snapshot named "original".
func (h *Host) Image(dir, name string) (vmx string) {
	h.t.Helper()
	vmx, err := vmrunfake.WriteImage(dir, name)
	h.must(err)
	return vmx
}

func (h *Host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}
