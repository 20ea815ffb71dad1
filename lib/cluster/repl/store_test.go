package repl

import "github.com/aquarium-fish/aquarium-fish/lib/store"

// The database is what an Engine needs.
var _ Store = (*store.Store)(nil)
