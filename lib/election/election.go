// Package election decides which node runs which application.
//
// Every node votes for each application that waits: the index of the first
// definition that it can run now, or no. The application's arbiter, at first
// the node that accepted it, decides by those votes and writes the grant. The
// rules are pure functions (RoleOf, Sort, Heads, Ballot, Decide, Verify);
// Election is the loop around them that reads the store's feed, takes holds in
// the ledger, tells and hears votes and writes grants. See DESIGN.md.
package election

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// tick is how often the loop looks at everything although nothing happened:
// the safety net for whatever an event missed (design: "every 5 s in any
// case").
const tick = 5 * time.Second

// mostGrants bounds one pass, so that a long queue does not keep later events
// waiting: about one group commit.
const mostGrants = 200

// After a pass the loop rests for idleFactor times what the voting took, so
// that many labels and busy applications never cost more than a fifth of a
// core; mostIdle keeps that unnoticed by those who wait.
const (
	idleFactor = 4
	mostIdle   = 50 * time.Millisecond
)

// database is what the election needs of the store.
type database interface {
	Subscribe(kinds ...store.Kind) *store.Subscription
	Open() []*model.Entry
	Application(ctx context.Context, uid model.UID) (*model.Entry, error)
	Label(uid model.UID) (model.Label, bool)
	Update(ctx context.Context, uid model.UID, decide func(*model.Entry) (model.Change, error)) (*model.Entry, error)
	Writable() error
	Doubt(app model.Application) store.Doubt
}

// Options configures an Election. All fields are required unless noted.
type Options struct {
	Node     model.UID
	NodeName string
	// Location is where this node is; may be empty.
	Location string
	Store    database
	Ledger   *capacity.Ledger
	// Cluster are the other nodes; Alone if there are none.
	Cluster cluster
	// Promises are this process's yes-votes; lifecycle asks for them.
	Promises *Promises
	// Driver returns a ready instance, or says why there is none.
	Driver func(name string) (driver drivers.Driver, absent string)
	// Configured reports whether there is, or may be later, an instance of
	// that name.
	Configured func(name string) bool
	// Maintenance reports whether nothing new is taken.
	Maintenance func() bool
	// Unfit is why this node should not take anything although it could, as its
	// own health check says; "" if it is well. May be nil.
	Unfit func() string
	// Load is how much of the node is promised, in percent. May be nil.
	Load func() uint8
	// Member is what is known of another node; "" where it is not. May be nil.
	Member func(node model.UID) (name, location string)
	// Succession are all retirements and handovers. May be nil.
	Succession func() ([]model.Retirement, []model.Handover)
	// Cleared reports whether every member, or every one that can be reached,
	// said that it knows of no end of the application; it asks them, and never
	// waits. May be nil.
	Cleared func(app model.UID, reachable bool) bool
	// LabelDeleted reports whether a label that is not here was, and is known
	// to be deleted. Nil: every label was here that an application of this
	// node's asks for.
	LabelDeleted func(label model.UID) bool
	// Recall tells what this node may have forgotten. Nil: nothing, ever.
	Recall recall
	// Safety is Strict if it is empty.
	Safety      Safety
	Identifiers []string
	// VoteTimeout is how long a round waits for active nodes.
	VoteTimeout time.Duration
	// StarvationAfter is when an application begins to hold back younger ones;
	// 0 = never.
	StarvationAfter time.Duration
	Logger          *slog.Logger
}

// Election is the loop of one node. Make it with New.
type Election struct {
	opts Options
	boot uint64 // of this process
	wake chan struct{}

	// Of Run's goroutine:
	told  told
	sweep bool // noes of new rounds are due

	heart loop.Heart

	mu     sync.Mutex
	queue  queue                // guarded by mu; changed by Run's goroutine and those that it waits for
	tally  tally                // guarded by mu
	heads  map[string]model.UID // guarded by mu: those of the last pass; never changed, only replaced
	giving bool                 // guarded by mu: what this node decides is being handed over
	// admitted counts the applications that are being accepted; guarded by mu.
	admitted int

	retired   int       // guarded by mu: how many nodes are
	retiredAt time.Time // guarded by mu: when that was news here
	lapsedAt  time.Time // guarded by mu: when it was first seen that something may be forgotten; zero: it is not
}

// New returns an election that does nothing until Run.
func New(opts Options) *Election {
	return &Election{opts: opts, boot: opts.Cluster.Boot(), wake: make(chan struct{}, 1), queue: newQueue(), tally: newTally(), told: told{}}
}

// Wake makes the loop look again at once: a driver came back, maintenance
// ended.
func (e *Election) Wake() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Beats is how often the loop came round, which it does every tick, whatever
// happens.
func (e *Election) Beats() uint64 { return e.heart.Beats() }

// Run votes and decides until ctx is cancelled, then returns nil.
func (e *Election) Run(ctx context.Context) error {
	sub := e.opts.Store.Subscribe(store.KindApplication, store.KindLabel, store.KindRetirement, store.KindHandover)
	defer sub.Close()
	e.resync(ctx)
	heard, take := e.opts.Cluster.Votes()
	net := time.NewTicker(tick)
	defer net.Stop()
	due := time.NewTimer(tick)
	defer due.Stop()
	for voting := true; ; {
		took, more := e.round(ctx, voting)
		e.heart.Beat()
		if more {
			e.Wake()
		}
		if loop.Sleep(ctx, min(idleFactor*took, mostIdle)) != nil {
			return nil
		}
		due.Reset(e.untilNext())
		voting = true
		select {
		case <-ctx.Done():
			return nil
		case <-sub.C():
			e.absorb(ctx, sub)
		case <-heard:
			votes, changed := take()
			if e.hear(votes); changed {
				e.regroup(ctx)
			}
			voting = changed // votes of others change nothing in this node's
		case <-e.opts.Ledger.Freed():
		case <-e.wake:
		case <-due.C:
		case <-net.C: // also while there is always something to do
			e.resync(ctx)
		}
	}
}

// round does what the last event asks for.
func (e *Election) round(ctx context.Context, voting bool) (took time.Duration, more bool) {
	if voting {
		return e.pass(ctx)
	}
	if e.opts.Store.Writable() != nil {
		return 0, false
	}
	return 0, e.settle(ctx)
}

// untilNext is the time to what has to be done next without any event, at most
// one tick.
func (e *Election) untilNext() time.Duration {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.tally.next(now, e.queue.next(now, tick))
}

// absorb takes what the feed says into the queue.
func (e *Election) absorb(ctx context.Context, sub *store.Subscription) {
	keys, resync := sub.Take()
	if resync {
		e.resync(ctx)
		return
	}
	var over []model.Application
	here := e.standpoint()
	for _, k := range keys {
		switch k.Kind {
		case store.KindApplication:
		case store.KindLabel:
			e.sweep = true // it came or went: the pass reads labels anew
			continue
		default: // who decides may be another node now
			e.resync(ctx)
			continue
		}
		entry, err := e.opts.Store.Application(ctx, k.UID)
		if err != nil {
			continue // gone, or unreadable now: the tick looks again
		}
		if e.consider(entry, here) {
			over = append(over, entry.Application)
		}
	}
	e.end(ctx, over, e.ending(here))
}

// resync reads everything that is open.
func (e *Election) resync(ctx context.Context) {
	var over []model.Application
	here := e.standpoint()
	open := make(map[model.UID]bool)
	for _, entry := range e.opts.Store.Open() {
		open[entry.Application.UID] = true
		if e.consider(entry, here) {
			over = append(over, entry.Application)
		}
	}
	e.end(ctx, over, e.ending(here))
	e.missed(ctx, open)
	e.sweep = true
	e.opts.Promises.sweep(open)
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue.fresh = nil // the sweep answers them
	e.tally.sweep(now, func(app model.UID) bool { return e.queue.items[app] != nil })
}

// missed takes out what is over without the feed having said so: a resync
// stands for any news.
func (e *Election) missed(ctx context.Context, open map[model.UID]bool) {
	var gone []model.Application
	e.edit(func(q *queue) {
		for uid, w := range q.items {
			if !open[uid] {
				gone = append(gone, w.Application)
			}
		}
	})
	for _, app := range gone {
		entry, err := e.opts.Store.Application(ctx, app.UID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			e.leave(&model.Entry{Application: app, Fold: model.Fold{Final: true}})
		case err == nil && entry.Done():
			e.leave(entry)
		}
	}
}

// standpoint is what this node knows of the others now.
func (e *Election) standpoint() Standpoint {
	s := Standpoint{
		Node: e.opts.Node, Cleared: e.opts.Cleared, Safety: e.opts.Safety, Active: e.opts.Cluster.Active(), Silent: e.opts.Cluster.Unreachable,
		Ready: e.opts.Cluster.Ready(),
	}
	if e.opts.Succession != nil {
		s.Retirements, s.Handovers = e.opts.Succession()
	}
	if len(s.Retirements) > 0 { // the rows come before the links end
		s.Active = slices.DeleteFunc(slices.Clone(s.Active), s.retired)
	}
	if s.retired(e.opts.Node) { // others run what it was granted
		s.Ready = false
		e.opts.Promises.Revoke()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.giving {
		s.Ready = false
	}
	if n := len(s.Retirements); n != e.retired || e.retiredAt.IsZero() {
		e.retired, e.retiredAt = n, time.Now()
	}
	since := e.retiredAt
	s.Covered = sync.OnceValue(func() bool { return e.opts.Cluster.Covered(since) })
	s.CoveredReachable = sync.OnceValue(func() bool { return e.opts.Cluster.CoveredReachable(since) })
	e.remember(&s, time.Now())
	return s
}

// consider puts an application into the queue or takes it out, and reports
// whether this node has to end something of it. One in doubt stays out until
// it is certain, which comes as a resync.
func (e *Election) consider(entry *model.Entry, here Standpoint) bool {
	role, open := RoleOf(entry, here)
	app := entry.Application
	if open && e.opts.Store.Doubt(app) == store.Certain {
		now := time.Now()
		w := Waiting{Application: app, Since: now, Declined: entry.Fold.Declined, Role: role}
		if pause := declineBackoff(w.Declined); pause > 0 {
			w.NotBefore, w.Rest = now.Add(pause), RestDeclined
		}
		e.edit(func(q *queue) {
			if q.put(w) {
				e.tally.declined(entry)
			}
		})
		if role.Asleep != "" {
			e.withdraw(app)
		}
		return false
	}
	e.leave(entry)
	return here.arbiter(app) == here.Node && e.overdue(entry, here) && here.decides(app)
}

// declined makes the yeses of those who declined count no more.
func (t *tally) declined(entry *model.Entry) {
	if t.polls[entry.Application.UID] == nil {
		return
	}
	t.touched[entry.Application.UID] = struct{}{}
	for i := range entry.States {
		if s := &entry.States[i]; s.Status == model.StatusDeclined {
			t.demote(entry.Application.UID, s.NodeUID)
		}
	}
}

// leave takes out what does not wait any more. Its hold stays if the grant
// names this node: then lifecycle takes it over, or it runs out.
func (e *Election) leave(entry *model.Entry) {
	app, f := entry.Application, entry.Fold
	ours := f.Grant != nil && f.Grant.Decision != nil && f.Grant.Decision.Winner == e.opts.Node
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue.remove(app)
	e.tally.forget(app.UID, e.opts.Node)
	if f.Grant == nil || f.Allocated != nil || f.Final {
		e.tally.drop(app.UID)
	}
	if _, stands := e.tally.stands[app.UID]; stands {
		delete(e.tally.stands, app.UID)
		if !ours {
			e.opts.Ledger.Unhold(app.UID)
		}
	}
}

// hear takes votes in.
func (e *Election) hear(votes []model.Vote) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, v := range votes {
		if v.NodeUID != e.opts.Node {
			e.tally.hear(v, now, e.queue.items[v.ApplicationUID] != nil)
		}
	}
}

// regroup begins anew with other members: who does not count any more is not
// waited for.
func (e *Election) regroup(ctx context.Context) {
	e.resync(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	for app := range e.queue.items {
		if e.tally.polls[app] != nil {
			e.tally.touched[app] = struct{}{}
		}
	}
}

// end writes what ends applications, many at once so that they share commits.
// What could not be written is found again by the tick.
func (e *Election) end(ctx context.Context, apps []model.Application, decide func(*model.Entry) (model.Change, error)) {
	var g errgroup.Group
	g.SetLimit(mostGrants)
	for _, app := range apps {
		g.Go(func() error {
			if e.update(ctx, app.UID, decide) == nil {
				e.edit(func(q *queue) { q.remove(app) })
			}
			return nil
		})
	}
	_ = g.Wait() // update reports its own errors
}

func (e *Election) edit(f func(*queue)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(&e.queue)
}

// update writes a decision and reports what went wrong; the tick tries again.
func (e *Election) update(ctx context.Context, uid model.UID, decide func(*model.Entry) (model.Change, error)) error {
	_, err := e.opts.Store.Update(ctx, uid, decide)
	if err != nil && ctx.Err() == nil {
		e.opts.Logger.Warn("decision not written, will be tried again", "application_uid", uid, "error", err)
	}
	return err
}
