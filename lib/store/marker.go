package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// The marker is a file beside the database that tells whether the database is
// the one that this node last wrote to. If it may not be, the node takes a new
// incarnation: sequence numbers that it gave away before are never given to
// other rows.

// markerName is the marker's name in the database's folder.
const markerName = "sqlite.db.marker"

// marker is what the file holds.
type marker struct {
	// Running is true while a node has the database open.
	Running     bool   `json:"running"`
	Incarnation uint32 `json:"incarnation"`
	Session     int64  `json:"session"`           // the database has it too
	Opening     bool   `json:"opening,omitempty"` // or it has Previous still
	Previous    int64  `json:"previous,omitempty"`
	// Aside is true once the database was set aside: an empty one after it is
	// meant to be, and lacks nothing.
	Aside bool     `json:"aside,omitempty"`
	File  fileMark `json:"file"`
}

// fileMark tells one file, as it was at one time, from others.
type fileMark struct {
	Boot  string `json:"boot"`  // of the system; "" where it can not be told
	Inode uint64 `json:"inode"` // 0 where there is none
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime"` // Unix nanoseconds
}

// other reports whether a database may be another one than the marker was
// written for: put back from a copy, or what a system that crashed left of it.
// Its session is 0 before it was opened with a marker for the first time.
func (m *marker) other(session int64, file fileMark) bool {
	switch {
	case m == nil:
		return session != 0
	case session != m.Session && (!m.Opening || session != m.Previous):
		return true
	case m.Running:
		return file.Boot == "" || file.Boot != m.File.Boot || file.Inode != m.File.Inode
	}
	return file.Inode != m.File.Inode || file.Size != m.File.Size || file.MTime != m.File.MTime
}

// sameRun reports whether a database is the one that the run which the marker is of
// left when it ended, not in order: none that was put back.
func (m *marker) sameRun(session int64, file fileMark) bool {
	return m != nil && m.Running && file.Inode == m.File.Inode && (session == m.Session || m.Opening && session == m.Previous)
}

// newSession draws the number of a session.
func newSession() int64 { return 1 + rand.Int64N(1<<62) }

// keeper keeps a marker where its engine keeps such things.
type keeper interface {
	// foundMarker is the marker, nil if there is none, and the database's file
	// as they were before it was opened. A marker that can not be read is empty.
	foundMarker() (*marker, fileMark)
	writeMarker(m marker) error
}

// readMarker reads the marker of a folder and how the database's file is.
func readMarker(folder string) (*marker, fileMark, error) {
	file, err := markFile(filepath.Join(folder, fileName))
	if err != nil {
		return nil, file, err
	}
	text, err := os.ReadFile(filepath.Join(folder, markerName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, file, nil
	}
	if err != nil {
		return nil, file, fmt.Errorf("read the database's marker: %w", err)
	}
	m := &marker{}
	if json.Unmarshal(text, m) != nil {
		return &marker{}, file, nil //nolint:nilerr // it says nothing, so this may be any database
	}
	return m, file, nil
}

// markFile is how a file is now.
func markFile(path string) (fileMark, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileMark{}, fmt.Errorf("look at the database: %w", err)
	}
	return fileMark{Boot: bootID(), Inode: inodeOf(info), Size: info.Size(), MTime: info.ModTime().UnixNano()}, nil
}

func (d *database) foundMarker() (*marker, fileMark) { return d.found, d.file }

func (d *database) writeMarker(m marker) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the database's marker: %w", err)
	}
	path := filepath.Join(filepath.Dir(d.path), markerName)
	if err := durable.WriteFile(path, text, modeFile); err != nil {
		return fmt.Errorf("write the database's marker: %w", err)
	}
	return inherit(path)
}

// markAside notes in a folder, before its database is set aside, that it will be.
func markAside(path string) error {
	d := &database{path: path}
	found, _, err := readMarker(filepath.Dir(path))
	if err != nil || found == nil {
		return err
	}
	found.Aside = true
	return d.writeMarker(*found)
}

// markStopped notes how the closed database's file is.
func (d *database) markStopped(m marker) error {
	file, err := markFile(d.path)
	if err != nil {
		return err
	}
	m.Running, m.File = false, file
	return d.writeMarker(m)
}

func (m *memoryEngine) foundMarker() (*marker, fileMark) {
	m.disk.mu.RLock()
	defer m.disk.mu.RUnlock()
	return m.disk.marker, m.disk.file
}

func (m *memoryEngine) writeMarker(mark marker) error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.disk.user != m {
		return fmt.Errorf("%w: lost power", errDisk)
	}
	m.disk.marker = &mark
	return nil
}
