package auth

import (
	"math/rand/v2"
	"slices"
	"sort"
	"time"
)

const (
	// tick is how often a waiting flight is looked at again.
	tick = 250 * time.Millisecond
	// patienceOnce is how long limited credentials seen once wait for a second
	// sighting before they are refused.
	patienceOnce = 500 * time.Millisecond
	// patienceMore is how long limited credentials seen more often wait for a
	// pass.
	patienceMore = 15 * time.Second
	// patienceQueue is how long others wait for their turn. It is ErrBusy
	// then, as clients of HTTP rarely wait longer.
	patienceQueue = 30 * time.Second

	sightingsKept = 16_384 // per generation: 16 s of 1,000 guesses a second
	sightingsFor  = time.Minute
	wrongKept     = 8_192
	wrongFor      = 5 * time.Minute
)

// class says why a flight may start; a lower one goes first.
type class int

const (
	classTrusted class = iota // verified before, or our own work: no limit
	classFree                 // within the limits
	classPass                 // limited, but asked for more than once: on a pass
	classNone                 // limited
)

type flightKey struct {
	digest digest
	acct   account
}

// gate decides which hash runs next. It is pure but for its own state: the time
// is passed in, and the authenticator's lock guards it.
type gate struct {
	budget   int64
	parallel int
	length   int
	limits   limits

	queue   []*flight // in order of arrival
	open    map[flightKey]*flight
	used    int64
	running int
	passes  int  // counts those granted
	lastOwn bool // the flight started last was our own work

	sightings recent[int]
	wrong     recent[account] // credentials that are wrong for this account
}

func newGate(o Options, parallel int) *gate {
	return &gate{
		budget: o.HashMemory, parallel: parallel, length: o.QueueLength, limits: newLimits(o.Limits),
		open:      map[flightKey]*flight{},
		sightings: recent[int]{max: sightingsKept, period: sightingsFor},
		wrong:     recent[account]{max: wrongKept, period: wrongFor},
	}
}

// sighted counts a request for the credentials and returns how many there were.
func (g *gate) sighted(d digest, now time.Time) int {
	n, _ := g.sightings.get(d, now)
	g.sightings.put(d, n+1, now)
	return n + 1
}

func (g *gate) knownWrong(d digest, acct account, now time.Time) bool {
	wrong, ok := g.wrong.get(d, now)
	return ok && wrong == acct
}

// refuseWrong answers credentials that are known to be wrong: a failure like
// any other, only without the hash.
func (g *gate) refuseWrong(s source, now time.Time) error {
	if wait := g.limits.wait(s, now); wait > 0 {
		return &LimitedError{RetryAfter: wait}
	}
	g.limits.fail(s, now)
	return ErrUnauthorized
}

// rejoin adds a request to a flight. From a source within its limits it lifts
// the flight out of the limits of another.
func (g *gate) rejoin(f *flight, s source, seen int, now time.Time) {
	f.waiters++
	f.sightings = max(f.sightings, seen)
	if f.waiting && g.limits.wait(f.src, now) > 0 && g.limits.wait(s, now) == 0 {
		f.src = s
	}
}

// enter queues a flight, in place of a weaker one if the queue is full. Of our
// own work a quarter of it is enough.
func (g *gate) enter(f *flight, now time.Time) error {
	if f.own && g.ownWaiting() >= max(1, g.length/4) {
		return ErrBusy
	}
	if len(g.queue) >= g.length {
		weakest := g.weakest(now)
		limited := weakest != nil && g.limits.wait(weakest.src, now) > 0
		if weakest == nil || !limited && !f.trusted && f.sightings <= weakest.sightings {
			return g.refusal(f, now)
		}
		g.drop(weakest, g.refusal(weakest, now))
	}
	f.waiting = true
	g.queue = append(g.queue, f)
	if f.shared {
		g.open[flightKey{f.digest, f.acct}] = f
	}
	return nil
}

func (g *gate) ownWaiting() int {
	n := 0
	for _, f := range g.queue {
		if f.own {
			n++
		}
	}
	return n
}

// unshare lets nobody join the flight any more.
func (g *gate) unshare(f *flight) {
	if f.shared {
		delete(g.open, flightKey{f.digest, f.acct})
	}
}

// weakest is the flight to give up: the fewest sightings, of these the oldest.
// Young ones are spared while there are others, so that credentials get their
// chance to be seen again even if the queue turns over in milliseconds.
func (g *gate) weakest(now time.Time) *flight {
	aged := sort.Search(len(g.queue), func(i int) bool { return now.Sub(g.queue[i].queued) < patienceOnce })
	if f := fewest(g.queue[:aged]); f != nil {
		return f
	}
	return fewest(g.queue)
}

func fewest(flights []*flight) *flight {
	var least *flight
	for _, f := range flights {
		if f.trusted || least != nil && f.sightings >= least.sightings {
			continue
		}
		if least = f; f.sightings <= 1 {
			break
		}
	}
	return least
}

// refusal is the answer to a flight that is not waited for. The time to come
// again is that of the next pass: a second sighting may be all that lacks.
func (g *gate) refusal(f *flight, now time.Time) error {
	wait := g.limits.wait(f.src, now)
	if wait == 0 || f.trusted {
		return ErrBusy
	}
	return &LimitedError{RetryAfter: min(wait, max(time.Second, g.limits.passWait(f.src, now)))}
}

// drop takes a waiting flight out with this answer.
func (g *gate) drop(f *flight, err error) {
	g.remove(f)
	g.unshare(f)
	f.err = err
	close(f.done)
}

func (g *gate) remove(f *flight) {
	i := slices.Index(g.queue, f)
	g.queue = slices.Delete(g.queue, i, i+1)
	f.waiting = false
	f.timer.Stop()
}

// outOfPatience returns the answer to a flight that waited for too long.
func (g *gate) outOfPatience(f *flight, now time.Time) error {
	patience := patienceQueue
	if class := g.classOf(f, now); class == classNone || class == classPass {
		patience = patienceMore
		if f.sightings < 2 {
			patience = patienceOnce
		}
	}
	if now.Sub(f.queued) < patience {
		return nil
	}
	return g.refusal(f, now)
}

func (g *gate) classOf(f *flight, now time.Time) class {
	switch {
	case f.trusted:
		return classTrusted
	case g.limits.wait(f.src, now) == 0:
		return classFree
	case f.sightings >= 2 && g.limits.passWait(f.src, now) == 0:
		return classPass
	}
	return classNone
}

// next takes the flight to start now out of the queue, nil if there is none or
// no room. One that needs more room than there is holds back those behind it,
// or it might wait for ever.
func (g *gate) next(now time.Time) *flight {
	if g.running >= g.parallel || g.running > 0 && g.used >= g.budget {
		return nil
	}
	f := g.pick(now)
	if f == nil || g.running > 0 && g.used+f.cost > g.budget {
		return nil
	}
	g.remove(f)
	f.class = g.classOf(f, now)
	g.lastOwn = f.own
	g.charge(f, now)
	g.running++
	g.used += f.cost
	return f
}

// pick returns the best flight, nil if none may start: of the best class the
// most sighted, of equals the oldest. Every other pass goes to a lottery
// instead, see lot. Our own work goes behind whoever logs in within the limits
// every other time.
func (g *gate) pick(now time.Time) *flight {
	var best *flight
	bestClass := classNone
	var limited []*flight
	for _, f := range g.queue {
		c := g.classOf(f, now)
		if f.own && g.lastOwn {
			c = classFree // where it has the fewest sightings: none
		}
		if c == classPass {
			limited = append(limited, f)
		}
		if c < bestClass || c == bestClass && best != nil && f.sightings > best.sightings {
			best, bestClass = f, c
		}
	}
	if bestClass == classPass && g.passes%2 == 1 {
		best = lot(limited)
	}
	return best
}

// lot draws one by weight of sightings, so that nobody who shouts louder can
// keep the others out for ever.
func lot(flights []*flight) *flight {
	total := 0
	for _, f := range flights {
		total += f.sightings
	}
	ticket := rand.IntN(total)
	for _, f := range flights {
		if ticket -= f.sightings; ticket < 0 {
			return f
		}
	}
	return nil // not reached: the weights sum up to total
}

// charge counts the start as the failure that it may become. There are few
// flights at a time, so nobody is limited by it for long.
func (g *gate) charge(f *flight, now time.Time) {
	if f.class == classTrusted {
		return
	}
	g.limits.fail(f.src, now)
	if f.class == classPass {
		g.passes++
		g.limits.loginPass.charge(f.src.login, now)
		g.limits.hostPass.charge(f.src.host, now)
	}
}

// refund takes the charge back after a success.
func (g *gate) refund(f *flight, now time.Time) {
	if f.class == classTrusted {
		return
	}
	g.limits.login.refund(f.src.login, now)
	g.limits.host.refund(f.src.host, now)
	if f.class == classPass {
		g.limits.loginPass.refund(f.src.login, now)
		g.limits.hostPass.refund(f.src.host, now)
	}
}

// landed gives a flight's memory back to the budget.
func (g *gate) landed(f *flight) {
	g.running--
	g.used -= f.cost
}
