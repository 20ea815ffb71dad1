package election

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// verdict is a decision to write.
type verdict struct {
	waiting  Waiting
	decision model.Decision
}

// settle decides the polls of this node that votes, or the time, changed. It
// reports whether it stopped with more to do.
func (e *Election) settle(ctx context.Context) (more bool) {
	here := e.standpoint()
	if e.standing() && e.opts.Maintenance() { // perhaps since it voted; whoever drained the node counts what holds room
		e.withdrawAll()
	}
	verdicts, more := e.verdicts(here, time.Now())
	var g errgroup.Group
	for _, v := range verdicts {
		g.Go(func() error { e.grant(ctx, here, v); return nil })
	}
	_ = g.Wait() // grant reports its own errors
	return more
}

// verdicts are the polls that are decided, at most mostGrants. Those that wait
// for votes, or rest, stay touched.
func (e *Election) verdicts(here Standpoint, now time.Time) (list []verdict, more bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tally.deadline = time.Time{}
	for uid := range e.tally.touched {
		w := e.queue.items[uid]
		if w == nil || w.Role.Decider != e.opts.Node || !here.Ready || !e.tally.hopeful(uid) {
			delete(e.tally.touched, uid)
			continue
		}
		if until, rests := w.undecidable(now); rests {
			e.lookAgain(until)
			continue
		}
		if len(list) == mostGrants {
			return list, true
		}
		poll := e.pollOf(w, here, now)
		decision, again := Decide(poll, now)
		switch {
		case decision != nil:
			list = append(list, verdict{waiting: *w, decision: *decision})
			delete(e.tally.touched, uid)
		case again.IsZero() || !slices.ContainsFunc(poll.Votes, model.Vote.Yes): // none that still counts
			delete(e.tally.touched, uid) // the next vote touches it
		default:
			e.lookAgain(again)
		}
	}
	return list, false
}

// lookAgain sets the time of the next look. Caller holds mu.
func (e *Election) lookAgain(at time.Time) {
	if !at.IsZero() && (e.tally.deadline.IsZero() || at.Before(e.tally.deadline)) {
		e.tally.deadline = at
	}
}

// pollOf is what is known of an application's round. Caller holds mu.
func (e *Election) pollOf(w *Waiting, here Standpoint, now time.Time) Poll {
	round, opened := RoundAt(w.Since, now)
	return Poll{
		Round: round, OpenedAt: opened, Active: here.Active, Votes: e.tally.votes(w.Application.UID, now, e.holdFor()),
		Timeout: e.opts.VoteTimeout, Location: e.locationOf(w.Application.Arbiter),
	}
}

// grant writes the decision. The hold of this node is given back unless the
// grant names it and is durable.
func (e *Election) grant(ctx context.Context, here Standpoint, v verdict) {
	app := v.waiting.Application
	granted := false
	err := e.update(ctx, app.UID, func(entry *model.Entry) (model.Change, error) {
		if here.forgot(entry.Application) { // it turned out since it was decided
			return model.Change{}, nil
		}
		change := grant(entry, v.decision, e.nameOf(v.decision.Winner), v.waiting.Role)
		granted = !change.Empty()
		return change, nil
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil || !granted || v.decision.Winner != e.opts.Node {
		e.opts.Ledger.Unhold(app.UID)
	}
	delete(e.tally.stands, app.UID)
	e.tally.forget(app.UID, e.opts.Node)
	switch {
	case err == nil: // granted, or it does not wait any more
		e.queue.remove(app)
	case errors.Is(err, store.ErrUnavailable): // Writable holds everything off then
		e.queue.postpone(app, time.Time{}, RestNone)
	default:
		e.queue.postpone(app, time.Now().Add(tick), RestUnwritten)
	}
}

// grant is what the arbiter writes for a decision: nothing if there is nothing
// to decide any more.
func grant(entry *model.Entry, d model.Decision, winner string, role Role) model.Change {
	f := entry.Fold
	replaces := role.Replaces > 0 && f.Grant != nil && f.Grant.Epoch == role.Replaces &&
		f.Allocated == nil && f.Request == nil && !f.Final
	if !f.Waiting() && !replaces {
		return model.Change{}
	}
	epoch := f.LastEpoch + 1
	if role.Takeover {
		epoch = max(epoch, model.TakeoverEpoch)
	}
	return model.Change{States: []model.ApplicationState{{
		UID:         model.GrantUID(entry.Application.UID, epoch, role.Decider),
		Status:      model.StatusElected,
		Description: "Elected node: " + winner,
		Epoch:       epoch,
		Decision:    &d,
	}}}
}
