//go:build linux

package procs

import (
	"os"
	"os/exec"
	"slices"
	"testing"
)

func TestPIDs(t *testing.T) {
	child := exec.Command("sleep", "1000")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pids, err := PIDs()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{os.Getpid(), child.Process.Pid} {
		if !slices.Contains(pids, want) {
			t.Errorf("PIDs() = %v, want %d in it", pids, want)
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	if pids, err = PIDs(); err != nil || slices.Contains(pids, child.Process.Pid) {
		t.Errorf("PIDs() = %v, %v, want the dead %d gone", pids, err, child.Process.Pid)
	}
}
