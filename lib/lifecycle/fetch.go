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

// fetch returns when everything that the environment is made from is at hand,
// as far as its driver manages images. allocate_timeout begins to count then:
// a driver that hangs is to be noticed within it, and a download that goes on
// does not hang. A recall ends the wait; the download is the driver's.
func (r *runner) fetch(ctx context.Context, driver drivers.Driver, a model.Allocation) error {
	manager, ok := driver.(drivers.ImageManager)
	if !ok || r.fetched == a.Epoch {
		return nil
	}
	began := time.Now()
	pulled := false
	err := r.await(ctx, fetchTimeout, r.unwanted(a.Epoch), func(ctx context.Context) error {
		if manager.Cached(a.Definition) {
			return nil
		}
		pulled = true
		r.downloads.Store(true)
		defer r.downloads.Store(false)
		return manager.PullImages(ctx, a.Definition)
	})
	now := time.Now()
	if errors.Is(err, context.DeadlineExceeded) && now.Sub(began) >= fetchTimeout {
		return fmt.Errorf("its images were not there within %v", fetchTimeout)
	}
	cut := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if err != nil && (cut || r.intended == a.Epoch) {
		return err
	} // else an earlier process may have made the environment, which needs no image any more: its driver knows
	r.fetched, r.intent = a.Epoch, newAge(now, now, r.m.opts.Boot())
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

// fetching reports whether this process has not had the images at hand yet that
// the application's environment is to be made from.
func (r *runner) fetching(e *model.Entry) bool {
	open := e.OpenAllocations()
	if e.Fold.Allocated != nil || len(open) == 0 || r.fetched == open[len(open)-1].Epoch {
		return false
	}
	driver, err := r.driver(open[len(open)-1])
	if err != nil {
		return false
	}
	_, manages := driver.(drivers.ImageManager)
	return manages
}
