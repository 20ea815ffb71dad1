package space

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fileSystem is looked at by a gauge; each look takes as long as it is told.
type fileSystem struct {
	mu    sync.Mutex // guards all
	takes time.Duration
	err   error
	looks int
}

func (f *fileSystem) look(context.Context) (int, error) {
	f.mu.Lock()
	f.looks++
	n, takes, err := f.looks, f.takes, f.err
	f.mu.Unlock()
	time.Sleep(takes)
	return n, err
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
		g := newGauge("/disk", f.look)
		read := func(want int) {
			t.Helper()
			if n, err := g.read(); err != nil || n != want {
				t.Errorf("read() = %d, %v, want that of look %d", n, err, want)
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
		if _, err := g.read(); err == nil || !strings.Contains(err.Error(), "/disk: broken") {
			t.Errorf("read() = %v, want the error of the look and where", err)
		}
		f.become(0, nil)
		time.Sleep(fresh)
		read(6)
		g.close()
		time.Sleep(time.Hour)
		read(6)
	})
}

// TestGaugeOfWhatHangs: nobody waits longer than a moment, once; one look is
// under way at most; and what was read long ago is not given as if it were so.
func TestGaugeOfWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fileSystem{takes: time.Hour}
		g := newGauge("/disk", f.look)
		began := time.Now()
		for range 100 {
			if _, err := g.read(); !errors.Is(err, errLooking) {
				t.Fatalf("read() before the first answer = %v, want %v", err, errLooking)
			}
		}
		if took := time.Since(began); took != patience || f.looked() != 1 {
			t.Errorf("100 reads took %v and %d looks, want %v and 1", took, f.looked(), patience)
		}
		time.Sleep(time.Minute)
		if _, err := g.read(); !errors.Is(err, errHangs) {
			t.Errorf("read() when counting would be over = %v, want %v", err, errHangs)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if _, err := g.read(); err != nil {
			t.Errorf("read() after it answered = %v", err)
		}
		time.Sleep(costFactor * time.Hour)
		if _, err := g.read(); !errors.Is(err, errLooking) {
			t.Errorf("read() of what is 20 hours old = %v, want %v", err, errLooking)
		}
		began = time.Now()
		g.close()
		if took := time.Since(began); took != closing {
			t.Errorf("close() took %v, want %v", took, closing)
		}
		time.Sleep(time.Hour) // the look ends, or the bubble would tell
	})
}

// TestGaugeAfterAHang: a file system that hung for long is not left alone for
// longer still.
func TestGaugeAfterAHang(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		after time.Duration
	}{
		{"it answered at last", nil, costFactor * counting},
		{"it failed at last", errors.New("broken"), fresh},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fileSystem{takes: time.Hour, err: tt.err}
				g := newGauge("/disk", f.look)
				defer g.close()
				if _, err := g.read(); err == nil {
					t.Error("read() of what hangs = nil")
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				f.become(0, nil)
				time.Sleep(tt.after)
				if n, err := g.read(); err != nil || n != 2 {
					t.Errorf("read() %v after the hang = %d, %v, want a second look", tt.after, n, err)
				}
			})
		})
	}
}
