//go:build unix

package vmrun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tool is a Tool whose vmrun is a shell script. In it $2 is the product and $3
// the verb.
func tool(t *testing.T, script string) (*Tool, string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "vmrun")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	scratch := filepath.Join(dir, "scratch")
	if err := os.Mkdir(scratch, 0o700); err != nil {
		t.Fatal(err)
	}
	short := 500 * time.Millisecond
	return New(Options{
		Vmrun: path, DiskManager: path, Product: Fusion, Scratch: scratch, Prefix: ".new-", Logger: slog.New(slog.DiscardHandler),
		Bounds: Bounds{List: short, Clone: short, Start: short, Stop: short, Suspend: short},
	}), dir
}

// dead fails unless the process whose number a script wrote is gone.
func dead(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || err == nil && strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %d still runs", pid)
}

// TestHangs: the tool and its children die with the bound or the context.
func TestHangs(t *testing.T) {
	t.Parallel()
	tool, dir := tool(t, `d=$(dirname "$0"); sleep 1000 & echo $! > "$d/child"; echo $$ > "$d/self"; wait`)
	err := tool.Start(t.Context(), "/a.vmx")
	if err == nil || !strings.Contains(err.Error(), "vmrun start: it was killed because it did not end within 500ms") {
		t.Errorf("Start() = %v", err)
	}
	dead(t, filepath.Join(dir, "child"))
	dead(t, filepath.Join(dir, "self"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := tool.List(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("List() = %v, want the error of the context", err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "scratch")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// TestDaemon: what a call leaves running on purpose holds nothing up.
func TestDaemon(t *testing.T) {
	t.Parallel()
	tool, dir := tool(t, `sleep 1000 & echo $! > "$(dirname "$0")/child"`)
	start := time.Now()
	tool.o.Bounds.Start = time.Minute
	if err := tool.Start(t.Context(), "/a.vmx"); err != nil || time.Since(start) > 30*time.Second {
		t.Errorf("Start() = %v after %v", err, time.Since(start))
	}
	text, err := os.ReadFile(filepath.Join(dir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("what was started was killed: %v", err)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	says, _ := tool(t, `echo "Error: The file already exists"; exit 255`)
	if err := says.Clone(t.Context(), "a", "b", "c", "d"); err == nil || !strings.HasPrefix(err.Error(), "vmrun clone: Error: The file already exists (exit") {
		t.Errorf("Clone() = %v, want what the tool said", err)
	}
	floods, _ := tool(t, `echo "Total running VMs: 0"; while :; do echo 0123456789012345678901234567890123456789; done`)
	if _, err := floods.List(t.Context()); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("List() of a flood = %v", err)
	}
	long, _ := tool(t, `echo "Total running VMs: 0"; head -c 2000000 /dev/zero`)
	if _, err := long.List(t.Context()); err == nil || !strings.Contains(err.Error(), "it said more than") {
		t.Errorf("List() of too much = %v", err)
	}
	none := New(Options{Vmrun: "/no/such/vmrun", Logger: slog.New(slog.DiscardHandler), Scratch: t.TempDir(), Bounds: Bounds{List: time.Minute}})
	if _, err := none.List(t.Context()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("List() without vmrun = %v", err)
	}
	if err := none.CreateDisk(t.Context(), "/d.vmdk", 1); !errors.Is(err, errNoDiskManager) {
		t.Errorf("CreateDisk() without the tool = %v", err)
	}
	full, _ := tool(t, `echo "Error: words"; exit 3`)
	full.o.Scratch = "/no/such/folder" // as on a full disk
	if err := full.Delete(t.Context(), "/a.vmx"); err == nil || !strings.Contains(err.Error(), "vmrun deleteVM: it said nothing (exit status 3)") {
		t.Errorf("Delete() without room for its words = %v", err)
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	tool, dir := tool(t, `shift 2 2>/dev/null; echo "$@" >> "$(dirname "$0")/calls"`)
	ctx := t.Context()
	err := errors.Join(tool.Clone(ctx, "/i.vmx", "/n.vmx", "original", "id"), tool.Start(ctx, "/a b.vmx"), tool.StopSoft(ctx, "/a.vmx"),
		tool.StopHard(ctx, "/a.vmx"), tool.Suspend(ctx, "/a.vmx"), tool.Snapshot(ctx, "/a.vmx", "s"), tool.Delete(ctx, "/a.vmx"),
		tool.CreateDisk(ctx, "/d.vmdk", 3))
	if err != nil {
		t.Fatal(err)
	}
	want := "clone /i.vmx /n.vmx linked -snapshot original -cloneName id\nstart /a b.vmx nogui\nstop /a.vmx soft\nstop /a.vmx hard\n" +
		"suspend /a.vmx hard\nsnapshot /a.vmx s\ndeleteVM /a.vmx\n3GB -a lsilogic -t 0 /d.vmdk\n"
	if got, err := os.ReadFile(filepath.Join(dir, "calls")); err != nil || string(got) != want {
		t.Errorf("the tools were called with\n%s, %v, want\n%s", got, err, want)
	}
}

// TestEndOrphans: what a killed node left is killed, and nothing else.
func TestEndOrphans(t *testing.T) {
	t.Parallel()
	tool, dir := tool(t, `sleep 1000`)
	folder := filepath.Join(dir, "005056000001")
	ours := exec.Command(tool.o.Vmrun, "-T", "fusion", "start", folder+"/a.vmx", "nogui")
	other := exec.Command(tool.o.Vmrun, "-T", "fusion", "start", folder+"2/a.vmx", "nogui")
	for _, cmd := range []*exec.Cmd{ours, other} {
		inGroup(cmd)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	}
	ended := make(chan error, 1)
	go func() { ended <- ours.Wait() }()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		found, err := processes(t.Context(), func(argv string) bool { return tool.orphan(argv, folder) })
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			break // it has become the script
		}
	}
	if err := tool.EndOrphans(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the call that was left came to its end")
	}
	if err := syscall.Kill(other.Process.Pid, 0); err != nil {
		t.Errorf("another environment's call: %v", err)
	}
	if err := syscall.Kill(-other.Process.Pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	_ = other.Wait()
}

func inGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// TestOrphan: whose calls are killed, by their arguments.
func TestOrphan(t *testing.T) {
	t.Parallel()
	tool := New(Options{Vmrun: "/usr/bin/vmrun", DiskManager: "/usr/bin/vmware-vdiskmanager"})
	for _, tt := range []struct {
		argv string
		want bool
	}{
		{"/usr/bin/vmrun -T ws start /w/005056000001/005056000001.vmx nogui", true},
		{"/bin/sh /usr/bin/vmrun -T ws start /w/005056000001/005056000001.vmx nogui", true},
		{"/usr/lib/vmware/bin/vmrun -T ws clone /w/005056000001/image/a/a.vmx /w/005056000001/005056000001.vmx linked", true},
		{"/opt/vmware/vmware-vdiskmanager -c -s 1GB /w/005056000001/making-disk/a.vmdk", true},
		{"/usr/bin/vmrun -T ws start /w/005056000002/005056000002.vmx nogui", false},
		{"/usr/bin/vmrun -T ws list", false},
		{"/usr/lib/vmware/bin/vmware-vmx /w/005056000001/005056000001.vmx", false},
		{"less /w/005056000001/vmware.log", false},
	} {
		if got := tool.orphan(tt.argv, "/w/005056000001"); got != tt.want {
			t.Errorf("orphan(%q) = %v, want %v", tt.argv, got, tt.want)
		}
	}
}
