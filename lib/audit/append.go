package audit

import (
	"errors"
	"fmt"
	"math"
	"os"
	"time"
)

// Actions of commands that work on the folder of a stopped node.
const (
	ActionUserReset = "user.reset" // a new password for somebody who lost it
	ActionRestore   = "db.restore" // another database in place of the one that was there
	ActionRebuild   = "db.rebuild" // tables that were otherwise made again
)

// byCommand reports whether an event is from a command while no node ran: it says nothing about how the last run ended.
func (e Event) byCommand() bool {
	return e.Action == ActionUserReset || e.Action == ActionRestore || e.Action == ActionRebuild
}

// Append adds an event to the file of a node that does not run, and returns when it is durable. It makes no file, as
// that would belong to whoever calls it, and not to the node: without one the error is fs.ErrNotExist.
func Append(path string, e Event) (err error) {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("append to audit file: %w", err)
	}
	f, last, err := openFile(Options{Path: path, Size: math.MaxInt64}) // nor is it full: the node puts it aside
	if err != nil {
		return fmt.Errorf("append to audit file %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, f.close()) }()
	e.Seq, e.Time, e.Count = last.Seq+1, time.Now().UTC(), max(1, e.Count)
	if _, err := f.append(e.line(), e.Seq); err != nil {
		return fmt.Errorf("append to audit file %s: %w", path, err)
	}
	return nil
}
