package cli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// endTime is how long a program may take to end after it was asked to: ssh then gives the terminal back as it was.
const endTime = 5 * time.Second

// errTold is what a command ends with whose program has said why.
var errTold = errors.New("see above")

// opensshProgram finds one of the user's own programs of OpenSSH.
func (s *shell) opensshProgram(name string) (string, error) {
	path, err := s.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("this needs %s of OpenSSH: install it (Debian: openssh-client; Windows: the optional feature OpenSSH Client), "+
			"or connect by other means with what 'aquarium-fish app access' tells: %w", name, err)
	}
	return path, nil
}

// runProgram runs a program with the terminal, or what else the user has connected, as its own. Its exit code becomes
// that of the command. An interrupt ends it first, so that the files which it uses can go.
func (s *shell) runProgram(ctx context.Context, path string, args []string) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.Stdin, s.Stdout, s.Stderr
	cmd.Dir = s.WorkDir
	cmd.Env = slices.DeleteFunc(cmd.Environ(), func(v string) bool { return strings.HasPrefix(v, envPassword+"=") }) // is not for others
	cmd.WaitDelay = endTime
	cmd.Cancel = func() error {
		if runtime.GOOS == "windows" { // knows no such signal; ssh has got the interrupt of its console
			return cmd.Process.Kill()
		}
		return cmd.Process.Signal(syscall.SIGTERM)
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		return err
	}
	return &Failure{Code: exitCode(ended), Err: errTold}
}

// exitCode is that of the program; as in shells 128 and the signal, if one ended it.
func exitCode(ended *exec.ExitError) int {
	if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return ended.ExitCode()
}
