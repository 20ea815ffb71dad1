package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// maxEnded is how many applications that ended are listed with the live ones: as many as stay in memory for clients that
// still ask for them.
const maxEnded = keepClosed

// whichEnded selects the applications that became done at a time or later, at most maxEnded, the last ones; an index
// serves it.
const whichEnded = "a.uid IN (SELECT uid FROM applications WHERE closed_at >= ? ORDER BY closed_at DESC LIMIT ?)"

// Live returns the applications that are not done, in queue order, and with them those that became done at the given
// time or later, the last maxEnded of these; the zero time adds none. An admin sees all, others their own.
func (s *Store) Live(ctx context.Context, caller Caller, endedSince time.Time) ([]*model.Entry, error) {
	open := s.Open() // first: what ends from now on is found among the ended ones
	if endedSince.IsZero() {
		return seenBy(caller, slices.Clone(open)), nil
	}
	live, err := s.engine.readEnded(ctx, endedSince, maxEnded)
	if err != nil {
		return nil, fmt.Errorf("read ended applications: %w", err)
	}
	ended := make(map[model.UID]bool, len(live))
	for _, e := range live {
		e.Sort(s.Succession)
		ended[e.Application.UID] = true
	}
	for _, e := range open {
		if !ended[e.Application.UID] {
			live = append(live, e)
		}
	}
	slices.SortFunc(live, queueOrder)
	return seenBy(caller, live), nil
}

// seenBy keeps what the caller may see.
func seenBy(caller Caller, entries []*model.Entry) []*model.Entry {
	if caller.Admin {
		return entries
	}
	return slices.DeleteFunc(entries, func(e *model.Entry) bool { return e.Application.OwnerName != caller.Name })
}
