package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// What nodes compare. Applications that closed before a horizon are left out,
// because each node removes them at a time of its own; so are rows of states,
// tasks and Resources that this program can not read: it can not tell of which
// application they are.

// compareTimeout bounds a pass over all rows: some 5 s per million.
const compareTimeout = 2 * time.Minute

// Digests sums up all rows, by kind, without those of applications that closed
// before the horizon. It reads beside the writer.
func (s *Store) Digests(ctx context.Context, horizon time.Time) (map[replica.Kind]*replica.Digest, error) {
	ctx, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	digests := make(map[replica.Kind]*replica.Digest)
	err := s.engine.eachVersion(ctx, horizon, func(kind replica.Kind, key []byte, version replica.Version) {
		digest := digests[kind]
		if digest == nil {
			digest = &replica.Digest{}
			digests[kind] = digest
		}
		digest.Toggle(key, version)
	})
	if err != nil {
		return nil, fmt.Errorf("sum up rows: %w", err)
	}
	return digests, nil
}

// Bucket returns rows of a bucket in the order of their keys, after one (nil:
// from the first on). If they are fewer than the limit allows there are no more.
func (s *Store) Bucket(ctx context.Context, bucket replica.Bucket, after []byte, limit replica.Limit) ([]replica.Row, error) {
	ctx, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	var rows []replica.Row
	size := 0
	err := s.engine.readBucket(ctx, bucket, after, func(r replica.Row) bool {
		if !limit.Fits(len(rows), size, r.Size()) {
			return false
		}
		rows = append(rows, r)
		size += r.Size()
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("read bucket %d of kind %d: %w", bucket.Number, bucket.Kind, err)
	}
	return rows, nil
}

// MergeRows takes in rows by replica.Merge alone, whatever the vector says, and
// returns those that were news. Left out are rows of applications that closed
// before the horizon, or that may have been removed here. So are, with an error
// (ErrLost, ErrAhead, or they are malformed), rows of this node itself beyond
// the last that it knows of, whose numbers it will use again, and those too far
// ahead of its clock; the others are taken in.
func (s *Store) MergeRows(ctx context.Context, rows []replica.Row, horizon time.Time) ([]replica.Row, error) {
	var news []replica.Row
	var failed []error
	for len(rows) > 0 {
		n := min(len(rows), maxPiece)
		came, refused, err := s.mergePiece(ctx, rows[:n], horizon)
		if err != nil {
			return news, err
		}
		news, failed, rows = append(news, came...), append(failed, refused...), rows[n:]
	}
	return news, errors.Join(failed...)
}

// mergePiece is one request of the writer.
func (s *Store) mergePiece(ctx context.Context, rows []replica.Row, horizon time.Time) (news []replica.Row, refused []error, err error) {
	err = s.await(&request{ctx: ctx, done: make(chan error, 1), remote: true, run: func(t *tx) error {
		news, refused = nil, nil
		for _, r := range rows {
			if why := t.mergeable(r); why != nil {
				refused = append(refused, fmt.Errorf("row %d of %s: %w", r.Version.Seq, r.Version.Origin.Node, why))
				continue
			}
			took, err := t.takeRow(arrive(r), func(app model.UID) (bool, error) { return t.covered(app, r.Version.HLC, horizon) })
			if err != nil {
				return fmt.Errorf("merge row of %s: %w", r.Version.Origin.Node, err)
			}
			if took {
				t.vector[r.Version.Origin] = t.seen(r.Version.Origin) // its origin is stored with the row
				news = append(news, r)
			}
			t.flush() // the next row builds on it
		}
		return nil
	}})
	return news, refused, err
}

// mergeable says why a row can not be taken in.
func (t *tx) mergeable(r replica.Row) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if r.Version.Origin.Node == t.store.opts.Node && r.Version.Origin.Incarnation >= t.store.origin.Incarnation &&
		r.Version.Seq > t.seen(r.Version.Origin) {
		return ErrLost
	}
	if taken, err := t.taken(r); taken || err != nil {
		return cmp.Or(err, errTaken)
	}
	if ahead := time.Duration(r.Version.HLC) - time.Duration(t.now.UnixNano()); ahead > maxAhead {
		return fmt.Errorf("%w: by %s", ErrAhead, ahead)
	}
	return nil
}

// errTaken is of a row whose number another one has here.
var errTaken = errors.New("its number is that of another row here: the disk of its node was put back, which will give one of them another number")

// taken reports whether another row has the row's number, so that it would take
// that one's place. It comes again with a later comparison.
func (t *tx) taken(r replica.Row) (bool, error) {
	own := rowKey{r.Kind, string(r.Key)}
	for _, row := range t.rows.list {
		if row != nil && row.Version.SameNumber(r.Version) && keyOf(row) != own {
			return true, nil
		}
	}
	k, found, err := t.store.engine.keyAt(r.Version)
	if err != nil || !found || k == own {
		return false, t.fail(err)
	}
	newer := t.rows.get(k) // which has another number
	return newer == nil, nil
}

// covered reports whether a row of an application is not wanted any more. One
// of an application that is not here, and is older than the end of the last one
// that was removed, may be of one that was removed: it must not come to life
// again. Its clock reading may be ahead of the time of the end by maxAhead.
func (t *tx) covered(app model.UID, hlc model.HLC, horizon time.Time) (bool, error) {
	if app == model.NilUID {
		return false, nil
	}
	e, err := t.find(app)
	if err != nil {
		return false, err
	}
	if e == nil {
		return int64(hlc) <= t.store.removed.Load()+int64(maxAhead), nil
	}
	if !e.Done() {
		return false, nil
	}
	closed, err := t.store.engine.closedAt(app)
	return !closed.IsZero() && closed.Before(horizon), t.fail(err)
}

// noteRemoved notes that applications are removed, of which the last closed then.
func (t *tx) noteRemoved(last time.Time) error {
	if err := t.run(func(nounWriter) error { return t.store.engine.putRemoved(last) }); err != nil {
		return err
	}
	t.staged = append(t.staged, func() { t.store.removed.Store(max(last.UnixNano(), t.store.removed.Load())) })
	return nil
}

// These and what is between are the kinds of which each row is of an application,
// and so are accessKinds.
const (
	firstPart = replica.KindApplication
	lastPart  = replica.KindResource
)

// isPart reports whether each row of the kind is of an application.
func isPart(kind replica.Kind) bool {
	return kind >= firstPart && kind <= lastPart || slices.Contains(accessKinds(), kind)
}

// appOf is the application that a row belongs to, as far as that can be read. A
// tombstone says nothing of it, but one of a Resource is kept under it.
func appOf(r *syncRow) model.UID {
	switch {
	case r.Deleted && r.Kind != replica.KindResource:
		return model.NilUID
	case r.Deleted, r.app != model.NilUID:
		return r.app
	}
	switch r.Kind {
	case replica.KindApplication:
		return partOf(r, replica.DecodeApplication, func(a model.Application) model.UID { return a.UID })
	case replica.KindApplicationState:
		return partOf(r, replica.DecodeApplicationState, func(s model.ApplicationState) model.UID { return s.ApplicationUID })
	case replica.KindApplicationTask:
		return partOf(r, replica.DecodeApplicationTask, func(n model.ApplicationTask) model.UID { return n.ApplicationUID })
	case replica.KindResource:
		return partOf(r, replica.DecodeResource, func(n model.Resource) model.UID { return n.ApplicationUID })
	case replica.KindServiceMapping:
		return partOf(r, replica.DecodeServiceMapping, func(m model.ServiceMapping) model.UID { return m.ApplicationUID })
	case replica.KindResourceAccess:
		return partOf(r, replica.DecodeResourceAccess, func(a model.ResourceAccess) model.UID { return a.ApplicationUID })
	case replica.KindAccessUse:
		return partOf(r, replica.DecodeAccessUse, func(u model.AccessUse) model.UID { return u.ApplicationUID })
	}
	return model.NilUID
}

func partOf[T replica.Noun](r *syncRow, decode func([]byte) (T, error), app func(T) model.UID) model.UID {
	noun, err := decodeRow(arrived{Row: r.Row, noun: r.noun}, decode)
	if err != nil {
		return model.NilUID
	}
	return app(noun)
}

// standing is what has to be known of a row's application to compare the row.
type standing struct {
	known  bool      // it is here, and shown
	closed time.Time // zero while it is open
}

// compared reports whether a row is compared. An old one whose application is not
// here came after that was removed, on this node or on others.
func compared(r *syncRow, app model.UID, is standing, horizon time.Time) bool {
	switch {
	case app == model.NilUID:
		return !isPart(r.Kind) || r.Deleted
	case !is.known:
		return int64(r.Version.HLC) >= horizon.UnixNano()
	}
	return is.closed.IsZero() || !is.closed.Before(horizon)
}

func (m *memoryEngine) eachVersion(_ context.Context, horizon time.Time, use func(replica.Kind, []byte, replica.Version)) error {
	m.disk.mu.RLock()
	defer m.disk.mu.RUnlock()
	for _, r := range m.disk.rows.sync {
		if m.compared(&r, horizon) {
			use(r.Kind, r.Key, r.Version)
		}
	}
	return nil
}

func (m *memoryEngine) compared(r *syncRow, horizon time.Time) bool {
	app := appOf(r)
	a, known := m.disk.rows.applications[app]
	return compared(r, app, standing{known, a.closed}, horizon)
}

func (m *memoryEngine) readBucket(_ context.Context, bucket replica.Bucket, after []byte, use func(replica.Row) bool) error {
	m.disk.mu.RLock()
	defer m.disk.mu.RUnlock()
	var rows []replica.Row
	for k, r := range m.disk.rows.sync {
		if k.kind == bucket.Kind && k.key > string(after) && replica.BucketOf(r.Key) == bucket.Number && m.compared(&r, bucket.Horizon) {
			rows = append(rows, r.Row)
		}
	}
	slices.SortFunc(rows, func(a, b replica.Row) int { return bytes.Compare(a.Key, b.Key) })
	for _, r := range rows {
		if !use(r) {
			return nil
		}
	}
	return nil
}

func (m *memoryEngine) closedAt(app model.UID) (time.Time, error) {
	defer m.reading()()
	return m.disk.rows.applications[app].closed, nil
}
