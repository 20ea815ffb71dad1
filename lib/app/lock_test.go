package app

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/filelock"
)

func TestOneProcessPerNode(t *testing.T) {
	dir := t.TempDir()
	first, err := lockNode(dir, "fish")
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockNode(dir, "fish")
	if !errors.Is(err, filelock.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second lockNode() = %v, want ErrLocked with the holder's process", err)
	}
	other, err := lockNode(dir, "other")
	if err != nil {
		t.Errorf("lockNode() of another node in the directory = %v", err)
	} else if err := other.Close(); err != nil {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockNode(dir, "fish")
	if err != nil {
		t.Fatalf("lockNode() after the first ended = %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestLockOfTheDead: what a killed node was about to start had its lock for a
// moment longer.
func TestLockOfTheDead(t *testing.T) {
	dir := t.TempDir()
	first, err := lockNode(dir, "fish")
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	time.AfterFunc(inheritance/5, func() { closed <- first.Close() })
	again, err := lockNode(dir, "fish")
	if err != nil {
		t.Fatalf("lockNode() while the lock of the dead goes = %v", err)
	}
	if err := errors.Join(<-closed, again.Close()); err != nil {
		t.Error(err)
	}
}
