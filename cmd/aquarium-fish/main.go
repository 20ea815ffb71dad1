// Aquarium Fish is one node of a peer-to-peer resource manager for CI. This package is where it touches the process:
// flags, signals, standard output, the limits of the Go runtime. Everything else is in lib/app.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/aquarium-fish/aquarium-fish/drivers/native/keeper"
	"github.com/aquarium-fish/aquarium-fish/lib/app"
	"github.com/aquarium-fish/aquarium-fish/lib/cli"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/logging"
)

func main() {
	// Each native environment has a process of this binary beside it, which has to be small and there at once: it is
	// told from a node before anything of one is made.
	if len(os.Args) > 1 && os.Args[1] == keeper.Command {
		os.Exit(keeper.Main(os.Args[2:]))
	}
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs one command line and returns the exit code. An error that a user can mend there or in the config is
// followed by the usage (contract 1).
func execute(args []string, stdout, stderr io.Writer) int {
	root := newRootCommand(stdout, stderr)
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	if code, ours := cli.Report(stderr, cmd, err); ours {
		return code
	}
	text := fmt.Sprintf("Error: %v\n", err)
	failed, unstarted := runError{}, startError{}
	switch {
	case errors.As(err, &failed):
	case errors.As(err, &unstarted): // the list of flags would push the error out of sight
		text += fmt.Sprintf("Usage:\n  %s\n\nSee '%s --help'.\n", cmd.UseLine(), cmd.CommandPath())
	default:
		text += cmd.UsageString()
	}
	_, _ = io.WriteString(stderr, text) // the exit code tells it too
	return 1
}

// startError is a failure of a node to start, most often for what stands in its
// config.
type startError struct{ error }

// Unwrap returns the reason.
func (e startError) Unwrap() error { return e.error }

// runError is a failure that no other command line would have helped: of a node that had started, say.
type runError struct{ error }

// Unwrap returns the reason.
func (e runError) Unwrap() error { return e.error }

// serve runs a node until a signal ends it.
func serve(f *flags, stdout, stderr io.Writer) error {
	level, err := logging.ParseLevel(f.verbosity)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends a stop that takes too long
	keepRunningOnClosedOutput()

	look := logging.Options{Level: level, Timestamp: f.timestamp.value}
	cfg, warnings, err := config.Load(ctx, f.config, config.SystemHost())
	out, openErr := openOutput(stdout, cfg, look)
	defer out.close()
	log := out.log
	for _, w := range warnings {
		log.Warn("config needs attention", "reason", w)
	}
	if err := cmp.Or(err, openErr); err != nil {
		return err
	}
	limitRuntime(cfg)
	log.Info("starting node", "version", version(), "node", cfg.NodeName)
	node, err := app.New(ctx, app.Options{Config: cfg, Drivers: factories(), Logger: log, Version: version(), Console: out.access, Stderr: stderr})
	if err != nil {
		return err
	}
	if err := node.Run(ctx); err != nil {
		return runError{err}
	}
	return nil
}

// keepRunningOnClosedOutput makes writing to a closed pipe an error instead of the end of the process: a log collector
// that dies must not take the node along. The signal is caught rather than ignored, as children would inherit that.
func keepRunningOnClosedOutput() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
}
