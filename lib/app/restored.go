package app

import (
	"context"
	"log/slog"
	"time"
)

// restoredMark tells whether the database is a copy that was put back.
type restoredMark interface {
	Restored(ctx context.Context) (taken time.Time, restored bool, err error)
}

// reportOnly holds the reaper back on a restored database until an operator
// confirms it, and says so at the start.
func reportOnly(ctx context.Context, db restoredMark, log *slog.Logger) func(context.Context) bool {
	if taken, restored, err := db.Restored(ctx); err == nil && restored {
		log.Warn("the database is a restored copy: environments that it does not know are reported and left alone; "+
			"once none of them is needed: aquarium-fish db confirm", "copy_of", taken)
	}
	return func(ctx context.Context) bool {
		_, restored, err := db.Restored(ctx)
		if err != nil && ctx.Err() == nil {
			log.Warn("environments that nobody asked for are left alone: the node can not tell whether its database was restored", "error", err)
		}
		return restored || err != nil
	}
}
