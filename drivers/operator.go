package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// ErrCommandUnknown says that the instance has no command of that name.
var ErrCommandUnknown = errors.New("no such command")

// ErrCommandArgument says that the arguments are not what the command takes:
// the error that wraps it names the argument and what is allowed.
var ErrCommandArgument = errors.New("bad argument")

// ErrCommandRefused says that the instance will not do it as things are, and
// has done nothing: the error that wraps it says why and what to do.
var ErrCommandRefused = errors.New("refused")

// The bounds of a command.
const (
	// CommandTimeout is how long Do may take in all. What takes longer is begun
	// by one command and looked at by another.
	CommandTimeout = 30 * time.Second
	// MaxCommandResult is how large its result may be: thousands of things of a
	// few hundred bytes each.
	MaxCommandResult = 8 << 20
)

// Operator is a driver with commands for an admin: to see what it pays for, to
// sweep, to drain a part of it. They are no part of any environment's life.
type Operator interface {
	// Commands are those of the instance, in the order in which a list shows
	// them. They are constant.
	Commands() []Command

	// Do does one of them and returns its result, a JSON object of at most
	// MaxCommandResult bytes. args is a JSON object, and never nil.
	//
	// A command that only looks may be asked at any time, by many at once. One
	// that changes something is idempotent by what it asks for: its answer may be
	// lost, and who asks then asks again. It may go on for a while after who asked
	// has left, until ctx ends; it then returns soon, and leaves nothing behind
	// that the process would not find after a kill.
	//
	// An error that wraps ErrCommandUnknown, ErrCommandArgument or
	// ErrCommandRefused is the caller's, and nothing was done; any other is a
	// failure, after which a part may be done. All are shown to the admin.
	Do(ctx context.Context, command string, args json.RawMessage) (json.RawMessage, error)
}

// Command is one command of an Operator.
type Command struct {
	// Name is of lower-case letters, digits and "-", such as "pool-drain".
	Name string
	// Help is what it does and which arguments it takes, in a sentence or two.
	Help string
	// Changes says that it may change something: it is written into the audit,
	// also where it was refused. With arguments that have it only look, too.
	Changes bool
	// Object is the argument, a text, that names what is changed, for the audit;
	// empty: there is none. No other argument gets there.
	Object string
}
