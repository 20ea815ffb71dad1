package api

import (
	"context"
	"iter"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// passwordHasher makes the hash to store for a password, within a budget of
// memory.
type passwordHasher interface {
	HashPassword(ctx context.Context, password string) (model.PasswordHash, error)
}

// Store is what the handlers ask of the database.
type Store interface {
	// Subscribe tells what changes, also by what other members send.
	Subscribe(kinds ...store.Kind) *store.Subscription
	userStore
	labelStore
	applicationStore
	resourceStore
	accessStore
	mappingStore
	nodeStore
	retirementStore
}

type userStore interface {
	UserByName(name string) (model.User, bool)
	PutUser(ctx context.Context, name string, change func(old *model.User) (model.User, error)) (model.User, error)
	DeleteUser(ctx context.Context, name string) (bool, error)
	ListUsers(ctx context.Context, q store.Query) iter.Seq2[model.User, error]
}

type labelStore interface {
	Label(uid model.UID) (model.Label, bool)
	// LabelDeleted reports whether a label is known to be deleted.
	LabelDeleted(uid model.UID) bool
	Labels() []model.Label
	CreateLabel(ctx context.Context, l model.Label) (model.Label, error)
	DeleteLabel(ctx context.Context, uid model.UID) (bool, error)
	ListLabels(ctx context.Context, q store.Query) iter.Seq2[model.Label, error]
}

type applicationStore interface {
	Application(ctx context.Context, uid model.UID) (*model.Entry, error)
	Live(ctx context.Context, caller store.Caller, endedSince time.Time) ([]*model.Entry, error)
	Doubt(app model.Application) store.Doubt
	CreateApplication(ctx context.Context, a model.Application) (*model.Entry, error)
	Update(ctx context.Context, app model.UID, decide func(*model.Entry) (model.Change, error)) (*model.Entry, error)
	Task(ctx context.Context, uid model.UID) (model.ApplicationTask, *model.Entry, error)
	Succession() ([]model.Retirement, []model.Handover)
	ListApplications(ctx context.Context, q store.Query) iter.Seq2[model.Application, error]
	ListTasks(ctx context.Context, q store.Query) iter.Seq2[model.ApplicationTask, error]
	ListVotes(ctx context.Context, q store.Query, open []model.Vote) iter.Seq2[model.Vote, error]
}

type resourceStore interface {
	Resource(uid model.UID) (model.Resource, *model.Entry, bool)
	ListResources(ctx context.Context, q store.Query) iter.Seq2[model.Resource, error]
}

type accessStore interface {
	CreateAccess(ctx context.Context, a model.ResourceAccess) (model.ResourceAccess, error)
	HostKey(resource model.UID) (hostKey []byte, known bool)
	AccessUses(resource model.UID) []model.AccessUse
}

type mappingStore interface {
	PutLocation(ctx context.Context, l model.Location) (model.Location, error)
	ListLocations(ctx context.Context, q store.Query) iter.Seq2[model.Location, error]
	ServiceMapping(uid model.UID) (model.ServiceMapping, bool)
	ServiceMappings() []model.ServiceMapping
	CreateServiceMapping(ctx context.Context, m model.ServiceMapping) (model.ServiceMapping, error)
	DeleteServiceMapping(ctx context.Context, uid model.UID) (bool, error)
	ListServiceMappings(ctx context.Context, q store.Query) iter.Seq2[model.ServiceMapping, error]
}

type nodeStore interface {
	Node() (model.Node, bool)
	ListNodes(ctx context.Context, q store.Query) iter.Seq2[model.Node, error]
}

// Election knows the votes that are not decided yet, and why not.
type Election interface {
	OpenVotes() []model.Vote
	Explain(app model.Application, label model.Label) election.Standing
	Misfits(label model.Label) [][]election.Refusal
	// Admit asks whether the node takes a new application; not while it hands over what waits, and stops then. done says
	// that the application is stored, or is not: a handover waits for it.
	Admit() (done func(), ok bool)
}

// Lifecycle knows what applications wait for in their lives, and what fails.
type Lifecycle interface {
	Trouble(app model.UID) (lifecycle.Trouble, bool)
	// Fetching reports whether an application waits for its images.
	Fetching(app model.UID) bool
	// FetchedAt is when they were there; zero: not yet, or it needs none.
	FetchedAt(app model.UID) time.Time
}

// Ledger knows what the driver instances have given out.
type Ledger interface {
	InUse(instance string) capacity.Usage
}

// Drivers knows the driver instances of this node.
type Drivers interface {
	Get(name string) (drivers.Driver, bool)
	Status() []drivers.InstanceStatus
}

// Maintenance drains and stops the node (contract 18).
type Maintenance interface {
	Apply(ctx context.Context, r maintenance.Request) error
	Drain() maintenance.Drain
	SetDrain(ctx context.Context, on, persist bool, by string) (maintenance.Drain, error)
}

// SSH is the SSH proxy of this node.
type SSH interface {
	// Address is host:port of it for clients, wherever they are.
	Address() string
	// HostKey is its public host key in the wire form of SSH (RFC 4253, 6.6).
	HostKey() []byte
}

// query is what a list asks of the store: the client's filter, and the caller
// for whom it is restricted.
func query(ctx context.Context, filter *string) store.Query {
	caller := callerOf(ctx)
	return store.Query{Filter: filter, Caller: store.Caller{Name: caller.Name, Admin: caller.IsAdmin()}}
}
