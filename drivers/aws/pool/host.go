package pool

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

const (
	// stuckAfter is how long a host may be pending before somebody should know:
	// AWS's documentation says 4.5 hours at most.
	stuckAfter = 6 * time.Hour
	// strangeAfter is how long something may be on a host that the pool gave to
	// nobody, before somebody should know: it may have been there before the pool.
	strangeAfter = 6 * time.Hour
	// forgetAfter is how long a lost host is shown, and how long a released one
	// is known as such.
	forgetAfter = time.Hour
	// noSlot is the slot of a host that was not allocated here.
	noSlot = -1
)

// host is a host of the account. What is known of it are facts; its phase
// follows from them (place). Times are the pool's own, but for allocated.
type host struct {
	id, typ, zone string
	slot          int
	phase         Phase
	since         time.Time
	removed       bool

	// As AWS tells it.
	aws       string    // state; empty: never listed
	used      bool      // something is on it, or nothing fits any more
	occupied  bool      // something is on it
	allocated time.Time // by AWS's clock
	starting  bool      // it is pending as it is new, and not to be scrubbed
	pending   time.Time // since when it is; zero: it is not
	exact     bool      // the beginning of pending was seen
	counted   time.Time // what is in unpaid, up to here
	unpaid    time.Duration
	seen      time.Time // when the last list that had it was sent
	missing   int       // how many lists in a row had it not
	listNo    uint64    // of the last list that had it

	// As we have it.
	res       *reservation
	holder    string // the token that it is reserved or busy for
	held      bool   // there is a holder
	given     bool   // it was promised since it last was free: what is on it has somebody who ends it
	scrub     *scrub
	releasing *releasing
	lost      bool

	changed    mark      // a list sent before does not know what we did
	busy       time.Time // since when it was seen used
	idle       time.Time // since when it could serve; zero: it can not
	settle     time.Time // it is Settling until
	rest       time.Time // it is Resting until
	restWhy    string
	notBefore  time.Time // no release before
	refusals   int       // of releases, in a row
	failures   int       // of launches, in a row
	scrubAfter time.Time // no scrub before
	scrubFails int
	alarmed    alarm

	in      places  // of the index
	comes   *coming // to those who wait; nil: it is there, or not waited for
	touched bool
	timer   int // place in timers from 1; 0: none
}

// reservation is a host's promise to a token.
type reservation struct {
	since    time.Time // it was promised
	until    time.Time // the launch has to be sent before
	launch   time.Time // one was told of at; zero: of none
	instance string    // that was launched, if that was told
}

// end is from when on a list that does not show the launch ends the reservation.
func (r *reservation) end(settled time.Duration) time.Time {
	return later(r.until, r.launch).Add(settled)
}

// ghost is a released host, which lists may still show.
type ghost struct {
	released mark
	seen     time.Time // in a list, at last
	no       uint64    // of that list
	listed   bool      // the last list had it as ours
}

// place puts a host into the phase that follows from the facts.
func (s *State) place(h *host) {
	phase := s.phaseOf(h)
	if phase == Available && h.idle.IsZero() {
		h.idle = s.now
	}
	switch phase {
	case Available, Reserved, Resting, Releasing: // not used: a reservation that comes to nothing is no use
	default:
		h.idle = time.Time{}
	}
	switch phase {
	case Reserved, Busy, Scrubbing:
	default:
		s.free(h)
	}
	if phase == h.phase {
		s.file(h)
		return
	}
	s.count[h.phase]--
	s.count[phase]++
	h.phase, h.since = phase, s.now
	s.file(h)
	switch phase {
	case Available:
		h.alarmed &^= alarmUnknown | alarmFailed | alarmLost | alarmStuck
	case Busy:
		h.alarmed = 0
	default:
	}
	if phase == Available && h.given {
		h.given = false
		s.save()
	}
	s.touch(h)
}

func (s *State) phaseOf(h *host) Phase {
	switch {
	case h.lost:
		return Lost
	case h.releasing != nil:
		return Releasing
	case h.res != nil:
		return Reserved
	case h.scrub != nil:
		return Scrubbing
	case h.aws == "" || h.starting:
		return Requested
	case h.aws == cloud.HostPending:
		return Scrubbing
	case h.aws == cloud.HostPermanentFailure:
		return Failed
	case h.aws != cloud.HostAvailable:
		return Unknown
	case h.used:
		return Busy
	case h.rest.After(s.now):
		return Resting
	case h.settle.After(s.now):
		return Settling
	}
	return Available
}

// tend does what is due for a host, and reports whether to release it.
func (s *State) tend(h *host) (release bool) {
	due := time.Time{}
	switch h.phase {
	case Resting:
		due = h.rest
	case Settling:
		due = h.settle
	case Available, Failed:
		due, release = s.tendIdle(h)
	case Scrubbing:
		if h.scrub != nil {
			due = s.tendScrub(h)
		} else {
			due, release = s.tendPending(h)
		}
	case Releasing:
		due, release = s.tendReleasing(h)
	case Unknown:
		s.alarmHost(h, alarmUnknown, "AWS calls its state "+h.aws+": it is neither used nor released meanwhile")
	case Lost:
		if due = h.since.Add(forgetAfter); !due.After(s.now) {
			s.remove(h)
			return false
		}
	case Busy:
		due = s.tendBusy(h)
	case Requested, Reserved: // lists tell
	}
	s.timers.set(h, due)
	return release
}

// tendBusy tells of a host that could have been given back, but for something on
// it that the pool knows nothing of: nobody may know, and it is there for good.
func (s *State) tendBusy(h *host) (due time.Time) {
	if h.given {
		return time.Time{}
	}
	due = h.busy.Add(strangeAfter)
	if !h.allocated.IsZero() {
		due = later(due, s.inner(h.allocated.Add(s.cfg.MinAge)))
	}
	if due.After(s.now) {
		return due
	}
	s.alarmHost(h, alarmStrange, fmt.Sprintf("since %s something is on it that the pool gave it to nobody for: it is paid for until that ends; "+
		"if aws status shows no machine of a node there, end it in AWS", s.outer(h.busy).Format(time.RFC3339)))
	return time.Time{}
}

// touch has the host looked after in this step.
func (s *State) touch(h *host) {
	if !h.touched && !h.removed {
		h.touched = true
		s.touched = append(s.touched, h)
	}
}

func (s *State) touchAll() {
	for _, h := range s.hosts {
		s.touch(h)
	}
}

// add makes a host known.
func (s *State) add(id, typ, zone string) *host {
	h := &host{id: id, typ: typ, zone: zone, slot: noSlot, since: s.now, seen: s.now}
	i, _ := slices.BinarySearchFunc(s.hosts, id, func(h *host, id string) int { return strings.Compare(h.id, id) })
	s.hosts = slices.Insert(s.hosts, i, h)
	s.byID[id] = h
	s.count[h.phase]++
	s.touch(h)
	s.save()
	return h
}

// remove forgets a host.
func (s *State) remove(h *host) {
	s.free(h)
	s.timers.set(h, time.Time{})
	i, _ := slices.BinarySearchFunc(s.hosts, h.id, func(h *host, id string) int { return strings.Compare(h.id, id) })
	s.hosts = slices.Delete(s.hosts, i, i+1)
	delete(s.byID, h.id)
	s.unfile(h)
	s.count[h.phase]--
	h.removed = true
	s.save()
}

// gone is for a host that was released: lists may show it a while longer.
func (s *State) gone(h *host) {
	s.remove(h)
	g := &ghost{released: s.mark(), seen: s.now}
	s.ghosts[h.id] = g
	s.listGhost(g, true)
	s.save()
}

// listGhost notes whether lists still have a released host as ours.
func (s *State) listGhost(g *ghost, listed bool) {
	if g.listed == listed {
		return
	}
	g.listed = listed
	if listed {
		s.listedGhosts++
	} else {
		s.listedGhosts--
	}
}

// free takes the host from its token.
func (s *State) free(h *host) {
	if !h.held { // nor reserved; most are not, and this is asked often
		return
	}
	if s.tokens[h.holder] == h {
		delete(s.tokens, h.holder)
	}
	h.holder, h.held = "", false
	if h.res != nil {
		h.res = nil
		s.save()
	}
}

// live is how many hosts count for the maximum: all that the account has or
// may have, also those that lists still show after their release.
func (s *State) live() int {
	return len(s.hosts) - s.count[Lost] + len(s.requests) + s.listedGhosts
}

// age is how long ago AWS allocated the host; 0 as long as that is not known.
func (s *State) age(h *host) time.Duration {
	if h.allocated.IsZero() {
		return 0
	}
	return s.wall.Sub(h.allocated)
}

// alarm is what a person was told of a host, one bit for each cause.
type alarm uint8

const (
	alarmUnknown alarm = 1 << iota
	alarmFailed
	alarmLost
	alarmStuck
	alarmLaunch
	alarmScrub
	alarmRelease
	alarmStrange
)

// alarmHost tells a person, once until the host is in order again: of what AWS
// says of it, as soon as it could serve; of what AWS refuses, as soon as it does,
// or a scrub of it is over.
func (s *State) alarmHost(h *host, cause alarm, text string) {
	if h.alarmed&cause == 0 && s.owner {
		h.alarmed |= cause
		s.emit(Alarm{Host: h.id, Text: text})
	}
}
