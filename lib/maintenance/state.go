// Package maintenance keeps whether this node takes new applications, and
// stops it in order when asked to (contract 18). There is one switch for it,
// called maintenance by contract 18 and drain by newer routes.
//
// What is to outlive a restart is a small file beside the database, written
// before the request is answered, and not a row in it: it concerns this machine
// and no other node, a database put back from a backup must not drain a node or
// end a drain, and an older version finds no schema that it does not know.
//
// There is one state, one lock and one goroutine that acts on it: what is
// decided at the moment of the stop is the last request, however many came
// before.
package maintenance

import (
	"fmt"
	"time"
)

// Request is what an admin asks for. What is nil was not given.
type Request struct {
	Enable   *bool          // nil: true
	Shutdown *bool          // nil: as it was
	Delay    *time.Duration // of the shutdown; nil: as it was
	Persist  *bool          // maintenance outlives a restart; nil: as it was
	By       string         // the user who asks
}

// ParseDelay reads a shutdown delay; the error is for the client.
func ParseDelay(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("shutdown_delay %q is not a duration such as 10m or 1h30m", text)
	}
	return d, nil
}

// state is all that is known; a value, changed by pure functions.
type state struct {
	on         bool      // no new applications
	since      time.Time // of on, UTC; zero while it is off
	by         string    // who switched it on
	persistent bool      // on outlives a restart

	shutdown bool // asked for
	delay    time.Duration
	stopAt   time.Time // zero until the countdown runs
	nextNote time.Time // when the countdown is logged next
	stopping bool      // the node has been told to stop: the end
}

// noteEvery is how often the countdown is logged (contract 18).
const noteEvery = 30 * time.Second

// apply returns the state after a request, in the order of effect of contract
// 18: delay, enable, shutdown. A running countdown keeps its end.
func (s state) apply(r Request, now time.Time) state {
	if r.Delay != nil {
		s.delay = *r.Delay
	}
	s = s.turn(r, now)
	if r.Shutdown != nil {
		s.shutdown = *r.Shutdown
	}
	if !s.shutdown {
		s.stopAt = time.Time{}
	}
	return s
}

// turn switches maintenance. Whoever asks for what is already so changes nothing but whether it persists; what is off
// does not persist.
func (s state) turn(r Request, now time.Time) state {
	if r.Enable != nil && !*r.Enable {
		s.on, s.since, s.by, s.persistent = false, time.Time{}, "", false
		return s
	}
	if !s.on {
		s.on, s.since, s.by = true, now.UTC().Round(0), r.By // no monotonic reading: it is compared with what a file said
	}
	if r.Persist != nil {
		s.persistent = *r.Persist
	}
	return s
}

// step returns the state at a time at which so many applications run here, and
// whether the countdown is to be logged now.
func (s state) step(running int, now time.Time) (next state, note bool) {
	if !s.shutdown || s.stopping {
		return s, false
	}
	if s.stopAt.IsZero() {
		if s.on && running > 0 {
			return s, false
		}
		s.stopAt, s.nextNote = now.Add(s.delay), now
	}
	if !now.Before(s.stopAt) {
		s.stopping = true
		return s, false
	}
	if now.Before(s.nextNote) {
		return s, false
	}
	for !s.nextNote.After(now) {
		s.nextNote = s.nextNote.Add(noteEvery)
	}
	return s, true
}

// runningPoll is how often the applications are counted while a shutdown waits
// for them, whatever the notifications say (contract 18).
const runningPoll = 2 * time.Second

// wait is how long nothing happens by itself; 0: for ever.
func (s state) wait(now time.Time) time.Duration {
	switch {
	case !s.shutdown || s.stopping:
		return 0
	case s.stopAt.IsZero():
		return runningPoll
	case s.nextNote.Before(s.stopAt):
		return max(1, s.nextNote.Sub(now))
	}
	return max(1, s.stopAt.Sub(now))
}
