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
	// NotBefore holds off the next vote, for the reason Rest.
	NotBefore time.Time
	Rest      Rest
	// Role says who decides.
	Role Role
}

// Rest is why an application is not voted on for a while.
type Rest uint8

// The reasons.
const (
	RestNone Rest = iota
	// RestDeclined: grants were declined.
	RestDeclined
	// RestUnwritten: its grant could not be written.
	RestUnwritten
	// RestStanding: this node has voted yes, and waits for the decision.
	RestStanding
	// RestUndecided: it had voted yes, and nobody decided in time.
	RestUndecided
)

// resting reports whether no vote is due.
func (w *Waiting) resting(now time.Time) bool { return w.Role.Asleep != "" || now.Before(w.NotBefore) }

// undecidable reports whether no grant may be written now, and until when; the
// zero time is for as long as its role is what it is.
func (w *Waiting) undecidable(now time.Time) (until time.Time, rests bool) {
	switch {
	case w.Role.Asleep != "":
		return time.Time{}, true
	case w.Rest == RestDeclined || w.Rest == RestUnwritten:
		return w.NotBefore, now.Before(w.NotBefore)
	}
	return time.Time{}, false
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
	items map[model.UID]*Waiting // by application
	held  map[model.UID]*Waiting // those that rest, by application
	fresh []model.UID            // put in since the last answer
}

func newQueue() queue {
	return queue{lines: make(map[model.UID]Line), items: make(map[model.UID]*Waiting), held: make(map[model.UID]*Waiting)}
}

// put adds the application, and reports whether it is a new one, or another
// grant of it was declined. Else it stays as it is but for its role: looking
// again must not prolong its rest.
func (q *queue) put(w Waiting) (news bool) {
	line, i, found := q.find(w.Application)
	switch {
	case !found:
		q.lines[w.Application.LabelUID] = slices.Insert(line, i, &w)
	case line[i].Declined == w.Declined && line[i].Role == w.Role:
		return false
	default:
		w.Since = line[i].Since
		if line[i].Declined == w.Declined {
			w.NotBefore, w.Rest = line[i].NotBefore, line[i].Rest
		}
		news = line[i].Declined != w.Declined
		line[i] = &w
	}
	q.items[w.Application.UID] = &w
	q.hold(&w)
	if found && !news {
		return false
	}
	q.fresh = append(q.fresh, w.Application.UID)
	return true
}

// postpone lets an application rest until then, if it waits; the zero time
// ends its rest.
func (q *queue) postpone(app model.Application, until time.Time, why Rest) {
	if line, i, found := q.find(app); found {
		w := *line[i]
		w.NotBefore, w.Rest = until, why
		line[i] = &w
		q.items[app.UID] = &w
		q.hold(&w)
	}
}

func (q *queue) hold(w *Waiting) {
	if w.NotBefore.IsZero() && w.Role.Asleep == "" {
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
	delete(q.items, app.UID)
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
		if w.resting(now) {
			resting[w.Application.LabelUID] = true
		} else {
			delete(q.held, uid)
		}
	}
	lines := make([]Line, 0, len(q.lines))
	for label, line := range q.lines {
		if resting[label] {
			line = slices.DeleteFunc(slices.Clone(line), func(w *Waiting) bool { return w.resting(now) })
		}
		if len(line) > 0 {
			lines = append(lines, line)
		}
	}
	return lines
}

// next is the time to the first rest that ends, at most most.
func (q *queue) next(now time.Time, most time.Duration) time.Duration {
	for _, w := range q.held {
		if d := w.NotBefore.Sub(now); d > 0 && w.Role.Asleep == "" {
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
