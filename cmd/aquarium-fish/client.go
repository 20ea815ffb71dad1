package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/aquarium-fish/aquarium-fish/lib/cli"
)

// clientOptions is what the client's commands take from this process.
func clientOptions(stdout, stderr io.Writer) cli.Options {
	o := cli.Options{
		Stdin: os.Stdin, Stdout: stdout, Stderr: stderr, Env: os.Getenv, Now: time.Now, LookPath: exec.LookPath,
		Interruptible: func(ctx context.Context) (context.Context, context.CancelFunc) {
			signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
			if !signal.Ignored(syscall.SIGHUP) { // a closed terminal ends it; nohup says otherwise
				signals = append(signals, syscall.SIGHUP)
			}
			return signal.NotifyContext(ctx, signals...)
		},
	}
	if dir, err := os.UserConfigDir(); err == nil { // without one there are no contexts, which is told where they are used
		o.ConfigDir = filepath.Join(dir, "aquarium-fish")
	}
	if dir, err := os.Getwd(); err == nil { // else relative paths are left to the system
		o.WorkDir = dir
	}
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		o.ReadSecret = func(ctx context.Context, prompt string) (string, error) { return readSecret(ctx, fd, stderr, prompt) }
	}
	return o
}

// readSecret reads a line from the terminal without showing it. An interrupt leaves the terminal as it was; the read
// itself can not be ended and goes with the process.
func readSecret(ctx context.Context, fd int, stderr io.Writer, prompt string) (string, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("ask terminal: %w", err)
	}
	_, _ = io.WriteString(stderr, prompt) // without it the terminal waits all the same
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		read <- line{text, err}
	}()
	defer func() { _, _ = io.WriteString(stderr, "\n") }()
	select {
	case l := <-read:
		return string(l.text), l.err
	case <-ctx.Done():
		return "", fmt.Errorf("ask terminal: %w", errors.Join(ctx.Err(), term.Restore(fd, before)))
	}
}
