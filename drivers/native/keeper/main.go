//go:build linux || darwin

package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// The roles that one binary plays after Command. The node starts the keeper,
// and that a shim, which puts limits and another user upon itself and becomes
// the entry.
const (
	roleRun   = "run"
	roleEnter = "enter"
)

// The descriptors that a role is handed besides the standard three.
const (
	statusFD = 3 // for its answer to who started it
	orderFD  = 4 // shim: the order
)

// Main plays one role and returns the exit code. It is only of use when called
// before everything else: a role has one thread's worth of work to do and a
// memory to keep small.
func Main(args []string) int {
	role, folder := "", ""
	if len(args) > 0 {
		role = args[0]
	}
	if len(args) > 1 {
		folder = args[1]
	}
	switch role {
	case roleRun:
		closeInherited(statusFD)
		return run(folder)
	case roleEnter:
		closeInherited(orderFD)
		return enter()
	}
	fmt.Fprintf(os.Stderr, "%s is started by the node itself and is of no use to anybody else\n", Command)
	return 2
}

// answer is what a role tells who started it. No answer at all means that it
// died.
type answer struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	Kind  string `json:"kind,omitempty"` // a word for errors that callers tell apart
}

const (
	kindBusy    = "busy"
	kindEnded   = "ended"
	kindStopped = "stopped"
)

func kindOf(err error) string {
	switch {
	case errors.Is(err, errBusy):
		return kindBusy
	case errors.Is(err, ErrEnded):
		return kindEnded
	case errors.Is(err, ErrStopped):
		return kindStopped
	}
	return ""
}

// err turns an answer back into the error that it was made of.
func (a answer) err() error {
	switch {
	case a.OK:
		return nil
	case a.Kind == kindBusy:
		return errBusy
	case a.Kind == kindEnded:
		return ErrEnded
	case a.Kind == kindStopped:
		return ErrStopped
	}
	return errors.New(a.Error)
}

// tell sends an answer. Who started this role may be gone: nobody is left then
// who would miss it.
func tell(to io.Writer, err error) {
	a := answer{OK: err == nil}
	if err != nil {
		a.Error, a.Kind = err.Error(), kindOf(err)
	}
	_ = json.NewEncoder(to).Encode(a)
}

// closeInherited closes the descriptors after the last expected one that came
// through exec: whoever started the node may have left it a lock or a socket,
// which must not live on here. What this process opened itself is marked to be
// closed at exec, and stays.
func closeInherited(last int) {
	names, err := os.ReadDir("/dev/fd")
	if err != nil {
		return // no way to know them
	}
	for _, name := range names {
		fd, err := strconv.Atoi(name.Name())
		if err != nil || fd <= last {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd) // nobody here knows it
		}
	}
}

// inherited returns a descriptor that this role was started with, from now on
// kept from its own children.
func inherited(fd int, name string) *os.File {
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}
