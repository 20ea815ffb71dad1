package repl

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Session is the replication over one link.
type Session struct {
	engine *Engine
	opts   SessionOptions
	log    *slog.Logger

	push     chan struct{} // holds a token when there may be something to send
	announce chan struct{} // holds a token when there may be something to advertise
	data     chan struct{} // holds a token while nobody sends data
	compare  comparison

	mu       sync.Mutex
	schedule *schedule                    // guarded by mu
	again    map[replica.Origin]bool      // guarded by mu: to ask for from the start
	askedAt  map[replica.Origin]time.Time // guarded by mu: when a gap was told last
	counters linkCounters                 // guarded by mu
}

// Session returns a session for a new link.
func (e *Engine) Session(opts SessionOptions) *Session {
	s := &Session{
		engine: e, opts: opts, log: e.log.With("peer", opts.Name),
		push: make(chan struct{}, 1), announce: make(chan struct{}, 1), data: make(chan struct{}, 1),
		compare:  newComparison(opts.Outgoing),
		schedule: newSchedule(e.opts, opts.Theirs),
		again:    map[replica.Origin]bool{}, askedAt: map[replica.Origin]time.Time{},
	}
	post(s.data)
	return s
}

// Run replicates until the link fails, or ctx is done, nil then. An error that
// is ErrMisbehaving says that the other side is broken. All goroutines of the
// session have ended when Run returns.
func (s *Session) Run(ctx context.Context) error {
	parent := ctx
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	s.engine.refresh(nil, nil)    // what the hello told is older
	s.checkRewound(s.opts.Theirs) // before anything is given away
	id := s.engine.add(s)
	defer s.engine.remove(id)
	var owned sync.WaitGroup
	for _, part := range []func(context.Context) error{s.pushLoop, s.advertLoop, s.askLoop, s.answerLoop, s.receiveLoop} {
		owned.Go(func() { cancel(part(ctx)) })
	}
	owned.Wait()
	if parent.Err() != nil {
		return nil
	}
	return fmt.Errorf("replicate with %s: %w", s.opts.Name, context.Cause(ctx))
}

// wake tells that the vector has grown.
func (s *Session) wake() {
	post(s.push)
	post(s.announce)
}

// Advert takes in an advert that came on the control stream. It does not block.
func (s *Session) Advert(advert wire.Advert) {
	s.checkRewound(advert.Vector)
	s.mu.Lock()
	s.schedule.advert(advert.Vector)
	s.mu.Unlock()
	post(s.push)
}

// checkRewound looks whether somebody knows more of this node than it can have
// from its database.
func (s *Session) checkRewound(theirs replica.Vector) {
	if origin, seq, forgotten := s.engine.store.Forgotten(theirs); forgotten {
		s.engine.opts.Rewound(origin, seq)
	}
}

// knows returns what the other side has for certain.
func (s *Session) knows() replica.Vector {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.schedule.advertised.Clone()
	v.Merge(s.schedule.received)
	return v
}

// restart asks the other side to send from where this node is now.
func (s *Session) restart(origins []replica.Origin) {
	s.mu.Lock()
	for _, o := range origins {
		s.again[o] = true
	}
	s.mu.Unlock()
	post(s.announce)
}

// pushLoop sends what the other side lacks.
func (s *Session) pushLoop(ctx context.Context) error {
	for {
		mine := s.engine.vector()
		s.mu.Lock()
		next := s.schedule.next(mine, time.Now())
		s.mu.Unlock()
		if next.send {
			if err := s.send(ctx, next, mine); err != nil {
				return err
			}
			continue
		}
		wait := next.wait
		if wait == 0 {
			wait = -1
		}
		// A token that comes during a pause that has to be kept only makes
		// the schedule say the rest of it.
		if !pause(ctx, wait, s.push) {
			return ctx.Err()
		}
	}
}

// send sends the rows of one step.
func (s *Session) send(ctx context.Context, next step, mine replica.Vector) error {
	batch, err := s.engine.store.Rows(ctx, next.origin, next.after, s.engine.opts.Batch)
	if err == nil && batch.To <= batch.From {
		err = fmt.Errorf("there are none after %d although %d are known", next.after, mine[next.origin])
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.log.Error("read rows to send", "origin_node", next.origin.Node, "error", err)
		if !pause(ctx, time.Second, nil) {
			return ctx.Err()
		}
		return nil
	}
	if err := s.transmit(ctx, wire.Rows{Batch: batch}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schedule.sentBatch(batch, mine, time.Now())
	s.counters.sent(batch)
	return nil
}

// transmit sends one message on the data stream, whoever has one.
func (s *Session) transmit(ctx context.Context, message any) error {
	if !pause(ctx, -1, s.data) {
		return ctx.Err()
	}
	defer post(s.data)
	if err := s.opts.Conn.SendData(ctx, message); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// receiveLoop takes in what comes.
func (s *Session) receiveLoop(ctx context.Context) error {
	for {
		message, err := s.opts.Conn.ReceiveData(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("receive: %w", err)
		}
		if err := s.take(ctx, message); err != nil {
			return err
		}
	}
}

func (s *Session) take(ctx context.Context, message any) error {
	switch m := message.(type) {
	case wire.Rows:
		return s.takeRows(ctx, m.Batch)
	case wire.DigestAsk:
		s.compare.asked(m)
		return nil
	case wire.Digests:
		s.compare.answered(m)
		return nil
	case wire.BucketRows:
		return s.takeBucket(ctx, m)
	}
	s.log.Debug("skip a message that is not known", "type", fmt.Sprintf("%T", message)) // of a later version
	return nil
}

// takeRows offers a batch to the engine and tells the other side if it has to
// begin again.
func (s *Session) takeRows(ctx context.Context, b replica.Batch) error {
	if err := b.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrMisbehaving, err)
	}
	s.mu.Lock()
	s.schedule.receivedBatch(b)
	s.counters.received(b)
	s.mu.Unlock()
	v, err := s.engine.offer(ctx, b)
	if err != nil {
		return err
	}
	switch v {
	case gapped:
		s.gap(b.Origin)
	case ahead:
		s.log.Error("rows are ahead of the clock: set the clock of the node that wrote them, or of this one",
			"origin_node", b.Origin.Node, "incarnation", b.Origin.Incarnation, "newest", time.Unix(0, int64(newest(b))).UTC())
	case rewound:
		s.engine.opts.Rewound(b.Origin, b.To)
	}
	return nil
}

// gapPause is how long a gap is told only once: what is on the way already
// would tell it again and again.
const gapPause = time.Second

func (s *Session) gap(origin replica.Origin) {
	now := time.Now()
	s.mu.Lock()
	recent := now.Sub(s.askedAt[origin]) < gapPause
	if !recent {
		s.askedAt[origin] = now
	}
	s.mu.Unlock()
	if !recent {
		s.restart([]replica.Origin{origin})
	}
}
