// Package cloud says what the driver needs of EC2 and its neighbours, in types
// of our own: what is asked, what is answered, and what an error means. It
// imports no SDK, so that whoever uses it compiles in a second, and so that the
// real service, and a fake of it, are used by the same words.
//
// Names are those of the EC2 API where it has one. Package awssdk implements
// API for the real service, package fakeec2 for tests and simulations.
package cloud

import (
	"context"
	"time"
)

// API is one account in one region, as one set of credentials sees it. It is
// safe for use by many goroutines at once; who uses it shares one.
//
// Every method returns within its context, and bounds each request besides.
// Lists are whole (the implementation turns the pages), in no order, and may
// lag behind what was done (see Settled). An error is a *Error wherever the
// service answered, and where it was certainly not asked; one that is not, and
// one whose Unsure is set, leaves open whether the thing was done (Undone).
type API interface {
	// Identity says whose the credentials are.
	Identity(ctx context.Context) (Identity, error)

	// RunInstance starts one instance. It is idempotent by Launch.ClientToken
	// within a zone, for the same request byte by byte (Mismatch else). What takes
	// a client token is refused without one: nobody would find it after a crash.
	RunInstance(ctx context.Context, l Launch) (Instance, error)
	Instances(ctx context.Context, q Query) ([]Instance, error)
	// StopInstance begins to stop. Of one that is stopped it returns nil.
	StopInstance(ctx context.Context, id string, how Stop) error
	StartInstance(ctx context.Context, id string) error
	// TerminateInstances begins to end all of them, and is idempotent. One that is
	// unknown, which makes the error NotFound, keeps no other from its end.
	TerminateInstances(ctx context.Context, ids []string) error

	// AllocateHost is idempotent by HostRequest.ClientToken within a zone.
	AllocateHost(ctx context.Context, r HostRequest) (id string, err error)
	Hosts(ctx context.Context, q Query) ([]Host, error)
	// ReleaseHosts releases what it can and says of the others why not. The
	// error is about the request as a whole.
	ReleaseHosts(ctx context.Context, ids []string) (released []string, refused map[string]*Error, err error)
	// MacHosts says what macOS each Mac host can start without new firmware.
	MacHosts(ctx context.Context, q Query) ([]MacHost, error)

	// Images are of the named owners only ("self", "amazon", an account), or
	// of anybody that lets us if there is none.
	Images(ctx context.Context, owners []string, q Query) ([]Image, error)
	// CreateImage has no token: look for what carries the tags first.
	CreateImage(ctx context.Context, r ImageRequest) (id string, err error)
	CopyImage(ctx context.Context, r ImageCopy) (id string, err error)
	// DeregisterImage removes an image and the snapshots that only it uses.
	DeregisterImage(ctx context.Context, id string) error

	Snapshots(ctx context.Context, owners []string, q Query) ([]Snapshot, error)
	// CreateSnapshots has no token: look for what carries the tags first.
	CreateSnapshots(ctx context.Context, r SnapshotsRequest) ([]Snapshot, error)
	DeleteSnapshot(ctx context.Context, id string) error

	Volumes(ctx context.Context, q Query) ([]Volume, error)
	DeleteVolume(ctx context.Context, id string) error
	// CreateTags adds tags to things of any kind; those of the same key change.
	CreateTags(ctx context.Context, ids []string, tags Tags) error

	SpotRequests(ctx context.Context, q Query) ([]SpotRequest, error)
	CancelSpotRequests(ctx context.Context, ids []string) error

	VPCs(ctx context.Context, q Query) ([]VPC, error)
	Subnets(ctx context.Context, q Query) ([]Subnet, error)
	SecurityGroups(ctx context.Context, q Query) ([]SecurityGroup, error)

	// InstanceTypes are those of the names that the region has, so that one wrong
	// name hides no other; all if there are no names.
	InstanceTypes(ctx context.Context, names []string) ([]InstanceType, error)
	// Offerings says in which zones the types can be had; of all if none.
	Offerings(ctx context.Context, types []string) ([]Offering, error)
	// Quotas are the limits of the service "ec2" by their code, such as
	// "L-1216C47A", those that were never changed included. Units are vCPUs, or
	// hosts for the codes of Mac hosts.
	Quotas(ctx context.Context) (map[string]float64, error)

	// Key finds an encryption key by its id, ARN or "alias/..." and returns its ARN.
	Key(ctx context.Context, name string) (arn string, err error)
}

// Query narrows a list, by EC2's own names of filters; values are joined by
// "or", filters by "and". "*" and "?" are wildcards in values. What is asked for by
// the filter "instance-id" and the like is merely missing from the answer if it
// is not there, which is why there is no list of ids here. A filter may have any
// number of values, and finds nothing if it has none. Hosts have the filters "host-id",
// "state" and "tag:...", too, which the implementation looks at where EC2 does not.
type Query struct{ Filters []Filter }

// Filter is one condition of a Query.
type Filter struct {
	Name   string // such as "instance-state-name", "tag:AquariumNode", "tag-key"
	Values []string
}

// Where makes a Query of one condition; And adds more.
func Where(name string, values ...string) Query { return Query{}.And(name, values...) }

// And is the Query with one more condition.
func (q Query) And(name string, values ...string) Query {
	filters := append([]Filter(nil), q.Filters...) // queries may share the slice
	return Query{append(filters, Filter{name, values})}
}

// Identity is whose the credentials are.
type Identity struct{ Account, ARN string }

// Settled is how long after a change lists may still not show it: what was
// made may be missing, what is gone may be there. AWS names no bound; its own
// documentation advises to back off up to 5 minutes.
const Settled = 5 * time.Minute
