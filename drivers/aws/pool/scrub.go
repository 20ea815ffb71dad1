package pool

import (
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

const (
	// scrubPause is how long a host is left alone after a scrub that was refused
	// or did nothing; doubled with each up to scrubPauseMost.
	scrubPause, scrubPauseMost = 30 * time.Minute, 4 * time.Hour
	// scrubRetry is how long after a call about a scrub instance that failed
	// the next one comes; doubled up to scrubRetryMost. There is no last one.
	scrubRetry, scrubRetryMost = 10 * time.Second, 5 * time.Minute
	// scrubsAtOnce is how many scrubs may begin at one time, and scrubEvery how
	// long after that the next one may: where hundreds of hosts idle at once, AWS's
	// two launches a second are to be left to those who work. Of a large pool all
	// begin within scrubAll, which is less than one of them takes.
	scrubsAtOnce, scrubEvery, scrubAll = 5, 10 * time.Second, 40 * time.Minute
	// scrubAlarm is how many calls in a row may fail before somebody should know.
	scrubAlarm = 8
)

// scrub is an instance that is, or may be, on a host to have it scrubbed.
type scrub struct {
	Scrub           // Since by the pool's clock
	action ActionID // the call under way; 0: none
	at     time.Time
	tries  int
	retry  time.Time // not again before
	ended  bool      // the instance is ending or gone; at says since when
	again  bool      // its start was asked for before
}

// worthScrubbing is from when on an idle host is to be scrubbed; zero: it is not.
func (s *State) worthScrubbing(h *host) time.Time {
	if s.cfg.ScrubbingDelay == 0 || h.phase != Available {
		return time.Time{}
	}
	at := later(h.idle.Add(s.cfg.ScrubbingDelay), h.scrubAfter)
	left := s.cfg.MinAge - s.age(h) - max(0, at.Sub(s.now))
	// A scrub is worth it also where the host comes back only to be released:
	// meanwhile nothing is paid, and of idling to the end all is. Near the end the
	// start of the scrub costs as much as that.
	if h.allocated.IsZero() || left <= s.cfg.ScrubMargin {
		return time.Time{}
	}
	return at
}

// scrubTurn takes a turn to begin a scrub, if there is one, and says else when
// there will be.
func (s *State) scrubTurn() time.Time {
	every := min(scrubEvery, scrubAll/time.Duration(max(1, s.cfg.Max)))
	full := later(s.scrubTurns, s.now).Add(every)
	if turn := full.Add(-scrubsAtOnce * every); turn.After(s.now) {
		return turn
	}
	s.scrubTurns = full
	return s.now
}

// startScrub sends for an instance whose end has the host scrubbed.
func (s *State) startScrub(h *host) {
	s.generation++
	h.scrub = &scrub{Scrub: Scrub{Host: h.id, Zone: h.zone, Type: h.typ, ClientToken: s.newToken("scrub", h.id), Since: s.now, Decided: s.wall}}
	h.changed = s.mark()
	s.save()
	s.place(h)
}

// tendScrub does the next step of a scrub, and returns when it is due again.
func (s *State) tendScrub(h *host) (due time.Time) {
	c := h.scrub
	if c.action != 0 {
		if due = c.at.Add(s.cfg.ActionTimeout); due.After(s.now) {
			return due
		}
		c.action = 0
	}
	switch {
	case c.ended:
		return time.Time{} // lists tell
	case c.retry.After(s.now):
		return c.retry
	case !s.acts():
		return time.Time{}
	}
	c.tries++
	if c.tries == scrubAlarm {
		s.alarmHost(h, alarmScrub, "the instance that was to have it scrubbed can not be started or ended for sure; it goes on trying")
	}
	c.action, c.at = s.nextID(), s.now
	if c.Instance == "" {
		s.emit(StartScrub{
			ID: c.action, Host: h.id, Zone: h.zone, Type: h.typ, ClientToken: c.ClientToken, Decided: c.Decided,
			Again: c.again, Shown: s.now.Sub(c.Since) >= s.cfg.Settled,
		})
		c.again = true
	} else {
		s.emit(EndScrub{ID: c.action, Host: h.id, Instance: c.Instance})
	}
	return s.now.Add(s.cfg.ActionTimeout)
}

// scrubOf is the host of a call about a scrub instance.
func (s *State) scrubOf(id ActionID) *host {
	for _, h := range s.index.scrubbed {
		if id != 0 && h.scrub != nil && h.scrub.action == id {
			h.scrub.action = 0
			h.changed = s.mark()
			s.touch(h)
			return h
		}
	}
	return nil
}

// scrubStarted takes in what became of the start.
func (s *State) scrubStarted(e ScrubStarted) {
	h := s.scrubOf(e.Action)
	if h == nil {
		return // the start is repeated with its token, and so is found
	}
	c := h.scrub
	switch {
	case e.Err == nil && e.Instance != "":
		c.Instance, c.tries, c.retry = e.Instance, 0, time.Time{}
		s.save()
	case cloud.IsKind(e.Err, cloud.Mismatch):
		s.scrubIsOver(h) // it was started, and has ended
	case e.Err == nil || !cloud.Undone(e.Err) || cloud.IsKind(e.Err, cloud.Throttled):
		c.retry = s.now.Add(backoff(scrubRetry, scrubRetryMost, c.tries))
	default: // had an earlier try made it, the token would have been answered with it
		s.scrubRefused(h, e.Err)
	}
}

// scrubRefused leaves the host unscrubbed for a while.
func (s *State) scrubRefused(h *host, err error) {
	s.scrubFailed(h)
	s.endScrub(h)
	if cloud.IsKind(err, cloud.NoHostCapacity) {
		h.rest, h.restWhy = s.now.Add(s.cfg.RestTime), "a scrub was refused: "+err.Error()
	}
	s.place(h)
	if h.scrubFails > 2 || cloud.IsKind(err, cloud.Refused, cloud.Denied) {
		s.alarmHost(h, alarmScrub, "it can not be scrubbed: "+err.Error())
	}
}

// scrubEnded takes in what became of the end.
func (s *State) scrubEnded(e ScrubEnded) {
	h := s.scrubOf(e.Action)
	if h == nil {
		return // the end is repeated until it is known
	}
	c := h.scrub
	young := s.now.Sub(c.Since) < s.cfg.Settled // it may not be found yet
	switch {
	case e.Err == nil, cloud.IsKind(e.Err, cloud.NotFound) && !young:
		s.scrubIsOver(h)
	default:
		c.retry = s.now.Add(backoff(scrubRetry, scrubRetryMost, c.tries))
	}
}

// scrubIsOver notes that the instance is ending or gone.
func (s *State) scrubIsOver(h *host) {
	h.scrub.ended, h.scrub.at = true, s.now
	h.changed = s.mark()
}

// scrubFailed puts off the next scrub of a host.
func (s *State) scrubFailed(h *host) {
	h.scrubFails++
	h.scrubAfter = s.now.Add(backoff(scrubPause, scrubPauseMost, h.scrubFails))
}

// endScrub closes the books of a scrub instance.
func (s *State) endScrub(h *host) {
	if h.scrub != nil {
		h.scrub = nil
		s.save()
	}
}

// tendPending looks after a host that AWS scrubs: one that does not come back
// and is old enough is tried to be released.
func (s *State) tendPending(h *host) (due time.Time, release bool) {
	stuck := h.pending.Add(stuckAfter)
	if stuck.After(s.now) {
		return stuck, false
	}
	s.alarmHost(h, alarmStuck, fmt.Sprintf("it is pending for more than %v; it is released when AWS lets it go", stuckAfter))
	if due = s.releaseFrom(h, 0); due.After(s.now) {
		return due, false
	}
	return time.Time{}, s.mayRelease(h)
}
