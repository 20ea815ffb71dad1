package election

import (
	"context"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// holdFor is for how long a yes holds room, and counts for the arbiter.
func (e *Election) holdFor() time.Duration { return max(leastHold, e.opts.VoteTimeout+2*time.Second) }

// pass votes on everything that is due and settles what this node decides. It
// returns how long the voting took, and whether it stopped with more to do.
func (e *Election) pass(ctx context.Context) (took time.Duration, more bool) {
	if e.opts.Store.Writable() != nil { // a grant could not be kept
		e.withdrawAll()
		e.publish(nil)
		return 0, false
	}
	took, more, orphans := e.poll(time.Now())
	if e.settle(ctx) {
		more = true
	}
	if len(orphans) > 0 {
		e.end(ctx, orphans, orphaned(e.standpoint()))
	}
	return took, more
}

// poll casts this node's votes.
func (e *Election) poll(now time.Time) (took time.Duration, more bool, orphans []model.Application) {
	e.lapse(now)
	e.repeat(now)
	var due []Line
	e.edit(func(q *queue) { due = q.due(now) })
	if len(due) == 0 {
		e.publish(nil)
		return 0, false, nil
	}
	host := e.host()
	if host.Unfit != "" {
		e.withdrawAll()
	}
	sorted, orphans := e.sortLabels(due, host)
	active := e.opts.Cluster.Active()
	heads := Heads(e.headable(due, active), sorted, e.opts.StarvationAfter, now)
	e.publish(heads)
	until := now.Add(e.holdFor())
	hold := func(app model.UID, o Option) error { return e.opts.Ledger.Hold(app, o.Claim, o.Offer, now, until) }
	load := e.load()
	yeses, more := Ballot(due, sorted, heads, hold, mostGrants)
	took = time.Since(now)
	ballot := e.answerYes(yeses, load, now, until)
	if !more {
		ballot = append(ballot, e.answerNo(due, sorted, active, load, now)...)
	}
	if len(ballot) > 0 {
		e.opts.Cluster.Cast(ballot)
	}
	return took, more, orphans
}

// sortLabels sorts the labels of the lines out for this node, and names the
// applications that this node has to end because their label was deleted. One
// that is merely not here yet is waited for.
func (e *Election) sortLabels(due []Line, host Host) (sorted map[model.UID]Candidates, orphans []model.Application) {
	sorted = make(map[model.UID]Candidates, len(due))
	for _, line := range due {
		uid := line[0].Application.LabelUID
		label, ok := e.opts.Store.Label(uid)
		if !ok {
			for _, w := range line {
				if w.Role.Decider == e.opts.Node && !w.Role.Takeover && e.labelDeleted(w.Application) {
					orphans = append(orphans, w.Application)
				}
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

// labelDeleted reports whether the application's label, which is not here, was.
func (e *Election) labelDeleted(app model.Application) bool {
	if e.opts.LabelDeleted != nil {
		return e.opts.LabelDeleted(app.LabelUID)
	}
	return app.Arbiter == e.opts.Node // it knew the label when it accepted the application
}

// headable are the applications that may hold others back on this node: across
// nodes each does so on one, of those that could ever run it.
func (e *Election) headable(due []Line, active []model.UID) []Line {
	if len(active) < 2 || e.opts.StarvationAfter <= 0 {
		return due
	}
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	var lines []Line
	for _, line := range due {
		var chosen Line
		for _, w := range line {
			if w.waited(now) < e.opts.StarvationAfter {
				continue
			}
			if nearest(w.Application.UID, e.tally.capable(w.Application.UID, active)) == e.opts.Node {
				chosen = append(chosen, w)
			}
		}
		if len(chosen) > 0 {
			lines = append(lines, chosen)
		}
	}
	return lines
}

// answerYes notes the yeses, each with the room that it holds.
func (e *Election) answerYes(yeses []Yes, load uint8, now, until time.Time) []model.Vote {
	e.mu.Lock()
	defer e.mu.Unlock()
	votes := make([]model.Vote, 0, len(yeses))
	for _, y := range yeses {
		app := y.Waiting.Application
		v := e.vote(y.Waiting, y.Definition, now)
		v.Cached, v.Coming, v.Load = y.Cached, y.Coming, load
		s := stand{vote: v, app: app, until: until}
		rest := until
		if y.Waiting.Role.Decider != e.opts.Node {
			s.again = now.Add(repeatEvery)
			rest = laterOf(until, nextRound(y.Waiting.Since, now))
		}
		e.opts.Promises.Give(app.UID, v.UID)
		e.tally.stands[app.UID] = s
		e.tally.note(v, now)
		e.queue.postpone(app, rest, RestStanding)
		votes = append(votes, v)
	}
	return votes
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// answerNo are the noes that are due: of what came since the last time, and
// once per round of everything.
func (e *Election) answerNo(due []Line, sorted map[model.UID]Candidates, active []model.UID, load uint8, now time.Time) []model.Vote {
	e.mu.Lock()
	defer e.mu.Unlock()
	asked := e.asked(due)
	e.queue.fresh, e.sweep = nil, false
	if !slices.Contains(active, e.opts.Node) || len(active) == 1 {
		return nil // nobody counts them: what all are told of this node says no to everything
	}
	var votes []model.Vote
	for _, w := range asked {
		c, known := sorted[w.Application.LabelUID]
		if _, stands := e.tally.stands[w.Application.UID]; stands || !known || w.resting(now) {
			continue
		}
		v := e.vote(w, c.no(), now)
		v.Load = load
		if h, said := e.tally.last(w.Application.UID, e.opts.Node); said && h.vote.Round == v.Round && h.vote.Available == v.Available {
			continue
		}
		e.tally.note(v, now)
		votes = append(votes, v)
	}
	return votes
}

// asked are the applications that may need a no. Caller holds mu.
func (e *Election) asked(due []Line) []*Waiting {
	var asked []*Waiting
	if e.sweep {
		for _, line := range due {
			asked = append(asked, line...)
		}
		return asked
	}
	for _, uid := range e.queue.fresh {
		if w := e.queue.items[uid]; w != nil {
			asked = append(asked, w)
		}
	}
	return asked
}

// no is how a node that does not take an application answers.
func (c Candidates) no() int {
	if len(c.Options) > 0 {
		return model.VoteNo
	}
	for _, r := range c.Refusals {
		if !r.Lasting {
			return model.VoteAway
		}
	}
	return model.VoteNever
}

// vote is this node's answer in the round that is open now. Its random part
// follows from its UID, so that anyone can check it.
func (e *Election) vote(w *Waiting, available int, now time.Time) model.Vote {
	round, opened := RoundAt(w.Since, now)
	uid := model.VoteUID(w.Application.UID, e.opts.Node, e.boot, round)
	return model.Vote{
		UID: uid, ApplicationUID: w.Application.UID, NodeUID: e.opts.Node, Boot: e.boot, Round: round, Available: available,
		Rand: model.VoteRand(uid), CreatedAt: opened.UTC(), Location: e.opts.Location,
	}
}

// load is how much of the node is promised, in percent.
func (e *Election) load() uint8 {
	if e.opts.Load == nil {
		return 0
	}
	return min(e.opts.Load(), 100)
}

// repeat casts the yeses again that others decide.
func (e *Election) repeat(now time.Time) {
	var votes []model.Vote
	e.mu.Lock()
	for uid, s := range e.tally.stands {
		if s.again.IsZero() || now.Before(s.again) {
			continue
		}
		s.again = now.Add(repeatEvery)
		e.tally.stands[uid] = s
		e.opts.Promises.Give(uid, s.vote.UID)
		votes = append(votes, s.vote)
	}
	e.mu.Unlock()
	if len(votes) > 0 {
		e.opts.Cluster.Cast(votes)
	}
}

// lapse ends the yeses that nobody decided on: their room may be somebody
// else's from now on.
func (e *Election) lapse(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for uid, s := range e.tally.stands {
		if now.Before(s.until) {
			continue
		}
		delete(e.tally.stands, uid)
		e.tally.forget(uid, e.opts.Node)
		e.opts.Ledger.Unhold(uid)
		if w := e.queue.items[uid]; w != nil {
			e.queue.postpone(s.app, w.NotBefore, RestUndecided)
		}
	}
}

// standing reports whether any yes of this node is undecided.
func (e *Election) standing() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.tally.stands) > 0
}

// withdraw takes a yes back, and says so.
func (e *Election) withdraw(app model.Application) {
	e.mu.Lock()
	s, stands := e.tally.stands[app.UID]
	if stands {
		e.takeBack(s)
	}
	e.mu.Unlock()
	if stands {
		s.vote.Available = model.VoteNo
		e.opts.Cluster.Cast([]model.Vote{s.vote})
	}
}

// withdrawAll takes all yeses back.
func (e *Election) withdrawAll() {
	var votes []model.Vote
	e.mu.Lock()
	for _, s := range e.tally.stands {
		e.takeBack(s)
		s.vote.Available = model.VoteNo
		votes = append(votes, s.vote)
	}
	e.mu.Unlock()
	if len(votes) > 0 {
		e.opts.Cluster.Cast(votes)
	}
}

// takeBack gives the room of a yes back and makes it a no. Caller holds mu.
func (e *Election) takeBack(s stand) {
	delete(e.tally.stands, s.app.UID)
	e.opts.Promises.TakeBack(s.app.UID)
	e.opts.Ledger.Unhold(s.app.UID)
	e.tally.demote(s.app.UID, e.opts.Node)
	e.tally.touched[s.app.UID] = struct{}{}
	e.queue.postpone(s.app, time.Time{}, RestNone)
}

// OpenVotes returns what is known of the votes for applications that wait:
// this node's own, and what others told. Votes that could never be a yes show
// as no.
func (e *Election) OpenVotes() []model.Vote {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	var votes []model.Vote
	for _, w := range e.queue.all() {
		own := e.vote(w, model.VoteNo, now)
		if s, stands := e.tally.stands[w.Application.UID]; stands {
			own = s.vote
		}
		votes = append(votes, own)
		for _, v := range e.tally.votes(w.Application.UID, now, e.holdFor()) {
			if v.NodeUID != e.opts.Node {
				v.Available = max(v.Available, model.VoteNo)
				votes = append(votes, v)
			}
		}
	}
	return votes
}
