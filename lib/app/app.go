// Package app is the composition root: it builds the parts of a node in the order in which they depend on each other,
// runs them, and takes them down in the reverse order. It touches neither signals nor flags nor process-wide settings,
// so that a test can run whole nodes in its own process.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/logging"
)

const (
	// drainTimeout is how long a stop waits for running requests (contract 1).
	drainTimeout = 10 * time.Second
	// stopTimeout bounds a stop as a whole: the drain, and then a little for every other part.
	stopTimeout = drainTimeout + 10*time.Second
)

// Options is what a node needs from outside.
type Options struct {
	// Config is the checked configuration.
	Config *config.Config
	// Drivers are those that the binary was built with.
	Drivers []drivers.Factory
	// Logger takes everything that the node has to tell; lines that supervisors wait for are its messages.
	Logger *slog.Logger
	// Version names the program to people and to other nodes.
	Version string
	// Console takes the access log; nil writes none.
	Console *logging.Console
	// Stderr takes the one line that is no log: the password of a new admin (contract 4).
	Stderr io.Writer
}

// validate finds what the caller forgot.
func (o Options) validate() error {
	switch {
	case o.Config == nil:
		return errors.New("check app options: Config is missing")
	case o.Logger == nil:
		return errors.New("check app options: Logger is missing")
	case o.Stderr == nil:
		return errors.New("check app options: Stderr is missing")
	}
	return nil
}

// App is one node. Its methods may be called from any goroutine, Start once.
type App struct {
	log      *slog.Logger
	api      *server
	ssh      *sshDoor
	socks    net.Listener // of the SOCKS proxy; nil: its address is taken
	parts    []part
	cleanups cleanups

	failed   chan error    // capacity 1: the first part that ended by itself
	quit     chan struct{} // closed by RequestStop
	quitOnce sync.Once
	stopOnce sync.Once
	stopErr  error
}

// addPart makes Start run something; the part added last stops first.
func (a *App) addPart(name string, run func(ctx context.Context) error) {
	a.parts = append(a.parts, part{name, run})
}

// part is something that runs as long as the node does. run returns nil once its context is cancelled; before that any
// return ends the node.
type part struct {
	name string
	run  func(ctx context.Context) error
}

// New builds a node up to the point where its listeners are bound: Addr is known, but nobody is answered before Start.
// After an error nothing is left open.
func New(ctx context.Context, opts Options) (*App, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	a := &App{log: opts.Logger, failed: make(chan error, 1), quit: make(chan struct{})}
	if err := a.setup(ctx, opts); err != nil {
		return nil, errors.Join(err, a.Stop()) //nolint:contextcheck // the rollback is not to be cancelled
	}
	return a, nil
}

// Addr is the address at which the API listens, with the real port if port 0 was configured.
func (a *App) Addr() string { return a.api.addr() }

// Start runs the parts in the order in which setup added them, and tells supervisors that the node serves.
func (a *App) Start() {
	for _, p := range a.parts {
		a.startPart(p)
	}
	// Supervisors of the original wait for these lines as they are, without attributes (contract 4).
	a.log.Info("API listening on: " + a.Addr())                            //nolint:sloglint // given by contract 4
	a.log.Info("PROXYSSH listening on: " + a.ssh.listener.Addr().String()) //nolint:sloglint // given by contract 4
	if a.socks != nil {
		a.log.Info("PROXYSOCKS listening on: " + a.socks.Addr().String()) //nolint:sloglint // as the others
	}
	a.log.Info("Fish initialized") //nolint:sloglint // given by contract 4
}

// startPart runs one part in its own goroutine, owned by a cleanup that cancels it and waits.
func (a *App) startPart(p part) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := p.run(ctx)
		if ctx.Err() == nil {
			a.fail(p.name, err) // and not a second time as an error of the stop
			err = nil
		}
		done <- err
	}()
	a.cleanups.add(p.name, func(stop context.Context) error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-stop.Done():
			return errors.New("did not stop in time")
		}
	})
}

// fail makes Run return because a part ended although nobody asked it to.
func (a *App) fail(name string, err error) {
	if err == nil {
		err = errors.New("returned unexpectedly")
	}
	select {
	case a.failed <- fmt.Errorf("run %s: %w", name, err):
	default: // the first failure is the reason, the others follow from it
	}
}

// RequestStop makes Run return as if its context had been cancelled (contract 18: shutdown through the API).
func (a *App) RequestStop() { a.quitOnce.Do(func() { close(a.quit) }) }

// Run starts the node, waits until ctx is done, RequestStop is called or a part fails, and stops it. It returns the
// failure, or what went wrong while stopping.
func (a *App) Run(ctx context.Context) error {
	a.Start() //nolint:contextcheck // the parts end in Stop, in their order, not all with ctx
	var failure error
	select {
	case <-ctx.Done():
	case <-a.quit:
	case failure = <-a.failed:
		a.log.Error("node can not go on", "error", failure)
	}
	a.log.Info("Fish stopping...")        //nolint:sloglint // given by contract 1
	err := errors.Join(failure, a.Stop()) //nolint:contextcheck // ctx is done, the stop has a bound of its own
	a.log.Info("Fish stopped")            //nolint:sloglint // given by contract 1
	return err
}

// Stop takes the node down: first the API, which lets running requests finish for a while, then everything else in the
// reverse order of its making. It is bounded in time and may be called again, which returns the same answer.
// Applications go on without the node.
func (a *App) Stop() error {
	a.stopOnce.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		a.stopErr = a.cleanups.run(ctx)
	})
	return a.stopErr
}
