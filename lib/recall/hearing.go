package recall

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

const (
	// lookEvery is how often it is looked for who can be asked, and what came.
	lookEvery = 500 * time.Millisecond
	// askAgain is when who answered is asked again, as long as not all of that has
	// come: what comes at all mostly does in a few seconds.
	askAgain = 10 * time.Second
	// askTimeout bounds one question: the answer comes from memory, over a few hops.
	askTimeout = 5 * time.Second
	// mostAsked is how many are asked at a time.
	mostAsked = 8
)

// asking is what a hearing needs.
type asking struct {
	Vector func() replica.Vector // what this node knows
	Ask    func(ctx context.Context, node model.UID) (replica.Vector, error)
	Name   func(node model.UID) string
	Logger *slog.Logger
}

// hearing is what others said that they know, and whether that is here.
type hearing struct {
	asking

	told time.Time // when the log was told who is missing; of the one goroutine that asks

	mu      sync.Mutex
	answers map[model.UID]*answer // guarded by mu
	errs    map[model.UID]error   // guarded by mu: why the last question was not answered
}

// answer is what a node said that it knows.
type answer struct {
	vector  replica.Vector
	covered bool      // it is here, and will stay so
	at      time.Time // when the node said so last
}

func newHearing(a asking) *hearing {
	return &hearing{asking: a, answers: map[model.UID]*answer{}, errs: map[model.UID]error{}}
}

// heard reports whether all is here that the node knew when it answered.
func (h *hearing) heard(node model.UID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.answers[node]
	return a != nil && a.covered
}

// forget begins anew.
func (h *hearing) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers = map[model.UID]*answer{}
	clear(h.errs)
}

// ask asks those of the nodes that have not answered, or long ago what has not
// come.
func (h *hearing) ask(ctx context.Context, nodes []model.UID) {
	var g errgroup.Group
	g.SetLimit(mostAsked)
	h.mu.Lock()
	round := h.answers // what is answered after forget is not noted
	h.mu.Unlock()
	var less atomic.Bool
	for _, node := range nodes {
		if h.answered(node) {
			continue
		}
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			vector, err := h.Ask(ctx, node)
			h.keep(node, err)
			if err != nil {
				h.Logger.Debug("member can not be asked what it knows", "node", node, "error", err)
				return nil // it is asked again
			}
			if !h.note(round, node, vector) {
				less.Store(true)
				h.Logger.Info("a member knows less than it did, as its system crashed or its database was put back: all are asked anew", "node", h.Name(node))
			}
			return nil
		})
	}
	_ = g.Wait() // no error is returned
	if less.Load() {
		h.forget()
	}
}

// keep keeps why a node did not answer, for the log; nil if it did.
func (h *hearing) keep(node model.UID, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if delete(h.errs, node); err != nil {
		h.errs[node] = err
	}
}

// note takes in what a node says, and reports whether it still knows all that it
// said before. What it learned since is not waited for.
func (h *hearing) note(round map[model.UID]*answer, node model.UID, vector replica.Vector) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := round[node]
	if a == nil {
		a = &answer{vector: vector}
		round[node] = a
	}
	a.at = time.Now()
	return vector.Covers(a.vector)
}

// answered reports whether the node need not be asked now.
func (h *hearing) answered(node model.UID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.answers[node]
	return a != nil && (a.covered || time.Since(a.at) < askAgain)
}

// cover notes the answers that are here by now, and reports whether there are
// new ones.
func (h *hearing) cover() (news bool) {
	mine := h.Vector()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.answers {
		if !a.covered && mine.Covers(a.vector) {
			a.covered, news = true, true
		}
	}
	return news
}
