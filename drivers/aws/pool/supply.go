package pool

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// coming is a host that will be free: an open request, or a host that is back
// at a time.
type coming struct {
	at        time.Time // it is back; zero: in a moment
	by        *waiting  // counts on it; nil: nobody
	place     uint64    // of by; nobody's is after all others
	request   *request  // nil: it is the host
	host      *host
	no        uint64 // of a request, in the order of asking
	typ, zone string
}

// supply is what will be free without a new host being allocated, and who of
// those that wait counts on what: in the order of the queue, each on the first
// that is worth its wait and that nobody before it counts on. Hundreds may wait
// for hundreds, and a step is about one of them; so this is kept from step to
// step, and what changes is passed on from who loses or gains by it to the next.
type supply struct {
	coming  []*coming // in the order in which they are taken: see compareComing
	byTime  []*coming // the same ones, the first to be back first
	planned int       // so many of the queue, from its head on, were looked at
	without int       // of them count on nothing
	places  uint64    // how many were ever looked at
	asked   uint64    // the last number of a request
}

// nobody is the place of who is not there.
const nobody = math.MaxUint64

// compareComing has open requests first, in the order of asking, and then hosts by id.
func compareComing(a, b *coming) int {
	switch {
	case a.host != nil && b.host != nil:
		return compareID(a.host, b.host)
	case a.host != nil:
		return 1
	case b.host != nil:
		return -1
	}
	return cmp.Compare(a.no, b.no)
}

func compareReturn(a, b *coming) int {
	if c := a.at.Compare(b.at); c != 0 {
		return c
	}
	return compareComing(a, b)
}

// count has a request count on what comes, and on nothing else.
func (u *supply) count(w *waiting, c *coming) {
	u.uncount(w)
	w.on, c.by, c.place = c, w, w.place
}

// uncount has a request count on nothing.
func (u *supply) uncount(w *waiting) {
	if c := w.on; c != nil {
		w.on, c.by, c.place = nil, nil, nobody
	}
}

// next is when the first is back that somebody counts on; zero: none, or in a moment.
func (u *supply) next() time.Time {
	for _, c := range u.byTime {
		if c.by != nil && !c.at.IsZero() {
			return c.at
		}
	}
	return time.Time{}
}

// late reports whether what comes should be there already: nobody knows when
// it comes, so nobody counts on it.
func (s *State) late(c *coming) bool { return !c.at.IsZero() && !c.at.After(s.now) }

// returns is when a host is expected to be free, zero: in a moment; and whether
// it is waited for at all.
func (s *State) returns(h *host) (at time.Time, ok bool) {
	switch {
	case h.phase == Requested:
		return time.Time{}, true
	case s.cfg.Patience == 0 || h.missing > 0:
	case h.phase == Settling:
		return h.settle, true
	case h.phase == Resting:
		return h.rest, true
	case h.phase == Scrubbing && !h.pending.IsZero():
		return h.pending.Add(s.scrubAway()), true
	}
	return time.Time{}, false
}

// scrubAway is for how long a host is expected to be away that is pending.
func (s *State) scrubAway() time.Duration { return s.ScrubTimes().P95 + s.cfg.PendingToAvailable }

// expect keeps what is known of the return of a host.
func (s *State) expect(h *host) {
	at, ok := s.returns(h)
	if c := h.comes; c != nil {
		if ok && c.at.Equal(at) && c.typ == h.typ && c.zone == h.zone {
			return
		}
		s.withdraw(c)
		h.comes = nil
	}
	if ok {
		h.comes = &coming{host: h, typ: h.typ, zone: h.zone, at: at}
		s.provide(h.comes)
	}
}

// expectScrubs is for when scrubs are found to take longer, or not as long, as
// was thought: all is counted anew.
func (s *State) expectScrubs() {
	s.replan()
	for _, c := range s.supply.coming {
		if c.host != nil {
			c.at, _ = s.returns(c.host)
		}
	}
	slices.SortFunc(s.supply.byTime, compareReturn)
}

// provide makes known what comes, for those who wait.
func (s *State) provide(c *coming) {
	u := &s.supply
	c.place = nobody
	u.coming = with(u.coming, c, compareComing)
	u.byTime = with(u.byTime, c, compareReturn)
	s.offer(c, 0)
}

// withdraw is for what does not come any more, or is there.
func (s *State) withdraw(c *coming) {
	u := &s.supply
	i, _ := slices.BinarySearchFunc(u.coming, c, compareComing)
	u.coming = slices.Delete(u.coming, i, i+1)
	u.byTime = without(u.byTime, c, compareReturn)
	if w := c.by; w != nil {
		u.uncount(w)
		s.claim(w, i) // what is before was not for it, and still is not
	}
}

// claim finds something to count on for a request that has nothing: the first,
// from a place in the order of what comes, that is worth its wait, unless one
// before it counts on that. One after it gives way, and claims what follows.
func (s *State) claim(w *waiting, from int) {
	for _, c := range s.supply.coming[from:] {
		if c.place < w.place || c.at.After(w.patience) || s.late(c) || !w.fits(c.typ, c.zone) {
			continue
		}
		loser := c.by
		if loser != nil {
			s.supply.uncount(loser)
		}
		s.supply.count(w, c)
		if loser == nil {
			return
		}
		w = loser
	}
	s.supply.without++
}

// offer gives what nobody counts on to the first, from a place in the queue,
// that would rather have it than what it counts on. What that had is offered to
// those after it, for whose patience it is soon enough too.
func (s *State) offer(c *coming, from int) {
	planned := s.queue.order[:s.supply.planned]
	// Who came later waits until later, so those who do not wait for it are the first.
	first, _ := slices.BinarySearchFunc(planned, c.at, func(w *waiting, at time.Time) int { return w.patience.Compare(at) })
	for _, w := range planned[max(first, from):] {
		if s.late(c) {
			return
		}
		had := w.on
		if had != nil && compareComing(had, c) < 0 || !w.fits(c.typ, c.zone) {
			continue
		}
		s.supply.count(w, c)
		if had == nil {
			s.supply.without--
			return
		}
		c = had
	}
}

// plan has everybody who waits count on something, as far as there is something.
func (s *State) plan() {
	u := &s.supply
	for _, c := range u.byTime {
		if c.at.After(s.now) {
			break
		}
		if w := c.by; w != nil && s.late(c) {
			u.uncount(w)
			s.claim(w, 0)
		}
	}
	for _, w := range s.queue.order[u.planned:] {
		u.places++
		w.place = u.places
		u.planned++
		s.claim(w, 0)
	}
}

// replan has nobody count on anything before the next plan.
func (s *State) replan() {
	u := &s.supply
	for _, c := range u.coming {
		if c.by != nil {
			u.uncount(c.by)
		}
	}
	u.planned, u.without = 0, 0
}

// unplan takes a request that left its place in the queue out of the plan.
func (s *State) unplan(w *waiting, place int) {
	u := &s.supply
	if place >= u.planned {
		return
	}
	u.planned--
	c := w.on
	if c == nil {
		u.without--
		return
	}
	u.uncount(w)
	s.offer(c, place)
}
