package drivers

import "context"

// Suspender is a driver that can stop an environment for a while and let it go
// on where it was. The node offers it as the tasks `suspend` and `resume`.
type Suspender interface {
	// Suspend returns when the environment stands still. It keeps its memory, its
	// disks and what it counts in every capacity. Of one that stands still
	// already it returns nil.
	Suspend(ctx context.Context, ref Ref) error

	// Resume lets it go on, and returns when it does. Of one that runs it
	// returns nil.
	Resume(ctx context.Context, ref Ref) error
}
