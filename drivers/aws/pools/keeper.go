package pools

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/inventory"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// ownershipLook is how often it is looked who owns the pool: Config.Owner
// answers from memory.
const ownershipLook = time.Second

// longestPause is the longest time without a step while something is awaited.
const longestPause = 20 * time.Second

// keeper is one pool. Its run goroutine alone touches the state, and does
// nothing but decide and store; everything that waits for somebody is done by
// goroutines that it starts and waits for, and which tell their results through the inbox.
type keeper struct {
	opts  *Options
	pool  Pool
	log   *slog.Logger
	mine  func() bool // this node runs the pool, by what is known at this moment
	only  bool        // of the pool's hosts only those that this instance allocated are its
	inbox chan message
	ended chan struct{}             // closed when run has ended
	told  atomic.Pointer[view.Pool] // the state as of the last step, for everybody
	space atomic.Pointer[pool.Room] // there, as of the last step, but for what the purse allows
	away  atomic.Pointer[away]      // what the owner said, while that is another node
	scrub scrubs

	// Of run alone.
	state  *pool.State
	file   file
	stored uint64 // the revision that is in the file
	// unstored is why the file could not be written; nil: it has all.
	unstored error
	known    pool.Room // what there was room for at the last step
	waiting  map[string][]chan<- verdict
	actions  sync.WaitGroup
	asking   atomic.Bool
}

// message is what run takes in.
type message struct {
	event pool.Event
	// verdict gets the Grant or Refuse that answers a Want; it has room for one.
	verdict chan<- verdict
	// leave takes that back.
	leave bool
	token string
	// done is told when the event is taken in: nil, if what it changed is stored. It
	// has room for one.
	done chan<- error
}

// verdict is how a Want ended.
type verdict struct {
	pool.Grant
	err error
}

var (
	// errMoved says that another node owns the pool now, or nobody.
	errMoved = errors.New("the pool has another owner now")
	// errNotStored says that what was decided is not durable, so that nobody may act on it.
	errNotStored = errors.New("what the pool is about to do can not be stored")

	errClosing = errors.New("the node is stopping")
)

func newKeeper(opts *Options, p Pool, mine func() bool) (*keeper, error) {
	if err := p.Config.Validate(); err != nil {
		return nil, err
	}
	k := &keeper{
		opts: opts, pool: p, log: opts.Logger.With("pool", p.Name), inbox: make(chan message), ended: make(chan struct{}),
		file:    file{dir: opts.Directory, pool: p.Name, node: opts.Node.String(), put: durable.WriteFile},
		waiting: map[string][]chan<- verdict{}, scrub: scrubs{launches: map[string]scrubLaunch{}}, mine: mine,
	}
	if opts.put != nil {
		k.file.put = opts.put
	}
	saved, err := k.file.read(k.log)
	if err != nil {
		return nil, err
	}
	if saved != nil {
		for _, r := range saved.Requests {
			opts.Purse.Assume(r.ClientToken, r.Type)
		}
	}
	k.state = pool.New(p.Config, saved)
	k.stored = k.state.Revision()
	told := k.configured()
	k.told.Store(&told)
	k.space.Store(&pool.Room{})
	return k, nil
}

// run keeps the pool until ctx ends.
func (k *keeper) run(ctx context.Context) {
	defer k.actions.Wait()
	defer k.dismiss()
	defer close(k.ended)
	look := time.NewTicker(ownershipLook)
	defer look.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-k.inbox:
			k.take(ctx, m)
		case <-look.C:
			k.lookAtOwner(ctx)
		case <-timer.C:
			k.step(ctx, k.owner())
		}
		if next := k.state.Next(); !next.IsZero() {
			timer.Reset(pause(time.Until(next)))
		}
	}
}

// pause is how long run waits until something is due. The clock may be set back
// meanwhile, which would make any wait a long one.
func pause(due time.Duration) time.Duration {
	return min(max(due, time.Millisecond), longestPause)
}

// lookAtOwner tells the state who owns the pool; of one that another node runs
// it is asked how much room there is.
func (k *keeper) lookAtOwner(ctx context.Context) {
	k.heedOwner(ctx)
	if !k.mine() {
		k.askForRoom(ctx)
	}
}

// heedOwner tells the state who owns the pool, if that is not what it knows.
func (k *keeper) heedOwner(ctx context.Context) {
	if mine := k.mine(); mine != k.state.Owner() {
		k.log.Info("who runs the pool has changed", "this_node", mine)
		k.step(ctx, k.owner())
	}
}

// owner is who owns the pool, for the state.
func (k *keeper) owner() pool.Own {
	owner := k.opts.Owner(k.pool.Thing)
	return pool.Own{
		Owner: k.mine(), First: k.opts.First != nil && k.opts.First(k.pool.Thing), Other: owner != model.NilUID && owner != k.opts.Node,
	}
}

// take takes a message in. What it is about may depend on who owns the pool at
// this moment, not at the last look.
func (k *keeper) take(ctx context.Context, m message) {
	k.heedOwner(ctx)
	if m.leave {
		k.waiting[m.token] = slices.DeleteFunc(k.waiting[m.token], func(c chan<- verdict) bool { return c == m.verdict })
		if len(k.waiting[m.token]) == 0 {
			delete(k.waiting, m.token)
		}
		return
	}
	if m.verdict != nil {
		k.waiting[m.token] = append(k.waiting[m.token], m.verdict)
	}
	k.step(ctx, m.event)
	if c, is := m.event.(pool.Cancel); is {
		k.answer(c.Token, verdict{err: &refusal{"the request was taken back"}})
	}
	if m.done != nil {
		m.done <- k.unstored
	}
}

// step takes an event in and has done what follows from it. What must not be
// forgotten is stored before.
func (k *keeper) step(ctx context.Context, e pool.Event) {
	for queue := []pool.Event{e}; len(queue) > 0; queue = queue[1:] {
		actions := k.state.Step(time.Now(), queue[0])
		stored := k.store()
		for _, a := range actions {
			if failed := k.carryOut(ctx, a, stored); failed != nil {
				queue = append(queue, failed)
			}
		}
	}
	k.publish()
}

// store writes what must not be forgotten, if it is new.
func (k *keeper) store() error {
	if k.state.Revision() == k.stored {
		return nil
	}
	err := k.file.write(k.state.Saved())
	if err == nil {
		k.stored, k.unstored = k.state.Revision(), nil
		return nil
	}
	if k.unstored == nil {
		k.log.Error("what the pool is about to do can not be stored, so it is not done", "error", err)
	}
	k.unstored = fmt.Errorf("%w: %w", errNotStored, err)
	return k.unstored
}

// carryOut begins an action. The event that it returns is the result of one
// that is not begun, as its intent is not stored.
func (k *keeper) carryOut(ctx context.Context, a pool.Action, stored error) pool.Event {
	switch a := a.(type) {
	case pool.Grant:
		k.answer(a.Token, verdict{Grant: a, err: stored})
		return nil
	case pool.Refuse:
		var why error = &refusal{a.Reason}
		if !k.state.Owner() {
			why = errMoved
		}
		k.answer(a.Token, verdict{err: why})
		return nil
	case pool.Alarm:
		k.log.Warn("a pool needs a look", "host", a.Host, "reason", a.Text)
		return nil
	}
	if _, harmless := a.(pool.Describe); stored != nil && !harmless {
		return undone(a, stored)
	}
	k.actions.Go(func() {
		result := k.do(ctx, a)
		select {
		case k.inbox <- message{event: result}:
		case <-ctx.Done(): // the next process looks what came of it
		}
	})
	return nil
}

// refusal is a Refuse.
type refusal struct{ reason string }

// Error implements error.
func (r *refusal) Error() string { return r.reason }

// answer tells all who wait for a token's host.
func (k *keeper) answer(token string, v verdict) {
	for _, c := range k.waiting[token] {
		c <- v
	}
	delete(k.waiting, token)
}

// dismiss tells all who wait that nobody will answer.
func (k *keeper) dismiss() {
	for token := range k.waiting {
		k.answer(token, verdict{err: errClosing})
	}
}

// publish shows the state to everybody.
func (k *keeper) publish() {
	now := inventory.Tell(k.configured(), k.state, k.opts.Prices, time.Now())
	now.Owner = k.opts.Node.String()
	k.told.Store(&now)
	space := k.state.Room()
	k.space.Store(&space)
	before := k.known
	k.known = k.room()
	if k.known.Grew(before) && k.opts.HasRoom != nil {
		k.opts.HasRoom()
	}
}

// room is what the pool, which this node owns, has room for at this moment: of
// hosts that are to be allocated no more than may be paid for.
func (k *keeper) room() pool.Room {
	r := *k.space.Load()
	if left, why := k.opts.Purse.Left(k.pool.Type); left < r.New {
		r.New = max(0, left)
		if r.New == 0 {
			r.Why = why
		}
	}
	return r
}

// send has run take a message in, and waits until it has.
func (k *keeper) send(ctx context.Context, m message) error {
	select {
	case k.inbox <- m:
		return nil
	case <-k.ended:
		return errClosing
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell has run take an event in. The error says that it was not, or that what it
// changed is not stored.
func (k *keeper) tell(ctx context.Context, e pool.Event) error {
	done := make(chan error, 1)
	if err := k.send(ctx, message{event: e, done: done}); err != nil {
		return err
	}
	return <-done // run does nothing that waits
}

// note is tell of what does no harm if it is not stored: lists will tell it, too.
func (k *keeper) note(ctx context.Context, e pool.Event) error {
	if err := k.tell(ctx, e); !errors.Is(err, errNotStored) {
		return err
	}
	return nil
}

// want asks the pool, which this node owns, for a host, and waits until it has
// one, or none is to be had. It keeps its place in the queue until w.Until, also
// if nobody waits here any more: who asks again finds it, or the host.
func (k *keeper) want(ctx context.Context, w pool.Want) (pool.Grant, error) {
	c := make(chan verdict, 1)
	if err := k.send(ctx, message{event: w, token: w.Token, verdict: c}); err != nil {
		return pool.Grant{}, err
	}
	select {
	case v := <-c:
		return v.Grant, v.err
	case <-ctx.Done():
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = k.send(leave, message{leave: true, token: w.Token, verdict: c}) // else nobody is left to answer
		return pool.Grant{}, ctx.Err()
	}
}
