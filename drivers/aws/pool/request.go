package pool

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// waiting is a request without a host.
type waiting struct {
	Want
	since, until time.Time // by the pool's clock; until zero: never
	patience     time.Time // it waits for a host that is back then, or before
	on           *coming   // it counts on; nil: nothing
	place        uint64    // of those in the plan: those with a lower one are before it
}

// fits reports whether a host of the type and zone serves the request.
func (w *waiting) fits(typ, zone string) bool {
	return w.Type == typ && within(w.Zones, zone)
}

// queue has the requests that wait, by when they first asked.
type queue struct {
	order   []*waiting
	byToken map[string]*waiting
	// deadline is not after the first until; zero: there is none.
	deadline time.Time
}

func (q *queue) len() int { return len(q.order) }

// add puts a request into its place.
func (q *queue) add(w *waiting) (place int) {
	i := len(q.order) // most ask for the first time, now
	for i > 0 && q.order[i-1].since.After(w.since) {
		i--
	}
	q.order = slices.Insert(q.order, i, w)
	q.byToken[w.Token] = w
	q.deadline = earlier(q.deadline, w.until)
	return i
}

// remove takes a request out, nil if there is none, and tells where it was.
func (q *queue) remove(token string) (w *waiting, place int) {
	w = q.byToken[token]
	if w == nil {
		return nil, 0
	}
	delete(q.byToken, token)
	place = slices.Index(q.order, w)
	q.order = slices.Delete(q.order, place, place+1)
	return w, place
}

// enqueue has a request wait.
func (s *State) enqueue(w *waiting) {
	w.patience = w.since.Add(s.cfg.Patience)
	if s.queue.add(w) < s.supply.planned {
		s.replan()
	}
}

// dequeue ends the wait of a token, if it waits.
func (s *State) dequeue(token string) {
	if w, place := s.queue.remove(token); w != nil {
		s.unplan(w, place)
	}
}

// want puts a request into the queue, or answers it.
func (s *State) want(e Want) {
	if h := s.tokens[e.Token]; s.owner && h != nil && (h.phase == Reserved || h.phase == Busy) {
		s.promise(h, e.Token) // the answer was lost
		return
	}
	if e.Type == "" {
		e.Type = s.cfg.Type
	}
	w := &waiting{Want: e, since: s.now}
	if !e.Since.IsZero() {
		w.since = earlier(s.inner(e.Since.Round(0)), s.now)
	}
	if !e.Until.IsZero() {
		w.until = s.inner(e.Until.Round(0))
	}
	if old := s.queue.byToken[e.Token]; old != nil {
		w.since = earlier(w.since, old.since)
		s.dequeue(e.Token)
	}
	if reason := s.unwanted(w); reason != "" {
		s.emit(Refuse{e.Token, reason})
		return
	}
	s.enqueue(w)
}

// closed is why the pool takes no requests, whatever they are; empty if it does.
func (s *State) closed() string {
	switch {
	case !s.owner:
		return "the pool is not run by this node"
	case s.draining:
		return "the pool is being drained"
	case s.cfg.ReportOnly:
		return "the pool is not configured any more"
	}
	return ""
}

// unwanted is why a request can not be served at all; empty if it may be.
func (s *State) unwanted(w *waiting) string {
	if why := s.closed(); why != "" {
		return why
	}
	switch {
	case !w.until.IsZero() && !w.until.After(s.now):
		return "its time was over before it came"
	case s.canAllocate(w) || s.look.listed.at.IsZero():
		return ""
	}
	for _, h := range s.hosts {
		if w.fits(h.typ, h.zone) {
			return ""
		}
	}
	if s.cfg.Max == 0 {
		return "the pool's max is 0, so that it allocates no host, and it has none that fits"
	}
	return fmt.Sprintf("the pool has no %s in the zones asked for, and allocates %s in %s", w.Type, s.cfg.Type, strings.Join(s.cfg.Zones, ", "))
}

// canAllocate reports whether a host that the pool allocates could serve it.
func (s *State) canAllocate(w *waiting) bool {
	return s.cfg.Max > 0 && slices.ContainsFunc(s.cfg.Zones, func(zone string) bool { return w.fits(s.cfg.Type, zone) })
}

// serve gives the free hosts to who waits, first come, first served.
func (s *State) serve() {
	if !s.acts() {
		return
	}
	if s.queue.len() == 0 || s.count[Available] == 0 {
		return
	}
	left := slices.ContainsFunc(s.index.free, (*host).servable)
	for i := 0; i < len(s.queue.order) && left; {
		w := s.queue.order[i]
		h := s.bestFor(w)
		if h == nil {
			i++
			continue
		}
		s.dequeue(w.Token)
		s.promise(h, w.Token)
		left = slices.ContainsFunc(s.index.free, (*host).servable)
	}
}

// servable reports whether a host that is free may be given out: one that the
// last list has.
func (h *host) servable() bool { return h.missing == 0 }

// bestFor is the free host to give to a request, nil if none fits.
func (s *State) bestFor(w *waiting) *host {
	for _, h := range s.index.free {
		if h.servable() && w.fits(h.typ, h.zone) {
			return h
		}
	}
	return nil
}

// promise reserves the host for the token, once more if it has it already.
func (s *State) promise(h *host, token string) {
	until := s.now.Add(s.cfg.LaunchTimeout)
	if h.phase != Busy {
		if h.res == nil {
			h.res = &reservation{since: s.now}
		}
		h.res.until = until
		h.changed = s.mark()
		s.save()
	}
	h.holder, h.held, h.given, s.tokens[token] = token, true, true, h
	s.place(h)
	s.emit(Grant{Token: token, Host: h.id, Zone: h.zone, Until: s.outer(until)})
}

// cancel takes back a request, or the host that it got.
func (s *State) cancel(token string) {
	s.dequeue(token)
	h := s.tokens[token]
	if h == nil || h.res != nil && !h.res.launch.IsZero() {
		return // of a launch that was told of, the lists tell the end
	}
	s.letGo(h)
}

// launched takes in how a launch ended.
func (s *State) launched(e Launched) {
	h := s.tokens[e.Token]
	switch {
	case h == nil:
	case e.Err == nil || !cloud.Undone(e.Err):
		if h.res != nil {
			h.res.launch, h.res.instance = s.now, e.Instance
			h.changed = s.mark()
			s.save()
		}
	case h.res != nil && !h.res.launch.IsZero(): // an earlier try may have done it
	case cloud.IsKind(e.Err, cloud.NoHostCapacity, cloud.NotFound):
		h.failures++
		h.rest, h.restWhy = s.now.Add(s.cfg.RestTime), "a launch was refused: "+e.Err.Error()
		if h.failures >= 3 {
			s.alarmHost(h, alarmLaunch, "launches on it are refused again and again: "+e.Err.Error())
		}
		s.letGo(h)
	default:
		s.letGo(h)
	}
}

// letGo ends what a host promised to its token, on which nothing was launched.
func (s *State) letGo(h *host) {
	if h.phase == Reserved {
		h.changed = s.mark()
	}
	s.free(h)
	s.place(h)
	s.touch(h)
}

// expire refuses who waited too long.
func (s *State) expire() {
	q := &s.queue
	if q.deadline.IsZero() || q.deadline.After(s.now) {
		s.wake(q.deadline)
		return
	}
	q.deadline = time.Time{}
	for _, w := range slices.Clone(q.order) {
		if !w.until.IsZero() && !w.until.After(s.now) {
			s.dequeue(w.Token)
			s.emit(Refuse{w.Token, "no host was free in time: " + s.Room().Trouble(w.Zones)})
			continue
		}
		q.deadline = earlier(q.deadline, w.until)
	}
	s.wake(q.deadline)
}

func (s *State) refuseAll(reason string) {
	for _, w := range s.queue.order {
		s.emit(Refuse{w.Token, reason})
	}
	s.replan()
	s.queue = queue{byToken: map[string]*waiting{}}
}
