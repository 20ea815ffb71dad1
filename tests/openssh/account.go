//go:build linux

package openssh

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// accountPrefix is of accounts that tests made; the process follows.
const accountPrefix = "fish-ssh-"

// accountTries is how often one is asked for: another test may have the file of
// accounts locked.
const accountTries = 5

// Account is a user of this machine who may log in with a password.
type Account struct{ Name, Password, Home string }

// NewAccount makes one, for root alone. It removes those of processes that did
// not come to it.
func NewAccount() (*Account, error) {
	if err := sweepAccounts(); err != nil {
		return nil, err
	}
	a := &Account{Name: accountPrefix + strconv.Itoa(os.Getpid()), Password: rand.Text()}
	if err := tried("useradd", "--create-home", "--shell", "/bin/sh", a.Name); err != nil {
		return nil, err
	}
	cmd := exec.Command("chpasswd")
	cmd.Stdin = strings.NewReader(a.Name + ":" + a.Password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("set password of account: %w: %s", err, out), a.Remove())
	}
	found, err := user.Lookup(a.Name)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("look for new account: %w", err), a.Remove())
	}
	a.Home = found.HomeDir
	return a, nil
}

// Remove takes the account away, with all that it has.
func (a *Account) Remove() error { return tried("userdel", "--force", "--remove", a.Name) }

func tried(name string, args ...string) error {
	var err error
	for range accountTries {
		var out []byte
		if out, err = exec.Command(name, args...).CombinedOutput(); err == nil {
			return nil
		}
		err = fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
		time.Sleep(time.Second) // nobody tells when a lock is free
	}
	return err
}

// sweepAccounts removes what processes left that were killed.
func sweepAccounts() error {
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return fmt.Errorf("look for accounts: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, ":")
		number, ours := strings.CutPrefix(name, accountPrefix)
		pid, err := strconv.Atoi(number)
		if !ours || err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		if err := (&Account{Name: name}).Remove(); err != nil {
			return err
		}
	}
	return nil
}
