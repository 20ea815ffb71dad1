// Package election decides which node runs which application.
//
// Every node votes for each application that waits: the index of the first
// definition that it can run now, or no. The application's arbiter, the node
// that accepted it, decides by those votes and writes the grant. The rules are
// pure functions (Sort, Heads, Ballot, Decide); Election is the loop around
// them that reads the store's feed, takes holds in the ledger and writes
// grants. See DESIGN.md.
package election

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
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
	Store    database
	Ledger   *capacity.Ledger
	// Driver returns a ready instance, or says why there is none.
	Driver func(name string) (driver drivers.Driver, absent string)
	// Configured reports whether there is, or may be later, an instance of
	// that name.
	Configured func(name string) bool
	// Maintenance reports whether nothing new is taken.
	Maintenance func() bool
	// Active are the nodes whose votes count.
	Active      func() []model.UID
	Identifiers []string
	// VoteTimeout is how long a round waits for active nodes.
	VoteTimeout time.Duration
	// StarvationAfter is when an application begins to hold back younger ones;
	// 0 = never.
	StarvationAfter time.Duration
	// StartBy is how long a yes is kept for the grant to be taken up.
	StartBy time.Duration
	Logger  *slog.Logger
}

// Election is the loop of one node. Make it with New.
type Election struct {
	opts Options
	wake chan struct{}
	told told // Run's goroutine's

	heart loop.Heart

	mu    sync.Mutex
	queue queue                // guarded by mu; changed by Run's goroutine and those that it waits for
	heads map[string]model.UID // guarded by mu: those of the last pass; never changed, only replaced
}

// New returns an election that does nothing until Run.
func New(opts Options) *Election {
	return &Election{opts: opts, wake: make(chan struct{}, 1), queue: newQueue(), told: told{}}
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
	sub := e.opts.Store.Subscribe(store.KindApplication, store.KindLabel)
	defer sub.Close()
	e.resync(ctx)
	net := time.NewTicker(tick)
	defer net.Stop()
	holdOff := time.NewTimer(tick)
	defer holdOff.Stop()
	for {
		took, more := e.pass(ctx)
		e.heart.Beat()
		if more {
			e.Wake()
		}
		if loop.Sleep(ctx, min(idleFactor*took, mostIdle)) != nil {
			return nil
		}
		holdOff.Reset(e.untilNext())
		select {
		case <-ctx.Done():
			return nil
		case <-sub.C():
			e.absorb(ctx, sub)
		case <-e.opts.Ledger.Freed():
		case <-e.wake:
		case <-holdOff.C:
		case <-net.C: // also while there is always something to do
			e.resync(ctx)
		}
	}
}

// untilNext is the time to the next application whose hold-off ends, at most
// one tick.
func (e *Election) untilNext() (wait time.Duration) {
	e.edit(func(q *queue) { wait = q.next(time.Now(), tick) })
	return wait
}

// absorb takes what the feed says into the queue.
func (e *Election) absorb(ctx context.Context, sub *store.Subscription) {
	keys, resync := sub.Take()
	if resync {
		e.resync(ctx)
		return
	}
	var over []model.Application
	for _, k := range keys {
		if k.Kind != store.KindApplication {
			continue // a label came or went: the pass reads labels anew
		}
		entry, err := e.opts.Store.Application(ctx, k.UID)
		if err != nil {
			continue // gone, or unreadable now: the tick looks again
		}
		if e.consider(entry) {
			over = append(over, entry.Application)
		}
	}
	e.end(ctx, over, e.ending)
}

// resync reads everything that is open.
func (e *Election) resync(ctx context.Context) {
	var over []model.Application
	for _, entry := range e.opts.Store.Open() {
		if e.consider(entry) {
			over = append(over, entry.Application)
		}
	}
	e.end(ctx, over, e.ending)
}

// consider puts an application into the queue or takes it out, and reports
// whether it has to be ended: it was recalled before anything was granted, or
// dropped. One in doubt stays out until it is certain, which comes as a resync.
func (e *Election) consider(entry *model.Entry) bool {
	if entry.Application.Arbiter != e.opts.Node {
		return false
	}
	if entry.Fold.Waiting() && e.opts.Store.Doubt(entry.Application) == store.Certain {
		now := time.Now()
		w := Waiting{Application: entry.Application, Since: now, Declined: entry.Fold.Declined}
		if pause := declineBackoff(w.Declined); pause > 0 {
			w.NotBefore = now.Add(pause)
		}
		e.edit(func(q *queue) { q.put(w) })
		return false
	}
	e.edit(func(q *queue) { q.remove(entry.Application) })
	return unanswered(entry) || e.dropped(entry)
}

// end writes the end of applications that will never be granted, many at once
// so that they share commits. What could not be written is found again by the
// tick.
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

// unanswered reports whether the application was recalled while no grant
// lives, and nobody has said yet that none will.
func unanswered(entry *model.Entry) bool {
	f := entry.Fold
	return f.Request != nil && f.Grant == nil && !f.Final && !f.Closed
}

// dropped reports whether an operator wants the application ended that waits.
func (e *Election) dropped(entry *model.Entry) bool {
	return entry.Fold.Waiting() && e.opts.Store.Doubt(entry.Application) == store.Dropped
}

// ending is how an application ends that will not be granted.
func (e *Election) ending(entry *model.Entry) (model.Change, error) {
	switch {
	case unanswered(entry):
		return model.Change{States: []model.ApplicationState{{
			Status: model.StatusClosed, Description: "Recalled before it was granted",
		}}}, nil
	case e.dropped(entry):
		return model.Change{States: []model.ApplicationState{{
			Status: model.StatusError, Description: "Waited in a copy of the database that was put back, and may have been run since",
		}}}, nil
	}
	return model.Change{}, nil
}

// pass votes on everything that is due and decides. It returns how long the
// voting took, and whether it stopped with more to do.
func (e *Election) pass(ctx context.Context) (took time.Duration, more bool) {
	now := time.Now()
	var due []Line
	e.edit(func(q *queue) { due = q.due(now) })
	if len(due) == 0 || e.opts.Store.Writable() != nil {
		e.publish(nil)
		return 0, false
	}
	sorted, orphans := e.sortLabels(due)
	heads := Heads(due, sorted, e.opts.StarvationAfter, now)
	e.publish(heads)
	hold := func(app model.UID, o Option) error {
		return e.opts.Ledger.Hold(app, o.Claim, o.Offer, now, now.Add(e.opts.StartBy))
	}
	yeses, more := Ballot(due, sorted, heads, hold, mostGrants)
	took = time.Since(now)
	var g errgroup.Group
	for _, y := range yeses {
		g.Go(func() error { e.decide(ctx, y, now); return nil })
	}
	_ = g.Wait() // decide reports its own errors
	e.end(ctx, orphans, labelDeleted)
	return took, more
}

// sortLabels sorts the labels of the lines out for this node, and names the
// applications whose label is gone. The arbiter knew the label when it
// accepted the application, so one that it does not know now was deleted.
func (e *Election) sortLabels(due []Line) (sorted map[model.UID]Candidates, orphans []model.Application) {
	host := e.host()
	sorted = make(map[model.UID]Candidates, len(due))
	for _, line := range due {
		uid := line[0].Application.LabelUID
		label, ok := e.opts.Store.Label(uid)
		if !ok {
			for _, w := range line {
				orphans = append(orphans, w.Application)
			}
			continue
		}
		sorted[uid] = Sort(label, host)
		if reasons, news := e.told.news(uid, sorted[uid]); news {
			e.opts.Logger.Info("applications wait for a label that can not run here", "label", label.Name,
				"version", label.Version, "label_uid", uid, "reason", reasons)
		}
	}
	return sorted, orphans
}

func labelDeleted(entry *model.Entry) (model.Change, error) {
	if !entry.Fold.Waiting() {
		return model.Change{}, nil
	}
	return model.Change{States: []model.ApplicationState{{
		Status: model.StatusError, Description: "Label was deleted",
	}}}, nil
}

// decide casts the node's vote, settles the poll and writes the grant. The
// hold is given back unless the grant names this node and is durable.
func (e *Election) decide(ctx context.Context, y Yes, now time.Time) {
	app := y.Waiting.Application
	if e.opts.Maintenance() { // since the pass began; whoever drained the node counts what holds room
		e.opts.Ledger.Unhold(app.UID)
		return
	}
	vote := e.vote(y.Waiting, y.Definition, now)
	decision, _ := Decide(Poll{
		Round: vote.Round, OpenedAt: now, Active: e.opts.Active(),
		Votes: []model.Vote{vote}, Timeout: e.opts.VoteTimeout,
	}, now)
	if decision == nil {
		e.opts.Ledger.Unhold(app.UID)
		return
	}
	granted := false
	err := e.update(ctx, app.UID, func(entry *model.Entry) (model.Change, error) {
		change := grant(entry, *decision, e.opts.NodeName)
		granted = !change.Empty()
		return change, nil
	})
	if err != nil || !granted || decision.Winner != e.opts.Node {
		e.opts.Ledger.Unhold(app.UID)
	}
	e.edit(func(q *queue) {
		switch {
		case err == nil: // granted, or it does not wait any more
			q.remove(app)
		case !errors.Is(err, store.ErrUnavailable): // Writable holds everything off then
			q.postpone(app, now.Add(tick))
		}
	})
}

// grant is what the arbiter writes for a decision: nothing if the application
// does not wait any more.
func grant(entry *model.Entry, d model.Decision, winner string) model.Change {
	if !entry.Fold.Waiting() {
		return model.Change{}
	}
	epoch := entry.Fold.LastEpoch + 1
	return model.Change{States: []model.ApplicationState{{
		UID:         model.GrantUID(entry.Application.UID, epoch),
		Status:      model.StatusElected,
		Description: "Elected node: " + winner,
		Epoch:       epoch,
		Decision:    &d,
	}}}
}

// vote is this node's answer in the round that is open now. Its random part
// follows from its UID, so that anyone can check it.
func (e *Election) vote(w *Waiting, available int, now time.Time) model.Vote {
	round, opened := RoundAt(w.Since, now)
	uid := model.VoteUID(w.Application.UID, e.opts.Node, round)
	return model.Vote{
		UID: uid, ApplicationUID: w.Application.UID, NodeUID: e.opts.Node,
		Round: round, Available: available,
		Rand: binary.BigEndian.Uint32(uid[12:]), CreatedAt: opened.UTC(),
	}
}

// OpenVotes returns this node's votes in the rounds that are open: the noes,
// since a yes of a single voter is decided at once.
func (e *Election) OpenVotes() []model.Vote {
	var items []*Waiting
	e.edit(func(q *queue) { items = q.all() })
	now := time.Now()
	votes := make([]model.Vote, len(items))
	for i, w := range items {
		votes[i] = e.vote(w, -1, now)
	}
	return votes
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
