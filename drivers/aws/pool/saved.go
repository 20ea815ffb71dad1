package pool

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Revision changes whenever what Saved returns does.
func (s *State) Revision() uint64 { return s.revision }

// Saved is what a restart must not forget.
func (s *State) Saved() Saved {
	if s.saved != nil {
		return *s.saved
	}
	out := Saved{
		Draining: s.draining, Generation: s.generation,
		ScrubTimes: slices.Clone(s.scrubs.last), ScrubCount: s.scrubs.count,
	}
	out.Owned, out.Quarantine = s.savedOwner()
	for _, r := range s.requests {
		out.Requests = append(out.Requests, r.Request)
	}
	for _, h := range s.hosts {
		if !h.lost {
			known := KnownHost{ID: h.id, Type: h.typ, Zone: h.zone, Allocated: h.allocated, Given: h.given}
			if !h.busy.IsZero() {
				known.Busy = s.outer(h.busy)
			}
			out.Hosts = append(out.Hosts, known)
		}
		if h.res != nil {
			kept := Reservation{Token: h.holder, Host: h.id, Zone: h.zone, Type: h.typ, Until: s.outer(h.res.until)}
			if !h.res.launch.IsZero() {
				kept.Launch = s.outer(h.res.launch)
			}
			out.Reservations = append(out.Reservations, kept)
		}
		if h.scrub != nil {
			kept := h.scrub.Scrub
			kept.Since = s.outer(kept.Since)
			out.Scrubs = append(out.Scrubs, kept)
		}
		if h.releasing != nil {
			out.Releasing = append(out.Releasing, h.id)
		}
	}
	for id := range s.ghosts {
		out.Releasing = append(out.Releasing, id)
	}
	slices.Sort(out.Releasing)
	return out
}

// savedOwner is what a restart must know of owning the pool. It is so also
// before the node has heard that it still owns it.
func (s *State) savedOwner() (owned bool, quarantine time.Time) {
	switch {
	case !s.owner && !s.kept:
		return false, time.Time{}
	case s.quarantine.IsZero():
		return true, time.Time{}
	case s.first: // a restart waits for all of it
		return false, time.Time{}
	}
	return false, s.outer(s.quarantine)
}

// restore takes over what was saved. Times are not believed to be in the
// future: the clock may have been set back since.
func (s *State) restore(saved *Saved) {
	past := func(t time.Time) time.Time { return earlier(t.Round(0).UTC(), s.now) }
	s.draining, s.generation = saved.Draining, saved.Generation
	for _, took := range saved.ScrubTimes {
		if took > 0 {
			s.scrubs.add(took)
		}
	}
	s.scrubs.count = max(saved.ScrubCount, s.scrubs.count)
	s.scrubs.known.Count = s.scrubs.count
	for _, r := range saved.Requests {
		// Until the end of the process before it may have been done.
		s.open(&request{Request: r, tried: s.now, restored: true})
	}
	for _, r := range saved.Reservations {
		h := s.known(r.Host, r.Type, r.Zone)
		h.res = &reservation{since: s.now, until: earlier(r.Until.Round(0).UTC(), s.now.Add(s.cfg.LaunchTimeout))}
		if r.Until.IsZero() {
			h.res.until = s.now
		}
		if !r.Launch.IsZero() {
			h.res.launch = past(r.Launch)
		}
		h.holder, h.held, h.given = r.Token, true, true
		s.tokens[r.Token] = h
	}
	for _, c := range saved.Scrubs {
		h := s.known(c.Host, c.Type, c.Zone)
		c.Decided, c.Since = cmp.Or(c.Decided, c.Since), past(c.Since) // older versions kept Since alone
		h.scrub = &scrub{Scrub: c, again: true}
	}
	for _, h := range saved.Hosts {
		known := s.known(h.ID, h.Type, h.Zone)
		known.allocated = h.Allocated.UTC()
		known.given = known.given || h.Given
		if !h.Busy.IsZero() {
			known.busy = past(h.Busy)
		}
	}
	for _, id := range saved.Releasing {
		s.known(id, "", "").releasing = &releasing{}
	}
	for _, h := range s.hosts {
		h.changed = s.mark()
		s.place(h)
	}
	s.kept = saved.Owned
	if !saved.Owned && !saved.Quarantine.IsZero() {
		s.kept = true
		s.quarantine = earlier(saved.Quarantine.Round(0).UTC(), s.now.Add(s.cfg.settling()))
	}
}

// known is the host of the id, made known if it is not.
func (s *State) known(id, typ, zone string) *host {
	i, ok := slices.BinarySearchFunc(s.hosts, id, func(h *host, id string) int { return strings.Compare(h.id, id) })
	if ok {
		return s.hosts[i]
	}
	return s.add(id, typ, zone)
}
