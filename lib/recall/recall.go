// Package recall has a node whose database was put back, or may have been, hear
// from all others what it forgot.
//
// The store says that there is a lapse (store.Lapsed). Since the lapse began the
// node asks each member that is not retired, once, up to where it knows
// everything of every origin. Whatever the node wrote before and anybody still
// has is within one of these answers, as members forget nothing. So when the
// node's own vector covers the answers of all, at whatever times they came, it
// knows what there is to know, and the lapse ends.
// Vectors are asked for end to end: what neighbours tell, and the numbers that
// members flood of their own rows, say nothing of rows of this node that a
// distant one has alone.
//
// One thing members do forget: rows of others that came shortly before a loss of
// power. So who answered what does not come is asked again. If that is less now,
// perhaps nobody has the rest, or somebody got it after having answered: all are
// asked anew, for what is known from then on.
//
// The successor of a retired node is in the same place: rows of that node may be
// at a distant member alone. So a Survey asks in the same way.
package recall

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// waits is what the log is told of a lapse that lasts.
const waits = "this node may have forgotten what it granted and began, as its database was put back or the system crashed; until it has heard " +
	"from all members it decides nothing of before: start those that are missing, or retire who is gone for good (aquarium-fish cluster retire)"

// database is what is needed of the store.
type database interface {
	Lapsed() (since time.Time, lapsed bool)
	Forgot(app model.Application) bool
	Origin() replica.Origin
	Vector() replica.Vector
	EndLapse(ctx context.Context, incarnation uint32) error
}

// Options configures a Recall. All fields are required.
type Options struct {
	Store database
	// Others are the other nodes that were not retired. known is false where
	// there should be some, and the database knows none.
	Others func() (nodes []model.UID, known bool)
	// Ask asks another node up to where it knows everything of each origin.
	Ask func(ctx context.Context, node model.UID) (replica.Vector, error)
	// Name is how a node is called in the log.
	Name func(node model.UID) string
	// Heard is called when more is known of what was forgotten. It does not block.
	Heard  func()
	Logger *slog.Logger
}

func (o Options) validate() error {
	if o.Store == nil || o.Others == nil || o.Ask == nil || o.Name == nil || o.Heard == nil || o.Logger == nil {
		return errors.New("make recall: an option is missing")
	}
	return nil
}

// Recall asks as long as there is a lapse. Make it with New.
type Recall struct {
	opts Options

	incarnation uint32 // that the answers are about; Run's

	hearing *hearing
}

// New returns a Recall that does nothing until Run.
func New(o Options) (*Recall, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Recall{opts: o, hearing: newHearing(asking{Vector: o.Store.Vector, Ask: o.Ask, Name: o.Name, Logger: o.Logger})}, nil
}

// Lapsed reports whether there is a lapse.
func (r *Recall) Lapsed() bool {
	_, lapsed := r.opts.Store.Lapsed()
	return lapsed
}

// Forgot reports whether what was decided about an application may be known to
// others alone.
func (r *Recall) Forgot(app model.Application) bool { return r.opts.Store.Forgot(app) }

// Heard reports whether this node knows all that the other one knew at some
// time since the lapse began.
func (r *Recall) Heard(node model.UID) bool { return r.hearing.heard(node) }

// Run looks until ctx is done, then returns nil.
func (r *Recall) Run(ctx context.Context) error {
	r.look(ctx)
	loop.Every(ctx, lookEvery, r.look)
	return nil
}

// look asks who was not asked yet, and ends the lapse if nobody is left.
func (r *Recall) look(ctx context.Context) {
	since, lapsed := r.opts.Store.Lapsed()
	if incarnation := r.opts.Store.Origin().Incarnation; !lapsed || incarnation != r.incarnation {
		r.forget(incarnation)
	}
	if !lapsed {
		return
	}
	asked, _ := r.opts.Others()
	r.hearing.ask(ctx, asked)
	if r.hearing.cover() {
		r.opts.Heard()
	}
	// The rows that came may tell of more nodes.
	others, known := r.opts.Others()
	missing := r.hearing.missing(others)
	if known && len(missing) == 0 {
		if err := r.opts.Store.EndLapse(ctx, r.incarnation); err != nil && ctx.Err() == nil {
			r.opts.Logger.Warn("all members were heard, and that can not be stored; it is tried again", "error", err)
		}
		return
	}
	if attrs, due := r.hearing.tell(missing, "any at an address of cluster_join", since); due && ctx.Err() == nil {
		r.opts.Logger.Warn(waits, attrs...)
	}
}

// forget begins anew: what was said before the lapse is nothing.
func (r *Recall) forget(incarnation uint32) {
	r.incarnation, r.hearing.told = incarnation, time.Time{}
	r.hearing.forget()
}
