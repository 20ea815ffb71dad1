package pool

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// State is a pool. It is used by one goroutine at a time.
type State struct {
	cfg   Config
	names string // of the pool and its node, as tokens have them
	saved *Saved // until the first step, which has the time to judge it

	// wall is the time as the last step had it. now is wall plus skew, and is what
	// all spans are measured in: see advance. AWS's times are compared with wall.
	wall, now time.Time
	skew      time.Duration
	seq       uint64 // the last action or mark
	out       []Action

	owner, draining bool
	kept            bool      // what was saved is of an owner, who was not told yet whether it still is
	quarantine      time.Time // nothing is done before a list sent then; zero: it is over
	first           bool      // nobody ran it before, if the first list has no host
	acting          bool      // what acts said in the last step

	hosts   []*host // by id
	byID    map[string]*host
	count   [phases]int
	touched []*host
	tended  []*host // room for the next ones
	timers  timers
	tokens  map[string]*host // of the hosts that are reserved for, or busy with, a token
	index   index
	ghosts  map[string]*ghost
	// listedGhosts is how many of the ghosts are listed.
	listedGhosts int

	queue    queue
	supply   supply
	requests []*request
	allocate allocation
	look     look
	scrubs   durations
	// scrubTurns is when all turns to begin scrubs are there again.
	scrubTurns time.Time

	generation uint64
	revision   uint64
	due        time.Time // zero: nothing is awaited
}

// New makes the State of a pool from what was saved, nil if there is nothing:
// then it waits after it got the pool (Own), as others may have things under
// way there. &Saved{Owned: true} is a pool that never had a host.
func New(cfg Config, saved *Saved) *State {
	if saved == nil {
		saved = &Saved{}
	}
	return &State{
		cfg: cfg.WithDefaults(), names: strconv.Quote(cfg.Origin) + " " + strconv.Quote(cfg.Name) + " ", saved: saved, byID: map[string]*host{}, tokens: map[string]*host{}, ghosts: map[string]*ghost{},
		queue: queue{byToken: map[string]*waiting{}}, allocate: allocation{dry: map[string]time.Time{}},
	}
}

// Step takes an event in and says what is to be done, in that order.
func (s *State) Step(now time.Time, e Event) []Action {
	s.out = nil
	s.advance(now)
	s.handle(e)
	s.decide()
	return s.out
}

// Next is when Step has to be called with a Tick, if nothing happens before;
// zero: never.
func (s *State) Next() time.Time {
	if s.due.IsZero() {
		return time.Time{}
	}
	return s.outer(s.due)
}

// late is by how much a Tick may be late before it is taken for a jump of the
// clock, or a sleep of the machine.
const late = 10 * time.Second

// advance sets the clocks, and in the first step takes over what was saved. The
// pool's own never goes back, so that a clock set back holds up nothing, and
// goes forward only as far as the pool was awake: else a clock set forward would
// end what waits for late lists.
func (s *State) advance(wall time.Time) {
	wall = wall.Round(0).UTC()
	moved := wall.Add(s.skew)
	now := moved
	if now.Before(s.now) {
		now = s.now
	}
	if limit := s.due.Add(late); !s.due.IsZero() && now.After(limit) {
		now = limit
	}
	if !now.Equal(moved) {
		s.skew = now.Sub(wall)
	}
	s.wall, s.now = wall, now
	if s.saved != nil {
		s.restore(s.saved)
		s.saved = nil
	}
}

// inner is a time of AWS or of a caller by the pool's clock, outer the reverse.
func (s *State) inner(wall time.Time) time.Time { return wall.Add(s.skew) }
func (s *State) outer(now time.Time) time.Time  { return now.Add(-s.skew) }

func (s *State) handle(e Event) {
	switch e := e.(type) {
	case Want:
		s.want(e)
	case Cancel:
		s.cancel(e.Token)
	case Launched:
		s.launched(e)
	case Described:
		s.described(e)
	case Allocated:
		s.allocated(e)
	case Released:
		s.released(e)
	case ScrubStarted:
		s.scrubStarted(e)
	case ScrubEnded:
		s.scrubEnded(e)
	case Drain:
		s.drain(e.On)
	case Own:
		s.own(e)
	case Look:
		s.look.need = s.mark()
	case Tick:
	}
}

// decide does what is due. Who waits is served before anything is scrubbed or
// released, and what there is, is given out before more is allocated.
func (s *State) decide() {
	if acting := s.acts(); acting != s.acting {
		s.acting = acting
		s.save()
		s.touchAll()
	}
	s.due = time.Time{}
	for h := s.timers.pop(s.now); h != nil; h = s.timers.pop(s.now) {
		s.touch(h)
	}
	slices.SortFunc(s.touched, func(a, b *host) int { return strings.Compare(a.id, b.id) })
	for _, h := range s.touched {
		if !h.removed {
			s.place(h)
		}
	}
	s.expire()
	s.serve()
	s.tendAll()
	s.allocateHosts()
	s.lookAround()
	s.wake(s.timers.next())
}

// tendAll looks after each host that something happened to, which is in its
// place by now. It may touch more.
func (s *State) tendAll() {
	for len(s.touched) > 0 {
		var releases []string
		touched := s.touched
		s.touched, s.tended = s.tended[:0], touched
		for _, h := range touched {
			h.touched = false
			if h.removed {
				continue
			}
			if s.tend(h) {
				s.startRelease(h)
				releases = append(releases, h.id)
			}
		}
		s.releaseHosts(releases)
	}
}

// acts reports whether anything may be done at AWS.
func (s *State) acts() bool { return s.looks() && !s.cfg.ReportOnly && s.quarantine.IsZero() }

// looks reports whether lists may be asked for.
func (s *State) looks() bool { return s.owner }

// wake has the next Tick not later than that. What is past was looked at in
// this step.
func (s *State) wake(at time.Time) {
	if at.After(s.now) {
		s.due = earlier(s.due, at)
	}
}

func (s *State) emit(a Action) { s.out = append(s.out, a) }

// nextID names a new action.
func (s *State) nextID() ActionID {
	s.seq++
	return ActionID(s.seq)
}

// mark is this instant, in the order of the actions.
func (s *State) mark() mark {
	s.seq++
	return mark{s.seq, s.now}
}

// save says that what Saved returns is different now.
func (s *State) save() { s.revision++ }

// own takes over the pool, or leaves it.
func (s *State) own(e Own) {
	if e.Other && s.kept {
		s.kept = false
		s.save()
	}
	if e.Owner == s.owner {
		return
	}
	s.owner = e.Owner
	s.save()
	if !s.owner {
		s.look = look{no: s.look.no}
		s.refuseAll("the pool is run by another node now")
		return
	}
	if s.kept {
		s.kept = false
		return
	}
	if s.first = e.First && len(s.hosts)+len(s.requests) == 0; s.first {
		s.quarantine = s.now // until the first list, which may say that it is not the first time
		return
	}
	s.quarantine = s.now.Add(s.cfg.settling())
	// What others did meanwhile is in the lists. What we have under way is not.
	for _, h := range slices.Clone(s.hosts) {
		h.releasing = nil
		if h.scrub != nil && h.scrub.Instance == "" {
			h.scrub = nil // the host may be another's by now; what was started is swept
		}
		if h.res == nil && h.scrub == nil {
			s.remove(h)
		}
	}
	s.touchAll()
}

func (s *State) drain(on bool) {
	if on == s.draining {
		return
	}
	s.draining = on
	s.save()
	if on {
		s.refuseAll("the pool is being drained")
	}
	s.touchAll()
}

// mark is an instant in the order of the actions, which a jump of the clock
// does not change, with its time.
type mark struct {
	seq uint64
	at  time.Time
}

// earlier is the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// backoff is the pause after n failures in a row: first, doubled up to most.
func backoff(first, most time.Duration, n int) time.Duration {
	for ; n > 1 && first < most; n-- {
		first *= 2
	}
	return min(first, most)
}
