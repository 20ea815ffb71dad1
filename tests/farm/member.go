package farm

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Database is the folder with the database of the node.
func (m *Member) Database() string { return filepath.Join(m.Dir, "fish_data", m.Address) }

// Backup copies the database of a node that does not run, and returns the
// folder of the copy.
func (m *Member) Backup() string {
	m.t.Helper()
	to := m.t.TempDir()
	m.copyFiles(m.Database(), to)
	return to
}

// Restore puts a copy in the place of the database of a node that does not
// run, as somebody does who knows no better: nothing tells the node.
func (m *Member) Restore(backup string) {
	m.t.Helper()
	for _, name := range m.files(m.Database()) {
		if err := os.Remove(filepath.Join(m.Database(), name)); err != nil {
			m.t.Fatal(err)
		}
	}
	m.copyFiles(backup, m.Database())
}

func (m *Member) files(dir string) []string {
	m.t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		m.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names
}

func (m *Member) copyFiles(from, to string) {
	m.t.Helper()
	for _, name := range m.files(from) {
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			m.t.Fatal(err)
		}
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Environments are those that the node's test driver has in its workspace.
func (m *Member) Environments() []string {
	m.t.Helper()
	entries, err := os.ReadDir(m.workspace)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "test-") {
			names = append(names, e.Name())
		}
	}
	return names
}

// KillLoop kills the node and starts it again, so many times; it runs for
// pause in between, and stays away for as long.
func (m *Member) KillLoop(times int, pause func() time.Duration) {
	m.t.Helper()
	for range times {
		m.last(pause())
		m.Kill()
		m.last(pause())
		m.Start()
	}
}

// last lets a fault, or its absence, last for a while: time is what it is made
// of, and there is no condition to wait for.
func (m *Member) last(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.t.Context().Done():
	}
}
