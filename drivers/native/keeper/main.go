//go:build linux || darwin

package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The roles that one binary plays after Command. The node starts a launcher,
// which starts the keeper in its own session and ends, so that the keeper is
// nobody's child. The keeper starts a shim, which puts limits and another user
// upon itself and becomes the entry.
const (
	roleLaunch = "launch"
	roleRun    = "run"
	roleEnter  = "enter"
)

// The descriptors that a role is handed besides the standard three.
const (
	statusFD = 3 // launcher, keeper: answers of the keeper to the node; shim: to the keeper
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
	case roleLaunch:
		return launch(folder)
	case roleRun:
		return run(folder)
	case roleEnter:
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

// inherited returns a descriptor that this role was started with, from now on
// kept from its own children.
func inherited(fd int, name string) *os.File {
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}

// launch starts the keeper in a session of its own. The spec passes through it
// unread, in standard input.
func launch(folder string) int {
	status := inherited(statusFD, "status")
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		tell(status, err)
		return 1
	}
	trace, err := os.OpenFile(filepath.Join(folder, traceFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		tell(status, err)
		return 1
	}
	path, err := executable()
	if err == nil {
		_, err = syscall.ForkExec(path, []string{os.Args[0], Command, roleRun, folder}, &syscall.ProcAttr{
			Dir:   "/", // the keeper must not keep a folder or a mount busy
			Env:   os.Environ(),
			Files: []uintptr{0, null.Fd(), trace.Fd(), status.Fd()},
			Sys:   &syscall.SysProcAttr{Setsid: true},
		})
	}
	if err != nil {
		tell(status, fmt.Errorf("start keeper: %w", err))
		return 1
	}
	return 0
}

// order is what a shim is to become.
type order struct {
	Argv       []string
	Env        []string
	Dir        string
	Credential *Credential
	Join       []string
	Rlimits    []Rlimit
	Keeper     int // process id of who gave the order
}

// enter becomes the entry. Each step is taken before the entry's first
// instruction, so no moment exists in which it runs without its limits.
func enter() int {
	status, in := inherited(statusFD, "status"), inherited(orderFD, "order")
	var o order
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return 1 // the keeper died while it gave the order
	}
	tell(status, nil) // from here on, silence means success
	tell(status, o.carryOut())
	return 126
}

// carryOut returns only if the entry can not be started.
func (o order) carryOut() error {
	for _, file := range o.Join {
		if err := os.WriteFile(file, []byte("0"), 0); err != nil { // 0 is whoever writes
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	if err := o.Credential.assume(); err != nil {
		return err
	}
	if err := os.Chdir(o.Dir); err != nil {
		return fmt.Errorf("enter working directory: %w", err)
	}
	unix.Umask(0o022)
	for _, limit := range o.Rlimits {
		if err := limit.set(); err != nil {
			return fmt.Errorf("set limit %d to %d: %w", limit.Resource, limit.Value, err)
		}
	}
	if err := dieWithParent(); err != nil {
		return fmt.Errorf("bind entry to keeper: %w", err)
	}
	if os.Getppid() != o.Keeper {
		return errors.New("keeper died")
	}
	resetSignals()
	if err := syscall.Exec(o.Argv[0], o.Argv, o.Env); err != nil {
		return fmt.Errorf("execute %s: %w", o.Argv[0], err)
	}
	return nil
}

// assume becomes the user for good.
func (c *Credential) assume() error {
	if c == nil {
		return nil
	}
	groups := []int{int(c.GID)} // some systems take the first for the effective one
	for _, group := range c.Groups {
		if group != c.GID {
			groups = append(groups, int(group))
		}
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("set groups %v: %w", groups, err)
	}
	if err := syscall.Setgid(int(c.GID)); err != nil {
		return fmt.Errorf("set group %d: %w", c.GID, err)
	}
	if err := syscall.Setuid(int(c.UID)); err != nil {
		return fmt.Errorf("set user %d: %w", c.UID, err)
	}
	return nil
}

// set lowers a limit, soft and hard. One that is lower already stays.
func (l Rlimit) set() error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(l.Resource, &now); err != nil {
		return err
	}
	value := min(l.Value, now.Max)
	return syscall.Setrlimit(l.Resource, &syscall.Rlimit{Cur: value, Max: value})
}

// resetSignals has the entry start with the usual answer to every signal: what
// is caught becomes that at exec, while what the node was told to ignore (by
// nohup, say) would stay ignored.
func resetSignals() {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGTERM,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGCHLD, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
}

// shellScript is what a shell behind sudo reads to become the entry. The
// environment goes this way because sudo drops it, an argument list can be
// read by everybody, and this binary may lie where the user can not reach it.
func shellScript(s Spec, marker string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "echo %s\nunset SUDO_COMMAND SUDO_USER SUDO_UID SUDO_GID SUDO_HOME MAIL\numask 022\n", marker)
	for _, pair := range s.Env {
		name, value, _ := strings.Cut(pair, "=")
		if reservedByShells(name) {
			fmt.Fprintf(&b, "echo %s\n", quote(name+" is not set: shells reserve the name"))
			continue
		}
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(value))
	}
	fmt.Fprintf(&b, "cd -- %s || exit 126\nexec", quote(s.Dir))
	for _, arg := range s.Argv {
		b.WriteString(" " + quote(arg))
	}
	b.WriteString(" </dev/null\n")
	return b.String()
}

// reservedByShells names variables that a shell refuses to set, and those that
// it can not name.
func reservedByShells(name string) bool {
	switch name {
	case "UID", "EUID", "PPID", "SHELLOPTS", "BASHOPTS", "BASH_VERSINFO":
		return true
	}
	for i, r := range name {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return true
		}
	}
	return false
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
