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
	// Declined is how many of its grants were declined.
	Declined int
	// NotBefore holds off the next vote after a grant was declined, or could
	// not be written.
	NotBefore time.Time
}

// waited is how long the application has been unserved: by this process's own
// clock or by its creation, whichever is longer.
func (w *Waiting) waited(now time.Time) time.Duration {
	return max(now.Sub(w.Since), now.Sub(w.Application.CreatedAt))
}

// Line is applications of one label that may be voted on, oldest first. It is
// never empty.
type Line []*Waiting

// byAge orders lines by their oldest.
func byAge(a, b Line) int { return older(a[0], b[0]) }

func older(a, b *Waiting) int { return place(a, b.Application) }

// place compares an application that waits with another's place in the queue.
func place(w *Waiting, app model.Application) int {
	switch {
	case w.Application.UID == app.UID:
		return 0
	case w.Application.Before(app):
		return -1
	}
	return 1
}

// queue keeps the waiting applications by label, each in order of creation:
// so that a pass looks at the oldest of each label and not at all of them.
type queue struct {
	lines map[model.UID]Line     // by label
	held  map[model.UID]*Waiting // those with a hold-off, by application
}

func newQueue() queue {
	return queue{lines: make(map[model.UID]Line), held: make(map[model.UID]*Waiting)}
}

// put adds the application. One that is there already stays as it is unless a
// further grant was declined: looking again must not prolong its hold-off.
func (q *queue) put(w Waiting) {
	line, i, found := q.find(w.Application)
	switch {
	case !found:
		q.lines[w.Application.LabelUID] = slices.Insert(line, i, &w)
	case line[i].Declined == w.Declined:
		return
	default:
		w.Since = line[i].Since
		line[i] = &w
	}
	q.hold(&w)
}

// postpone holds an application off until then, if it waits.
func (q *queue) postpone(app model.Application, until time.Time) {
	if line, i, found := q.find(app); found {
		w := *line[i]
		w.NotBefore = until
		line[i] = &w
		q.hold(&w)
	}
}

func (q *queue) hold(w *Waiting) {
	if w.NotBefore.IsZero() {
		delete(q.held, w.Application.UID)
		return
	}
	q.held[w.Application.UID] = w
}

func (q *queue) remove(app model.Application) {
	line, i, found := q.find(app)
	if !found {
		return
	}
	delete(q.held, app.UID)
	if len(line) == 1 {
		delete(q.lines, app.LabelUID)
		return
	}
	q.lines[app.LabelUID] = slices.Delete(line, i, i+1)
}

func (q *queue) find(app model.Application) (line Line, i int, found bool) {
	line = q.lines[app.LabelUID]
	i, found = slices.BinarySearchFunc(line, app, place)
	return line, i, found
}

// due returns the applications that may be voted on now. The lines are good
// until the queue changes.
func (q *queue) due(now time.Time) []Line {
	resting := make(map[model.UID]bool) // labels
	for uid, w := range q.held {
		if now.Before(w.NotBefore) {
			resting[w.Application.LabelUID] = true
		} else {
			delete(q.held, uid)
		}
	}
	lines := make([]Line, 0, len(q.lines))
	for label, line := range q.lines {
		if resting[label] {
			line = slices.DeleteFunc(slices.Clone(line), func(w *Waiting) bool { return now.Before(w.NotBefore) })
		}
		if len(line) > 0 {
			lines = append(lines, line)
		}
	}
	return lines
}

// next is the time to the first hold-off that ends, at most most.
func (q *queue) next(now time.Time, most time.Duration) time.Duration {
	for _, w := range q.held {
		if d := w.NotBefore.Sub(now); d > 0 {
			most = min(most, d)
		}
	}
	return most
}

// all returns everything that waits, oldest first.
func (q *queue) all() []*Waiting {
	var all []*Waiting
	for _, line := range q.lines {
		all = append(all, line...)
	}
	slices.SortFunc(all, older)
	return all
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
