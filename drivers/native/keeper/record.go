//go:build linux || darwin

package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// record is what a keeper writes down before it starts its entry (without
// Entry), and again when the entry runs.
type record struct {
	Token       string   `json:"token"`
	BootID      string   `json:"boot_id"`
	Keeper      identity `json:"keeper"`
	Entry       identity `json:"entry"`
	Join        []string `json:"join,omitempty"`
	KillCommand []string `json:"kill_command,omitempty"`
}

// identity names one process for as long as the machine is up: a process id
// alone is used again.
type identity struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // as the system counts it, see process.Start
}

// exit is how an entry ended.
type exit struct {
	Token  string    `json:"token"`
	Code   int       `json:"code"` // -1 if a signal ended it
	Signal string    `json:"signal,omitempty"`
	Number int       `json:"signal_number,omitempty"`
	Reason string    `json:"reason,omitempty"` // more that the keeper knows, such as "out of memory"
	Time   time.Time `json:"time"`
}

// words describes the ending to the user.
func (e exit) words() string {
	text := fmt.Sprintf("exit code %d", e.Code)
	if e.Number != 0 {
		text = fmt.Sprintf("killed by signal %d (%s)", e.Number, e.Signal)
	}
	if e.Reason != "" {
		text += ", " + e.Reason
	}
	return text
}

// readJSON reads a small file of the folder; ok is false where there is none.
func readJSON(path string, into any) (ok bool, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	return true, nil
}

// writeJSON replaces a file of the folder durably: after a power loss it holds
// the old text or the new one.
func writeJSON(folder, name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	temp := filepath.Join(folder, name+".tmp")
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return replaceBy(file, data, filepath.Join(folder, name))
}

// replaceBy fills the open file with the data and renames it to path.
func replaceBy(file *os.File, data []byte, path string) error {
	_, err := file.WriteAt(data, 0)
	err = errors.Join(err, file.Truncate(int64(len(data))), file.Sync())
	err = errors.Join(err, file.Close())
	if err == nil {
		err = durable.Rename(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// reserved is more than a record takes apart from its lists.
const reserved = 4096

// reserve takes disk blocks for a record while there are some: an environment
// that fills the disk can still be seen to run and to end.
func reserve(folder, name string, size int) error {
	return os.WriteFile(filepath.Join(folder, name+reserveSuffix), make([]byte, size), 0o600)
}

// writeReserved is writeJSON in the blocks that were reserved for the name.
func writeReserved(folder, name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(folder, name+reserveSuffix), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return replaceBy(file, data, filepath.Join(folder, name))
}

// writeExit records an ending. Where even the reserved blocks fail it gives up
// the older log for it.
func writeExit(folder string, e exit) error {
	if writeReserved(folder, exitFile, e) == nil {
		return nil
	}
	_ = os.Remove(filepath.Join(folder, OldLogFile)) // the second attempt tells whether it helped
	return writeReserved(folder, exitFile, e)
}
