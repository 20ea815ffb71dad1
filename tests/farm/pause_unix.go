//go:build unix

package farm

import "syscall"

// Pause stops the process where it is, as a machine does that sleeps; its
// connections stay open.
func (m *Member) Pause() {
	m.t.Helper()
	m.Signal(syscall.SIGSTOP)
}

// Resume has it go on.
func (m *Member) Resume() {
	m.t.Helper()
	m.Signal(syscall.SIGCONT)
}

// wake has a node go on that a failed test left stopped.
func (m *Member) wake() {
	if m.Running() {
		m.Signal(syscall.SIGCONT)
	}
}
