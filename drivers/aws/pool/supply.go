package pool

import (
	"slices"
	"time"
)

// coming is a host that will be free: an open request, or a host that is back
// at a time.
type coming struct {
	typ, zone string
	request   *request
	at        time.Time
}

// supply is what will be free without a new host being allocated. Hosts are
// looked at only as far as somebody waits for them: there may be hundreds, and
// most steps are about one.
type supply struct {
	*State
	known []coming // and not taken
	next  int      // of hosts, the first that was not looked at
	last  int      // hosts from here on are none
	// latest is until when the most patient wait: who asked just now.
	latest time.Time
}

func (s *State) supply() *supply {
	u := &supply{State: s, last: len(s.hosts), latest: s.now.Add(s.cfg.Patience)}
	for _, r := range s.requests {
		if !r.sealed {
			u.known = append(u.known, coming{r.Type, r.Zone, r, time.Time{}})
		}
	}
	if s.count[Requested] == 0 && s.cfg.Patience == 0 {
		u.last = 0
	}
	return u
}

// over reports whether nothing is left.
func (u *supply) over() bool { return len(u.known) == 0 && u.next == u.last }

// take takes out the first that is worth the wait of a request.
func (u *supply) take(w *waiting) (coming, bool) {
	for i, c := range u.known {
		if u.comesFor(c, w) {
			u.known = slices.Delete(u.known, i, i+1)
			return c, true
		}
	}
	for u.next < u.last {
		h := u.hosts[u.next]
		u.next++
		at, ok := u.back(h)
		if !ok || h.missing > 0 || at.After(u.latest) {
			continue
		}
		c := coming{h.typ, h.zone, nil, at}
		if u.comesFor(c, w) {
			return c, true
		}
		u.known = append(u.known, c)
	}
	return coming{}, false
}

// back is when a host is expected to be free; zero: in a moment.
func (s *State) back(h *host) (at time.Time, ok bool) {
	switch {
	case h.phase == Requested:
		return time.Time{}, true
	case s.cfg.Patience == 0:
		return time.Time{}, false
	case h.phase == Settling:
		return h.settle, true
	case h.phase == Resting:
		return h.rest, true
	case h.phase == Scrubbing && !h.pending.IsZero():
		at = h.pending.Add(s.ScrubTimes().P95 + s.cfg.PendingToAvailable)
		return at, at.After(s.now)
	}
	return time.Time{}, false
}

// comesFor reports whether what comes is worth the wait of a request.
func (s *State) comesFor(c coming, w *waiting) bool {
	if !w.fits(c.typ, c.zone) {
		return false
	}
	patience := w.since.Add(s.cfg.Patience)
	if c.at.After(patience) {
		return false
	}
	if !c.at.IsZero() {
		s.wake(patience)
		s.wake(c.at)
	}
	return true
}
