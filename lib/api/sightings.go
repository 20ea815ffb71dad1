package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// sightingsFor is how long a sighting is kept at least: longer than it takes
	// to catch up with what was seen.
	sightingsFor = time.Minute
	// maxSightings bounds those of that time; each takes some 100 bytes.
	maxSightings = 8192
)

// sighting is how far an application was, as another member told.
type sighting struct {
	member model.UID
	status model.Status
}

// sightings remember what clients were told of applications that were not here
// yet. An application comes here before what became of it, and a client that
// was told ALLOCATED must not be told NEW, or that there is no resource.
type sightings struct {
	any atomic.Bool // there may be some: most nodes never have one

	mu            sync.Mutex
	young, former map[model.UID]sighting // of this time and of the one before
	turned        time.Time
}

// note keeps a sighting in the place of an earlier one.
func (s *sightings) note(app model.UID, seen sighting, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.turned) > sightingsFor || len(s.young) >= maxSightings {
		s.former, s.young, s.turned = s.young, map[model.UID]sighting{}, now
	}
	s.young[app] = seen
	s.any.Store(true)
}

// of returns the last sighting of an application.
func (s *sightings) of(app model.UID) (sighting, bool) {
	if !s.any.Load() {
		return sighting{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, ok := s.young[app]
	if !ok {
		seen, ok = s.former[app]
	}
	return seen, ok
}

// progress orders what can not be undone once a client has seen it. NEW and
// ELECTED are one: a grant may be declined.
func progress(s model.Status) int {
	switch s {
	case model.StatusAllocated:
		return 1
	case model.StatusDeallocate:
		return 2
	case model.StatusDeallocated, model.StatusError, model.StatusRecalled:
		return 3
	}
	return 0
}

// ahead returns who told more of an application than is here.
func (h *handlers) ahead(e *model.Entry) (sighting, bool) {
	if e.Fold.Final || model.SamePrefix(e.Application.UID, h.Node) {
		return sighting{}, false
	}
	seen, ok := h.sightings.of(e.Application.UID)
	return seen, ok && progress(seen.status) > progress(e.Fold.Status())
}

// current is application for a handler that tells what became of it: whoever
// told more before is asked again.
func (h *handlers) current(
	ctx context.Context, uid model.UID, absent func(format string, args ...any) error,
) (*model.Entry, error) {
	e, err := h.application(ctx, uid, absent)
	if err != nil {
		return nil, err
	}
	seen, ok := h.ahead(e)
	if !ok {
		return e, nil
	}
	return nil, &absence{of: seen.member, answer: errBehind(), here: func(ctx context.Context) bool {
		e, err := h.Store.Application(ctx, uid)
		if err != nil {
			return false
		}
		_, ahead := h.ahead(e)
		return !ahead
	}}
}

// stateOf marks the error of a handler that does not find the state of an
// application: what another member answers is a sighting.
func stateOf(app model.UID, err error) error {
	if missing, ok := errors.AsType[*absence](err); ok {
		missing.state = app
	}
	return err
}

// sight notes a member's answer about the state of an application, before the
// client has it.
func (h *handlers) sight(app, member model.UID, status int, body []byte) {
	var state struct {
		Status model.Status `json:"status"`
	}
	if status == http.StatusOK && json.Unmarshal(body, &state) == nil && progress(state.Status) > 0 {
		h.sightings.note(app, sighting{member, state.Status}, time.Now())
	}
}
