package sim

import (
	"errors"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/election"
)

// plan is how hard a history is.
type plan struct {
	every   time.Duration // longest time between two faults
	longest time.Duration // of a cut or a sleep, now and then
	loss    float64
	jitter  time.Duration
	clock   time.Duration // longest step forward of a wall clock; back it goes further
	faults  []func(h *history)
	newer   bool          // one node is of a later version
	volumes bool          // volumes are put back whole, too
	ahead   time.Duration // how far a clock may be ahead for a while; 0: never
	one     bool          // it is always the same node's
	least   int           // how many nodes are not retired
	safety  election.Safety
}

// hostile is everything.
func hostile(seed uint64) plan {
	return plan{
		every: 40 * time.Second, longest: 905 * time.Second, loss: 0.2, jitter: 300 * time.Millisecond, clock: 4 * time.Minute, newer: true,
		volumes: seed%2 == 0, // one that is put back pardons much until the end: half of the histories with restored disks go without
		faults: []func(h *history){
			(*history).halves, (*history).oneWay, (*history).flap, (*history).crash, (*history).crash, (*history).nap, (*history).fullDisk, (*history).step, (*history).everybody, (*history).quiet, (*history).stumble, (*history).doze,
		},
	}.change(seed)
}

// brief is a plan of short faults, for many short histories; what else goes on
// depends on the seed.
func brief(seed uint64) plan {
	p := hostile(seed)
	p.every, p.longest = 10*time.Second, 60*time.Second
	return p
}

// change adds what only some of the histories have.
func (p plan) change(seed uint64) plan {
	succession := []func(h *history){(*history).drain, (*history).handover, (*history).retire}
	for range 2 { // it does not come off each time
		succession = append(succession, (*history).widow)
	}
	switch seed % 5 {
	case 0: // the worst moments
		for range 3 {
			p.faults = append(p.faults, (*history).stumble, (*history).doze, (*history).doze)
		}
	case 1: // nodes come to their end
		p.faults, p.least = append(p.faults, succession...), 2
	case 2:
		p.safety = election.Available
		p.faults = append(p.faults, (*history).drain)
	case 3: // disks are put back
		p.faults = append(p.faults, (*history).back, (*history).back)
	case 4: // all of it
		p.faults, p.least = append(append(p.faults, succession...), (*history).back, (*history).back), 3
		if seed%20 == 4 {
			p.ahead, p.one = 3*time.Hour, seed%100 != 4
			p.faults = append(p.faults, (*history).leap)
		}
	}
	return p
}

// trouble does something to the farm again and again until h is over.
func (h *history) trouble() {
	for h.wait(h.between(time.Second, h.plan.every)) {
		h.plan.faults[h.pick(len(h.plan.faults))](h)
	}
}

// wait pauses the plan; false if the history is over.
func (h *history) wait(d time.Duration) bool {
	select {
	case <-h.over:
		return false
	case <-time.After(d):
		return true
	}
}

// length is how long a fault lasts: now and then very long.
func (h *history) length() time.Duration {
	if h.chance(0.2) {
		return h.between(5*time.Second, h.plan.longest)
	}
	return h.between(5*time.Second, min(h.plan.longest, time.Minute))
}

// later undoes a fault after a while, or when the history is over.
func (h *history) later(undo func()) {
	d := h.length()
	h.work.Go(func() {
		h.wait(d)
		undo()
	})
}

// halves cuts the farm in two.
func (h *history) halves() {
	border, turn := 1+h.pick(len(h.nodes)-1), h.pick(len(h.nodes))
	side := func(i int) bool { return (i+turn)%len(h.nodes) < border }
	h.split(side, 1)
	h.later(func() { h.split(side, -1) })
}

// oneWay drops what one node sends to another, or to all.
func (h *history) oneWay() {
	i, to := h.pick(len(h.nodes)), []int{h.pick(len(h.nodes))}
	if h.chance(0.3) {
		to = nil
		for j := range h.nodes {
			to = append(to, j)
		}
	}
	set := func(by int) {
		for _, j := range to {
			if j != i {
				h.cut(i, j, by)
			}
		}
	}
	set(1)
	h.later(func() { set(-1) })
}

// flap cuts and heals the way between two nodes again and again.
func (h *history) flap() {
	i, j := h.pick(len(h.nodes)), h.pick(len(h.nodes))
	times, period := 3+h.pick(8), h.between(500*time.Millisecond, 12*time.Second)
	if i == j {
		return
	}
	h.work.Go(func() {
		for range times {
			h.cut(i, j, 1)
			h.cut(j, i, 1)
			more := h.wait(period)
			h.cut(i, j, -1)
			h.cut(j, i, -1)
			if !more || !h.wait(period) {
				return
			}
		}
	})
}

// crash kills a process or cuts a machine's power, and starts it again.
func (h *history) crash() {
	m := h.any()
	m.kill(h.chance(0.5))
	h.wait(h.upTo(20 * time.Second))
	m.start()
}

// everybody loses power at once.
func (h *history) everybody() {
	if !h.chance(0.3) {
		return
	}
	for _, m := range h.living() {
		m.kill(true)
	}
	h.wait(h.upTo(10 * time.Second))
	h.start()
}

// nap lets a machine sleep.
func (h *history) nap() {
	m := h.any()
	m.sleep()
	d := min(h.length(), 600*time.Second)
	h.work.Go(func() { h.wait(d); m.wake() })
}

var errFull = errors.New("no space left on device")

// fullDisk lets a node write nothing for a while.
func (h *history) fullDisk() {
	m := h.any()
	if m.disk == nil {
		return
	}
	m.disk.Fail(errFull)
	h.later(func() { m.disk.Fail(nil) })
}

// step sets a wall clock, at first wrong, then right again.
func (h *history) step() {
	m := h.any()
	back := h.plan.clock
	if h.chance(0.3) {
		back = 3 * time.Hour
	}
	m.skew.Store(int64(h.between(-back, h.plan.clock)))
	h.later(func() { m.skew.Store(0) })
}

// leap sets a wall clock hours ahead, and later right.
func (h *history) leap() {
	m := h.any()
	if h.plan.one {
		m = h.nodes[h.seed%uint64(len(h.nodes))]
	}
	m.skew.Store(int64(h.between(10*time.Minute, h.plan.ahead)))
	h.later(func() { m.skew.Store(0) })
}

func (h *history) quiet() { h.wait(h.length()) }
