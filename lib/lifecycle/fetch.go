package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// fetchTimeout bounds the wait for images: far more than a driver gives one
// download, so that only a driver that forgot its own bound meets it.
const fetchTimeout = 24 * time.Hour

// errUnwanted says that the wait for images was cut short, which the next look
// answers.
var errUnwanted = errors.New("the environment is not wanted any more")

// errDrained says that images are missing on a node that drains.
var errDrained = errors.New("the node takes nothing new, and images are missing")

// fetch returns when everything that the environment is made from is at hand,
// as far as its driver manages images. allocate_timeout begins to count then:
// a driver that hangs is to be noticed within it, and a download that goes on
// does not hang. A recall ends the wait, and so does a drain, as nothing has
// begun that it would have to wait for; the download is the driver's. What an
// error is like says nothing of who ended the wait: a server that does not
// answer looks as a deadline of the node does.
func (r *runner) fetch(ctx context.Context, driver drivers.Driver, a model.Allocation) error {
	manager, ok := driver.(drivers.ImageManager)
	if !ok || r.fetched == a.Epoch {
		return nil
	}
	r.trouble.Store(nil) // what failed before it is over, and this may take long
	began := time.Now()
	r.imageless = 0
	p := pull{r: r, manager: manager, of: a, made: r.known && r.presence == drivers.Running}
	err := r.await(ctx, fetchTimeout, p.stop, p.run)
	now := time.Now()
	switch late := now.Sub(began) >= fetchTimeout; {
	case err == nil:
	case ctx.Err() != nil, p.unwanted:
		return errUnwanted
	case p.drained, errors.Is(err, errDrained):
		r.imageless = a.Epoch
		return errUnwanted
	case late:
		return fmt.Errorf("its images were not there within %v", fetchTimeout)
	case r.intended == a.Epoch:
		return err
	default: // an earlier process may have made the environment, which needs no image any more: its driver knows
	}
	r.fetched, r.intent = a.Epoch, newAge(now, now, r.m.opts.Boot())
	r.fetchedAt.Store(&now)
	if p.pulled && err == nil {
		r.log.Info("images are there", "instance", a.Definition.Driver, "took", now.Sub(began).Round(time.Millisecond))
	}
	return nil
}

// pull is one wait for images.
type pull struct {
	r       *runner
	manager drivers.ImageManager
	of      model.Allocation
	made    bool // an earlier process made the environment

	pulled            bool // images were missing
	unwanted, drained bool // why it was stopped
}

// stop says at an event whether it ends early.
func (p *pull) stop(e *model.Entry) bool {
	p.unwanted = p.unwanted || p.r.unwanted(p.of.Epoch)(e)
	p.drained = p.drained || p.r.downloads.Load() && p.r.m.draining()
	return p.unwanted || p.drained
}

// run asks the driver for what is missing. It looks for a drain once downloads
// is set, so that stop meets one that comes later.
func (p *pull) run(ctx context.Context) error {
	if p.manager.Cached(p.of.Definition) {
		return nil
	}
	p.pulled = true
	p.r.downloads.Store(true)
	defer p.r.downloads.Store(false)
	switch {
	case !p.r.m.draining():
		return p.manager.PullImages(ctx, p.of.Definition)
	case p.made:
		return nil // its driver gives it without an image
	}
	return errDrained
}

// Fetching reports whether the application waits for its images, which says how
// it stands while it is ELECTED.
func (m *Manager) Fetching(app model.UID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.runners[app]
	return r != nil && r.downloads.Load()
}

// FetchedAt is when the images were at hand that the application's environment
// is made from, from which allocate_timeout counts; zero: not yet, or its driver
// manages none.
func (m *Manager) FetchedAt(app model.UID) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.runners[app]
	if r == nil {
		return time.Time{}
	}
	if at := r.fetchedAt.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// allocating is how long the driver has had to make the environment: not while
// images are missing that this process has not had at hand yet. What was before
// this process may have been a download, and does not count until the driver is
// there and tells.
func (r *runner) allocating(e *model.Entry, now time.Time, boot time.Duration) time.Duration {
	open := e.OpenAllocations()
	if e.Fold.Allocated != nil || len(open) == 0 || r.fetched == open[len(open)-1].Epoch {
		return r.intent.at(now, boot)
	}
	driver, err := r.driver(open[len(open)-1])
	if err != nil {
		return r.intent.here(now, boot)
	}
	if _, manages := driver.(drivers.ImageManager); manages {
		r.intent = newAge(now, now, boot)
	}
	return r.intent.at(now, boot)
}
