package pool

import (
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

const (
	// lookTimeout is how long the answer to Describe is waited for; one that
	// comes later is too old to be of use.
	lookTimeout = time.Minute
	// blindAfter is how long lists may fail before somebody should know.
	blindAfter = 10 * time.Minute
	// shortestScrub is what is taken for a scrub: lists of servers of AWS that
	// lag differently show a host as pending for moments.
	shortestScrub = 10 * time.Minute
)

// look is the knowledge of the pool's hosts as a whole.
type look struct {
	asked    mark // the Describe under way; seq 0: none
	need     mark // a list is needed that knows of this
	listed   answer
	no       uint64 // of the last list
	tried    time.Time
	failures int
	since    time.Time // of the failures
	why      string    // the last one came
	alarmed  bool
}

// answer is a list's place in the order of things.
type answer struct {
	seq  uint64 // it knows what came before; 0: at decides
	at   time.Time
	sure bool // it is the truth of this instant
}

// knows reports whether the list was sent after the mark.
func (a answer) knows(m mark) bool {
	if a.seq > 0 {
		return a.seq > m.seq
	}
	return a.at.After(m.at)
}

// lookAround asks for a list when one is due.
func (s *State) lookAround() {
	l := &s.look
	if !s.looks() {
		return
	}
	if l.asked.seq > 0 && s.now.Sub(l.asked.at) >= lookTimeout {
		l.asked = mark{}
		s.lookFailed("no answer within a minute")
	}
	if l.asked.seq > 0 {
		s.wake(l.asked.at.Add(lookTimeout))
		return
	}
	due := l.tried.Add(s.lookPause())
	if l.tried.Before(s.quarantine) {
		due = earlier(due, s.quarantine)
	}
	if !l.tried.IsZero() && due.After(s.now) {
		s.wake(due)
		return
	}
	id := s.nextID()
	l.asked, l.tried = mark{uint64(id), s.now}, s.now
	s.emit(Describe{id})
	s.wake(s.now.Add(lookTimeout))
}

// lookPause is how long after the last try the next list is due.
func (s *State) lookPause() time.Duration {
	l := &s.look
	switch {
	case l.failures > 0:
		return backoff(s.cfg.LookEvery, max(s.cfg.LookEvery, s.cfg.LookIdle), l.failures)
	case l.need.seq > 0 && !l.listed.knows(l.need):
		return 0
	case s.queue.len() > 0 || len(s.requests) > 0 || s.count[Requested]+s.count[Reserved]+s.count[Settling]+s.count[Releasing] > 0:
		return s.cfg.LookEvery
	}
	return s.cfg.LookIdle
}

func (s *State) lookFailed(why string) {
	l := &s.look
	if l.failures++; l.failures == 1 {
		l.since = s.now
	}
	l.why = why
	if !l.alarmed && s.now.Sub(l.since) >= blindAfter {
		l.alarmed = true
		s.emit(Alarm{Text: "the hosts can not be listed since " + s.outer(l.since).Format(time.RFC3339) + ": " + why})
	}
}

// blind reports whether it is not known what hosts there are, or not any more:
// one list that fails is no reason to turn anybody away.
func (s *State) blind() bool {
	l := &s.look
	return l.listed.at.IsZero() || l.failures > 0 && s.now.Sub(l.since) >= lookTimeout
}

// described takes in a list, as far as it knows more than the pool does.
func (s *State) described(e Described) {
	a, ok := s.answerOf(e)
	if !ok {
		return
	}
	if e.Err != nil {
		s.lookFailed(e.Err.Error())
		return
	}
	l := &s.look
	l.failures, l.alarmed = 0, false
	l.no++
	for i := range e.Hosts {
		if d := &e.Hosts[i]; d.ID != "" {
			s.hostListed(d, a)
		}
	}
	if e.Partial && e.Action == 0 {
		return // it was about some
	}
	l.listed = a
	if s.first && len(e.Hosts) > 0 {
		s.quarantine = s.now.Add(s.cfg.settling()) // of an earlier life of the node, or another cluster
		s.save()
	}
	s.first = false
	if !a.at.Before(s.quarantine) {
		s.quarantine = time.Time{}
	}
	if !e.Partial {
		s.missing(a)
	}
	s.fadeGhosts(a, e.Partial)
	s.closeRequests(a)
}

// answerOf finds out what a list can know of, and whether it is of use.
func (s *State) answerOf(e Described) (answer, bool) {
	l := &s.look
	switch {
	case e.Action != 0:
		if uint64(e.Action) != l.asked.seq {
			return answer{}, false // given up on, and another is under way or was had
		}
		a := answer{seq: l.asked.seq, at: l.asked.at}
		l.asked = mark{}
		return a, true
	case e.Sent.IsZero():
		return answer{seq: s.mark().seq, at: s.now, sure: true}, true
	}
	a := answer{at: s.inner(e.Sent.Round(0))}
	return a, !a.at.Before(l.listed.at) && !a.at.After(s.now)
}

// hostListed takes in what a list tells of one host.
func (s *State) hostListed(d *cloud.Host, a answer) {
	h := s.byID[d.ID]
	if h == nil && !s.exorcise(d, a) {
		return
	}
	switch {
	case d.Released() && h == nil:
		return
	case d.Released():
		if h.releasing == nil {
			s.emit(Alarm{Host: h.id, Text: "AWS calls it " + d.State + ", though the pool did not release it"})
		}
		s.endScrub(h)
		s.gone(h)
		s.listGhost(s.ghosts[d.ID], false)
		return
	case h == nil:
		h = s.adopt(d)
		h.seen = a.at
	}
	newest := !a.at.Before(h.seen)
	h.seen, h.listNo = later(h.seen, a.at), s.look.no
	if h.missing > 0 {
		h.missing = 0
		s.file(h)
	}
	if newest && a.knows(h.changed) {
		s.see(h, d, a)
		s.touch(h)
	}
}

// adopt makes a host of a list known: one that was asked for without an
// answer, or one that others made for the pool.
func (s *State) adopt(d *cloud.Host) *host {
	h := s.add(d.ID, d.Type, d.Zone)
	for _, r := range s.requests {
		if d.ClientToken != "" && r.ClientToken == d.ClientToken {
			h.slot = r.Slot
			s.closeRequest(r)
			break
		}
	}
	return h
}

// see takes over the facts of a host.
func (s *State) see(h *host, d *cloud.Host, a answer) {
	occupied := len(d.Instances) > 0
	used := d.State == cloud.HostAvailable && (occupied || d.Free == 0)
	idle := d.State == cloud.HostAvailable && !used
	if (idle || d.State == cloud.HostPending) && !s.settled(h.busy, a) {
		return // it may not show yet what began so lately
	}
	if used && (!h.used || h.busy.IsZero()) {
		h.busy = a.at
		s.save()
	}
	if used && h.scrub == nil {
		h.failures, h.refusals = 0, 0
	}
	s.seeStart(h, d, a, idle)
	if h.lost {
		h.lost = false
		s.save()
	}
	h.aws, h.used, h.occupied = d.State, used, occupied
	s.describe(h, d)
	if h.res != nil {
		s.seeReserved(h, d, a)
	}
	if h.scrub != nil {
		s.seeScrub(h, a, idle)
	}
}

// seeStart tells the first moments of a host from its scrubs.
func (s *State) seeStart(h *host, d *cloud.Host, a answer, idle bool) {
	if h.starting = s.starts(h, d); !h.starting {
		s.seePending(h, d, a, idle)
	}
}

// starts reports whether a host is pending because it is new: nothing was on it
// that it could be scrubbed after.
func (s *State) starts(h *host, d *cloud.Host) bool {
	return d.State == cloud.HostPending && (h.aws == "" || h.starting) && h.busy.IsZero() && h.scrub == nil &&
		!d.AllocationTime.IsZero() && s.wall.Sub(d.AllocationTime) < s.cfg.Settled
}

// describe takes over what of a host does not change.
func (s *State) describe(h *host, d *cloud.Host) {
	if d.Type != "" && d.Zone != "" && (h.typ != d.Type || h.zone != d.Zone) {
		h.typ, h.zone = d.Type, d.Zone
		s.save()
	}
	if at := d.AllocationTime.Round(0).UTC(); !at.IsZero() && !at.Equal(h.allocated) {
		h.allocated = at
		s.save()
	}
}

// settled reports whether a list shows for certain what was done at a time.
func (s *State) settled(t time.Time, a answer) bool {
	return a.sure || !a.at.Before(t.Add(s.cfg.Settled))
}

// seeScrub closes the books of a scrub instance that ended, once lists show it.
func (s *State) seeScrub(h *host, a answer, idle bool) {
	late := !a.at.Before(h.scrub.at.Add(s.cfg.Settled))
	if !h.scrub.ended || !late && (h.used || !a.sure) {
		return
	}
	if idle {
		s.scrubFailed(h) // nothing was scrubbed
	}
	s.endScrub(h)
}

// seePending keeps the books of a host's scrubs.
func (s *State) seePending(h *host, d *cloud.Host, a answer, idle bool) {
	was, is := !h.pending.IsZero(), d.State == cloud.HostPending
	exact := h.aws != "" && (a.sure || a.at.Sub(h.counted) <= 3*s.cfg.LookIdle)
	switch {
	case is && !was:
		h.pending, h.exact = a.at, exact
	case was && is && exact:
		h.unpaid += max(0, a.at.Sub(h.counted))
	case was && !is:
		took := a.at.Sub(h.pending)
		if h.exact && exact && idle && took >= shortestScrub {
			s.observe(took)
		}
		if idle {
			h.settle = s.now.Add(s.cfg.PendingToAvailable)
		}
		h.pending, h.scrubFails = time.Time{}, 0
		h.alarmed &^= alarmScrub
	}
	h.counted = a.at
}

// seeReserved ends a reservation when its launch is seen, or can not come any
// more. A list may be so late that it shows what was on the host before.
func (s *State) seeReserved(h *host, d *cloud.Host, a answer) {
	r := h.res
	switch {
	case h.used && (s.settled(r.since, a) || slices.Contains(d.Instances, r.instance)):
		h.busy = a.at
	case h.aws == cloud.HostPending && !r.launch.IsZero() && s.settled(r.launch, a): // it began and ended
	case !a.at.Before(r.end(s.cfg.Settled)):
	default:
		return
	}
	h.res = nil // the token keeps the host as long as something is on it
	s.save()
}

// missing notes which hosts a whole list has not.
func (s *State) missing(a answer) {
	var lost []*host
	for _, h := range s.hosts {
		if h.listNo == s.look.no || h.lost || !a.knows(h.changed) {
			continue
		}
		if h.missing++; h.missing == 1 {
			s.file(h)
		}
		if h.missing >= 2 && a.at.Sub(h.seen) >= s.cfg.Settled && (h.scrub == nil || h.scrub.ended) {
			lost = append(lost, h)
		}
	}
	for _, h := range lost {
		s.lose(h)
	}
}

// lose gives up a host that lists do not have any more.
func (s *State) lose(h *host) {
	s.endScrub(h)
	if h.releasing != nil { // that is what was asked for
		s.gone(h)
		s.listGhost(s.ghosts[h.id], false)
		return
	}
	s.free(h)
	h.lost = true
	s.save()
	s.place(h)
	s.alarmHost(h, alarmLost, fmt.Sprintf("it is not in AWS's lists any more since %s, though the pool did not release it",
		s.outer(h.seen).Format(time.RFC3339)))
}

// exorcise reports whether a host that is not known is none that was released,
// or is there all the same.
func (s *State) exorcise(d *cloud.Host, a answer) bool {
	g := s.ghosts[d.ID]
	if g == nil {
		return true
	}
	if !s.haunts(g, d, a) {
		return false
	}
	s.listGhost(g, false)
	delete(s.ghosts, d.ID)
	s.save()
	s.emit(Alarm{Host: d.ID, Text: "AWS said that it is released, and lists it on: it is managed again"})
	return true
}

// haunts reports whether a released host is there after all.
func (s *State) haunts(g *ghost, d *cloud.Host, a answer) bool {
	g.seen = later(g.seen, a.at)
	g.no = s.look.no
	if d.Released() {
		s.listGhost(g, false)
		return false
	}
	if !a.knows(g.released) {
		return false
	}
	s.listGhost(g, true)
	return a.at.Sub(g.released.at) >= 2*s.cfg.Settled
}

// fadeGhosts forgets released hosts that lists do not show any more.
func (s *State) fadeGhosts(a answer, partial bool) {
	for id, g := range s.ghosts { // each by itself: the order does not matter
		if !partial && g.no != s.look.no && a.knows(g.released) {
			s.listGhost(g, false)
		}
		if !g.listed && a.at.Sub(g.seen) >= forgetAfter {
			delete(s.ghosts, id)
			s.save()
		}
	}
}
