// Package restamp has a node whose clock was far ahead when it wrote give what
// it wrote the right time, once its clock is right.
//
// The others hold back rows that are too far ahead, so nobody would hear what
// the node does until that time has come. The store can stamp such rows anew
// (store.Restamp), but it can not tell a clock that was ahead from one that is
// behind now, when all that was written is ahead of it, and known to everybody.
// Others can: as long as the node is held back it asks its neighbours for their
// time of day, and only when all that answer agree with it, for a while, is its
// clock taken for right. What links say of clocks every half a minute is too old
// for that: this one may have been set since. A node without neighbours waits:
// nobody holds back anything of it.
package restamp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// lookEvery is how often it is looked whether the node is held back, and if
	// so what the neighbours' clocks say.
	lookEvery = 5 * time.Second
	// settle is how long the clocks have to agree: time services correct a clock
	// in several steps after a start.
	settle = 20 * time.Second
	// maxOff is how far two clocks that agree may be apart, as at a link's door.
	maxOff = time.Minute
	// askTimeout bounds one question: the answer comes from memory, over one hop.
	askTimeout = 5 * time.Second
	// writeTimeout bounds the writing, of some thousand rows a second.
	writeTimeout = 5 * time.Minute
	// tellEvery is how often the log tells again why nothing is done.
	tellEvery = time.Hour
)

// Options configures a Restamp. All fields are required.
type Options struct {
	// Ahead reports whether others hold back what this node writes.
	Ahead func() (by time.Duration, held bool)
	// Write stamps it anew.
	Write func(ctx context.Context) error
	// Neighbours are the nodes that there is a link to.
	Neighbours func() []model.UID
	// Ask asks a neighbour for its time of day.
	Ask func(ctx context.Context, node model.UID) (time.Time, error)
	// Now is this node's time of day.
	Now    func() time.Time
	Logger *slog.Logger
}

func (o Options) validate() error {
	if o.Ahead == nil || o.Write == nil || o.Neighbours == nil || o.Ask == nil || o.Now == nil || o.Logger == nil {
		return errors.New("make restamp: an option is missing")
	}
	return nil
}

// Restamp looks as long as it runs. Make it with New.
type Restamp struct {
	opts   Options
	agreed time.Time // since when all clocks agree, with the monotonic reading; zero: they do not. Run's
	told   time.Time // Run's
}

// New returns a Restamp that does nothing until Run.
func New(o Options) (*Restamp, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Restamp{opts: o}, nil
}

// Run looks until ctx is done, then returns nil.
func (r *Restamp) Run(ctx context.Context) error {
	loop.Every(ctx, lookEvery, func(ctx context.Context) { r.look(ctx, time.Now()) })
	return nil
}

// look stamps anew what is due.
func (r *Restamp) look(ctx context.Context, now time.Time) {
	by, held := r.opts.Ahead()
	var neighbours []model.UID
	if held {
		neighbours = r.opts.Neighbours()
	}
	if len(neighbours) == 0 {
		r.agreed, r.told = time.Time{}, time.Time{}
		return
	}
	if err := r.compare(ctx, neighbours); err != nil {
		r.agreed = time.Time{}
		r.tell(ctx, now, by, err)
		return
	}
	if r.agreed.IsZero() {
		r.agreed = now
	}
	if now.Sub(r.agreed) < settle {
		return
	}
	bound, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := r.opts.Write(bound); err != nil {
		r.tell(ctx, now, by, err)
	}
}

func (r *Restamp) tell(ctx context.Context, now time.Time, by time.Duration, err error) {
	if ctx.Err() != nil || !r.told.IsZero() && now.Sub(r.told) < tellEvery {
		return
	}
	r.told = now
	r.opts.Logger.Error("the others hold back what this node wrote by a clock that was ahead, and it can not be given the right time yet; it is tried again",
		"ahead", by.Round(time.Second), "error", err)
}

var errSilent = errors.New("no neighbour tells its time of day: one of an older version can not, upgrade it; else see in its log why it does not answer")

// compare returns nil if the clocks of all neighbours that answer agree with
// this node's, and at least one does.
func (r *Restamp) compare(ctx context.Context, neighbours []model.UID) error {
	var (
		wait    sync.WaitGroup
		mu      sync.Mutex
		answers int
		off     error
	)
	for _, node := range neighbours { // a handful: links are
		wait.Go(func() {
			by, err := r.offset(ctx, node)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				r.opts.Logger.Debug("neighbour does not tell its time of day", "node", node, "error", err)
				return
			case by.Abs() > maxOff:
				off = fmt.Errorf("the clock of node %s is %s ahead of this one's: set the wrong one (let NTP do it)", node, by.Round(time.Second))
			}
			answers++
		})
	}
	wait.Wait()
	if off == nil && answers == 0 {
		return errSilent
	}
	return off
}

// offset is how far a neighbour's clock is ahead of this node's.
func (r *Restamp) offset(ctx context.Context, node model.UID) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	asked := r.opts.Now()
	theirs, err := r.opts.Ask(ctx, node)
	if err != nil {
		return 0, err
	}
	// Round drops the monotonic reading: a clock that was set in between is off.
	return theirs.Round(0).Sub(asked.Round(0)), nil
}
