package vmx

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmxfile"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestPresence(t *testing.T) {
	halted := guestLog{gone: "halted"}
	for _, tt := range []struct {
		name   string
		facts  facts
		want   drivers.Presence
		ending string
	}{
		{"claimed", facts{}, drivers.Partial, ""},
		{"runs", facts{started: true, running: true}, drivers.Running, ""},
		{"runs, and a killed node did not note it", facts{running: true}, drivers.Running, ""},
		{"stands still", facts{started: true, suspended: true}, drivers.Running, ""},
		{"a clone of something suspended", facts{suspended: true}, drivers.Partial, ""},
		{"off", facts{started: true, log: guestLog{exited: true}}, drivers.Ended, "the virtual machine was turned off"},
		{"crashed", facts{started: true}, drivers.Ended, "the virtual machine's process was killed or crashed"},
		{"by somebody", facts{started: true, log: guestLog{cause: "somebody did", exited: true}}, drivers.Ended, "somebody did"},
		{"halted", facts{started: true, running: true, monitor: true, log: halted}, drivers.Ended, "halted"},
		{"halted, not monitored", facts{started: true, running: true, log: halted}, drivers.Running, ""},
		{"being removed", facts{stopping: true, started: true, running: true}, drivers.Partial, ""},
	} {
		if got, ending := tt.facts.presence(); got != tt.want || ending != tt.ending {
			t.Errorf("%s: presence() = %v, %q, want %v, %q", tt.name, got, ending, tt.want, tt.ending)
		}
	}
}

func TestDecide(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	up := facts{started: true, running: true, monitor: true}
	with := func(change func(*facts)) facts { f := up; change(&f); return f }
	for _, tt := range []struct {
		name string
		w    waiting
		done bool
		err  error
	}{
		{"nothing yet", waiting{facts: up, deadline: now.Add(1)}, false, nil},
		{"an address", waiting{facts: up, ip: "1.2.3.4", deadline: now.Add(1)}, true, nil},
		{"no more time", waiting{facts: up, deadline: now}, true, nil},
		{"a reset", waiting{facts: with(func(f *facts) { f.log.resets = 2 }), resets: 1, deadline: now.Add(1)}, true, nil},
		{"a reset before", waiting{facts: with(func(f *facts) { f.log.resets = 1 }), resets: 1, deadline: now.Add(1)}, false, nil},
		{"gone", waiting{facts: with(func(f *facts) { f.log.gone = "x" }), ip: "1.2.3.4", deadline: now.Add(1)}, true, errNoGuest},
		{"gone, not monitored", waiting{facts: with(func(f *facts) { f.log.gone, f.monitor = "x", false }), deadline: now.Add(1)}, false, nil},
		{"off", waiting{facts: with(func(f *facts) { f.running = false }), deadline: now.Add(1)}, true, errNoGuest},
		{"stands still", waiting{facts: with(func(f *facts) { f.running, f.suspended = false, true }), deadline: now.Add(1)}, true, nil},
		{"being removed", waiting{facts: with(func(f *facts) { f.stopping = true }), deadline: now.Add(1)}, true, claims.ErrStopping},
	} {
		if done, err := tt.w.decide(now); done != tt.done || !errors.Is(err, tt.err) {
			t.Errorf("%s: decide() = %v, %v, want %v, %v", tt.name, done, err, tt.done, tt.err)
		}
	}
}

func TestDeadline(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name string
		ago  time.Duration
		want time.Duration // from now on
	}{
		{"just started", 0, time.Minute},
		{"started before", 20 * time.Second, 40 * time.Second},
		{"long ago", time.Hour, -59 * time.Minute},
		{"the clock was set back", -time.Hour, time.Minute},
	} {
		if got := deadline(now, now.Round(0).Add(-tt.ago), time.Minute).Sub(now); got.Round(time.Millisecond) != tt.want {
			t.Errorf("%s: deadline() is in %v, want in %v", tt.name, got, tt.want)
		}
	}
}

func TestParseLog(t *testing.T) {
	const on = "t| vmx| I005: Log for VMware Fusion\nt| vmx| I005: PowerOn\nt| vcpu-0| I005: CPU reset: hard (mode Emulation)\nt| vcpu-1| I005: CPU reset: hard (mode Emulation)\n"
	for _, tt := range []struct {
		name, text string
		want       guestLog
	}{
		{"nothing", "", guestLog{}},
		{"a start", on, guestLog{}},
		{"the guest's own end", on + "PIIX4: PM Soft Off.  Good-bye.\nVMX exit (0).\n", guestLog{gone: "the guest shut itself down", exited: true}},
		{"asked for", on + "Tools: sending 'OS_Halt' (state = 1) state change request\n", guestLog{cause: "somebody shut the virtual machine down"}},
		{"turned off", on + "MKS local poweroff\nVMX exit (0).\n", guestLog{cause: "somebody turned the virtual machine off", exited: true}},
		{"a reset", on + "Chipset: The guest has requested that the virtual machine be hard reset.\n", guestLog{resets: 1}},
		{"a soft reset", on + "CPU reset: soft\n", guestLog{resets: 1}},
		{"halted", on + "[msg.monitorEvent.halt] The CPU has been disabled by the guest operating system.\n", guestLog{gone: "the guest halted its processors"}},
		{"halted and reset by an admin", on + "The CPU has been disabled by the guest operating system.\nCPU reset: hard\n", guestLog{}},
		{"a crash", on + "A fault has occurred causing a virtual CPU to enter the shutdown state.\n",
			guestLog{gone: "the guest crashed: a processor went into the shutdown state"}},
	} {
		if diff := cmp.Diff(tt.want, parseLog(tt.text), cmp.AllowUnexported(guestLog{})); diff != "" {
			t.Errorf("%s: parseLog() (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestReadLogOfAnySize(t *testing.T) {
	dir := t.TempDir()
	if log, err := readLog(dir); err != nil || log != (guestLog{}) {
		t.Errorf("readLog() of nothing = %+v, %v", log, err)
	}
	text := append(bytes.Repeat([]byte("PIIX4: PM Soft Off\n"), maxLog/10), bytes.Repeat([]byte("CPU reset: soft\n"), maxLog/10)...)
	if err := os.WriteFile(filepath.Join(dir, logFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if log, err := readLog(dir); err != nil || log.gone != "" || log.resets > maxLog {
		t.Errorf("readLog() of a huge file = %+v, %v, want only its end", log, err)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, token := range []string{strings.Repeat("0", 32), strings.Repeat("a", 32)} {
		for _, name := range names(token) {
			if !namePattern().MatchString(name) || seen[name] {
				t.Errorf("name %q of %s, want another one of VMware's range", name, token)
			}
			seen[name] = true
		}
	}
	if !slices.Equal(names(strings.Repeat("a", 32)), names(strings.Repeat("A", 32))) {
		t.Error("a token in capitals has other names")
	}
	if got := hwAddr("0050563fffff"); got != "00:50:56:3f:ff:ff" {
		t.Errorf("hwAddr() = %s", got)
	}
}

func TestReadOptions(t *testing.T) {
	const images = `"images":[{"url":"https://h/a-1.tar.xz"},{"url":"https://h/b-2.tar.xz"}]`
	for _, tt := range []struct{ name, options, network, err string }{
		{"images", "{" + images + "}", "", ""},
		{"in any case, and unknown ones", `{"Images":[{"url":"https://h/a-1.tar.xz"}],"other":1}`, "nat", ""},
		{"a network of an admin", "{" + images + "}", "vmnet12", ""},
		{"none", "", "", "option images: got nothing"},
		{"null", `{"images":null}`, "", "option images: got nothing"},
		{"a list", `[]`, "", "want a JSON object"},
		{"no list", `{"images":{}}`, "", "want a list"},
		{"without url", `{"images":[{"name":"a"}]}`, "", "entry 0"},
		{"an unknown network", "{" + images + "}", "internet", `network "internet": want hostonly`},
		{"a network that is a line", "{" + images + "}", "vmnet1\nevil", "want hostonly"},
	} {
		def := model.LabelDefinition{Options: json.RawMessage(tt.options), Resources: model.Resources{Network: tt.network}}
		_, err := readOptions(def)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: readOptions() = %v, want %q", tt.name, err, tt.err)
		}
	}
}

func TestCheckDisks(t *testing.T) {
	d := &driver{rules: rules(map[string]string{volume.HFS: "only macOS has it"}, false)}
	for _, tt := range []struct {
		name string
		disk model.Disk
		err  string
	}{
		{"exfat", model.Disk{Size: 1}, ""},
		{"a copy", model.Disk{Size: 1, Clone: "sub/data.vmdk"}, ""},
		{"a folder", model.Disk{Type: "dir"}, "sees no folder"},
		{"hfs+", model.Disk{Type: "hfs+", Size: 1}, "only macOS"},
		{"raw without the tool", model.Disk{Type: "raw", Size: 1}, "set vdiskmanager_path"},
		{"larger than its table", model.Disk{Size: 2048}, "at most 2047 GB"},
		{"a copy from elsewhere", model.Disk{Size: 1, Clone: "../data.vmdk"}, "want the name of a .vmdk"},
		{"a copy of a file of the host", model.Disk{Size: 1, Clone: "/etc/x.vmdk"}, "want the name of a .vmdk"},
		{"a copy of no disk", model.Disk{Size: 1, Clone: "a.iso"}, "want the name of a .vmdk"},
	} {
		err := d.checkDisks(map[string]model.Disk{"d": tt.disk})
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: checkDisks() = %v, want %q", tt.name, err, tt.err)
		}
	}
}

func TestFreeSlot(t *testing.T) {
	full := `scsi0.present = "TRUE"` + "\n"
	for unit := range 16 {
		full += fmt.Sprintf("scsi0:%d.present = \"TRUE\"\nscsi0:%d.fileName = \"d.vmdk\"\n", unit, unit)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"beside the first", "scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"a.vmdk\"\n", "scsi0:1"},
		{"as the image has it", "NVMe0:0.present = \"TRUE\"\nNVMe0:0.fileName = \"a.vmdk\"\nsata0:1.fileName = \"x.iso\"\nsata0.present = \"TRUE\"", "nvme0:1"},
		{"not where a drive is", "sata0.present = \"TRUE\"\nsata0:0.present=\"TRUE\"\nsata0:0.fileName=\"a.vmdk\"\nsata0:1.fileName = \"x.iso\"\n", "sata0:2"},
		{"on a new one", "ide0:0.present = \"TRUE\"\nide0:0.fileName = \"a.vmdk\"\n", "sata0:0"},
		{"where all places are taken", full, "sata0:0"},
		{"beside others' controllers", "sata0.present = \"TRUE\"\n", "sata1:0"},
	} {
		f, err := vmxfile.Parse([]byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		got, err := freeSlot(f)
		if err != nil || got != tt.want || !f.True(strings.Split(tt.want, ":")[0]+".present") {
			t.Errorf("%s: freeSlot() = %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestPartitionTable(t *testing.T) {
	table, err := partitionTable(volume.FAT32, 2048)
	if err != nil || len(table) != sector || table[450] != 0x0c || binary.LittleEndian.Uint32(table[454:]) != partitionStart ||
		binary.LittleEndian.Uint32(table[458:]) != 2048 || table[510] != 0x55 || table[511] != 0xaa {
		t.Errorf("partitionTable() = %x, %v", table[440:], err)
	}
	for _, sectors := range []int64{0, -1, 1 << 32} {
		if _, err := partitionTable(volume.FAT32, sectors); err == nil {
			t.Errorf("partitionTable() of %d sectors = nil, want an error", sectors)
		}
	}
	if _, err := partitionTable(volume.ExFAT, mostFormatted<<21); err != nil {
		t.Errorf("the largest disk that is allowed: %v", err)
	}
}

func TestGateway(t *testing.T) {
	for text, want := range map[string]bool{
		"192.168.10.1/24": true, "172.16.153.1/24": true, "192.168.10.2/24": false, "127.0.0.1/8": false, "10.0.0.1/8": false,
		"192.168.10.1/32": false, "fe80::1/64": false,
	} {
		if got := gateway(netip.MustParsePrefix(text)); got != want {
			t.Errorf("gateway(%s) = %v, want %v", text, got, want)
		}
	}
}

// TestRoster: who waits shares an answer, and who needs to know gets a new one.
func TestRoster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		r := newRoster(func(context.Context) ([]string, error) {
			asked.Add(1)
			time.Sleep(time.Second)
			return []string{"/a.vmx"}, nil
		})
		for range 10 {
			go func() { _, _ = r.get(t.Context(), time.Minute) }()
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
		if n := asked.Load(); n != 1 {
			t.Errorf("vmrun was asked %d times for all who wait, want once", n)
		}
		if paths, err := r.get(t.Context(), 0); err != nil || !paths["/a.vmx"] || asked.Load() != 2 {
			t.Errorf("get() = %v, %v after %d questions, want a new answer", paths, err, asked.Load())
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = r.get(t.Context(), 0) }()
		synctest.Wait()
		cancel()
		if _, err := r.get(ctx, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("get() of who was cancelled = %v", err)
		}
		time.Sleep(time.Minute)
	})
}

// TestRosterHangs: a vmrun that hangs is waited for by all at once, and not by
// one after the other; who gave up is no reason for others to.
func TestRosterHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("it was killed")
		var asked atomic.Int64
		r := newRoster(func(ctx context.Context) ([]string, error) {
			asked.Add(1)
			if err := pause(ctx, listTimeout); err != nil {
				return nil, err
			}
			return nil, broken
		})
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { _, _ = r.get(impatient, 0) }()
		synctest.Wait()
		start := time.Now()
		answers := make(chan error)
		for range 20 {
			go func() { _, err := r.get(t.Context(), time.Minute); answers <- err }()
		}
		for range 20 {
			if err := <-answers; !errors.Is(err, broken) {
				t.Errorf("get() = %v, want why vmrun did not answer", err)
			}
		}
		if took := time.Since(start); took > 2*listTimeout || asked.Load() != 2 {
			t.Errorf("20 callers took %v and %d questions, want one after that of who gave up", took, asked.Load())
		}
		if _, err := r.get(t.Context(), time.Minute); !errors.Is(err, broken) || asked.Load() != 3 {
			t.Errorf("get() later = %v after %d questions, want a new one", err, asked.Load())
		}
	})
}
