package repl

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

const (
	// compareRounds is how often digests are compared before rows are: what
	// is only on its way is in another bucket each time, what is lost stays in
	// its own.
	compareRounds = 4
	comparePause  = 2 * time.Second
	// answerPause is how long a neighbour's next question waits after an answer,
	// which costs a look at all rows. Who asks as it should pauses as long itself.
	answerPause = comparePause
	// compareTimeout is how long to wait for an answer. The other side reads
	// all its rows for it.
	compareTimeout = 2 * time.Minute
	// compareBuckets bounds how many buckets one exchange repairs; the next
	// one goes on.
	compareBuckets = 64
)

// comparison is what the goroutines of a session share about digests. The side
// that asks is told from the other by the parity of the ID: both may at once.
type comparison struct {
	demand  chan struct{}
	asks    chan wire.DigestAsk // of the other side
	answers chan wire.Digests   // to this side's ask
	lists   chan listing        // what the other side has in a bucket
	wanted  chan listing        // what the other side wants of a bucket
	parity  uint32              // of this side's IDs
	parts   *assembly           // used by the receiving goroutine only
}

func newComparison(outgoing bool) comparison {
	c := comparison{
		demand: make(chan struct{}, 1), asks: make(chan wire.DigestAsk, 1), answers: make(chan wire.Digests, 1),
		lists: make(chan listing, 1), wanted: make(chan listing, 1), parts: newAssembly(),
	}
	if outgoing {
		c.parity = 1
	}
	return c
}

// asked, answered: an exchange that nobody waits for any more is dropped, so
// that digests never hold up rows. Of questions that come faster than they are
// answered the newest one waits: nobody waits for the others any more.
func (c *comparison) asked(m wire.DigestAsk) {
	drain(c.asks)
	offerTo(c.asks, m)
}

func (c *comparison) answered(m wire.Digests) { offerTo(c.answers, m) }

func offerTo[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

// Compare asks for a comparison of digests now. It does not block.
func (s *Session) Compare() { post(s.compare.demand) }

// askLoop begins comparisons: on the side that dialled once per interval, and
// on demand.
func (s *Session) askLoop(ctx context.Context) error {
	id := s.compare.parity
	wait := time.Duration(-1)
	if every := s.engine.opts.CompareInterval; every > 0 && s.opts.Outgoing {
		wait = rand.N(every) // not all links at once
	}
	for pause(ctx, wait, s.compare.demand) {
		if wait >= 0 {
			wait = s.engine.opts.CompareInterval
		}
		id += 2
		drain(s.compare.answers)
		drain(s.compare.wanted)
		err := s.exchange(ctx, id)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errQuiet):
			s.log.Warn("comparison with a neighbour was left unfinished", "error", err)
		case err != nil:
			return err
		default:
			s.engine.mu.Lock()
			s.engine.counters.compared++
			s.engine.mu.Unlock()
		}
	}
	return ctx.Err()
}

func drain[T any](c chan T) {
	select {
	case <-c:
	default:
	}
}

// errQuiet says that an answer did not come in time, or that the store could
// not be read: the link goes on without a comparison.
var errQuiet = errors.New("comparison not possible now")

// place is a bucket of a kind.
type place struct {
	kind   replica.Kind
	number uint8
}

// exchange compares until nothing differs or it is certain what does, and has
// that repaired.
func (s *Session) exchange(ctx context.Context, id uint32) error {
	horizon := s.horizon()
	var suspects map[place]bool
	for round := range compareRounds {
		if round > 0 && !pause(ctx, comparePause, nil) {
			return ctx.Err()
		}
		differing, agreed, err := s.compareOnce(ctx, id, horizon)
		if err != nil {
			return err
		}
		suspects, horizon = intersect(suspects, differing), agreed
		if len(suspects) == 0 {
			return nil
		}
	}
	repaired := 0
	for p := range suspects {
		if repaired++; repaired > compareBuckets {
			break
		}
		if err := s.repair(ctx, id, Bucket{Kind: p.kind, Number: p.number, Horizon: horizon}); err != nil {
			return err
		}
	}
	return nil
}

// horizon is the earliest one that this side can compare by: what closed before
// it may have been removed, by age or because the database was full.
func (s *Session) horizon() time.Time {
	horizon := time.Now().Add(-s.engine.opts.CompareAge)
	if removed := s.engine.store.Horizon(); removed.After(horizon) {
		return removed
	}
	return horizon
}

// intersect returns what is in both; nil stands for everything.
func intersect(a, b map[place]bool) map[place]bool {
	if a == nil {
		return b
	}
	both := map[place]bool{}
	for p := range a {
		if b[p] {
			both[p] = true
		}
	}
	return both
}

// compareOnce asks for the other side's digests and returns where they differ
// from this side's, counted by the same horizon.
func (s *Session) compareOnce(ctx context.Context, id uint32, horizon time.Time) (map[place]bool, time.Time, error) {
	if err := s.transmit(ctx, wire.DigestAsk{ID: id, Horizon: horizon.UnixNano()}); err != nil {
		return nil, horizon, err
	}
	answer, err := await(ctx, s.compare.answers, func(m wire.Digests) bool { return m.ID == id })
	if err != nil {
		return nil, horizon, err
	}
	if agreed := time.Unix(0, answer.Horizon); agreed.After(horizon) {
		horizon = agreed
	}
	s.compare.parts.setHorizon(id, horizon)
	here, err := s.engine.store.Digests(ctx, horizon)
	if err != nil {
		return nil, horizon, fmt.Errorf("%w: count digests: %w", errQuiet, err)
	}
	there, err := readDigests(answer)
	if err != nil {
		return nil, horizon, err
	}
	return differing(here, there), horizon, nil
}

// await waits for the message of this exchange.
func await[T any](ctx context.Context, c <-chan T, ours func(T) bool) (T, error) {
	timer := time.NewTimer(compareTimeout)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		case <-timer.C:
			var none T
			return none, fmt.Errorf("%w: no answer within %v", errQuiet, compareTimeout)
		case m := <-c:
			if ours(m) {
				return m, nil
			}
		}
	}
}

func readDigests(m wire.Digests) (map[replica.Kind]*replica.Digest, error) {
	out := map[replica.Kind]*replica.Digest{}
	for _, k := range m.Kinds {
		if len(k.Buckets) != replica.Buckets {
			return nil, fmt.Errorf("%w: %d buckets instead of %d", ErrMisbehaving, len(k.Buckets), replica.Buckets)
		}
		out[k.Kind] = (*replica.Digest)(k.Buckets)
	}
	return out, nil
}

func differing(here, there map[replica.Kind]*replica.Digest) map[place]bool {
	out := map[place]bool{}
	none := &replica.Digest{}
	compare := func(kind replica.Kind, a, b *replica.Digest) {
		if a == nil {
			a = none
		}
		if b == nil {
			b = none
		}
		for _, number := range a.Differing(b) {
			out[place{kind, number}] = true
		}
	}
	for kind, d := range here {
		compare(kind, d, there[kind])
	}
	for kind, d := range there {
		if here[kind] == nil {
			compare(kind, nil, d)
		}
	}
	return out
}

// answerLoop answers what the other side asks, one question at a time, and those
// for digests with a pause after each: one that asks in a loop costs no more.
func (s *Session) answerLoop(ctx context.Context) error {
	rest := time.NewTimer(0)
	defer rest.Stop()
	var asks chan wire.DigestAsk // nil during the pause
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rest.C:
			asks = s.compare.asks
		case ask := <-asks:
			err = s.answer(ctx, ask)
			asks = nil
			rest.Reset(answerPause)
		case list := <-s.compare.lists:
			err = s.answerList(ctx, list)
		}
		if errors.Is(err, errQuiet) {
			s.log.Warn("comparison with a neighbour was left unfinished", "error", err)
		} else if err != nil {
			return err
		}
	}
}

// answer counts digests; the horizon is the later one of both sides, because
// nobody can tell what the other one has forgotten already.
func (s *Session) answer(ctx context.Context, ask wire.DigestAsk) error {
	horizon := time.Unix(0, ask.Horizon)
	if own := s.horizon(); own.After(horizon) {
		horizon = own
	}
	vector := s.engine.store.Vector()
	digests, err := s.engine.store.Digests(ctx, horizon)
	if err != nil {
		return fmt.Errorf("%w: count digests: %w", errQuiet, err)
	}
	s.compare.parts.setHorizon(ask.ID, horizon)
	m := wire.Digests{ID: ask.ID, Horizon: horizon.UnixNano(), Vector: vector}
	for kind, d := range digests {
		m.Kinds = append(m.Kinds, wire.DigestsOfKind{Kind: kind, Buckets: d[:]})
	}
	return s.transmit(ctx, m)
}
