package space

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// fileSystem is looked at by a gauge; each look takes as long as it is told.
type fileSystem struct {
	takes time.Duration
	err   error
	looks int
}

func (f *fileSystem) look() (Reading, error) {
	f.looks++
	n := uint(f.looks) //nolint:gosec // few
	err := f.err
	time.Sleep(f.takes)
	return Reading{Room: drivers.DiskRoom{Total: 9, Free: n}}, err
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
		f.takes = time.Second
		time.Sleep(fresh)
		read(3) // the look under way takes too long to wait for
		time.Sleep(time.Second)
		synctest.Wait()
		read(4)
		time.Sleep(fresh)
		read(4) // one that costs much is repeated rarely
		f.takes = 0
		time.Sleep(costFactor * time.Second)
		f.err = errors.New("broken")
		if _, err := g.Read(); err == nil || !strings.Contains(err.Error(), "/disk: broken") {
			t.Errorf("Read() = %v, want the error of the look and where", err)
		}
		f.err = nil
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
		if took := time.Since(began); took != patience || f.looks != 1 {
			t.Errorf("100 reads took %v and %d looks, want %v and 1", took, f.looks, patience)
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
