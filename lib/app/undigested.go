package app

import (
	"context"
	"errors"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/repl"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// undigested is a database that is replicated, and not compared with others.
type undigested struct{ *store.Store }

var errUndigested = errors.New("this node does not compare its database with others")

// Digests implements repl.Store.
func (undigested) Digests(context.Context, time.Time) (map[replica.Kind]*replica.Digest, error) {
	return nil, errUndigested
}

// Bucket implements repl.Store.
func (undigested) Bucket(context.Context, repl.Bucket, []byte, replica.Limit) ([]replica.Row, error) {
	return nil, errUndigested
}

// MergeRows implements repl.Store.
func (undigested) MergeRows(context.Context, []replica.Row, time.Time) ([]replica.Row, error) {
	return nil, errUndigested
}
