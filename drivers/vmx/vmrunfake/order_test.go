//go:build unix

package vmrunfake_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake"
)

// begin types a command and does not wait for it.
func (d *desk) begin(args ...string) *exec.Cmd {
	d.t.Helper()
	cmd := exec.CommandContext(context.Background(), d.Vmrun, append([]string{"-T", "fusion"}, args...)...)
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = cmd.Process.Kill() }) // most have ended
	return cmd
}

func (d *desk) cloneArgs() []string {
	return []string{"clone", d.image, d.clone, "linked", "-snapshot", "original", "-cloneName", "one"}
}

func TestOrdersCount(t *testing.T) {
	d := newDesk(t)
	d.Order(
		vmrunfake.Order{Command: "list", Nth: 2, Times: 2, Do: vmrunfake.Fail, Output: "Error: The operation was canceled\n", Exit: 7},
		vmrunfake.Order{Command: "*", Nth: 5, Times: -1, Do: vmrunfake.Say, Output: "garbage"},
	)
	for i, want := range []string{"Total running VMs: 0\n", "Error: The operation was canceled\n", "Error: The operation was canceled\n",
		"Total running VMs: 0\n", "garbage", "garbage"} {
		output, exit := d.run("list")
		if output != want || (exit == 7) != (i == 1 || i == 2) {
			t.Errorf("list %d = %d %q, want %q", i+1, exit, output, want)
		}
	}
	d.Order()
	d.none()
}

func TestOrderOfAPath(t *testing.T) {
	d := newDesk(t).cloned()
	d.Order(vmrunfake.Order{Command: "start", Path: "/two/", Do: vmrunfake.Fail, Output: "Error: Unknown error\n"})
	d.ok("start", d.clone, "nogui")
	second := filepath.Join(d.dir, "vms", "two", "two.vmx")
	d.ok("clone", d.image, second, "linked", "-snapshot", "original", "-cloneName", "two")
	d.refused("Unknown error", "start", second, "nogui")
	d.ok("start", second, "nogui")
}

func TestHang(t *testing.T) {
	d := newDesk(t)
	d.Order(vmrunfake.Order{Command: "clone", Do: vmrunfake.Hang}, vmrunfake.Order{Command: "clone", Nth: 2, Do: vmrunfake.HangAfter})
	cmd := d.begin(d.cloneArgs()...)
	d.until("the call", func() bool { return len(d.Calls()) == 1 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // was killed
	if names := d.files(); names != nil {
		t.Error("an effect before the hang:", names)
	}
	cmd = d.begin(d.cloneArgs()...)
	d.until("the clone", func() bool { return d.read(d.clone) != "" })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // was killed
	d.ok("start", d.clone, "nogui")
	if calls := d.Calls(); len(calls) != 3 || calls[0].Exit != -1 || calls[1].Exit != -1 || calls[2].Exit != 0 {
		t.Errorf("the calls are %+v", calls)
	}
}

func TestHalfAClone(t *testing.T) {
	d := newDesk(t)
	d.Order(vmrunfake.Order{Command: "clone", Do: vmrunfake.Die})
	if output, exit := d.run(d.cloneArgs()...); exit != -1 || output != "" {
		t.Errorf("clone = %d %q, want it killed", exit, output)
	}
	if names := d.files(); len(names) != 1 || names[0] != "base-cl1.vmdk" {
		t.Errorf("left are %v, want a disk and no .vmx", names)
	}
	d.Order(vmrunfake.Order{Command: "clone", Do: vmrunfake.DieAfter})
	if err := os.RemoveAll(filepath.Dir(d.clone)); err != nil {
		t.Fatal(err)
	}
	if _, exit := d.run(d.cloneArgs()...); exit != -1 {
		t.Errorf("clone = %d, want it killed", exit)
	}
	d.ok("start", d.clone, "nogui") // no lock of the dead is in the way
}

func TestHalfARemoval(t *testing.T) {
	d := newDesk(t).started()
	d.ok("stop", d.clone, "hard")
	d.Order(vmrunfake.Order{Command: "deleteVM", Do: vmrunfake.Die})
	if _, exit := d.run("deleteVM", d.clone); exit != -1 {
		t.Errorf("deleteVM = %d, want it killed", exit)
	}
	if names := d.files(); len(names) == 0 || d.read(d.clone) != "" {
		t.Errorf("left are %v, want some files and no .vmx", names)
	}
	d.refused("Cannot open VM: "+d.clone+", The virtual machine cannot be found", "deleteVM", d.clone)
}

func TestWrongAnswers(t *testing.T) {
	d := newDesk(t).cloned()
	d.Order(
		vmrunfake.Order{Command: "start", Do: vmrunfake.FailAfter, Output: "Error: Unknown error\n"},
		vmrunfake.Order{Command: "list", Do: vmrunfake.Partial, Bytes: 10},
		vmrunfake.Order{Command: "list", Nth: 2, Do: vmrunfake.Say},
		vmrunfake.Order{Command: "list", Nth: 3, Do: vmrunfake.Slow, Millis: 200},
	)
	d.refused("Unknown error", "start", d.clone, "nogui")
	d.one()
	if output, exit := d.run("list"); output != "Total runn" || exit != 0 {
		t.Errorf("list = %d %q, want ten bytes", exit, output)
	}
	if output, exit := d.run("list"); output != "" || exit != 0 {
		t.Errorf("list = %d %q, want nothing", exit, output)
	}
	begun := time.Now()
	if output, _ := d.run("list"); !strings.HasPrefix(output, "Total running VMs: 1\n") || time.Since(begun) < 200*time.Millisecond {
		t.Errorf("list = %q after %s", output, time.Since(begun))
	}
}

func TestGuestsToOrder(t *testing.T) {
	file := func(d *desk) string { return d.read(filepath.Join(d.Leases, "vmnet-dhcpd-vmnet1.leases")) }
	tests := []struct {
		name  string
		order vmrunfake.Order
		check func(d *desk)
	}{
		{"vanishes", vmrunfake.Order{Do: vmrunfake.Vanish, Millis: 50}, func(d *desk) {
			d.until("the end", func() bool { return len(d.VMs()) == 0 })
			if strings.Contains(d.log(), "VMX exit") || !strings.Contains(strings.Join(d.files(), " "), ".lck") {
				d.t.Error("it went in order")
			}
		}},
		{"powers off", vmrunfake.Order{Do: vmrunfake.PowerOff, Millis: 50}, func(d *desk) {
			d.until("the end", func() bool { return len(d.VMs()) == 0 })
			if !strings.Contains(d.log(), "PM Soft Off") {
				d.t.Errorf("the log is\n%s", d.log())
			}
		}},
		{"reboots", vmrunfake.Order{Do: vmrunfake.Reset, Millis: 50}, func(d *desk) {
			d.until("the reset", func() bool { return strings.Contains(d.log(), "be hard reset.") })
			d.one()
		}},
		{"is deaf", vmrunfake.Order{Do: vmrunfake.IgnoreSoft}, func(d *desk) {
			cmd := d.begin("stop", d.clone, "soft")
			d.until("the request", func() bool { return strings.Contains(d.log(), "OS_Halt") })
			d.one()
			d.ok("stop", d.clone, "hard")
			if err := cmd.Wait(); err != nil {
				d.t.Error("the soft stop did not see the end:", err)
			}
		}},
		{"has no tools", vmrunfake.Order{Do: vmrunfake.NoTools}, func(d *desk) {
			d.refused("The VMware Tools are not running in the virtual machine: "+d.clone, "stop", d.clone, "soft")
			d.refused("The VMware Tools are not running in the virtual machine: "+d.clone, "reset", d.clone)
			d.ok("stop", d.clone, "hard")
		}},
		{"gets no address", vmrunfake.Order{Do: vmrunfake.NoLease}, func(d *desk) {
			// Another guest gets its own, so this one would have had it.
			second := filepath.Join(d.dir, "vms", "two", "two.vmx")
			d.ok("clone", d.image, second, "linked", "-snapshot", "original", "-cloneName", "two")
			d.edit(second, map[string]string{"ethernet0.addressType": "static", "ethernet0.address": "02:00:00:00:00:02", "ethernet0.connectionType": "hostonly"})
			d.ok("start", second, "nogui")
			d.until("the other's lease", func() bool { return strings.Contains(file(d), "02:00:00:00:00:02") })
			if strings.Contains(file(d), "02:00:00:00:00:01") {
				d.t.Errorf("the leases are\n%s", file(d))
			}
		}},
		{"gets it late", vmrunfake.Order{Do: vmrunfake.LateLease, Millis: 300}, func(d *desk) {
			d.until("the lease", func() bool { return strings.Contains(file(d), "02:00:00:00:00:01") })
			if waited := time.Since(d.begun); waited < 300*time.Millisecond {
				d.t.Errorf("the lease was there after %s", waited)
			}
		}},
		{"had another address", vmrunfake.Order{Do: vmrunfake.OldLease}, func(d *desk) {
			d.until("the leases", func() bool { return strings.Count(file(d), "}\n") == 3 })
			last := file(d)[strings.LastIndex(file(d), "lease "):]
			if !strings.Contains(last, "172.16.77.127") || !strings.Contains(last, "02:00:00:00:00:01") {
				d.t.Errorf("the last lease is\n%s", last)
			}
		}},
		{"is written slowly", vmrunfake.Order{Do: vmrunfake.TornLease, Millis: 100}, func(d *desk) {
			d.until("half a lease", func() bool { return strings.HasSuffix(file(d), "hardware ethernet 0") })
			d.until("the lease", func() bool {
				return strings.HasSuffix(file(d), "02:00:00:00:00:01;\n\tclient-hostname \"guest\";\n}\n")
			})
			if strings.Count(file(d), "lease 1") != 1 {
				d.t.Errorf("half a lease is left:\n%s", file(d))
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t).cloned()
			test.order.Command = "guest"
			d.Order(test.order)
			d.begun = time.Now()
			d.ok("start", d.clone, "nogui")
			test.check(d)
		})
	}
}
