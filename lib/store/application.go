package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Open returns every application that is not done, in queue order. The slice
// is shared: it must not be changed.
func (s *Store) Open() []*model.Entry { return s.memory.snapshot() }

// Application returns all that is known of an application: from memory while
// it is alive or has ended not long ago, else through SQL. ErrNotFound if
// there is none.
func (s *Store) Application(ctx context.Context, uid model.UID) (*model.Entry, error) {
	s.memory.mu.RLock()
	e := s.memory.entry(uid)
	s.memory.mu.RUnlock()
	if e != nil {
		return e, nil
	}
	e, err := s.engine.readEntry(ctx, uid)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("read application %s: %w", uid, err)
	}
	if err == nil {
		e.Sort(s.Succession)
	}
	return e, err
}

// Resource returns the Resource with this UID and its application's entry.
func (s *Store) Resource(uid model.UID) (model.Resource, *model.Entry, bool) {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	e := s.memory.entry(s.memory.resources[uid])
	if e == nil || e.Resource == nil {
		return model.Resource{}, nil, false
	}
	return *e.Resource, e, true
}

// Resources returns the entries that have a Resource, the ALLOCATED ones, in
// queue order.
func (s *Store) Resources() []*model.Entry {
	var allocated []*model.Entry
	for _, e := range s.Open() {
		if e.Resource != nil {
			allocated = append(allocated, e)
		}
	}
	return allocated
}

// CreateApplication stores a new application and its NEW state. UID, times,
// clock reading and arbiter are filled in. ErrLabelUnknown if its label does
// not exist.
func (s *Store) CreateApplication(ctx context.Context, a model.Application) (*model.Entry, error) {
	var created *model.Entry
	err := s.do(ctx, func(t *tx) (err error) {
		created, err = t.createApplication(a)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create application: %w", err)
	}
	return created, nil
}

func (t *tx) createApplication(a model.Application) (*model.Entry, error) {
	if _, ok := t.labels.get(a.LabelUID); !ok {
		return nil, fmt.Errorf("label %s: %w", a.LabelUID, ErrLabelUnknown)
	}
	a.UID, a.CreatedAt, a.HLC, a.Arbiter = t.store.uids.New(t.now), t.now, t.store.clock.Next(t.now), t.store.opts.Node
	a.Metadata = orEmpty(a.Metadata)
	if err := record(t, a, replica.EncodeApplication, a.UID); err != nil {
		return nil, err
	}
	if err := t.run(func(w nounWriter) error { return w.insertApplication(a) }); err != nil {
		return nil, err
	}
	return t.write(&model.Entry{Application: a}, model.Change{States: []model.ApplicationState{{
		Status: model.StatusNew, Description: "Just created by Fish " + t.nodeName(),
	}}})
}

func (exec execFunc) insertApplication(a model.Application) error {
	return exec.writeApplication(a, "")
}

// putApplication is insertApplication where it may be there.
func (exec execFunc) putApplication(a model.Application) error {
	return exec.writeApplication(a, " ON CONFLICT (uid) DO UPDATE SET label_uid = excluded.label_uid, owner_name = excluded.owner_name, "+
		"metadata = excluded.metadata, created_at = excluded.created_at, hlc = excluded.hlc, arbiter = excluded.arbiter")
}

func (exec execFunc) writeApplication(a model.Application, conflict string) error {
	_, err := exec("INSERT INTO applications (uid, label_uid, owner_name, metadata, created_at, hlc, arbiter) VALUES (?,?,?,?,?,?,?)"+conflict,
		key(a.UID), key(a.LabelUID), a.OwnerName, rawText(a.Metadata), toNanos(a.CreatedAt), int64(a.HLC), key(a.Arbiter))
	return exists(err, "insert application")
}

// Update changes one application: decide sees its newest entry, earlier writes
// of the same batch included, and says what to write. It runs in the writer,
// twice if another request of the batch has to be undone: it must be pure,
// quick, and leave the entry as it is. Its error is returned
// as it is, and nothing is written; an empty Change writes nothing. The entry
// returned is the one after the change.
func (s *Store) Update(
	ctx context.Context, app model.UID, decide func(*model.Entry) (model.Change, error),
) (*model.Entry, error) {
	var updated *model.Entry
	err := s.do(ctx, func(t *tx) error {
		e, err := t.entry(app)
		if err != nil {
			return err
		}
		change, err := decide(e)
		if err != nil {
			return err
		}
		if !change.Empty() {
			if e, err = t.write(e, change); err != nil {
				return fmt.Errorf("update application %s: %w", app, err)
			}
		}
		updated = e
		return nil
	})
	if err != nil {
		return nil, err
	}
	return updated, nil
}

// entry is the application's newest entry as the writer sees it.
func (t *tx) entry(uid model.UID) (*model.Entry, error) {
	e, known := t.entries[uid]
	if !known {
		e = t.store.memory.entry(uid)
	}
	switch {
	case e != nil:
		return e, nil
	case known:
		return nil, fmt.Errorf("application %s: %w", uid, ErrNotFound)
	}
	e, err := t.store.engine.entry(uid)
	if err == nil {
		e.Sort(t.succession)
	}
	return e, t.fail(err)
}

// write makes the change durable and returns the entry that it leads to.
func (t *tx) write(old *model.Entry, c model.Change) (*model.Entry, error) {
	e := *old
	for _, step := range [...]func() error{
		func() error { return t.writeStates(&e, c.States) },
		func() error { return t.writeAllocations(&e, c.Allocations) },
		func() error { return t.writeTasks(&e, c.Tasks) },
		func() error { return t.writeResource(&e, c) },
		func() error { return t.writeClosed(old, &e) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	uid := e.Application.UID
	t.then(Key{Kind: KindApplication, UID: uid}, func() { t.entries[uid] = &e })
	return &e, nil
}

func (t *tx) writeStates(e *model.Entry, states []model.ApplicationState) error {
	if len(states) == 0 {
		return nil
	}
	all := slices.Clone(e.States)
	for _, s := range states {
		t.stampState(&s, e.Application.UID)
		if err := t.run(func(w nounWriter) error { return w.insertState(s) }); err != nil {
			return err
		}
		if err := record(t, s, replica.EncodeApplicationState, s.ApplicationUID); err != nil {
			return err
		}
		all = append(all, s)
	}
	e.States = all
	t.store.present(e, t.succession)
	return nil
}

// upsert is insertState where the state may be there.
const upsertState = " ON CONFLICT (application_uid, uid) DO UPDATE SET status = excluded.status, description = excluded.description, " +
	"created_at = excluded.created_at, hlc = excluded.hlc, epoch = excluded.epoch, node_uid = excluded.node_uid, decision = excluded.decision"

func (exec execFunc) insertState(s model.ApplicationState) error { return exec.writeState(s, "") }

func (exec execFunc) putState(s model.ApplicationState) error { return exec.writeState(s, upsertState) }

func (t *tx) stampState(s *model.ApplicationState, app model.UID) {
	s.ApplicationUID = app
	if s.NodeUID == model.NilUID {
		s.NodeUID = t.store.opts.Node
	}
	switch {
	case s.UID != model.NilUID:
	case s.Status == model.StatusElected:
		s.UID = model.GrantUID(app, s.Epoch, s.NodeUID)
	default:
		s.UID = t.store.uids.New(t.now)
	}
	s.CreatedAt = t.orNow(s.CreatedAt)
	s.HLC = t.orNext(s.HLC)
}

func (exec execFunc) writeState(s model.ApplicationState, conflict string) error {
	var decision any
	if s.Decision != nil {
		text, err := toJSON(s.Decision)
		if err != nil {
			return err
		}
		decision = text
	}
	_, err := exec("INSERT INTO application_states "+
		"(uid, application_uid, status, description, created_at, hlc, epoch, node_uid, decision) VALUES (?,?,?,?,?,?,?,?,?)"+conflict,
		key(s.UID), key(s.ApplicationUID), string(s.Status), s.Description, toNanos(s.CreatedAt), int64(s.HLC), s.Epoch,
		key(s.NodeUID), decision)
	return exists(err, "insert state "+string(s.Status))
}

// writeClosed keeps closed_at in step with Done: where it is NULL, the
// application is found at the next start.
func (t *tx) writeClosed(old, e *model.Entry) error {
	if old.Done() == e.Done() {
		return nil
	}
	var closed time.Time
	if e.Done() {
		closed = t.closedAt(e)
	}
	return t.run(func(w nounWriter) error { return w.putClosed(e.Application.UID, closed) })
}

// closedAt is when an application that is done now has closed: one of another
// node when its last row was made, so that who learns of it late does not keep
// it for longer.
func (t *tx) closedAt(e *model.Entry) time.Time {
	if e.Application.Arbiter == t.store.opts.Node {
		return t.now
	}
	var last model.HLC
	for _, s := range e.AllStates() {
		last = max(last, s.HLC)
	}
	if at := time.Unix(0, int64(last)).UTC(); at.Before(t.now) {
		return at
	}
	return t.now
}

func (exec execFunc) putClosed(app model.UID, at time.Time) error {
	if _, err := exec("UPDATE applications SET closed_at = ? WHERE uid = ?", toNanos(at), key(app)); err != nil {
		return fmt.Errorf("close application: %w", err)
	}
	return nil
}
