// Package drivers defines what a provider of environments must do, and keeps
// the instances of providers that a node is configured with.
//
// A driver makes environments (processes, containers, machines) and removes
// them. It decides nothing: which application runs where, for how long and
// what is retried is the node's business. It imports neither the store nor the
// API, and reaches its own environments only by what it is handed: a Token,
// chosen and stored by the node before anything exists, and later the
// Identifier that the driver itself gave.
package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"

	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// ErrTaskUnknown says that the driver has no task of that name or can not
// read its options; the task ends with an error and is not tried again.
var ErrTaskUnknown = errors.New("task not available in driver")

// Driver is one configured instance of a provider. Its methods are called
// from many goroutines at once, for different environments and for the same.
//
// Every method that takes a context returns soon after it is cancelled, and
// nothing that it began goes on by itself after it returned. A cancelled
// context is no failure of the environment: the node is stopping or lost
// patience, and will come back with Inspect or Deallocate. The process may
// also be killed in the middle of any method: what exists outside must then be
// found by Inspect, List and Deallocate of the next process.
//
// package drivertest states the same rules as tests; every driver passes them.
type Driver interface {
	// Limits says what this instance may give out in all. It is constant.
	Limits() Limits

	// Validate checks a definition's options (and those of its resources that
	// only the driver understands) without touching anything outside the
	// process. Its error is shown to the user who wrote the label: it names
	// the option and what is allowed. Option names that the driver does not
	// know are no error, because labels outlive the drivers they are written for.
	Validate(def model.LabelDefinition) error

	// Capacity says how many more environments of the definition could be
	// allocated right now as far as the driver itself knows, apart from cpu
	// and ram, which the node counts: addresses, slots of a pool, a quota.
	// Unlimited where it has no bound of its own. It is asked at every vote
	// and so must answer from memory.
	Capacity(def model.LabelDefinition) (int, error)

	// Allocate makes the environment and returns when it can be used. It is
	// idempotent by Request.Token: where something with that token already
	// exists it is completed or returned, never made twice, also when two
	// calls run at once. After an error anything may be left: the node calls
	// Deallocate with the same token.
	Allocate(ctx context.Context, req Request) (Environment, error)

	// Inspect says what exists for the reference, which may hold the token,
	// the identifier or both. An error means "could not find out" and is tried
	// again; it is never read as absence.
	Inspect(ctx context.Context, ref Ref) (Report, error)

	// Deallocate removes the environment and all that belongs to it. It is
	// idempotent, and returns nil only when it has made sure that nothing of
	// it exists any more, which includes that it never did. Token, identifier
	// or both name it; the definition may be missing. What belongs to another
	// instance or node is left alone and counts as not existing. After an
	// error it is called again, for ever.
	Deallocate(ctx context.Context, ref Ref) error

	// List names everything that exists, half-made things included, and is
	// provably made by this instance on behalf of this node: no one else's.
	// Each reference is enough for Deallocate; its definition may be missing.
	// What the node does not know is removed after it was seen twice. An error
	// says that there may be more; what is named beside it exists all the same.
	List(ctx context.Context) ([]Ref, error)

	// RunTask does one task with a live environment and returns its result, a
	// JSON object. It is idempotent by TaskRequest.UID as far as the outside
	// allows: after a crash the same task is run again. A result of {} means
	// "not done yet", and so does an error other than ErrTaskUnknown, which
	// ends the task.
	RunTask(ctx context.Context, task TaskRequest) (json.RawMessage, error)

	// Close gives back what the instance itself holds, within seconds; no
	// other method is called after it. Environments live on: the next process
	// finds them again.
	Close() error
}

// Watcher is a driver that notices when an environment ends by itself.
type Watcher interface {
	// Watch blocks until the environment has ended by itself, and says how in
	// words for the user ("exit code 1"). An error means that it could not be
	// watched; the node tries again.
	Watch(ctx context.Context, ref Ref) (ending string, err error)
}

// MetadataNetworks is a driver whose environments reach the metadata API from
// networks of its own, and are known there by their address (contract 17).
type MetadataNetworks interface {
	// MetadataNetworks returns the networks as of now.
	MetadataNetworks() []netip.Prefix
}

// Excluder is a driver in which some environments exclude each other, such as
// two that share one reused disk.
type Excluder interface {
	// Exclusive names what the definition needs for itself alone. While one
	// environment holds a name, no other that needs it fits: of no local
	// instance of the node, as several may share a workspace. So a name says
	// where the thing is, such as "disk cache in /srv/fish".
	Exclusive(def model.LabelDefinition) []string
}

// OptionNamer is a driver that says which options it reads. Others are no
// error, but whoever checks a label is warned of them: most are misspelt.
type OptionNamer interface {
	// OptionNames returns the names in lower case, in the order of their use.
	OptionNames() []string
}

// Unwell is a driver that knows when what it works with is away, such as its
// engine, although the instance is ready.
type Unwell interface {
	// Trouble says what is wrong, from memory; nil if nothing is.
	Trouble() error
}

// Unlimited is the Capacity of a driver without a bound of its own.
const Unlimited = 1 << 30

// Limits is what an instance may give out. 0 means unlimited in that
// dimension.
type Limits struct {
	CPU uint // cores
	RAM uint // GB
	// CPUOverbook and RAMOverbook come on top where both the running
	// applications and the new one allow it (contract 16).
	CPUOverbook uint
	RAMOverbook uint
	// Remote says that environments do not run on this machine: they count
	// against this instance alone and not against the node.
	Remote bool
}

// Request is what the node asks an instance to make.
type Request struct {
	ApplicationUID model.UID
	Token          string // 32 hex digits
	Definition     model.LabelDefinition
	// Metadata is a JSON object for the environment, unchanged from what the
	// user and the label gave.
	Metadata json.RawMessage
	// LabelMetadata is the label's part of Metadata: what it names may also
	// set names that are otherwise protected (contract 32).
	LabelMetadata json.RawMessage
	// MetadataURL is the environment's own metadata address, good from this
	// host only; for drivers whose environments share the host's network.
	MetadataURL string
	// Proxy is the node's proxy, for drivers whose environments run on this
	// host. It may differ when the same environment is asked for again.
	Proxy metadata.Proxy
}

// Ref names an environment that may exist. Token is empty only for one that an
// old database knew by its identifier alone; Identifier is empty until
// Allocate returned, and stays so where its answer was lost. ApplicationUID
// and Definition are as complete as whoever made the Ref could know.
type Ref struct {
	Token          string
	Identifier     string
	ApplicationUID model.UID
	Definition     model.LabelDefinition
}

// Environment is what the node shows of a live environment.
type Environment struct {
	Identifier     string
	IPAddr         string
	HWAddr         string
	Authentication *model.Authentication
}

// Presence is what exists of an environment.
type Presence int

const (
	// Absent means that nothing of it exists, and that nothing will appear by itself.
	Absent Presence = iota
	// Partial means that something exists that is no usable environment, such as one
	// whose making was cut short.
	Partial
	// Running means that it is usable; the report holds its Environment.
	Running
	// Ended means that it ran and ended by itself; its remains are still there.
	Ended
)

// Report is the answer of Inspect.
type Report struct {
	Presence    Presence
	Environment Environment // only if Running
	Ending      string      // only if Ended: how, in words for the user
}

// TaskRequest is one task to run with a live environment.
type TaskRequest struct {
	UID     model.UID
	Task    string
	When    model.Status // ALLOCATED or DEALLOCATE
	Options json.RawMessage
	Ref     Ref
}
