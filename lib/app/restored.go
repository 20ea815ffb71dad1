package app

import (
	"log/slog"

	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// tellRestored says at the start that the database is a copy that was put
// back, and what the node leaves alone until that is confirmed.
func tellRestored(db *store.Store, log *slog.Logger) {
	if taken, restored := db.Restored(); restored {
		log.Warn("the database is a restored copy: environments that it does not know are reported and left alone, and applications "+
			"that waited in it are not run; decide with: aquarium-fish db confirm", "copy_of", taken, "waiting", db.InDoubt())
	}
}
