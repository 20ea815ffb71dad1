//go:build unix

package vmrunfake

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// machineProgram is the name of the process that is a virtual machine.
	machineProgram = "vmware-vmx"
	// machineReady is what it tells whoever started it.
	machineReady = "ready"
	// lockSuffix makes the name of the folder that says who uses a file.
	lockSuffix = ".lck"
	// longest is how long a machine lives that nobody ends: tests leave none,
	// but a test may be killed.
	longest = time.Hour
)

// VM is a machine that runs: the process itself, whatever `list` says.
type VM struct {
	VMX   string `json:"vmx"` // canonical when it started
	PID   int    `json:"pid"`
	Tools bool   `json:"tools"` // somebody in the guest hears a soft stop
	Done  int    `json:"done"`  // commands that it has done
}

// machineLock describes the lock that says that the process lives.
func machineLock() *unix.Flock_t {
	return &unix.Flock_t{Type: unix.F_WRLCK, Whence: 0}
}

// running returns the machine if its process lives. The kernel says so: a
// record lock ends with the process that holds it, however that ends.
func (s State) running(canonical string) *VM {
	f, err := os.OpenFile(filepath.Join(s.machine(canonical), "life"), os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // only looked at
	held := machineLock()
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, held); err != nil || held.Type == unix.F_UNLCK {
		return nil
	}
	var vm VM
	if err := readJSON(filepath.Join(s.machine(canonical), "vm.json"), &vm); err != nil || vm.PID != int(held.Pid) {
		return nil // it begins
	}
	return &vm
}

// VMs returns all machines that run, by path.
func (s State) VMs() ([]VM, error) {
	entries, err := os.ReadDir(s.machines())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no command was ever given
	}
	if err != nil {
		return nil, err
	}
	var found []VM
	for _, entry := range entries {
		var known VM
		if err := readJSON(filepath.Join(s.machines(), entry.Name(), "vm.json"), &known); err != nil {
			return nil, err
		}
		if vm := s.running(known.VMX); known.VMX != "" && vm != nil {
			found = append(found, *vm)
		}
	}
	slices.SortFunc(found, func(a, b VM) int { return strings.Compare(a.VMX, b.VMX) })
	return found, nil
}

// runMachine is the body of vmware-vmx PRODUCT VMX.
func runMachine(state State, args []string) int {
	if len(args) != 2 {
		return failed
	}
	parent := os.NewFile(3, "parent")
	m, err := openMachine(state, args[0], args[1])
	if err != nil {
		fmt.Fprint(parent, err) // the parent shows it; without one nobody does
		return failed
	}
	m.log("vmx", fmt.Sprintf("Log for VMware %s pid=%d", m.product, os.Getpid()))
	m.log("vmx", "PowerOn")
	for cpu := range max(1, number(m.config, "numvcpus")) {
		m.log(fmt.Sprintf("vcpu-%d", cpu), "CPU reset: hard (mode Emulation)")
	}
	_, _ = parent.WriteString(machineReady) // who started us may be dead by now, and we live on
	_ = parent.Close()
	if err := m.live(); err != nil {
		m.log("vmx", "Panic: "+err.Error())
		return failed
	}
	return 0
}

// machine is the inside of vmware-vmx.
type machine struct {
	state   State
	host    Config
	product string
	vmx     string
	config  *Dictionary
	vm      VM
	life    *os.File // whose lock says that we live
	pipe    *os.File
	logFile *os.File
	orders  []Order
}

// openMachine takes the machine's locks and opens its files.
func openMachine(state State, product, vmx string) (*machine, error) {
	m := &machine{state: state, product: product, vmx: vmx, vm: VM{VMX: vmx, PID: os.Getpid(), Tools: true}}
	var err error
	if m.host, err = state.Config(); err != nil {
		return nil, err
	}
	if m.config, err = ReadDictionary(vmx); err != nil {
		return nil, err
	}
	if m.orders, err = state.take("guest", []string{vmx}); err != nil {
		return nil, err
	}
	m.vm.Tools = !m.ordered(NoTools)
	if err := m.settle(); err != nil {
		return nil, err
	}
	if err := m.powerOn(); err != nil {
		return nil, err
	}
	return m, nil
}

// ordered says whether something is to happen to this guest.
func (m *machine) ordered(do string) bool {
	return slices.ContainsFunc(m.orders, func(o Order) bool { return o.Do == do })
}

// settle makes this process the machine.
func (m *machine) settle() error {
	folder := m.state.machine(m.vmx)
	var err error
	if m.life, err = os.OpenFile(filepath.Join(folder, "life"), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return err
	}
	if err := unix.FcntlFlock(m.life.Fd(), unix.F_SETLK, machineLock()); err != nil {
		return fmt.Errorf("lock %s: %w", m.life.Name(), err)
	}
	pipe := filepath.Join(folder, "pipe")
	if err := unix.Mkfifo(pipe, 0o644); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if m.pipe, err = os.OpenFile(pipe, os.O_RDWR, 0); err != nil {
		return err
	}
	return writeJSON(filepath.Join(folder, "vm.json"), m.vm)
}

// powerOn does what shows in the machine's folder.
func (m *machine) powerOn() error {
	folder := filepath.Dir(m.vmx)
	for _, name := range m.locks() {
		if err := takeLock(name); err != nil {
			return err
		}
	}
	log := filepath.Join(folder, "vmware.log")
	if exists(log) {
		if err := os.Rename(log, filepath.Join(folder, "vmware-0.log")); err != nil {
			return err
		}
	}
	var err error
	if m.logFile, err = os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
		return err
	}
	if state := m.config.Get("checkpoint.vmState"); state != "" {
		m.config.Set("checkpoint.vmState", "")
		for _, file := range []string{within(folder, state), within(folder, sibling(state, ".vmem"))} {
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if m.config.True("ethernet0.present") && m.config.Get("ethernet0.addressType") == "generated" &&
		m.config.Get("ethernet0.generatedAddress") == "" {
		m.config.Set("ethernet0.generatedAddress", generated(m.vmx))
	}
	m.config.Set("cleanShutdown", "FALSE")
	return m.config.Write(m.vmx)
}

// locks are the folders that say that the files are in use.
func (m *machine) locks() []string {
	names := []string{m.vmx + lockSuffix}
	for _, disk := range disks(m.config, filepath.Dir(m.vmx)) {
		names = append(names, disk.Path+lockSuffix)
	}
	return names
}

// takeLock makes the folder, in the place of one that a crash left.
func takeLock(folder string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	name := filepath.Join(folder, fmt.Sprintf("M%05d.lck", os.Getpid()%100000))
	return os.WriteFile(name, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644)
}

// log writes a line as vmware.log has them. Nobody is told when that fails, as
// the folder may be gone.
func (m *machine) log(thread, text string) {
	at := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	fmt.Fprintf(m.logFile, "%s In(05) %s %s\n", at, thread, text)
}

// live is the machine's life: commands from vmrun, and what the guest does.
func (m *machine) live() error {
	lines := make(chan string)
	go func() { // ends with the process
		for scanner := bufio.NewScanner(m.pipe); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	events := m.plan()
	watch := time.NewTicker(time.Second)
	defer watch.Stop()
	dead := time.After(longest)
	for {
		var off bool
		var err error
		select {
		case line := <-lines:
			off, err = m.command(line, events)
		case event := <-events:
			off, err = event()
		case <-watch.C:
			off = m.state.gone()
		case <-dead:
			off = true
		}
		if off || err != nil {
			return err
		}
	}
}

// command does what vmrun, or a test in the place of the guest, wants.
func (m *machine) command(line string, events chan<- event) (off bool, err error) {
	name, argument, _ := strings.Cut(line, " ")
	switch name {
	case "stop":
		if argument == "hard" {
			m.log("vmx", "MKS local poweroff")
			return m.end("TRUE")
		}
		m.log("vmx", "Tools: sending 'OS_Halt' (state = 1) state change request")
		if !m.ordered(IgnoreSoft) {
			time.AfterFunc(m.host.SoftStop, func() { events <- m.halt })
		}
		return false, nil
	case "reset":
		m.log("vcpu-0", "CPU reset: "+argument+" (mode Emulation)")
	case "suspend":
		return m.suspend()
	case "snapshot":
		err = takeSnapshot(m.vmx, m.config, argument, true)
	case "guest":
		if argument == "halt" {
			return m.halt()
		}
		_, err = m.reboot()
	}
	m.vm.Done++
	return false, errors.Join(err, writeJSON(filepath.Join(m.state.machine(m.vmx), "vm.json"), m.vm))
}

// halt is the guest shutting down by itself.
func (m *machine) halt() (off bool, err error) {
	m.log("vcpu-0", "PIIX4: PM Soft Off.  Good-bye.")
	return m.end("TRUE")
}

// reboot is the guest starting anew by itself. The machine goes on.
func (m *machine) reboot() (off bool, err error) {
	m.log("vcpu-0", "Chipset: The guest has requested that the virtual machine be hard reset.")
	m.log("vcpu-0", "CPU reset: soft (mode Emulation)")
	return false, nil
}

// suspend writes the memory down.
func (m *machine) suspend() (off bool, err error) {
	state := sibling(m.vmx, ".vmss")
	for _, file := range []string{sibling(m.vmx, ".vmem"), state} {
		if err := replace(file, []byte("memory\n")); err != nil {
			return true, err
		}
	}
	m.config.Set("checkpoint.vmState", filepath.Base(state))
	return m.end("TRUE")
}

// end closes what is open on the way to a clean end. The .vmx becomes what the
// machine had of it in memory: what others wrote meanwhile is lost. A folder
// that is gone stays so.
func (m *machine) end(clean string) (off bool, err error) {
	m.config.Set("cleanShutdown", clean)
	if exists(m.vmx) {
		err = m.config.Write(m.vmx)
	}
	for _, name := range m.locks() {
		err = errors.Join(err, os.RemoveAll(name))
	}
	m.log("vmx", "VMX exit (0).")
	return true, err
}
