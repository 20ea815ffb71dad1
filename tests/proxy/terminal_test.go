//go:build linux

package proxy

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is what somebody sits at.
type terminal struct {
	master, slave *os.File

	mu     sync.Mutex
	shown  bytes.Buffer
	from   int // what was shown before was waited for
	change chan struct{}
}

// openTerminal makes one of that size.
func openTerminal(t testing.TB, rows, columns uint16) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	term := &terminal{master: master, change: make(chan struct{}, 1)}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	term.slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = term.slave.Close() })
	term.resize(t, rows, columns)
	return term
}

// start runs a command at the terminal.
func (term *terminal) start(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = term.slave, term.slave, term.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(term.read)
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended by now, or the test has failed
		_ = term.slave.Close()
		_ = term.master.Close()
		reading.Wait()
	})
}

func (term *terminal) read() {
	buffer := make([]byte, 4096)
	for {
		n, err := term.master.Read(buffer)
		term.mu.Lock()
		term.shown.Write(buffer[:n])
		term.mu.Unlock()
		select {
		case term.change <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// resize makes the window of another size: who runs in it gets SIGWINCH.
func (term *terminal) resize(t testing.TB, rows, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(term.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

// say types something and waits for an answer.
func (term *terminal) say(t testing.TB, keys, answer string) {
	t.Helper()
	if _, err := term.master.WriteString(keys); err != nil {
		t.Fatal(err)
	}
	term.wait(t, answer)
}

// wait waits until something is shown that was not waited for before.
func (term *terminal) wait(t testing.TB, text string) {
	t.Helper()
	deadline := time.After(sshTime)
	for {
		term.mu.Lock()
		at := strings.Index(term.shown.String()[term.from:], text)
		if at >= 0 {
			term.from += at + len(text)
		}
		all := term.shown.String()
		term.mu.Unlock()
		if at >= 0 {
			return
		}
		select {
		case <-term.change:
		case <-deadline:
			t.Fatalf("the terminal does not show %q but: %q", text, all)
		}
	}
}

// forget drops what was shown and waited for.
func (term *terminal) forget() {
	term.mu.Lock()
	defer term.mu.Unlock()
	term.shown.Next(term.from)
	term.from = 0
}

// text is what was shown.
func (term *terminal) text() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.shown.String()
}
