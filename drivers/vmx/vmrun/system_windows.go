package vmrun

import (
	"context"
	"os"
	"os/exec"
)

// ownGroup leaves the command as it is: its own process is killed.
func ownGroup(*exec.Cmd) {}

// diesWithUs has no counterpart on Windows.
func diesWithUs(*exec.Cmd) {}

// scratch makes a file that is removed when it was read: an open one can not be.
func scratch(dir, pattern string) (f *os.File, discard func(), err error) {
	f, err = os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { _ = f.Close(); _ = os.Remove(f.Name()) }, nil
}

// processes finds none: what a killed node left is not looked for on Windows.
func processes(context.Context, func(string) bool) ([]int, error) { return nil, nil }

func kill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}
