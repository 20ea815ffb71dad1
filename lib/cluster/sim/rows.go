package sim

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Rows is a replication that only counts: each origin's rows are as good as
// their number. It is for tests of what is built around replication.
type Rows struct {
	mu      sync.Mutex
	vector  replica.Vector
	changed chan struct{} // closed at the next change
	stalled bool
}

var _ cluster.Replication = (*Rows)(nil)

// NewRows returns a Rows that knows this much.
func NewRows(vector replica.Vector) *Rows {
	if vector == nil {
		vector = replica.Vector{}
	}
	return &Rows{vector: vector, changed: make(chan struct{})}
}

// Write adds a row of an origin.
func (r *Rows) Write(origin replica.Origin) { r.advance(origin, r.Vector()[origin]+1) }

// Stall lets nothing in until it is called again with false.
func (r *Rows) Stall(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stalled = on
	r.wake()
}

func (r *Rows) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *Rows) advance(origin replica.Origin, to uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.vector[origin] < to {
		r.vector[origin] = to
		r.wake()
	}
}

// Vector implements cluster.Replication.
func (r *Rows) Vector() replica.Vector {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.vector)
}

func (r *Rows) look() (vector replica.Vector, stalled bool, changed chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.vector), r.stalled, r.changed
}

// Session implements cluster.Replication.
func (r *Rows) Session(o cluster.SessionOptions) cluster.Session {
	return &session{rows: r, o: o, theirs: maps.Clone(o.Theirs)}
}

type session struct {
	rows   *Rows
	o      cluster.SessionOptions
	theirs replica.Vector
}

// Advert implements cluster.Session.
func (s *session) Advert(wire.Advert) {}

// Run implements cluster.Session.
func (s *session) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var owned sync.WaitGroup
	owned.Go(func() { cancel(s.receive(ctx)) })
	err := s.push(ctx)
	cancel(err)
	owned.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func (s *session) push(ctx context.Context) error {
	if s.theirs == nil {
		s.theirs = replica.Vector{}
	}
	for {
		mine, _, changed := s.rows.look()
		for origin, seq := range mine {
			if s.theirs[origin] >= seq {
				continue
			}
			if err := s.o.Conn.SendData(ctx, wire.Rows{Batch: replica.Batch{Origin: origin, From: s.theirs[origin], To: seq}}); err != nil {
				return err
			}
			s.theirs[origin] = seq
		}
		if err := s.o.Advertise(ctx, wire.Advert{Vector: mine}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (s *session) receive(ctx context.Context) error {
	for {
		message, err := s.o.Conn.ReceiveData(ctx)
		if err != nil {
			return err
		}
		rows, ok := message.(wire.Rows)
		if !ok {
			return errors.New("no rows")
		}
		for {
			_, stalled, changed := s.rows.look()
			if !stalled {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
			}
		}
		s.rows.advance(rows.Batch.Origin, rows.Batch.To)
	}
}
