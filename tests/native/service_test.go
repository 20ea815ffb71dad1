//go:build linux

package native

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// manager ends and starts a node as systemd does under our unit: it knows the
// processes of the unit and signals those that KillMode names.
type manager struct {
	site
	killMode string
}

// newManager reads how the unit wants it.
func newManager(t *testing.T, s site) manager {
	t.Helper()
	text, err := os.ReadFile("../../packaging/aquarium-fish.service")
	if err != nil {
		t.Fatal(err)
	}
	m := manager{site: s, killMode: "control-group"} // systemd's default
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "KillMode="); ok {
			m.killMode = value
		}
	}
	return m
}

// restart stops the unit with a signal, kills what is left of what has to go,
// and starts it again.
func (m manager) restart(signal syscall.Signal) {
	m.t.Helper()
	unit := m.processes()
	m.Signal(signal)
	m.WaitExit()
	if m.killMode != "process" {
		for _, pid := range unit {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				m.t.Fatal(err)
			}
		}
	}
	m.Start()
}

// processes are those of the unit: the node and all that it has started, also
// what has got another parent since.
func (m manager) processes() []int {
	m.t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		m.t.Fatal(err)
	}
	var found []int
	for _, p := range all {
		environ, _ := os.ReadFile(filepath.Join(p, "environ")) // it may have ended just now
		args, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		pid, _ := strconv.Atoi(filepath.Base(p)) // the pattern is of digits
		if pid == m.PID() || strings.Contains(string(environ)+string(args), m.Dir) {
			found = append(found, pid)
		}
	}
	return found
}

// TestServiceRestart: under a service manager that goes by our unit, an
// environment lives through a restart and a crash of the node, and is released
// by the node that comes after. Without the unit's KillMode it would not.
func TestServiceRestart(t *testing.T) {
	t.Parallel()
	m := newManager(t, start(t, fish.Options{}))
	e := m.run("service", reader, "ready")
	if len(m.processes()) < 3 {
		t.Errorf("the unit has the processes %v, want the node, a keeper and the environment", m.processes())
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		m.restart(signal)
		if !e.alive() {
			t.Fatalf("a restart by %v under KillMode=%s ended the environment", signal, m.killMode)
		}
		if got := m.State(e.app); got.Status != "ALLOCATED" {
			t.Errorf("after a restart by %v: %+v, want ALLOCATED", signal, got)
		}
	}
	e.site = m.site
	e.release()
	lost := m.run("lost", reader, "ready")
	pid := lost.value("PID")
	m.killMode = "control-group" // what the unit keeps from happening
	m.restart(syscall.SIGTERM)
	if lost.runs(pid) {
		t.Error("the environment outlives a manager that kills all of a unit: this test proves nothing")
	}
	m.WaitStatus(lost.app, "DEALLOCATED") // with its user
}
