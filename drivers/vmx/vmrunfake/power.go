//go:build unix

package vmrunfake

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// start runs the virtual machine's process and returns when it runs. It also
// wakes a suspended one.
func (p *program) start(product, vmx string) command {
	return func(io.Writer) error {
		vmx, config, release, err := p.take(vmx)
		if err != nil {
			return err
		}
		defer release()
		if p.state.running(vmx) != nil {
			return isRunning
		}
		if err := p.startable(vmx, config); err != nil {
			return err
		}
		return p.spawn(product, vmx)
	}
}

// startable says what keeps the virtual machine from starting.
func (p *program) startable(vmx string, config *Dictionary) error {
	if p.config.StaleLocks && exists(vmx+lockSuffix) {
		return isRunning
	}
	for _, disk := range disks(config, filepath.Dir(vmx)) {
		if err := chain(disk.Path); err != nil {
			return err
		}
	}
	if state := config.Get("checkpoint.vmState"); state != "" && !exists(within(filepath.Dir(vmx), state)) {
		return say("A file was not found")
	}
	_, err := hardware(config)
	return err
}

// spawn starts the machine's process in a session of its own, with nothing of
// ours open, and waits until it has its locks.
func (p *program) spawn(product, vmx string) error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }()
	cmd := exec.Command(filepath.Join(p.folder, machineProgram), product, vmx) //nolint:noctx // it outlives us, that is what it is for
	cmd.Env = []string{StateEnv + "=" + p.state.Dir}
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{writer}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, writer.Close())
	}
	if err := writer.Close(); err != nil {
		return err
	}
	answer, err := io.ReadAll(reader)
	if err != nil {
		return err
	}
	if string(answer) != machineReady {
		return fmt.Errorf("vmware-vmx of %s: %q", vmx, answer)
	}
	return cmd.Process.Release()
}

// hardware returns the address of the first network adapter, "" if it has
// none, and refuses those that VMware keeps for itself.
func hardware(config *Dictionary) (address string, err error) {
	if !config.True("ethernet0.present") {
		return "", nil
	}
	if !strings.EqualFold(config.Get("ethernet0.addressType"), "static") {
		return strings.ToLower(config.Get("ethernet0.generatedAddress")), nil
	}
	address = strings.ToLower(config.Get("ethernet0.address"))
	var octets [6]byte
	if n, err := fmt.Sscanf(address, "%02x:%02x:%02x:%02x:%02x:%02x",
		&octets[0], &octets[1], &octets[2], &octets[3], &octets[4], &octets[5]); n != 6 || err != nil || len(address) != 17 {
		return "", say("Invalid MAC address specified")
	}
	if strings.EqualFold(config.Get("ethernet0.checkMACAddress"), "FALSE") {
		return address, nil
	}
	reserved := strings.HasPrefix(address, "00:0c:29") || strings.HasPrefix(address, "00:05:69") ||
		strings.HasPrefix(address, "00:1c:14") || strings.HasPrefix(address, "00:50:56") && octets[3] > 0x3f
	if reserved || octets[0]&1 != 0 {
		return "", say("Invalid MAC address specified")
	}
	return address, nil
}

// stop powers off, and waits for the end of the process. A soft stop asks the
// guest, which takes its time or does not listen: then this never returns.
func (p *program) stop(vmx, mode string) command {
	return func(io.Writer) error {
		canonical, vm, err := p.live(vmx)
		if err != nil {
			return err
		}
		if mode == "soft" && !vm.Tools {
			return say("The VMware Tools are not running in the virtual machine: " + vmx)
		}
		if err := p.state.tell(canonical, "stop "+mode); err != nil {
			return err
		}
		return p.wait(func() bool { return p.state.running(canonical) == nil })
	}
}

// reset presses the reset button; a soft one asks the guest.
func (p *program) reset(vmx, mode string) command {
	return func(io.Writer) error {
		canonical, vm, err := p.live(vmx)
		if err != nil {
			return err
		}
		if mode == "soft" && !vm.Tools {
			return say("The VMware Tools are not running in the virtual machine: " + vmx)
		}
		return p.ask(canonical, vm, "reset "+mode)
	}
}

// suspend writes the memory into files; the process ends.
func (p *program) suspend(vmx string) command {
	return func(io.Writer) error {
		canonical, _, err := p.live(vmx)
		if err != nil {
			return err
		}
		release, err := p.own(canonical)
		if err != nil {
			return err
		}
		defer release()
		if err := p.state.tell(canonical, "suspend"); err != nil {
			return err
		}
		if err := p.wait(func() bool { return p.state.running(canonical) == nil }); err != nil {
			return err
		}
		if !exists(sibling(canonical, ".vmss")) {
			return say("Unknown error")
		}
		return nil
	}
}

// snapshot keeps the machine as it is under a name. One that runs does it
// itself, with its memory.
func (p *program) snapshot(vmx, name string) command {
	return func(io.Writer) error {
		canonical, config, release, err := p.take(vmx)
		if err != nil {
			return err
		}
		defer release()
		if vm := p.state.running(canonical); vm != nil {
			return p.ask(canonical, vm, "snapshot "+name)
		}
		return takeSnapshot(canonical, config, name, false)
	}
}

// live finds a machine that runs.
func (p *program) live(vmx string) (canonical string, vm *VM, err error) {
	canonical, _, err = p.open(vmx)
	if err != nil {
		// Its folder may be gone while it runs.
		if known, absolute := p.byPath(vmx); known != nil {
			return absolute, known, nil
		}
		return "", nil, err
	}
	if vm = p.state.running(canonical); vm == nil {
		return "", nil, notRunning(vmx)
	}
	return canonical, vm, nil
}

// byPath finds a running machine whose files are gone.
func (p *program) byPath(vmx string) (*VM, string) {
	absolute, err := filepath.Abs(vmx)
	if err != nil {
		return nil, ""
	}
	return p.state.running(absolute), absolute
}

// ask tells the machine to do something and waits until it is done.
func (p *program) ask(canonical string, vm *VM, line string) error {
	if err := p.state.tell(canonical, line); err != nil {
		return err
	}
	return p.wait(func() bool {
		now := p.state.running(canonical)
		return now == nil || now.Done > vm.Done
	})
}

// wait polls for what another process does.
func (p *program) wait(done func() bool) error {
	for !done() {
		if p.state.gone() {
			return say("Unknown error")
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

// tell sends a line to the machine's process.
func (s State) tell(canonical, line string) error {
	pipe, err := os.OpenFile(filepath.Join(s.machine(canonical), "pipe"), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) || os.IsNotExist(err) {
		return notRunning(canonical)
	}
	if err != nil {
		return err
	}
	_, err = pipe.WriteString(line + "\n")
	return errors.Join(err, pipe.Close())
}
