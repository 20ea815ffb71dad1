package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// The exit codes of the client's commands. Those that run another program for the user end with its code.
const (
	CodeError       = 1   // the node refused, or could not be asked
	CodeUsage       = 2   // the command line, the environment or the contexts are wrong; nothing was asked
	CodeNotFound    = 3   // what the command is about is not there
	CodeTimeout     = 4   // not finished within the time that was given; it may yet
	CodeEnded       = 5   // the Application ended in another way than the one waited for
	CodeUnhealthy   = 6   // 'cluster status --check' found something wrong
	CodeInterrupted = 130 // the user interrupted the command, as of shells: 128 + SIGINT
)

// Failure is an error of a client's command with the exit code that it ends the program with.
type Failure struct {
	Code int
	Err  error
}

// Error is what went wrong and what to do.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the reason.
func (f *Failure) Unwrap() error { return f.Err }

func usagef(format string, args ...any) error {
	return &Failure{CodeUsage, fmt.Errorf(format, args...)}
}

func notFoundf(format string, args ...any) error {
	return &Failure{CodeNotFound, fmt.Errorf(format, args...)}
}

// errInterrupted is what a command ends with that has nothing to add.
var errInterrupted = errors.New("interrupted")

// failed gives every error an exit code.
func (s *shell) failed(ctx context.Context, err error) error {
	var known *Failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return &Failure{CodeInterrupted, errInterrupted}
	}
	return &Failure{CodeError, err}
}

// Report prints an error of a client's command and returns the exit code. Other errors are not ours: they are left to
// the caller.
func Report(w io.Writer, cmd *cobra.Command, err error) (code int, ours bool) {
	var failed *Failure
	if !errors.As(err, &failed) {
		return 0, false
	}
	if errors.Is(err, errTold) {
		return failed.Code, true
	}
	text := fmt.Sprintf("Error: %v\n", err)
	if failed.Code == CodeUsage {
		text += fmt.Sprintf("See '%s --help'.\n", cmd.CommandPath())
	}
	_, _ = io.WriteString(w, text) // the exit code tells it too
	return failed.Code, true
}
