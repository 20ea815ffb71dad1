package pool

import (
	"strings"
	"time"
)

// timers has the hosts that something is due for, by time and then by id, so
// that a step costs nothing for hosts that nothing happens to. It is a heap in
// which each host knows its place; container/heap would cost a call and a
// look at two hosts for each comparison, several in each step.
type timers []timer

type timer struct {
	due  time.Time
	host *host
}

func (a timer) before(b timer) bool {
	if c := a.due.Compare(b.due); c != 0 {
		return c < 0
	}
	return strings.Compare(a.host.id, b.host.id) < 0
}

// set has the host tended at the time; zero: not before something happens to it.
func (t *timers) set(h *host, at time.Time) {
	i := h.timer - 1
	switch {
	case at.IsZero() && i >= 0:
		t.remove(i)
	case at.IsZero():
	case i < 0:
		*t = append(*t, timer{})
		t.up(len(*t)-1, timer{at, h})
	case !at.Equal((*t)[i].due):
		t.move(i, timer{at, h})
	}
}

// pop takes out a host whose time has come, nil if there is none.
func (t *timers) pop(now time.Time) *host {
	if len(*t) == 0 || (*t)[0].due.After(now) {
		return nil
	}
	h := (*t)[0].host
	t.remove(0)
	return h
}

// next is when the first one is due; zero if there is none.
func (t timers) next() time.Time {
	if len(t) == 0 {
		return time.Time{}
	}
	return t[0].due
}

func (t *timers) remove(i int) {
	last := len(*t) - 1
	(*t)[i].host.timer = 0
	moved := (*t)[last]
	(*t)[last] = timer{}
	*t = (*t)[:last]
	if i < last {
		t.move(i, moved)
	}
}

// move puts a timer where it belongs, from a place that is free.
func (t timers) move(i int, x timer) {
	if i > 0 && x.before(t[(i-1)/2]) {
		t.up(i, x)
		return
	}
	for {
		child := 2*i + 1
		if child+1 < len(t) && t[child+1].before(t[child]) {
			child++
		}
		if child >= len(t) || !t[child].before(x) {
			break
		}
		t.put(i, t[child])
		i = child
	}
	t.put(i, x)
}

func (t timers) up(i int, x timer) {
	for i > 0 && x.before(t[(i-1)/2]) {
		t.put(i, t[(i-1)/2])
		i = (i - 1) / 2
	}
	t.put(i, x)
}

// put has a place taken: a host counts them from 1.
func (t timers) put(i int, x timer) {
	t[i] = x
	x.host.timer = i + 1
}
