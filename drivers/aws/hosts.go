package aws

import (
	"context"
	"fmt"
)

// hosts gives out the dedicated hosts of the pools. Its methods are idempotent
// by token, and bounded by their context.
type hosts interface {
	// Reserve reserves a host of the pool, in one of the zones, for a token until
	// Failed or Released, and waits for one as long as that makes sense. What was
	// reserved for the token before is returned again, also to the next process.
	Reserve(ctx context.Context, pool, token string, zones []string) (host, zone string, err error)
	// Launched says that a machine was made on the host of the token; more than
	// once, where the process that made it may have been killed before it told.
	Launched(ctx context.Context, pool, token, instance string)
	// Failed says that there was no launch on the host of the token: Reserve then
	// gives another one, if it was the host's fault. After a cause that leaves open
	// whether there was one, the host stays reserved until EC2's lists tell.
	Failed(ctx context.Context, pool, token string, cause error)
	// Released says that nothing of the token is on any host, nor will be. The
	// pool is empty where it is not known: an intent may be lost.
	Released(ctx context.Context, pool, token string)
	// Free is how many more machines a pool can take now in one of the zones, from
	// memory; the error is why that is not known, or why it is none.
	Free(pool string, zones []string) (int, error)
	// Type is the type of a pool's hosts.
	Type(pool string) (string, error)
}

// noPools are the hosts of an instance that has no pool.
type noPools struct{}

func (noPools) Reserve(_ context.Context, pool, _ string, _ []string) (host, zone string, err error) {
	return "", "", errNoPool(pool)
}
func (noPools) Launched(context.Context, string, string, string) {}
func (noPools) Failed(context.Context, string, string, error)    {}
func (noPools) Released(context.Context, string, string)         {}
func (noPools) Free(pool string, _ []string) (int, error)        { return 0, errNoPool(pool) }
func (noPools) Type(pool string) (string, error)                 { return "", errNoPool(pool) }

// errNoPool is about a pool that the configuration does not have.
type errNoPool string

// Error implements error.
func (e errNoPool) Error() string {
	return fmt.Sprintf("option pool: %q is not in dedicated_pool of this node's configuration", string(e))
}
