package pool

import (
	"container/heap"
	"time"
)

// timers has the hosts that something is due for, by time and then by id, so
// that a step costs nothing for hosts that nothing happens to.
type timers []*host

// set has the host tended at the time; zero: not before something happens to it.
func (t *timers) set(h *host, at time.Time) {
	switch {
	case at.IsZero() && h.timer > 0:
		heap.Remove(t, h.timer-1)
	case at.IsZero():
	case h.timer > 0:
		h.due = at
		heap.Fix(t, h.timer-1)
	default:
		h.due = at
		heap.Push(t, h)
	}
}

// pop takes out a host whose time has come, nil if there is none.
func (t *timers) pop(now time.Time) *host {
	if len(*t) == 0 || (*t)[0].due.After(now) {
		return nil
	}
	return heap.Pop(t).(*host)
}

// next is when the first one is due; zero if there is none.
func (t *timers) next() time.Time {
	if len(*t) == 0 {
		return time.Time{}
	}
	return (*t)[0].due
}

// Len implements heap.Interface.
func (t *timers) Len() int { return len(*t) }

// Less implements heap.Interface.
func (t *timers) Less(i, j int) bool {
	a, b := (*t)[i], (*t)[j]
	if c := a.due.Compare(b.due); c != 0 {
		return c < 0
	}
	return a.id < b.id
}

// Swap implements heap.Interface. A host knows its place, counted from 1.
func (t *timers) Swap(i, j int) {
	(*t)[i], (*t)[j] = (*t)[j], (*t)[i]
	(*t)[i].timer, (*t)[j].timer = i+1, j+1
}

// Push implements heap.Interface.
func (t *timers) Push(x any) {
	h := x.(*host)
	*t = append(*t, h)
	h.timer = len(*t)
}

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	last := len(*t) - 1
	h := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	h.timer = 0
	return h
}
