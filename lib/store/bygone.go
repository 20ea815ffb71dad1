package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// What closed is removed by each node at a time of its own, without a word. Who
// was away meanwhile finds no trace of the end: the vector passes over the
// numbers of rows that are gone. So it asks: a node whose vector covers the row
// of an application that is not there has removed it, or has it from one that
// had, and only what closed is removed.

// Trace names an application by the version that its row has where it is known.
type Trace struct {
	Application model.UID
	Version     replica.Version
}

// Fate is what a node knows of an application that another one holds for open.
type Fate uint8

// The fates. Later versions may add others; who does not know one takes it for
// FateUnknown.
const (
	// FateUnknown: the node never heard of it, or can not tell.
	FateUnknown Fate = iota
	// FateOpen: it is open there too.
	FateOpen
	// FateClosed: it has closed, and its rows are there.
	FateClosed
	// FateRemoved: it had closed, and was removed.
	FateRemoved
)

// Traces returns those of the applications whose row is here.
func (s *Store) Traces(apps []model.UID) ([]Trace, error) {
	var traces []Trace
	for _, app := range apps {
		row, err := s.engine.readRow(replica.KindApplication, app[:])
		if err != nil {
			return nil, fmt.Errorf("read row of application %s: %w", app, err)
		}
		if row != nil && !row.Deleted {
			traces = append(traces, Trace{Application: app, Version: row.Version})
		}
	}
	return traces, nil
}

// Fates returns what this node knows of each of the applications.
func (s *Store) Fates(ctx context.Context, traces []Trace) ([]Fate, error) {
	vector := s.Vector() // before the rows: what it covers was here then, or had been removed
	fates := make([]Fate, len(traces))
	for i, trace := range traces {
		var err error
		if fates[i], err = s.fate(ctx, trace, vector); err != nil {
			return nil, err
		}
	}
	return fates, nil
}

func (s *Store) fate(ctx context.Context, trace Trace, vector replica.Vector) (Fate, error) {
	row, err := s.engine.readRow(replica.KindApplication, trace.Application[:])
	if err != nil {
		return FateUnknown, fmt.Errorf("read row of application %s: %w", trace.Application, err)
	}
	v := trace.Version
	if row == nil {
		if vector[v.Origin] >= v.Seq && v.Seq > 0 && s.mayHaveGone(v.HLC) {
			return FateRemoved, nil
		}
		return FateUnknown, nil
	}
	e, err := s.Application(ctx, trace.Application)
	switch {
	case errors.Is(err, ErrNotFound): // it waits for what makes it whole, or goes at this moment
		return FateUnknown, nil
	case err != nil:
		return FateUnknown, err
	case e.Done():
		return FateClosed, nil
	}
	return FateOpen, nil
}

// mayHaveGone reports whether an application whose row has that clock reading
// may have been removed here, or before this database was made.
func (s *Store) mayHaveGone(hlc model.HLC) bool {
	return int64(hlc) <= max(s.removed.Load(), s.born)+int64(maxAhead)
}

// Forget removes applications that others have removed, as if their retention
// were over here. One of which an environment may exist here stays. It returns
// which were removed.
func (s *Store) Forget(ctx context.Context, apps []model.UID) (gone []model.UID, err error) {
	for len(apps) > 0 {
		n := min(len(apps), expireBatch)
		some, err := s.forgetSome(ctx, apps[:n])
		if err != nil {
			return gone, err
		}
		gone, apps = append(gone, some...), apps[n:]
	}
	return gone, nil
}

func (s *Store) forgetSome(ctx context.Context, apps []model.UID) (gone []model.UID, err error) {
	err = s.do(ctx, func(t *tx) error {
		gone = nil
		for _, app := range apps {
			e, err := t.find(app)
			if err != nil {
				return err
			}
			if e == nil || len(e.OpenAllocations()) > 0 {
				continue
			}
			if err := t.noteRemoved(LastNews(e)); err != nil {
				return err
			}
			if err := t.remove(app); err != nil {
				return fmt.Errorf("remove application %s: %w", app, err)
			}
			gone = append(gone, app)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return gone, nil
}

// LastNews is when the newest row of the application was written that is known
// here, by the hybrid clock.
func LastNews(e *model.Entry) time.Time {
	last := e.Application.HLC
	for _, s := range e.States {
		last = max(last, s.HLC)
	}
	for _, t := range e.Tasks {
		last = max(last, t.HLC, model.HLC(t.UpdatedAt.UnixNano()))
	}
	return time.Unix(0, int64(last)).UTC()
}

// Horizon is until when applications may have closed that were removed here:
// nothing of what closed before it can be compared with others.
func (s *Store) Horizon() time.Time { return time.Unix(0, s.removed.Load()).Add(maxAhead) }
