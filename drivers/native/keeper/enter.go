//go:build linux || darwin

package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

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
