package sim

import (
	"context"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/repl"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// gated is a node's store behind a gate that is shut while its machine sleeps.
type gated struct {
	*store.Store
	stand func()
	note  func(*model.Entry) // is told what was written of an application
}

var _ repl.Store = (*gated)(nil)

func (g *gated) Update(
	ctx context.Context, app model.UID, decide func(*model.Entry) (model.Change, error),
) (*model.Entry, error) {
	g.stand()
	e, err := g.Store.Update(ctx, app, decide)
	if err == nil {
		g.note(e)
	}
	return e, err
}

func (g *gated) Application(ctx context.Context, app model.UID) (*model.Entry, error) {
	g.stand()
	return g.Store.Application(ctx, app)
}

func (g *gated) Open() []*model.Entry {
	g.stand()
	return g.Store.Open()
}

func (g *gated) Rows(ctx context.Context, origin replica.Origin, after uint64, limit replica.Limit) (replica.Batch, error) {
	g.stand()
	return g.Store.Rows(ctx, origin, after, limit)
}

func (g *gated) Replicate(ctx context.Context, batches []replica.Batch) error {
	g.stand()
	return g.Store.Replicate(ctx, batches)
}

func (g *gated) Digests(ctx context.Context, horizon time.Time) (map[replica.Kind]*replica.Digest, error) {
	g.stand()
	return g.Store.Digests(ctx, horizon)
}

func (g *gated) MergeRows(ctx context.Context, rows []replica.Row, horizon time.Time) ([]replica.Row, error) {
	g.stand()
	return g.Store.MergeRows(ctx, rows, horizon)
}

// replication fits the engine to the cluster.
type replication struct {
	engine *repl.Engine
	store  repl.Store
}

func (r replication) Vector() replica.Vector { return r.store.Vector() }

func (r replication) Session(o cluster.SessionOptions) cluster.Session {
	return r.engine.Session(repl.SessionOptions{
		Name: o.Name, Conn: o.Conn, Advertise: o.Advertise, Told: o.Told, Theirs: o.Theirs, Outgoing: o.Outgoing,
	})
}
