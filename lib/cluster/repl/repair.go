package repl

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// The repair of a bucket takes three runs of BucketRows messages; the last
// message of a run has no More:
//
//  1. the asker lists keys and versions: rows without a body;
//  2. the other side sends the rows that beat those or are missing there, and
//     repeats the entries of the list that it wants;
//  3. the asker sends those.
//
// A deleted row has no body and is complete all the same: it is taken in
// wherever it turns up.

// maxListed bounds the entries of the runs that have not come in whole, and of
// each run. With 256 buckets it is reached by 50 million rows of one kind.
// maxRuns bounds the buckets of an exchange: many times those that are repaired
// in one.
const (
	maxListed = 200_000
	maxRuns   = 64 * compareBuckets
)

// listing is a run that has come in whole, without the rows in it that were
// taken in.
type listing struct {
	id     uint32
	bucket Bucket
	rows   map[string]replica.Row
}

// assembly puts runs together.
type assembly struct {
	mu       sync.Mutex
	horizons [2]horizonOf // guarded by mu; by parity of the ID
	id       [2]uint32    // the exchange that runs belong to
	runs     map[runKey]*run
	rows     int // of all runs
}

type horizonOf struct {
	id      uint32
	horizon time.Time
}

type runKey struct {
	id uint32
	place
}

type run struct {
	rows map[string]replica.Row
	done int // runs that have come in whole
}

func newAssembly() *assembly { return &assembly{runs: map[runKey]*run{}} }

func (a *assembly) setHorizon(id uint32, horizon time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.horizons[id%2] = horizonOf{id, horizon}
}

// horizon returns what was agreed on for an exchange; false if it is not the
// present one.
func (a *assembly) horizon(id uint32) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.horizons[id%2]
	return h.horizon, h.id == id && id != 0
}

// add puts a message to its run; whole is nil until that is complete.
func (a *assembly) add(m wire.BucketRows, horizon time.Time) (whole *listing, number int, err error) {
	if a.id[m.ID%2] != m.ID { // a new exchange: forget the one before
		for key := range a.runs {
			if key.id%2 == m.ID%2 {
				a.rows -= len(a.runs[key].rows)
				delete(a.runs, key)
			}
		}
		a.id[m.ID%2] = m.ID
	}
	key := runKey{m.ID, place{m.Kind, m.Bucket}}
	r := a.runs[key]
	if r == nil {
		r = &run{rows: map[string]replica.Row{}}
		a.runs[key] = r
	}
	a.rows -= len(r.rows)
	for _, row := range m.Rows {
		r.rows[string(row.Key)] = row
	}
	a.rows += len(r.rows)
	if a.rows > maxListed || len(a.runs) > maxRuns {
		return nil, 0, fmt.Errorf("%w: more than %d rows or %d buckets under repair", ErrMisbehaving, maxListed, maxRuns)
	}
	if m.More {
		return nil, r.done, nil
	}
	whole = &listing{m.ID, Bucket{Kind: m.Kind, Number: m.Bucket, Horizon: horizon}, r.rows}
	a.rows -= len(r.rows)
	r.rows = map[string]replica.Row{}
	r.done++
	return whole, r.done - 1, nil
}

// takeBucket takes in one message of a repair.
func (s *Session) takeBucket(ctx context.Context, m wire.BucketRows) error {
	if err := checkBucket(m); err != nil {
		return err
	}
	horizon, present := s.compare.parts.horizon(m.ID)
	if !present {
		return nil // of an exchange that was given up
	}
	var complete []replica.Row
	for _, row := range m.Rows {
		if !listed(row) {
			complete = append(complete, row)
		}
	}
	if err := s.engine.mergeRows(ctx, s, complete, horizon); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.log.Error("rows that were missing can not be stored", "error", err)
	}
	stripBodies(m.Rows)
	whole, number, err := s.compare.parts.add(m, horizon)
	switch {
	case err != nil || whole == nil:
		return err
	case m.ID%2 == s.compare.parity:
		offerTo(s.compare.wanted, *whole)
	case number == 0:
		offerTo(s.compare.lists, *whole)
	}
	return nil
}

// listed reports whether the row is only an entry of a list.
func listed(row replica.Row) bool { return !row.Deleted && len(row.Body) == 0 }

// stripBodies leaves of each body that it was there: a run is kept in memory.
func stripBodies(rows []replica.Row) {
	for i := range rows {
		if len(rows[i].Body) > 0 {
			rows[i].Body = []byte{0}
		}
	}
}

func checkBucket(m wire.BucketRows) error {
	size := 0
	for _, row := range m.Rows {
		check := row
		if listed(row) {
			check.Body = []byte("{}")
		}
		if err := check.Validate(); err != nil {
			return fmt.Errorf("%w: %w", ErrMisbehaving, err)
		}
		if row.Kind != m.Kind || replica.BucketOf(row.Key) != m.Bucket {
			return fmt.Errorf("%w: a row is in the wrong bucket", ErrMisbehaving)
		}
		size += row.Size()
	}
	if len(m.Rows) > replica.MaxBatchRows || size > replica.MaxBatchBytes {
		return fmt.Errorf("%w: %d rows, %d bytes in one message", ErrMisbehaving, len(m.Rows), size)
	}
	return nil
}

// mergeRows takes in rows that a neighbour has and this node has not. Only
// those that the vector covers: all others come in the usual way. So one that is
// never replaced and is news here was lost, which must not happen, and is said
// loudly. One that another node has replaced is passed over by the vector, and
// the newer version may come later than the neighbour's list: that is no loss.
func (e *Engine) mergeRows(ctx context.Context, s *Session, rows []replica.Row, horizon time.Time) error {
	vector, latest := e.store.Vector(), model.HLC(time.Now().Add(maxAhead).UnixNano())
	var due []replica.Row
	for _, row := range rows {
		if vector[row.Version.Origin] >= row.Version.Seq && row.Version.HLC <= latest {
			due = append(due, row)
		}
	}
	if len(due) == 0 {
		return nil
	}
	news, err := e.store.MergeRows(ctx, due, horizon)
	if err != nil {
		return fmt.Errorf("merge rows: %w", err)
	}
	if len(news) == 0 {
		return nil
	}
	lost := slices.DeleteFunc(slices.Clone(news), func(r replica.Row) bool { return !r.Kind.Immutable() })
	if early := len(news) - len(lost); early > 0 {
		s.log.Info("rows that this node lacked were taken in from a neighbour; their next version may be on its way", "rows", early)
	}
	e.mu.Lock()
	e.counters.repaired += uint64(len(news))
	e.counters.mismatches += uint64(len(lost))
	e.mu.Unlock()
	if len(lost) == 0 {
		return nil
	}
	s.log.Error("the database differed from a neighbour's and was repaired: unless a database was put back before, please report this",
		"rows", len(lost), "kind", lost[0].Kind, "origin_node", lost[0].Version.Origin.Node, "seq", lost[0].Version.Seq)
	return nil
}

// repair has one bucket made alike on both sides.
func (s *Session) repair(ctx context.Context, id uint32, bucket Bucket) error {
	out := s.newOutput(id, bucket)
	if err := s.eachRow(ctx, bucket, func(row replica.Row) error {
		row.Body = nil
		return out.add(ctx, row)
	}); err != nil {
		return err
	}
	if err := out.end(ctx); err != nil {
		return err
	}
	wanted, err := await(ctx, s.compare.wanted, func(l listing) bool { return l.id == id && l.bucket == bucket })
	if err != nil {
		return err
	}
	if err := s.eachRow(ctx, bucket, func(row replica.Row) error {
		if want, ok := wanted.rows[string(row.Key)]; !ok || !listed(want) {
			return nil
		}
		return out.add(ctx, row)
	}); err != nil {
		return err
	}
	return out.end(ctx)
}

// answerList sends what beats the other side's rows and asks for what beats
// this side's.
func (s *Session) answerList(ctx context.Context, theirs listing) error {
	out := s.newOutput(theirs.id, theirs.bucket)
	if err := s.eachRow(ctx, theirs.bucket, func(row replica.Row) error {
		their, ok := theirs.rows[string(row.Key)]
		delete(theirs.rows, string(row.Key))
		switch {
		case !ok || replica.Beats(row, their):
			return out.add(ctx, row)
		case replica.Beats(their, row):
			return out.want(ctx, their)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, their := range theirs.rows { // not here at all
		if err := out.want(ctx, their); err != nil {
			return err
		}
	}
	return out.end(ctx)
}

// eachRow reads a bucket piece by piece: no reading transaction stays open
// while a slow neighbour is written to.
func (s *Session) eachRow(ctx context.Context, bucket Bucket, visit func(replica.Row) error) error {
	var after []byte
	for {
		rows, err := s.engine.store.Bucket(ctx, bucket, after, s.engine.opts.Batch)
		if err != nil {
			return fmt.Errorf("%w: read bucket: %w", errQuiet, err)
		}
		for _, row := range rows {
			if err := visit(row); err != nil {
				return err
			}
		}
		if len(rows) == 0 {
			return nil
		}
		after = rows[len(rows)-1].Key
	}
}

// output is a run that is being sent.
type output struct {
	s     *Session
	m     wire.BucketRows
	bytes int
}

func (s *Session) newOutput(id uint32, bucket Bucket) *output {
	return &output{s: s, m: wire.BucketRows{ID: id, Kind: bucket.Kind, Bucket: bucket.Number}}
}

func (o *output) add(ctx context.Context, row replica.Row) error {
	if !o.s.engine.opts.Batch.Fits(len(o.m.Rows), o.bytes, row.Size()) {
		o.m.More = true
		if err := o.flush(ctx); err != nil {
			return err
		}
	}
	o.m.Rows = append(o.m.Rows, row)
	o.bytes += row.Size()
	return nil
}

// want adds an entry of the other side's list, unless that was complete.
func (o *output) want(ctx context.Context, entry replica.Row) error {
	if !listed(entry) {
		return nil
	}
	return o.add(ctx, entry)
}

func (o *output) end(ctx context.Context) error {
	o.m.More = false
	return o.flush(ctx)
}

func (o *output) flush(ctx context.Context) error {
	err := o.s.transmit(ctx, o.m)
	o.m.Rows, o.bytes = nil, 0
	return err
}
