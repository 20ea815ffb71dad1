package pool

import (
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

const (
	// releaseMost is how long after a refusal the next release is tried at most,
	// if AWS names no later time.
	releaseMost = time.Hour
	// releaseBatch is how many hosts one request releases.
	releaseBatch = 100
)

// releasing is a release whose answer is not known.
type releasing struct {
	action ActionID // the call under way; 0: none
	at     time.Time
	tries  int
	retry  time.Time // not again before
}

// tendIdle decides about a host that nobody uses: wait, scrub, or release.
func (s *State) tendIdle(h *host) (due time.Time, release bool) {
	if h.phase == Failed {
		s.alarmHost(h, alarmFailed, "AWS says that it failed for good; it is released when nothing is on it and AWS lets it go")
		if h.occupied {
			return time.Time{}, false
		}
	}
	due = s.releaseFrom(h, s.idleDelay(h))
	if !due.After(s.now) {
		return time.Time{}, s.mayRelease(h)
	}
	scrub := s.worthScrubbing(h)
	if scrub.IsZero() {
		return due, false
	}
	if scrub.After(s.now) {
		return earlier(due, scrub), false
	}
	if !s.acts() || h.missing > 0 {
		return due, false
	}
	if turn := s.scrubTurn(); turn.After(s.now) {
		return earlier(due, turn), false // it may serve meanwhile
	}
	s.startScrub(h)
	return due, false
}

// idleDelay is how long the host has to idle before its release.
func (s *State) idleDelay(h *host) time.Duration {
	switch {
	case s.draining, h.phase == Failed, h.typ != s.cfg.Type, !slices.Contains(s.cfg.Zones, h.zone),
		len(s.hosts)+len(s.requests)+len(s.ghosts) > s.cfg.Max && s.live()-s.count[Releasing] > s.cfg.Max:
		return 0
	}
	return s.cfg.IdleDelay
}

// releaseFrom is from when on the host may be released, as far as it is known.
func (s *State) releaseFrom(h *host, delay time.Duration) time.Time {
	from := h.notBefore
	if !h.idle.IsZero() {
		from = later(from, h.idle.Add(delay))
	}
	if h.allocated.IsZero() {
		return later(from, s.now.Add(s.cfg.LookIdle)) // its age is not known yet
	}
	return later(from, s.inner(h.allocated.Add(s.cfg.MinAge)))
}

// mayRelease reports whether a host that is due may be released now.
func (s *State) mayRelease(h *host) bool { return s.acts() && h.missing == 0 }

// tendReleasing repeats a release whose answer did not come.
func (s *State) tendReleasing(h *host) (due time.Time, release bool) {
	r := h.releasing
	if r.action != 0 {
		if due = r.at.Add(s.cfg.ActionTimeout); due.After(s.now) {
			return due, false
		}
		r.action = 0
	}
	if r.retry.After(s.now) {
		return r.retry, false
	}
	return time.Time{}, s.acts()
}

// startRelease takes a host out of use.
func (s *State) startRelease(h *host) {
	if h.releasing == nil {
		h.releasing = &releasing{}
		s.save()
	}
	s.place(h)
	s.touch(h)
}

// releaseHosts asks for the release of hosts that are due.
func (s *State) releaseHosts(ids []string) {
	slices.Sort(ids)
	for batch := range slices.Chunk(ids, releaseBatch) {
		id := s.nextID()
		for _, host := range batch {
			h := s.byID[host]
			h.releasing.action, h.releasing.at = id, s.now
			h.releasing.tries++
			h.changed = s.mark()
		}
		s.emit(ReleaseHosts{ID: id, Hosts: batch})
	}
}

// released takes in what became of the hosts of a request.
func (s *State) released(e Released) {
	for _, h := range slices.Clone(s.index.releasing) {
		if e.Action == 0 || h.releasing == nil || h.releasing.action != e.Action {
			continue
		}
		h.releasing.action = 0
		refusal := e.Refused[h.id]
		switch {
		case slices.Contains(e.Released, h.id):
			s.gone(h)
		case refusal != nil:
			s.keep(h, refusal)
		case e.Err != nil && cloud.Undone(e.Err):
			s.keepAll(h, e.Err)
		default:
			h.releasing.retry = s.now.Add(backoff(s.cfg.LookEvery, s.cfg.RestTime, h.releasing.tries))
		}
		s.touch(h)
	}
}

// keep takes back a host whose release was refused, and obeys the reason.
func (s *State) keep(h *host, why *cloud.Error) {
	if why.Unsure {
		h.releasing.retry = s.now.Add(s.cfg.RestTime)
		return
	}
	if why.Kind == cloud.NotFound {
		s.gone(h) // a list that shows it on brings it back
		return
	}
	s.unrelease(h)
	h.refusals++
	pause := backoff(s.cfg.RestTime, releaseMost, h.refusals)
	if why.Kind == cloud.Busy && h.pending.IsZero() {
		pause = s.cfg.RestTime
	}
	h.notBefore = s.now.Add(pause)
	if why.Kind == cloud.TooYoung { // and it may serve until then
		h.notBefore = later(h.notBefore, s.inner(why.NotBefore))
		return
	}
	h.rest, h.restWhy = s.now.Add(s.cfg.RestTime), "its release was refused: "+why.Error()
	if h.refusals > 3 {
		s.alarmHost(h, alarmRelease, "AWS does not let it go: "+why.Error())
	}
}

// keepAll takes back a host whose release was never looked at, as the request
// was refused.
func (s *State) keepAll(h *host, err error) {
	s.unrelease(h)
	h.refusals++
	h.notBefore = s.now.Add(backoff(30*time.Second, s.cfg.QuotaPause, h.refusals))
	if !cloud.IsKind(err, cloud.Throttled) {
		s.alarmHost(h, alarmRelease, "it can not be released: "+err.Error())
	}
}

func (s *State) unrelease(h *host) {
	h.releasing, h.changed = nil, s.mark()
	s.save()
}
