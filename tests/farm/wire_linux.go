package farm

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// frameSize is more than any frame of a device with the usual 1500 bytes.
	frameSize = 2048
	// wireQueue is how many frames are under way in one direction; more are
	// lost, as on a real line. 1000 frames at 100 ms are 15 MB/s.
	wireQueue = 2048
)

// wire joins two devices in two name spaces by hand, as the kernel's own delay
// (tc netem) is not everywhere.
type wire struct {
	delay   atomic.Int64 // ns
	ends    [2]*os.File
	stop    chan struct{}
	running sync.WaitGroup
}

// frame is a packet under way.
type frame struct {
	due  time.Time
	data []byte
}

func (n *Namespaces) newWire(l Link, a, b string) (*wire, error) {
	w := &wire{stop: make(chan struct{})}
	w.delay.Store(int64(l.Delay))
	for i, end := range []struct {
		node int
		name string
	}{{l.A, a}, {l.B, b}} {
		err := n.within(end.node, func() (err error) {
			w.ends[i], err = openTap(end.name)
			return err
		})
		if err != nil {
			w.close()
			return nil, err
		}
	}
	w.carry(w.ends[0], w.ends[1])
	w.carry(w.ends[1], w.ends[0])
	return w, nil
}

// openTap makes a device whose packets this process carries. It is gone when
// the file is closed.
func openTap(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make device %s: %w", name, err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// carry takes packets one way until the wire is closed.
func (w *wire) carry(from, to *os.File) {
	queue := make(chan frame, wireQueue)
	w.running.Go(func() {
		defer close(queue)
		for {
			data := make([]byte, frameSize)
			size, err := from.Read(data)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err != nil { // the device is not up yet
				if !w.wait(10 * time.Millisecond) {
					return
				}
				continue
			}
			select {
			case queue <- frame{time.Now().Add(time.Duration(w.delay.Load())), data[:size]}:
			default:
			}
		}
	})
	w.running.Go(func() {
		for f := range queue {
			w.wait(time.Until(f.due))
			_, _ = to.Write(f.data) // an end that is down loses it
		}
	})
}

// wait reports whether the wire is still there afterwards.
func (w *wire) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.stop:
		return false
	}
}

func (w *wire) close() {
	close(w.stop)
	for _, end := range w.ends {
		if end != nil {
			_ = end.Close() // the device goes with it
		}
	}
	w.running.Wait()
}
