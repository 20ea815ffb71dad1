package pool

import (
	"slices"
	"time"
)

// coming is a host that will be free: an open request, or a host that is back
// at a time.
type coming struct {
	request *request // nil: it is the host
	host    *host
	at      time.Time
}

// supply is what will be free without a new host being allocated. Hosts are
// looked at only as far as somebody waits for them: there may be hundreds, and
// most steps are about one.
type supply struct {
	*State
	known []coming // and not taken
	next  []*host  // that were not looked at
	// latest is until when the most patient wait: who asked just now.
	latest time.Time
	scrub  time.Duration // that a host which is pending is expected to be away
}

func (s *State) supply() *supply {
	u := &supply{
		State: s, next: s.index.back, latest: s.now.Add(s.cfg.Patience), scrub: s.ScrubTimes().P95 + s.cfg.PendingToAvailable,
	}
	for _, r := range s.requests {
		if !r.sealed {
			u.known = append(u.known, coming{request: r})
		}
	}
	return u
}

// over reports whether nothing is left.
func (u *supply) over() bool { return len(u.known) == 0 && len(u.next) == 0 }

// take takes out the first that is worth the wait of a request.
func (u *supply) take(w *waiting) (coming, bool) {
	patience := w.since.Add(u.cfg.Patience)
	for i := range u.known {
		if c := u.known[i]; u.comesFor(&c, w, patience) {
			u.known = slices.Delete(u.known, i, i+1)
			return c, true
		}
	}
	for len(u.next) > 0 {
		h := u.next[0]
		u.next = u.next[1:]
		at, ok := u.returns(h)
		if !ok || h.missing > 0 && h.phase != Requested || at.After(u.latest) {
			continue
		}
		c := coming{host: h, at: at}
		if u.comesFor(&c, w, patience) {
			return c, true
		}
		u.known = append(u.known, c)
	}
	return coming{}, false
}

// returns is when a host of the index is expected to be free; zero: in a moment.
func (u *supply) returns(h *host) (at time.Time, ok bool) {
	switch {
	case h.phase == Requested:
		return time.Time{}, true
	case h.phase == Settling:
		return h.settle, true
	case h.phase == Resting:
		return h.rest, true
	case h.phase == Scrubbing && !h.pending.IsZero():
		at = h.pending.Add(u.scrub)
		return at, at.After(u.now)
	}
	return time.Time{}, false
}

// comesFor reports whether what comes is worth the wait of a request, which
// has patience until a time.
func (u *supply) comesFor(c *coming, w *waiting, patience time.Time) bool {
	if c.at.After(patience) {
		return false
	}
	if c.request != nil {
		return w.fits(c.request.Type, c.request.Zone)
	}
	if !w.fits(c.host.typ, c.host.zone) {
		return false
	}
	if !c.at.IsZero() {
		u.wake(patience)
		u.wake(c.at)
	}
	return true
}
