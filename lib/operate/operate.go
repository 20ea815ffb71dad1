// Package operate does the commands that driver instances have for an admin
// (drivers.Operator), so that none of them, whatever it does, holds up who asks
// or is forgotten by the node.
package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/calls"
)

// Options is what a Keeper needs. All are required.
type Options struct {
	// Instances are the names of the configured driver instances, sorted.
	Instances func() []string
	// Driver is a ready instance, or nil and why there is none in words that
	// follow its name.
	Driver func(name string) (drivers.Driver, string)
	// Configured reports whether an instance is ready or may be later.
	Configured func(name string) bool
	Logger     *slog.Logger
}

// maxCalls bounds the commands of one instance at once.
const maxCalls = 8

// Errors of Do beside those of package calls and of drivers.
var (
	// ErrResult says that a driver's result is not one: that is its bug.
	ErrResult = errors.New("its result is no JSON object, or too large")
	// ErrGoesOn says that a command which changes something took too long: it may
	// have done a part of it, and may still do.
	ErrGoesOn = errors.New("it takes too long, and may do a part of it all the same: look before you ask again")
)

// NotReadyError says that an instance is configured, and not ready now.
type NotReadyError struct{ calls.InstanceError }

// Keeper owns the commands that run. Its methods may be called from any
// goroutine.
type Keeper struct {
	opts  Options
	log   *slog.Logger
	calls *calls.Calls
}

// New makes a Keeper. It starts nothing.
func New(o Options) (*Keeper, error) {
	if o.Instances == nil || o.Driver == nil || o.Configured == nil || o.Logger == nil {
		return nil, errors.New("check options of driver commands: a required option is not set")
	}
	log := o.Logger.With("component", "operate")
	return &Keeper{opts: o, log: log, calls: calls.New(log, maxCalls)}, nil
}

// Run waits until ctx is done, then ends the commands that run and waits for them.
func (k *Keeper) Run(ctx context.Context) error {
	<-ctx.Done()
	k.calls.Stop()
	return nil
}

// Command is one of an instance.
type Command struct {
	Instance string
	drivers.Command
}

// List are the commands of all ready instances, by instance.
func (k *Keeper) List() []Command {
	list := []Command{}
	for _, name := range k.opts.Instances() {
		operator, err := k.operator(name)
		if err != nil {
			continue // not ready: the list of instances tells; or it has none
		}
		for _, c := range k.commands(name, operator) {
			list = append(list, Command{name, c})
		}
	}
	return list
}

// Find returns a command of a ready instance.
func (k *Keeper) Find(instance, command string) (drivers.Command, bool) {
	operator, err := k.operator(instance)
	if err != nil {
		return drivers.Command{}, false
	}
	list := k.commands(instance, operator)
	i := slices.IndexFunc(list, func(c drivers.Command) bool { return c.Name == command })
	if i < 0 {
		return drivers.Command{}, false
	}
	return list[i], true
}

// commands are those of the instance.
func (k *Keeper) commands(instance string, operator drivers.Operator) (list []drivers.Command) {
	err := drivers.Guard(k.log.With("instance", instance), func() error { list = operator.Commands(); return nil })
	if err != nil {
		return nil // it panicked, which is logged
	}
	return list
}

// operator is the ready instance of that name, if it has commands. Its error is
// a *NotReadyError or a *calls.InstanceError.
func (k *Keeper) operator(instance string) (drivers.Operator, error) {
	driver, absent := k.opts.Driver(instance)
	if driver == nil {
		away := calls.InstanceError{Instance: instance, Reason: absent}
		if k.opts.Configured(instance) {
			return nil, &NotReadyError{away}
		}
		return nil, &away
	}
	operator, ok := driver.(drivers.Operator)
	if !ok {
		return nil, &calls.InstanceError{Instance: instance, Reason: "has no commands"}
	}
	return operator, nil
}

// Do does a command. One that only looks ends when nobody waits for it any
// more; one that changes something goes on, within its bound, and is logged.
//
// Its error is a *NotReadyError or *calls.InstanceError, one that wraps
// drivers.ErrCommandUnknown, ErrCommandArgument or ErrCommandRefused,
// calls.ErrBusy, calls.ErrStopping, calls.ErrLate (of one that looks), ErrGoesOn
// (of one that changes), ErrResult, or whatever the driver failed with.
func (k *Keeper) Do(ctx context.Context, instance, command string, args json.RawMessage) (json.RawMessage, error) {
	operator, err := k.operator(instance)
	if err != nil {
		return nil, err
	}
	list := k.commands(instance, operator)
	i := slices.IndexFunc(list, func(c drivers.Command) bool { return c.Name == command })
	if i < 0 {
		return nil, fmt.Errorf("%w: driver %s has %s", drivers.ErrCommandUnknown, instance, names(list))
	}
	if len(args) == 0 {
		args = json.RawMessage(`{}`)
	}
	if !isObject(args) {
		return nil, fmt.Errorf("%w: want a JSON object", drivers.ErrCommandArgument)
	}
	changes := list[i].Changes
	result, err := calls.Do(ctx, k.calls, instance, bound(changes), func(ctx context.Context) (json.RawMessage, error) {
		began := time.Now()
		result, err := operator.Do(ctx, command, args)
		if err == nil && (len(result) > drivers.MaxCommandResult || !isObject(result)) {
			err = ErrResult
		}
		if changes {
			k.tell(instance, command, time.Since(began), err)
		}
		return result, err
	})
	if changes && errors.Is(err, calls.ErrLate) {
		return nil, ErrGoesOn
	}
	return result, err
}

// bound is how long a command may take.
func bound(changes bool) calls.Bound {
	return calls.Bound{Wait: drivers.CommandTimeout, Limit: drivers.CommandTimeout, Attended: !changes}
}

// tell logs what became of a command that changes something: who asked may have left.
func (k *Keeper) tell(instance, command string, took time.Duration, err error) {
	log := k.log.With("instance", instance, "command", command, "took", took)
	switch {
	case err == nil:
		log.Info("driver command is done")
	case callers(err):
		log.Info("driver command was refused", "reason", err)
	default:
		log.Warn("driver command failed", "error", err)
	}
}

// callers reports whether an error is the fault of who asked.
func callers(err error) bool {
	return errors.Is(err, drivers.ErrCommandUnknown) || errors.Is(err, drivers.ErrCommandArgument) || errors.Is(err, drivers.ErrCommandRefused)
}

// names lists commands for a message.
func names(list []drivers.Command) string {
	if len(list) == 0 {
		return "none"
	}
	all := make([]string, len(list))
	for i, c := range list {
		all[i] = c.Name
	}
	return strings.Join(all, ", ")
}

// isObject reports whether the text is one JSON object.
func isObject(text json.RawMessage) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) && json.Valid(text)
}
