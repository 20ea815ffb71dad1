package fakeec2

import (
	"container/heap"
	"time"
)

// event is something that happens by itself.
type event struct {
	at  time.Time
	seq int // of those at one time the first planned comes first
	do  func(now time.Time)
}

// events is a heap of events, the next one first.
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if e[i].at.Equal(e[j].at) {
		return e[i].seq < e[j].seq
	}
	return e[i].at.Before(e[j].at)
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *events) Push(x any) { *e = append(*e, x.(event)) }

// Pop implements heap.Interface.
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	(*e)[len(*e)-1] = event{} // its closure may hold much
	*e = (*e)[:len(*e)-1]
	return last
}

// catchUp lets everything happen that is due, each thing at its own time, and
// returns the service's time. That never goes back, whatever the given clock does.
func (a *account) catchUp() time.Time {
	now := a.opts.Now()
	for len(a.events) > 0 && !a.events[0].at.After(now) {
		e := heap.Pop(&a.events).(event)
		a.time = later(a.time, e.at)
		e.do(a.time)
	}
	a.time = later(a.time, now)
	return a.time
}

// plan lets something happen after a while.
func (a *account) plan(after time.Duration, do func(now time.Time)) {
	a.planned++
	heap.Push(&a.events, event{at: a.time.Add(max(after, 0)), seq: a.planned, do: do})
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
