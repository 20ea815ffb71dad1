package drivers

import "context"

// Unable is an ErrTaskUnknown that says why, in words for the user: the task
// ends with them.
type Unable string

// Error implements error.
func (u Unable) Error() string { return string(u) }

// Unwrap makes it an ErrTaskUnknown.
func (Unable) Unwrap() error { return ErrTaskUnknown }

// Suspender is a driver that can stop an environment for a while and let it go
// on where it was. The node offers it as the tasks `suspend` and `resume`.
//
// An environment that stands still is Running to Inspect, has no end to Watch,
// is removed by Deallocate like any other, and is found by the next process.
// An error of ErrTaskUnknown says that this instance can not do it, or not with
// this environment, and will not: the task ends with it. Any other is tried
// again, as is a call whose answer was lost.
type Suspender interface {
	// Suspend returns when the environment stands still. It keeps its memory, its
	// disks and what it counts in every capacity. Of one that stands still
	// already it returns nil, of one that is not there an error.
	Suspend(ctx context.Context, ref Ref) error

	// Resume lets it go on, and returns when it does. Of one that runs it
	// returns nil, of one that is not there an error.
	Resume(ctx context.Context, ref Ref) error
}
