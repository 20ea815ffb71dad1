//go:build linux || darwin

package keeper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// enterTimeout bounds the time from the start of the shim to the entry. Sudo
// may ask a directory server first.
const enterTimeout = 30 * time.Second

// run is the keeper: it reads its spec, starts the entry, answers, and then
// waits for the end of one or the other.
func run(folder string) int {
	// The system kills the entry when the thread that started it ends; this
	// thread ends with the process.
	runtime.LockOSThread()
	stops := make(chan os.Signal, 1)
	signal.Notify(stops, syscall.SIGTERM)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE, syscall.SIGQUIT) // nobody listens
	status := inherited(statusFD, "status")
	k, err := begin(folder, status)
	tell(status, err)
	_ = status.Close() // the node has its answer, or is gone
	if err != nil {
		return 1
	}
	shrink()
	if err := k.serve(stops); err != nil {
		fmt.Fprintln(os.Stderr, err) // the trace file
		return 1
	}
	return 0
}

// keeper is one living keeper with its entry.
type keeper struct {
	spec   Spec
	record record
	output *pump
	endOf  chan ended    // one value: how the entry ended
	tick   chan struct{} // capacity 1: some child was reaped
	empty  chan struct{} // closed when no child is left
}

// ended is what the system tells of a process that has ended.
type ended struct {
	status syscall.WaitStatus
	at     time.Time
}

// begin does all that may fail. After an error nothing runs, and another
// keeper may try.
func begin(folder string, status *os.File) (*keeper, error) {
	k := &keeper{endOf: make(chan ended, 1), tick: make(chan struct{}, 1), empty: make(chan struct{})}
	if err := k.readSpec(folder); err != nil {
		return nil, err
	}
	if err := k.claim(); err != nil {
		return nil, err
	}
	if err := k.start(status); err != nil {
		_ = os.Remove(filepath.Join(folder, recordFile)) // an entry that never ran leaves no record
		return nil, err
	}
	return k, nil
}

func (k *keeper) readSpec(folder string) error {
	if err := json.NewDecoder(os.Stdin).Decode(&k.spec); err != nil {
		return fmt.Errorf("read spec: %w", err)
	}
	if k.spec.Folder != folder {
		return fmt.Errorf("folder of spec is %s, of keeper %s", k.spec.Folder, folder)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	return unix.Dup2(int(null.Fd()), 0)
}

// claim makes this the one keeper of a folder in which nothing was started, and
// writes that down before anything is.
func (k *keeper) claim() error {
	folder := k.spec.Folder
	if err := takeLock(folder); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(folder, StopFile)); err == nil {
		return ErrStopped
	}
	for _, name := range []string{recordFile, exitFile} {
		if _, err := os.Lstat(filepath.Join(folder, name)); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(ErrEnded, err)
		}
	}
	if err := holdAlive(folder); err != nil {
		return err
	}
	self, err := processOf(os.Getpid())
	if err != nil {
		return err
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	k.record = record{Token: k.spec.Token, BootID: boot, Keeper: self.identity(), Join: k.spec.Join, KillCommand: k.spec.KillCommand}
	err = writeJSON(folder, recordFile, k.record)
	if err == nil {
		size := len(strings.Join(slices.Concat(k.record.Join, k.record.KillCommand), " "))
		err = errors.Join(reserve(folder, recordFile, 2*size+reserved), reserve(folder, exitFile, reserved))
	}
	if err != nil {
		_ = os.Remove(filepath.Join(folder, recordFile)) // it may be there, and only not known to be durable
	}
	return err
}

// holdAlive opens the FIFO whose readers see its end when this process ends. As
// with the lock, only that closes it.
func holdAlive(folder string) error {
	path := filepath.Join(folder, aliveFile)
	if err := unix.Mkfifo(path, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make %s: %w", path, err)
	}
	if _, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil { // for reading too: waits for no reader
		return fmt.Errorf("open %s: %w", path, err)
	}
	return nil
}

// start starts the entry and returns when it runs.
func (k *keeper) start(status *os.File) error {
	if err := adoptOrphans(); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	log, err := openLog(k.spec.Folder, k.spec.LogMax)
	if err != nil {
		return err
	}
	if abandoned(status) {
		return errors.New("node is gone")
	}
	s, err := k.fork()
	if err != nil {
		return err
	}
	err = s.handOver(k.spec)
	if err == nil {
		k.record.Entry, err = s.identity()
	}
	if err == nil {
		err = writeReserved(k.spec.Folder, recordFile, k.record)
	}
	k.output = startPump(io.MultiReader(bytes.NewReader(s.early), s.output), log)
	go k.reap(s.pid) // ends with the process, or when no child is left
	if err != nil {
		return errors.Join(err, k.killAll())
	}
	return nil
}

// abandoned reports whether the node that asked for the start has gone away.
func abandoned(status *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(status.Fd())}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1 && fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
}

// reap waits for all children, which on Linux is everything that descends from
// the entry, until none is left.
func (k *keeper) reap(entry int) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			close(k.empty)
			return
		}
		if pid == entry && (status.Exited() || status.Signaled()) {
			k.endOf <- ended{status, time.Now()}
		}
		select {
		case k.tick <- struct{}{}:
		default:
		}
	}
}
