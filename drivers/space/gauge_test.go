package space

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// fileSystem is looked at by a gauge; each look takes as long as it is told.
type fileSystem struct {
	mu    sync.Mutex // guards all
	takes time.Duration
	err   error
	looks int
}

func (f *fileSystem) look() (Reading, error) {
	f.mu.Lock()
	f.looks++
	n, takes, err := uint(f.looks), f.takes, f.err //nolint:gosec // few
	f.mu.Unlock()
	time.Sleep(takes)
	return Reading{Room: drivers.DiskRoom{Total: 9, Free: n}}, err
}

// become changes how the next looks go.
func (f *fileSystem) become(takes time.Duration, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.takes, f.err = takes, err
}

func (f *fileSystem) looked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looks
}

func TestGauge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fileSystem{}
		g := New("/disk", f.look)
		read := func(want uint) {
			t.Helper()
			if r, err := g.Read(); err != nil || r.Room.Free != want {
				t.Errorf("Read() = %+v, %v, want that of look %d", r, err, want)
			}
		}
		read(1)
		read(1) // from memory
		time.Sleep(fresh)
		read(2)
		time.Sleep(time.Hour) // nobody asked
		read(3)
		f.become(time.Second, nil)
		time.Sleep(fresh)
		read(3) // the look under way takes too long to wait for
		time.Sleep(time.Second)
		synctest.Wait()
		read(4)
		time.Sleep(fresh)
		read(4) // one that costs much is repeated rarely
		time.Sleep(costFactor * time.Second)
		f.become(0, errors.New("broken"))
		if _, err := g.Read(); err == nil || !strings.Contains(err.Error(), "/disk: broken") {
			t.Errorf("Read() = %v, want the error of the look and where", err)
		}
		f.become(0, nil)
		time.Sleep(fresh)
		read(6)
		g.Close()
		time.Sleep(time.Hour)
		read(6)
	})
}

// TestGaugeOfWhatHangs: nobody waits longer than a moment, once; one look is
// under way at most; and what was read long ago is not given as if it were so.
func TestGaugeOfWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fileSystem{takes: time.Hour}
		g := New("/disk", f.look)
		began := time.Now()
		for range 100 {
			if _, err := g.Read(); !errors.Is(err, errHangs) {
				t.Fatalf("Read() before the first answer = %v, want %v", err, errHangs)
			}
		}
		if took := time.Since(began); took != patience || f.looked() != 1 {
			t.Errorf("100 reads took %v and %d looks, want %v and 1", took, f.looked(), patience)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if _, err := g.Read(); err != nil {
			t.Errorf("Read() after it answered = %v", err)
		}
		time.Sleep(costFactor * time.Hour)
		if _, err := g.Read(); !errors.Is(err, errHangs) {
			t.Errorf("Read() of what is 20 hours old = %v, want %v", err, errHangs)
		}
		began = time.Now()
		g.Close()
		if took := time.Since(began); took != closing {
			t.Errorf("Close() took %v, want %v", took, closing)
		}
		time.Sleep(time.Hour) // the look ends, or the bubble would tell
	})
}

func TestOf(t *testing.T) {
	dir := t.TempDir()
	total, free, err := Of(dir)
	if err != nil || free <= 0 || total < free {
		t.Errorf("Of() = %d, %d, %v", total, free, err)
	}
	if _, _, err := Of(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Of() of what is not there = %v", err)
	}
	one, err1 := FileSystem(dir)
	two, err2 := FileSystem(filepath.Dir(dir))
	if one != two || one == "" || errors.Join(err1, err2) != nil {
		t.Errorf("FileSystem() = %q, %v and %q, %v, want the same", one, err1, two, err2)
	}
	if got := ToGB(3<<30 + 5); got != 3 || ToGB(-1) != 0 {
		t.Errorf("ToGB() = %d and %d, want 3 and 0", got, ToGB(-1))
	}
}
