package election

import (
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Waiting is an application in the queue. It is never changed once it is in it.
type Waiting struct {
	Application model.Application
	// Since is when this process first saw it wait; rounds count from it.
	Since time.Time
	// NotBefore holds off the next vote after a grant was declined.
	NotBefore time.Time
}

// waited is how long the application has been unserved: by this process's own
// clock or by its creation, whichever is longer.
func (w *Waiting) waited(now time.Time) time.Duration {
	return max(now.Sub(w.Since), now.Sub(w.Application.CreatedAt))
}

// queue keeps the waiting applications in order of creation.
type queue struct {
	items []*Waiting // sorted by Application.Before
}

// put adds the application, or renews its hold-off if it is there already.
func (q *queue) put(w Waiting) {
	i, found := q.find(w.Application)
	if found {
		w.Since = q.items[i].Since
		q.items[i] = &w
		return
	}
	q.items = slices.Insert(q.items, i, &w)
}

func (q *queue) remove(app model.Application) {
	if i, found := q.find(app); found {
		q.items = slices.Delete(q.items, i, i+1)
	}
}

func (q *queue) find(app model.Application) (int, bool) {
	return slices.BinarySearchFunc(q.items, app, func(w *Waiting, app model.Application) int {
		switch {
		case w.Application.UID == app.UID:
			return 0
		case w.Application.Before(app):
			return -1
		}
		return 1
	})
}

// due returns the applications that may be voted on now, oldest first.
func (q *queue) due(now time.Time) []*Waiting {
	due := make([]*Waiting, 0, len(q.items))
	for _, w := range q.items {
		if !now.Before(w.NotBefore) {
			due = append(due, w)
		}
	}
	return due
}

// declineBackoff is how long an application waits for its next vote after its
// n-th grant was declined: at once first, then doubling from 100 ms to 30 s,
// so that a node which votes yes and declines in a circle does little harm.
func declineBackoff(declined int) time.Duration {
	if declined <= 1 {
		return 0
	}
	return min(100*time.Millisecond<<min(declined-2, 20), 30*time.Second)
}
