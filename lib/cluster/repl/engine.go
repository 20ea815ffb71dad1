package repl

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Engine is the replication of one node: what all its links share.
type Engine struct {
	opts  Options
	store Store
	log   *slog.Logger

	arrived chan struct{} // holds a token when something waits in the inbox
	kick    chan struct{} // holds a token when the puller should look

	reading sync.Mutex // held while the store's vector is read and noted: no reading is overtaken

	mu       sync.Mutex
	mine     replica.Vector // guarded by mu; never changed, only replaced
	inbox    *inbox         // guarded by mu
	room     chan struct{}  // guarded by mu; closed when the inbox has room again
	sessions map[uint64]*Session
	lastLink uint64
	source   uint64 // guarded by mu: the link that the puller has chosen
	counters counters
}

// New returns an engine for the store as it is now. Run has to be running for
// sessions to take anything in.
func New(opts Options) (*Engine, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	mine := opts.Store.Vector()
	return &Engine{
		opts: opts, store: opts.Store, log: opts.Log.With("component", "replication"),
		arrived: make(chan struct{}, 1), kick: make(chan struct{}, 1),
		mine: mine, inbox: newInbox(opts, mine), room: make(chan struct{}), sessions: map[uint64]*Session{},
	}, nil
}

// Run writes what comes and looks after links until ctx is done; it returns
// nil then, after all its goroutines have ended.
func (e *Engine) Run(ctx context.Context) error {
	var owned sync.WaitGroup
	owned.Go(func() { e.watch(ctx) })
	owned.Go(func() { e.pullLoop(ctx) })
	e.writeLoop(ctx)
	owned.Wait()
	return nil
}

// Vector is what is durable here; a copy.
func (e *Engine) Vector() replica.Vector { return e.store.Vector() }

// watch follows the vector of the store.
func (e *Engine) watch(ctx context.Context) {
	e.refresh(nil, nil) // it may have grown since New
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.store.Advanced():
			e.refresh(nil, nil)
		}
	}
}

// refresh reads the store's vector and tells all sessions. batches were
// written just now, failed are the origins whose rows could not be. Of an origin
// of its own a store knows less than before if it took a new incarnation.
func (e *Engine) refresh(batches []replica.Batch, failed map[replica.Origin]bool) {
	e.reading.Lock()
	defer e.reading.Unlock()
	mine := e.store.Vector()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inbox.fell(e.mine.Delta(mine))
	e.mine = mine
	if batches != nil {
		e.inbox.written(batches, e.mine, failed, time.Now())
		close(e.room)
		e.room = make(chan struct{})
	} else {
		e.inbox.advance(e.mine)
	}
	for _, s := range e.sessions {
		s.wake()
	}
}

// vector is what is durable here. It must not be changed.
func (e *Engine) vector() replica.Vector {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mine
}

// offer takes in a batch; it blocks while the inbox is full. The verdict says
// what the session has to do.
func (e *Engine) offer(ctx context.Context, b replica.Batch) (verdict, error) {
	self := e.store.Origin()
	for {
		e.mu.Lock()
		if e.inbox.bytes == 0 || e.inbox.bytes+b.Size() <= e.opts.Inbox {
			v, fresh := e.inbox.offer(b, self, time.Now())
			e.counters.note(v, len(b.Rows), fresh)
			e.mu.Unlock()
			if v == taken {
				post(e.arrived)
			}
			return v, nil
		}
		room := e.room
		e.mu.Unlock()
		select {
		case <-ctx.Done():
			return dropped, ctx.Err()
		case <-room:
		}
	}
}

// post leaves a token; one that is there already is enough.
func post(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// writeLoop writes what the inbox holds.
func (e *Engine) writeLoop(ctx context.Context) {
	for {
		e.mu.Lock()
		empty, wait := len(e.inbox.waiting) == 0, e.inbox.delay(time.Now())
		e.mu.Unlock()
		if empty {
			wait = -1
		}
		if wait != 0 {
			if !pause(ctx, wait, e.arrived) {
				return
			}
			continue // what came meanwhile may fill a write
		}
		e.mu.Lock()
		batches := e.inbox.take(time.Now())
		e.mu.Unlock()
		batches, failed := e.write(ctx, batches)
		if ctx.Err() != nil {
			return
		}
		e.refresh(batches, failed)
	}
}

// pause waits for a token, for d unless it is negative, or until ctx is done,
// which it reports as false.
func pause(ctx context.Context, d time.Duration, token <-chan struct{}) bool {
	var timeout <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-token:
	case <-timeout:
	}
	return ctx.Err() == nil
}

// write hands batches to the store and returns them with the origins whose
// rows were refused. While the store takes nothing at all, write tries again:
// what came waits, and so do the links. What comes meanwhile is tried too,
// because it tells a store that is down from an origin whose rows are bad.
func (e *Engine) write(ctx context.Context, batches []replica.Batch) ([]replica.Batch, map[replica.Origin]bool) {
	backoff := loop.Backoff{Min: 250 * time.Millisecond, Max: 10 * time.Second}
	for {
		err := e.store.Replicate(ctx, batches)
		if err == nil || ctx.Err() != nil {
			return batches, nil
		}
		if failed, some := e.writeEach(ctx, batches); some {
			return batches, failed
		}
		e.log.Error("received rows can not be stored", "error", err, "failures", backoff.Failures())
		if backoff.Wait(ctx) != nil {
			return batches, nil
		}
		e.mu.Lock()
		batches = append(batches, e.inbox.take(time.Now())...)
		e.mu.Unlock()
	}
}

// writeEach finds out which origin's rows are refused; some reports whether
// anything was decided: rows were stored, or refused by a store that takes
// writes.
func (e *Engine) writeEach(ctx context.Context, batches []replica.Batch) (failed map[replica.Origin]bool, some bool) {
	failed = map[replica.Origin]bool{}
	for _, b := range batches {
		if failed[b.Origin] || ctx.Err() != nil {
			continue
		}
		if err := e.store.Replicate(ctx, []replica.Batch{b}); err != nil {
			failed[b.Origin] = true
			some = some || e.store.Writable() == nil
			e.log.Warn("rows of an origin are refused", "origin_node", b.Origin.Node, "incarnation", b.Origin.Incarnation,
				"from", b.From, "to", b.To, "error", err)
			continue
		}
		some = true
	}
	return failed, some
}

// pullTick is how often the puller looks for what does not come.
const pullTick = 500 * time.Millisecond

func (e *Engine) pullLoop(ctx context.Context) {
	p := newPuller(e.opts.Far)
	for pause(ctx, pullTick, e.kick) {
		for _, request := range e.pulls(p) {
			e.mu.Lock()
			s := e.sessions[request.link]
			e.mu.Unlock()
			if s != nil {
				e.log.Debug("ask for rows again", "peer", s.opts.Name, "origins", len(request.origins))
				s.restart(request.origins)
			}
		}
	}
}

// pulls asks the puller. What waits to be written counts as here.
func (e *Engine) pulls(p *puller) []pull {
	self := e.store.Origin()
	e.mu.Lock()
	defer e.mu.Unlock()
	links := make([]neighbour, 0, len(e.sessions))
	news := false
	for id, s := range e.sessions {
		knows := s.knows()
		news = news || !e.mine.Covers(knows)
		links = append(links, neighbour{id, knows})
	}
	if !news {
		links = nil // nothing to ask for; the puller forgets what it noted
	}
	mine := e.mine
	if len(e.inbox.reach) > 0 {
		mine = mine.Clone()
		mine.Merge(e.inbox.reach)
	}
	now := time.Now()
	skip := func(o replica.Origin) bool { return o == self || now.Before(e.inbox.held[o].until) }
	requests := p.next(mine, links, skip, now)
	e.source = p.source
	return requests
}

func (e *Engine) add(s *Session) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lastLink++
	e.sessions[e.lastLink] = s
	post(e.kick)
	return e.lastLink
}

func (e *Engine) remove(id uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sessions, id)
	post(e.kick)
}

// Compare makes every link compare digests now; Stats tells what came of it.
func (e *Engine) Compare() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.sessions {
		s.Compare()
	}
}
