//go:build unix

package vmrunfake_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake/fakehost"
)

func TestMain(m *testing.M) { fakehost.Main(m) }

// patience is for what takes milliseconds on a machine that does nothing else.
const patience = 20 * time.Second

// desk is a host with an image and a clone, and somebody who types.
type desk struct {
	*fakehost.Host
	t     *testing.T
	dir   string
	image string
	clone string
	begun time.Time // just before the clone was started
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{Host: fakehost.New(t), t: t, dir: t.TempDir()}
	d.image = d.Image(filepath.Join(d.dir, "image"), "base")
	d.clone = filepath.Join(d.dir, "vms", "one", "one.vmx")
	return d
}

// run types a command of vmrun and returns what it prints and its exit code,
// -1 if it was killed.
func (d *desk) run(args ...string) (output string, exit int) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	return d.wait(exec.CommandContext(ctx, d.Vmrun, append([]string{"-T", "fusion"}, args...)...))
}

func (d *desk) wait(cmd *exec.Cmd) (output string, exit int) {
	d.t.Helper()
	out, err := cmd.Output()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		d.t.Fatal(err)
	}
	if ended != nil && len(ended.Stderr) > 0 {
		d.t.Errorf("%v: stderr: %s", cmd.Args, ended.Stderr)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// ok types a command that has to succeed in silence.
func (d *desk) ok(args ...string) {
	d.t.Helper()
	if output, exit := d.run(args...); exit != 0 || output != "" {
		d.t.Fatalf("%v = %d %q, want success and no word", args, exit, output)
	}
}

// refused types a command that has to fail with these words.
func (d *desk) refused(words string, args ...string) {
	d.t.Helper()
	if output, exit := d.run(args...); exit != 255 || output != "Error: "+words+"\n" {
		d.t.Errorf("%v = %d %q, want 255 and %q", args, exit, output, words)
	}
}

// cloned makes the clone, with an address of its own.
func (d *desk) cloned() *desk {
	d.t.Helper()
	d.ok("clone", d.image, d.clone, "linked", "-snapshot", "original", "-cloneName", "one")
	d.edit(d.clone, map[string]string{
		"ethernet0.addressType": "static", "ethernet0.address": "02:00:00:00:00:01", "ethernet0.connectionType": "hostonly",
	})
	return d
}

// started makes the clone and starts it.
func (d *desk) started() *desk {
	d.t.Helper()
	d.cloned().ok("start", d.clone, "nogui")
	return d
}

func (d *desk) edit(vmx string, changes map[string]string) {
	d.t.Helper()
	config, err := vmrunfake.ReadDictionary(vmx)
	if err != nil {
		d.t.Fatal(err)
	}
	for key, value := range changes {
		config.Set(key, value)
	}
	if err := config.Write(vmx); err != nil {
		d.t.Fatal(err)
	}
}

// read returns a file's text, "" if there is none.
func (d *desk) read(path string) string {
	d.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		d.t.Fatal(err)
	}
	return string(text)
}

// until waits for what another process does.
func (d *desk) until(what string, done func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatal("waited too long for", what)
		}
	}
}

// files are the names in the clone's folder, or nil.
func (d *desk) files() (names []string) {
	d.t.Helper()
	entries, err := os.ReadDir(filepath.Dir(d.clone))
	if err != nil && !os.IsNotExist(err) {
		d.t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func (d *desk) log() string { return d.read(filepath.Join(filepath.Dir(d.clone), "vmware.log")) }

// one is the machine that runs, alone.
func (d *desk) one() vmrunfake.VM {
	d.t.Helper()
	vms := d.VMs()
	if len(vms) != 1 {
		d.t.Fatalf("running are %v, want one", vms)
	}
	return vms[0]
}

func (d *desk) none() {
	d.t.Helper()
	if vms := d.VMs(); len(vms) != 0 {
		d.t.Errorf("running are %v, want none", vms)
	}
	if output, _ := d.run("list"); output != "Total running VMs: 0\n" {
		d.t.Errorf("list = %q", output)
	}
}

func TestWrongUse(t *testing.T) {
	d := newDesk(t)
	for _, line := range []string{
		"", "list", "-T", "-T fusion", "-T esx list", "-T fusion list X", "-T fusion listSnapshots X.vmx", "-T fusion -gu u list",
		"-T fusion clone A.vmx B.vmx full -snapshot original -cloneName b", "-T fusion clone A.vmx B.vmx linked",
		"-T fusion clone A.vmx B.vmx linked -snapshot=original -cloneName=b", "-T fusion clone A.vmx B.vmx linked -cloneName b -snapshot original",
		"-T fusion start X.vmx", "-T fusion start X.vmx gui", "-T fusion start", "-T fusion stop X.vmx softly", "-T fusion stop X.vmx hard now",
		"-T fusion deleteVM", "-T fusion deleteVM X.vmx Y.vmx", "-T fusion snapshot X.vmx", "-T fusion pause X.vmx", "-T fusion getGuestIPAddress X.vmx",
	} {
		t.Run(line, func(t *testing.T) {
			output, exit := d.wait(exec.CommandContext(t.Context(), d.Vmrun, strings.Fields(line)...))
			if exit != 255 || !strings.Contains(output, "Usage: vmrun") {
				t.Errorf("%q = %d %q, want 255 and the usage", line, exit, output)
			}
		})
	}
}

func TestLife(t *testing.T) {
	d := newDesk(t)
	d.none()
	d.started()
	vm := d.one()
	if output, exit := d.run("list"); exit != 0 || output != "Total running VMs: 1\n"+vm.VMX+"\n" {
		t.Errorf("list = %d %q", exit, output)
	}
	d.ok("reset", d.clone, "hard")
	if vm.PID != d.one().PID {
		t.Error("a reset ended the process")
	}
	d.ok("stop", d.clone, "soft")
	d.none()
	for _, line := range []string{"PowerOn", "CPU reset: hard", "Tools: sending 'OS_Halt'", "PIIX4: PM Soft Off.  Good-bye.", "VMX exit (0)."} {
		if !strings.Contains(d.log(), line) {
			t.Errorf("vmware.log lacks %q:\n%s", line, d.log())
		}
	}
	if names := strings.Join(d.files(), " "); strings.Contains(names, ".lck") {
		t.Error("locks are left:", names)
	}
	d.ok("deleteVM", d.clone)
	if names := d.files(); names != nil {
		t.Error("left:", names)
	}
}

func TestErrors(t *testing.T) {
	d := newDesk(t).cloned()
	missing := filepath.Join(d.dir, "missing.vmx")
	d.refused("Cannot open VM: "+missing+", The virtual machine cannot be found",
		"clone", missing, d.clone+"2", "linked", "-snapshot", "original", "-cloneName", "x")
	d.refused("Invalid snapshot name 'none'", "clone", d.image, d.clone+"2", "linked", "-snapshot", "none", "-cloneName", "x")
	d.refused("The file already exists", "clone", d.image, d.clone, "linked", "-snapshot", "original", "-cloneName", "x")
	for _, command := range []string{"stop", "reset", "suspend"} {
		d.refused("The virtual machine is not powered on: "+d.clone, command, d.clone, "hard")
		d.refused("Cannot open VM: "+missing+", The virtual machine cannot be found", command, missing)
	}
	d.refused("Cannot open VM: "+missing+", The virtual machine cannot be found", "start", missing, "nogui")
	d.refused("Cannot open VM: "+missing+", The virtual machine cannot be found", "deleteVM", missing)
	d.ok("start", d.clone, "nogui")
	d.refused("The virtual machine should not be powered on. It is already running.", "start", d.clone, "nogui")
	d.refused("The virtual machine should not be powered on. It is already running.", "deleteVM", d.clone)
	d.refused("The virtual machine should not be powered on. It is already running.",
		"clone", d.clone, d.clone+"2", "linked", "-snapshot", "original", "-cloneName", "x")
}

func TestCloneIsLinked(t *testing.T) {
	d := newDesk(t).cloned()
	disk := filepath.Join(filepath.Dir(d.clone), "base-cl1.vmdk")
	parent := filepath.Join(filepath.Dir(d.image), "base.vmdk")
	if text := d.read(disk); !strings.Contains(text, `parentFileNameHint="`+parent+`"`) {
		t.Errorf("%s names no parent:\n%s", disk, text)
	}
	if text := d.read(strings.TrimSuffix(d.image, "vmx") + "vmsd"); !strings.Contains(text, `snapshot0.clone0 = "`+d.clone+`"`) {
		t.Errorf("the source does not know its clone:\n%s", text)
	}
	config, err := vmrunfake.ReadDictionary(d.clone)
	if err != nil {
		t.Fatal(err)
	}
	if config.Get("displayName") != "one" || config.Get("uuid.bios") != "" || config.Get("SCSI0:0.FILENAME") != "base-cl1.vmdk" {
		t.Errorf("the clone is\n%s", config)
	}
	if err := os.Remove(parent); err != nil {
		t.Fatal(err)
	}
	d.refused("A file was not found", "start", d.clone, "nogui")
	d.ok("deleteVM", d.clone)
}

func TestCloneGetsAnAddressOfItsOwn(t *testing.T) {
	d := newDesk(t)
	d.edit(d.image, map[string]string{"ethernet0.addressType": "static", "ethernet0.address": "02:00:00:00:00:02"})
	d.ok("clone", d.image, d.clone, "linked", "-snapshot", "original", "-cloneName", "one")
	text := d.read(d.clone)
	if !strings.Contains(text, `ethernet0.addressType = "generated"`) || strings.Contains(text, "02:00:00:00:00:02") {
		t.Errorf("the clone is\n%s", text)
	}
}

func TestNothingIsClonedFromMemory(t *testing.T) {
	d := newDesk(t).started()
	d.ok("snapshot", d.clone, "live")
	d.ok("stop", d.clone, "hard")
	d.refused("The virtual machine should not be powered on. It is already running.",
		"clone", d.clone, d.clone+"2", "linked", "-snapshot", "live", "-cloneName", "x")
}

func TestSnapshotOfOneThatIsOff(t *testing.T) {
	d := newDesk(t).cloned()
	d.ok("snapshot", d.clone, "off")
	second := filepath.Join(d.dir, "vms", "two", "two.vmx")
	d.ok("clone", d.clone, second, "linked", "-snapshot", "off", "-cloneName", "two")
	d.ok("start", second, "nogui")
	d.ok("start", d.clone, "nogui")
	if vms := d.VMs(); len(vms) != 2 {
		t.Errorf("running are %v, want two", vms)
	}
	d.ok("stop", d.clone, "hard")
	d.ok("deleteVM", d.clone)
	if names := d.files(); names != nil {
		t.Error("left:", names)
	}
}

func TestSuspendAndResume(t *testing.T) {
	d := newDesk(t).started()
	d.ok("suspend", d.clone)
	d.none()
	d.refused("The virtual machine is not powered on: "+d.clone, "stop", d.clone, "hard")
	if names := strings.Join(d.files(), " "); !strings.Contains(names, "one.vmss") || strings.Contains(names, ".lck") {
		t.Error("the folder has", names)
	}
	d.ok("start", d.clone, "nogui")
	if names := strings.Join(d.files(), " "); strings.Contains(names, ".vmss") || strings.Contains(names, ".vmem") {
		t.Error("the memory is left after it was read:", names)
	}
	d.ok("suspend", d.clone, "soft")
	d.ok("deleteVM", d.clone)
	if names := d.files(); names != nil {
		t.Error("left:", names)
	}
}

func TestLease(t *testing.T) {
	for _, test := range []struct{ product, network, file string }{
		{"fusion", "hostonly", "vmnet-dhcpd-vmnet1.leases"},
		{"fusion", "nat", "vmnet-dhcpd-vmnet8.leases"},
		{"ws", "hostonly", "vmnet1/dhcpd/dhcpd.leases"},
		{"ws", "NAT", "vmnet8/dhcpd/dhcpd.leases"},
	} {
		t.Run(test.product+" "+test.network, func(t *testing.T) {
			d := newDesk(t).cloned()
			d.edit(d.clone, map[string]string{"ethernet0.connectionType": test.network})
			if output, exit := d.wait(exec.CommandContext(t.Context(), d.Vmrun, "-T", test.product, "start", d.clone, "nogui")); exit != 0 {
				t.Fatal(output)
			}
			file := filepath.Join(d.Leases, test.file)
			d.until("a lease", func() bool { return strings.Contains(d.read(file), "hardware ethernet 02:00:00:00:00:01;") })
			if text := d.read(file); !strings.Contains(text, "lease 172.16.7") || !strings.HasSuffix(text, "}\n") {
				t.Errorf("the leases are\n%s", text)
			}
		})
	}
}

func TestLeaseIsKeptOverAReboot(t *testing.T) {
	d := newDesk(t).started()
	file := filepath.Join(d.Leases, "vmnet-dhcpd-vmnet1.leases")
	d.until("a lease", func() bool { return strings.Contains(d.read(file), "172.16.77.128") })
	d.ok("stop", d.clone, "hard")
	d.ok("start", d.clone, "nogui")
	d.until("the lease again", func() bool { return strings.Count(d.read(file), "lease 172.16.77.128 {") == 2 })
}

func TestReservedAddressesAreRefused(t *testing.T) {
	d := newDesk(t).cloned()
	for address, words := range map[string]string{
		"00:0c:29:00:00:01": "Invalid MAC address specified",
		"00:50:56:40:00:00": "Invalid MAC address specified",
		"03:00:00:00:00:01": "Invalid MAC address specified", // many hear it
		"02-00-00-00-00-01": "Invalid MAC address specified",
		"":                  "Invalid MAC address specified",
		"00:50:56:3f:ff:ff": "",
		"0A:00:00:00:00:01": "",
	} {
		d.edit(d.clone, map[string]string{"ethernet0.address": address})
		if words != "" {
			d.refused(words, "start", d.clone, "nogui")
			continue
		}
		d.ok("start", d.clone, "nogui")
		d.ok("stop", d.clone, "hard")
	}
}

func TestMachineOutlivesEverybody(t *testing.T) {
	d := newDesk(t).started()
	vm := d.one()
	// The machine is of a session of its own: what ends our group leaves it.
	status := d.read(filepath.Join("/proc", itoa(vm.PID), "stat"))
	if fields := strings.Fields(status); len(fields) > 5 && fields[5] != itoa(vm.PID) {
		t.Errorf("session %s, want %d", fields[5], vm.PID)
	}
	if err := os.RemoveAll(filepath.Dir(d.clone)); err != nil {
		t.Fatal(err)
	}
	if output, _ := d.run("list"); !strings.Contains(output, vm.VMX) {
		t.Errorf("list = %q, want what runs without a folder", output)
	}
	d.ok("stop", vm.VMX, "hard")
	d.none()
	if names := d.files(); names != nil {
		t.Error("the end brought the folder back:", names)
	}
}

func TestKilledMachineLeavesItsLocks(t *testing.T) {
	d := newDesk(t).started()
	d.Kill(d.clone)
	d.none()
	if names := strings.Join(d.files(), " "); !strings.Contains(names, "one.vmx.lck") || !strings.Contains(names, "base-cl1.vmdk.lck") {
		t.Error("the folder has", names)
	}
	if strings.Contains(d.log(), "VMX exit") {
		t.Errorf("a killed process said good-bye:\n%s", d.log())
	}
	config := vmrunfake.DefaultConfig()
	config.StaleLocks = true
	d.Configure(config)
	d.refused("The virtual machine should not be powered on. It is already running.", "start", d.clone, "nogui")
	d.Configure(vmrunfake.DefaultConfig())
	d.ok("start", d.clone, "nogui")
	d.Kill(d.clone)
	d.ok("deleteVM", d.clone)
	if names := d.files(); names != nil {
		t.Error("left:", names)
	}
}

func TestGuestActsByItself(t *testing.T) {
	d := newDesk(t).started()
	pid := d.one().PID
	d.ResetFromInside(d.clone)
	if !strings.Contains(d.log(), "The guest has requested that the virtual machine be hard reset.") || d.one().PID != pid {
		t.Errorf("after a reset by the guest the log is\n%s", d.log())
	}
	d.PowerOffFromInside(d.clone)
	d.none()
	if !strings.Contains(d.log(), "PM Soft Off") {
		t.Errorf("the log is\n%s", d.log())
	}
	d.ok("start", d.clone, "nogui")
	if strings.Contains(d.log(), "PM Soft Off") || !strings.Contains(d.read(filepath.Join(filepath.Dir(d.clone), "vmware-0.log")), "PM Soft Off") {
		t.Error("the log does not begin anew")
	}
}

func TestMachineOwnsItsConfiguration(t *testing.T) {
	d := newDesk(t).started()
	d.edit(d.clone, map[string]string{"memsize": "4096"})
	d.ok("stop", d.clone, "hard")
	if text := d.read(d.clone); !strings.Contains(text, `memsize = "1024"`) {
		t.Errorf("what was written while it ran is still there:\n%s", text)
	}
}

func TestListNamesCanonicalPaths(t *testing.T) {
	d := newDesk(t).cloned()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(d.dir, "vms"), link); err != nil {
		t.Fatal(err)
	}
	through := filepath.Join(link, "one", "one.vmx")
	d.ok("start", through, "nogui")
	canonical, err := filepath.EvalSymlinks(d.clone)
	if err != nil {
		t.Fatal(err)
	}
	if output, _ := d.run("list"); output != "Total running VMs: 1\n"+canonical+"\n" {
		t.Errorf("list = %q, want %s", output, canonical)
	}
	d.ok("stop", through, "hard")
}

func TestWindowsLineEndsAndCases(t *testing.T) {
	d := newDesk(t).cloned()
	text := strings.ReplaceAll(d.read(d.clone), "\n", "\r\n")
	text = strings.Replace(text, "ethernet0.connectionType", "Ethernet0.ConnectionType", 1)
	if err := os.WriteFile(d.clone, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	d.ok("start", d.clone, "nogui")
	file := filepath.Join(d.Leases, "vmnet-dhcpd-vmnet1.leases")
	d.until("a lease", func() bool { return strings.Contains(d.read(file), "02:00:00:00:00:01") })
}

func TestDeleteLeavesWhatIsNotIts(t *testing.T) {
	d := newDesk(t).cloned()
	outside := filepath.Join(d.dir, "disks", "data.vmdk")
	if err := os.MkdirAll(filepath.Dir(outside), 0o755); err != nil {
		t.Fatal(err)
	}
	if output, exit := d.wait(exec.CommandContext(t.Context(), d.VDiskManager, "-c", "-s", "1GB", "-a", "lsilogic", "-t", "0", outside)); exit != 0 {
		t.Fatal(output)
	}
	d.edit(d.clone, map[string]string{"scsi0:1.present": "TRUE", "scsi0:1.fileName": outside})
	strange := filepath.Join(filepath.Dir(d.clone), "notes.txt")
	if err := os.WriteFile(strange, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.ok("start", d.clone, "nogui")
	d.ok("stop", d.clone, "hard")
	d.ok("deleteVM", d.clone)
	if names := d.files(); len(names) != 1 || names[0] != "notes.txt" {
		t.Errorf("the folder has %v, want notes.txt alone", names)
	}
	if d.read(outside) == "" {
		t.Error("the disk outside is gone")
	}
}

func TestVDiskManager(t *testing.T) {
	d := newDesk(t)
	disk := filepath.Join(d.dir, "d.vmdk")
	for _, test := range []struct {
		name, line, want string
		exit             int
	}{
		{"new", "-c -s 10GB -a lsilogic -t 0 " + disk, "Virtual disk creation successful.", 0},
		{"taken", "-c -s 10GB -a lsilogic -t 0 " + disk, "Failed to create disk: The file already exists", 1},
		{"no folder", "-c -s 10MB -a ide -t 1 " + filepath.Join(d.dir, "none", "d.vmdk"), "Failed to create disk", 1},
		{"preallocated", "-c -s 10MB -a lsilogic -t 2 " + filepath.Join(d.dir, "p.vmdk"), "Virtual disk creation successful.", 0},
		{"no size", "-c -a lsilogic -t 0 " + disk, "Usage:", 1},
		{"strange size", "-c -s 10XB -a lsilogic -t 0 " + disk, "Usage:", 1},
		{"strange adapter", "-c -s 1GB -a nothing -t 0 " + disk, "Usage:", 1},
		{"other command", "-r " + disk + " -t 0 x.vmdk", "Usage:", 1},
		{"nothing", "", "Usage:", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			output, exit := d.wait(exec.CommandContext(t.Context(), d.VDiskManager, strings.Fields(test.line)...))
			if exit != test.exit || !strings.Contains(output, test.want) {
				t.Errorf("%q = %d %q, want %d and %q", test.line, exit, output, test.exit, test.want)
			}
		})
	}
	if info, err := os.Stat(filepath.Join(d.dir, "p-flat.vmdk")); err != nil || info.Size() != 10<<20 {
		t.Error("the preallocated disk has no 10 MB:", err)
	}
}

// TestManyAtOnce has twenty hands on one machine, of which one starts it, and
// on one image, of which all get their clone or hear that it is in use.
func TestManyAtOnce(t *testing.T) {
	d := newDesk(t).cloned()
	const hands = 20
	var wg sync.WaitGroup
	started := make([]int, hands)
	cloned := make([]string, hands)
	for i := range hands {
		wg.Go(func() { _, started[i] = d.run("start", d.clone, "nogui") })
		wg.Go(func() {
			target := filepath.Join(d.dir, "vms", itoa(i), "vm.vmx")
			cloned[i], _ = d.run("clone", d.image, target, "linked", "-snapshot", "original", "-cloneName", itoa(i))
		})
	}
	wg.Wait()
	first := 0
	for _, exit := range started {
		if exit == 0 {
			first++
		}
	}
	if first != 1 || len(d.VMs()) != 1 {
		t.Errorf("%d starts succeeded and %v run, want one", first, d.VMs())
	}
	made := 0
	for i, output := range cloned {
		switch output {
		case "":
			made++
		case "Error: The file is already in use\n":
		default:
			t.Errorf("clone %d said %q", i, output)
		}
	}
	if text := d.read(strings.TrimSuffix(d.image, "vmx") + "vmsd"); !strings.Contains(text, `snapshot0.numClones = "`+itoa(made+1)+`"`) {
		t.Errorf("the image does not know its %d clones:\n%s", made+1, text)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
