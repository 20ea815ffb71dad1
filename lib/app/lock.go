package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/filelock"
)

// LockNode takes the lock of a node that does not run, for work on its folder;
// a running one is an error that says so.
func LockNode(directory, nodeName string) (unlock func() error, err error) {
	f, err := lockNode(directory, nodeName)
	if err != nil {
		return nil, err
	}
	return f.Close, nil
}

// inheritance is how long the lock of a process that was killed may live on: a
// child that it was about to start has all its files until it becomes another
// program.
const inheritance = time.Second

// lockNode makes sure that one process alone is this node: two would share a
// database that each believes to be its own. The lock is the system's and ends
// with the process, however it ends; the file only tells who holds it.
func lockNode(directory, nodeName string) (*os.File, error) {
	path := filepath.Join(directory, nodeName+".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	err = filelock.Lock(f)
	for deadline := time.Now().Add(inheritance); errors.Is(err, filelock.ErrLocked) && time.Now().Before(deadline); {
		time.Sleep(inheritance / 50)
		err = filelock.Lock(f)
	}
	if err != nil {
		holder, _ := os.ReadFile(path) // only for the message
		err = fmt.Errorf("node %q is running already in %s (process %s): stop it, or set another directory or node_name: %w",
			nodeName, directory, strings.TrimSpace(string(holder)), err)
		return nil, errors.Join(err, f.Close())
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintln(f, os.Getpid()) // only for the message of another process
	}
	return f, nil
}
