package test

import (
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// TestFlushIsDurable checks what callers rely on: the flush that served them
// began after they asked.
func TestFlushIsDurable(t *testing.T) {
	const callers, rounds = 16, 50
	var begun atomic.Int64
	f := newFlusher(t.TempDir())
	f.sync = func(path string) error {
		begun.Add(1)
		return durable.SyncFolder(path)
	}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range rounds {
				before := begun.Load()
				if err := f.flush(); err != nil {
					t.Errorf("flush() = %v", err)
				}
				if begun.Load() == before {
					t.Error("flush() returned without a flush that began after it was called")
				}
			}
		})
	}
	wg.Wait()
	if n := begun.Load(); n > callers*rounds {
		t.Errorf("%d flushes for %d calls", n, callers*rounds)
	}
}

func TestFlushFails(t *testing.T) {
	f := newFlusher(filepath.Join(t.TempDir(), "absent"))
	if err := f.flush(); err == nil {
		t.Error("flush() of an absent folder = nil, want an error")
	}
	broken := errors.New("disk error")
	f.sync = func(string) error { return broken }
	for range 2 {
		if err := f.flush(); !errors.Is(err, broken) {
			t.Errorf("flush() = %v, want %v", err, broken)
		}
	}
	f.sync = func(string) error { return nil }
	if err := f.flush(); err != nil {
		t.Errorf("flush() after the disk was mended = %v, want nil", err)
	}
}
