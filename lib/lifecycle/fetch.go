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

// fetch returns when everything that the environment is made from is at hand,
// as far as its driver manages images. allocate_timeout begins to count then:
// a driver that hangs is to be noticed within it, and a download that goes on
// does not hang. A recall ends the wait; the download is the driver's. What an
// error is like says nothing of who ended the wait: a server that does not
// answer looks as a deadline of the node does.
func (r *runner) fetch(ctx context.Context, driver drivers.Driver, a model.Allocation) error {
	manager, ok := driver.(drivers.ImageManager)
	if !ok || r.fetched == a.Epoch {
		return nil
	}
	r.trouble.Store(nil) // what failed before it is over, and this may take long
	began := time.Now()
	pulled, unwanted := false, false
	stop := func(e *model.Entry) bool {
		unwanted = unwanted || r.unwanted(a.Epoch)(e)
		return unwanted
	}
	err := r.await(ctx, fetchTimeout, stop, func(ctx context.Context) error {
		if manager.Cached(a.Definition) {
			return nil
		}
		pulled = true
		r.downloads.Store(true)
		defer r.downloads.Store(false)
		return manager.PullImages(ctx, a.Definition)
	})
	now := time.Now()
	switch late := now.Sub(began) >= fetchTimeout; {
	case err == nil:
	case ctx.Err() != nil, unwanted:
		return errUnwanted
	case late:
		return fmt.Errorf("its images were not there within %v", fetchTimeout)
	case r.intended == a.Epoch:
		return err
	default: // an earlier process may have made the environment, which needs no image any more: its driver knows
	}
	r.fetched, r.intent = a.Epoch, newAge(now, now, r.m.opts.Boot())
	r.fetchedAt.Store(&now)
	if pulled && err == nil {
		r.log.Info("images are there", "instance", a.Definition.Driver, "took", now.Sub(began).Round(time.Millisecond))
	}
	return nil
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
