package simulate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/simulate/trace"
)

// kind is what happens in an event.
type kind uint8

const (
	arrives kind = iota // a job
	boots               // the instance on a host is ready for its job
	ends                // the job on a host is done
	goes                // the instance on a host is gone
	returns             // a host was scrubbed
	shows               // a list shows what a host is like
	ticks               // the pool wanted to be called
)

// world is the paper on which one pool works: what it asks for is done, takes
// its time, and is paid for.
type world struct {
	Pool
	state  *pool.State
	jobs   []trace.Job
	now    int64
	queue  queue
	random *rand.Rand
	meter  *meter
	fleet
	seen    [1]cloud.Host // in a list
	answers []pool.Event  // to the actions of a step, told after it
	tick    int64         // when the pool wants to be called; 0: never
	tickSeq uint64        // the event in which it will be
	atOnce  int           // events of this second
	waits   []int32       // seconds by job
	started int
	ended   int
	moved   int64 // when a job or a host last came further, or somebody began to wait
	peaks   Peaks
	failed  error
}

// Peaks are the most that there were at once.
type Peaks struct {
	Instances int64 `json:"instances"`
	Hosts     int64 `json:"hosts"`
	Queue     int64 `json:"queue"`
}

const (
	// lookEvery is between two whole lists. The pool does not need them here, as
	// every change is told it, but forgets released hosts by them.
	lookEvery = time.Hour
	// stuckAfter is how long, beyond its own delays, a pool may do nothing with
	// jobs waiting or hosts left while none runs: that is a fault, and not a plan.
	stuckAfter = 14 * 24 * time.Hour
	// maxAtOnce is how many things may happen in one second before it is taken
	// for a loop, for each job and host.
	maxAtOnce = 1000
	// waiting is the wait of a job that is not over.
	waiting = -1
)

// newWorld is the paper before the first job; there is one at least.
func newWorld(p Pool, jobs []trace.Job, seed uint64, width int64) *world {
	p.LookEvery, p.LookIdle = lookEvery, lookEvery
	p.Origin = "simulation"
	w := &world{
		Pool: p, jobs: jobs, now: jobs[0].Arrival, moved: jobs[0].Arrival, waits: make([]int32, len(jobs)),
		random: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // it has to come again, not to surprise
		meter:  newMeter(jobs[0].Arrival, width), fleet: newFleet(),
	}
	for i := range w.waits {
		w.waits[i] = waiting
	}
	w.state = pool.New(p.Config, &pool.Saved{Owned: true})
	return w
}

// at is a time as the pool takes it.
func at(second int64) time.Time { return time.Unix(second, 0).UTC() }

// seconds is a duration as the world counts.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// run lets everything happen, until the last host is released.
func (w *world) run(ctx context.Context) error {
	w.tell(pool.Own{Owner: true})
	w.queue.push(event{at: w.now, kind: arrives})
	for n := 0; w.ended < len(w.jobs) || len(w.ours) > 0; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return fmt.Errorf("simulate pool %s: %w", w.Name, ctx.Err())
		}
		w.foresee()
		e, ok := w.queue.pop()
		if !ok || w.idles() && e.at-w.moved > seconds(stuckAfter+w.MinAge+w.IdleDelay) {
			return w.stuck()
		}
		w.happen(e)
		if w.failed != nil {
			return fmt.Errorf("pool %s, at %s: %w", w.Name, at(w.now).Format(time.RFC3339), w.failed)
		}
	}
	return nil
}

// idles reports whether the pool has something to do, and nothing runs that it
// might wait for. Where no host is left it waits for the next job, however long.
func (w *world) idles() bool {
	return w.started == w.ended && (w.meter.count[queued] > 0 || len(w.ours) > 0)
}

// foresee makes sure that the pool is called when it wants to be. That is
// asked once all that happens in this second has happened.
func (w *world) foresee() {
	if next, ok := w.queue.next(); ok && next <= w.now {
		return
	}
	w.peak()
	next := w.state.Next()
	if next.IsZero() {
		return
	}
	second := next.Unix()
	if next.Nanosecond() > 0 {
		second++
	}
	second = max(second, w.now)
	if w.tick == 0 || second < w.tick {
		w.tick = second
		w.queue.push(event{at: second, kind: ticks})
		w.tickSeq = w.queue.seq
	}
}

// peak remembers the most that there was, of what lasts for a second at least.
func (w *world) peak() {
	c := &w.meter.count
	w.peaks.Instances = max(w.peaks.Instances, c[executing]+c[starting])
	w.peaks.Queue = max(w.peaks.Queue, c[queued])
	w.peaks.Hosts = max(w.peaks.Hosts, int64(len(w.ours)))
}

// happen moves to the time of an event, and lets it happen.
func (w *world) happen(e event) {
	if e.at > w.now {
		w.now, w.atOnce = e.at, 0
		w.meter.advance(w.now)
	}
	if w.atOnce++; w.atOnce > maxAtOnce*(1+len(w.hosts)+int(w.meter.count[queued])) {
		w.failed = fmt.Errorf("the pool goes in a circle: %d events in one second", w.atOnce)
		return
	}
	switch e.kind {
	case arrives:
		w.arrive(int(e.of))
	case ticks:
		if e.seq == w.tickSeq { // else an earlier one was wanted since
			w.tick = 0
			w.tell(pool.Tick{})
		}
	case shows:
		w.seen[0] = w.describe(e.of)
		w.tell(pool.Described{Partial: true, Hosts: w.seen[:]})
	default:
		w.change(e)
	}
}

// change is one by which a host goes on.
func (w *world) change(e event) {
	h := &w.hosts[e.of]
	switch e.kind {
	case boots:
		w.turn(h, executing)
		w.foreseeHost(e.of, ends, w.jobs[h.job].Run)
	case ends:
		w.ended++
		w.moved = w.now
		w.turn(h, starting)
		w.foreseeHost(e.of, goes, seconds(w.Shutdown))
	case goes:
		h.instance, h.going = h.instance[:0], false
		w.turn(h, pending)
		w.foreseeHost(e.of, returns, w.Scrub.draw(w.random))
		w.show(e.of)
	case returns:
		w.turn(h, idle)
		w.show(e.of)
	}
}

func (w *world) foreseeHost(of int32, k kind, in int64) {
	w.queue.push(event{at: w.now + in, kind: k, of: of})
}

// show lets the pool see a host as it will be by the time of the list.
func (w *world) show(of int32) { w.foreseeHost(of, shows, seconds(w.Notice)) }

// turn moves a host on to another state, and does its account.
func (w *world) turn(h *host, to measure) {
	h.spent[h.is] += w.now - h.since
	w.meter.count[h.is]--
	w.meter.count[to]++
	h.is, h.since = to, w.now
}

// arrive lets a job ask for a host, and foresees the next job.
func (w *world) arrive(job int) {
	if job+1 < len(w.jobs) {
		w.queue.push(event{at: w.jobs[job+1].Arrival, kind: arrives, of: int32(job + 1)}) //nolint:gosec // of 20 million at most
	}
	if w.meter.count[queued] == 0 {
		w.moved = w.now // nobody waited for the pool until now
	}
	w.meter.count[queued]++
	w.meter.month() // which has the job, also if nothing takes time in it any more
	want := pool.Want{Token: strconv.Itoa(job)}
	if zone := w.jobs[job].Zone; zone != "" {
		want.Zones = []string{zone}
	}
	w.tell(want)
}

// tell gives the pool an event, does what it decides, and tells it the results.
func (w *world) tell(e pool.Event) {
	for {
		for _, a := range w.state.Step(at(w.now), e) {
			w.do(a)
		}
		if len(w.answers) == 0 || w.failed != nil {
			return
		}
		e = w.answers[0]
		w.answers = slices.Delete(w.answers, 0, 1) // of two or three
	}
}

// stuck tells that the pool does nothing more, which is its fault.
func (w *world) stuck() error {
	return fmt.Errorf("pool %s: from %s on nothing happens any more, with %d of %d jobs started, %d ended, and %d hosts left",
		w.Name, at(w.moved).Format(time.RFC3339), w.started, len(w.jobs), w.ended, len(w.ours))
}
