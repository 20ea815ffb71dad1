package simulate

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/simulate/trace"
)

// oracle is the simulation done slowly: it looks at every second, goes through
// all that is due, and counts by looking at every host and job. It shares with
// the real one the pool that decides and the dice, but no queue, no account and
// no rule of AWS.
type oracle struct {
	p      Pool
	jobs   []trace.Job
	dice   *rand.Rand
	pool   *pool.State
	now    int64
	hosts  []*oracleHost
	wait   map[int]bool // jobs that wait
	todo   []oracleTask // in the order in which they were foreseen
	result outcome
}

// outcome is what both have to agree on.
type outcome struct {
	Months    map[string]amounts
	Waits     []int32
	Peaks     Peaks
	Allocated []int64
	Released  []int64
}

type oracleTask struct {
	at   int64
	tick bool
	do   func()
}

type oracleHost struct {
	id, zone            string
	allocated, released int64 // released -1: not yet
	state               string
	instance            []string
	ending              bool
}

func (o *oracle) in(seconds int64, do func()) {
	o.todo = append(o.todo, oracleTask{at: o.now + seconds, do: do})
}

func (o *oracle) show(h *oracleHost) {
	o.in(int64(o.p.Notice.Seconds()), func() { o.step(pool.Described{Partial: true, Hosts: []cloud.Host{h.described(o.p.Type)}}) })
}

func (h *oracleHost) described(hostType string) cloud.Host {
	d := cloud.Host{
		ID: h.id, Type: hostType, Zone: h.zone, AllocationTime: time.Unix(h.allocated, 0).UTC(), Instances: h.instance, State: "available",
	}
	if h.state == "free" {
		d.Free = 1
	}
	if h.state == "pending" {
		d.State = "pending"
	}
	if h.released >= 0 {
		d.State, d.ReleaseTime, d.Free = "released", time.Unix(h.released, 0).UTC(), 0
	}
	return d
}

// run goes from second to second until all is over.
func (o *oracle) run() {
	o.now = o.jobs[0].Arrival
	o.step(pool.Own{Owner: true})
	o.arriving(0)
	for over := false; !over; {
		for {
			i := slices.IndexFunc(o.todo, func(t oracleTask) bool { return t.at == o.now })
			if i < 0 && !o.wantsTick() {
				break
			}
			if i >= 0 {
				t := o.todo[i]
				o.todo = slices.Delete(o.todo, i, i+1)
				t.do()
			}
		}
		over = o.count()
		if !over {
			o.now++
		}
	}
}

// wantsTick notes when the pool wants to be called, and reports whether that is now.
func (o *oracle) wantsTick() bool {
	next := o.pool.Next()
	if next.IsZero() {
		return false
	}
	at := next.Unix()
	if next.Nanosecond() > 0 {
		at++
	}
	at = max(at, o.now)
	for _, t := range o.todo {
		if t.tick && t.at <= at {
			return false
		}
	}
	o.todo = slices.DeleteFunc(o.todo, func(t oracleTask) bool { return t.tick })
	o.todo = append(o.todo, oracleTask{at: at, tick: true, do: func() { o.step(pool.Tick{}) }})
	return at == o.now
}

func (o *oracle) arriving(n int) {
	if n == len(o.jobs) {
		return
	}
	o.in(o.jobs[n].Arrival-o.now, func() {
		o.arriving(n + 1)
		o.wait[n] = true
		o.step(pool.Want{Token: strconv.Itoa(n)})
	})
}

func (o *oracle) step(e pool.Event) {
	events := []pool.Event{e}
	for len(events) > 0 {
		actions := o.pool.Step(time.Unix(o.now, 0).UTC(), events[0])
		events = events[1:]
		for _, a := range actions {
			if answer := o.act(a); answer != nil {
				events = append(events, answer)
			}
		}
	}
}

func (o *oracle) act(action pool.Action) pool.Event {
	switch a := action.(type) {
	case pool.Describe:
		return pool.Described{Action: a.ID, Partial: true}
	case pool.AllocateHost:
		return o.allocate(a)
	case pool.ReleaseHosts:
		return o.release(a)
	case pool.StartScrub:
		h := o.find(a.Host)
		if h.state != "free" {
			return pool.ScrubStarted{Action: a.ID, Err: cloud.NewError("InsufficientCapacityOnHost", "host %s is not free", h.id)}
		}
		o.put(h, "scrub")
		return pool.ScrubStarted{Action: a.ID, Instance: h.instance[0]}
	case pool.EndScrub:
		if h := o.find(a.Host); h.state == "scrub" && h.instance[0] == a.Instance && !h.ending {
			h.ending = true
			o.in(int64(o.p.Shutdown.Seconds()), func() { o.wipe(h) })
		}
		return pool.ScrubEnded{Action: a.ID}
	case pool.Grant:
		return o.launch(a)
	}
	return nil
}

func (o *oracle) find(id string) *oracleHost {
	return o.hosts[slices.IndexFunc(o.hosts, func(h *oracleHost) bool { return h.id == id })]
}

func (o *oracle) put(h *oracleHost, state string) {
	h.state = state
	h.instance = []string{"i-" + h.id[2:] + "-" + strconv.FormatInt(o.now, 10)}
	if state == "boot" {
		o.show(h)
	}
}

func (o *oracle) wipe(h *oracleHost) {
	h.state, h.instance, h.ending = "pending", nil, false
	o.in(o.p.Scrub.draw(o.dice), func() {
		h.state = "free"
		o.show(h)
	})
	o.show(h)
}

func (o *oracle) launch(a pool.Grant) pool.Event {
	h := o.find(a.Host)
	if h.state != "free" {
		return pool.Launched{Token: a.Token, Err: cloud.NewError("InsufficientCapacityOnHost", "host %s is not free", h.id)}
	}
	n, _ := strconv.Atoi(a.Token)
	o.put(h, "boot")
	delete(o.wait, n)
	o.result.Waits[n] = int32(o.now - o.jobs[n].Arrival)
	o.in(o.p.Boot.draw(o.dice), func() {
		h.state = "run"
		o.in(o.jobs[n].Run, func() {
			h.state = "end"
			o.in(int64(o.p.Shutdown.Seconds()), func() { o.wipe(h) })
		})
	})
	return pool.Launched{Token: a.Token, Instance: h.instance[0]}
}

func (o *oracle) allocate(a pool.AllocateHost) pool.Event {
	live, counted, inZone := 0, 0, 0
	for _, h := range o.hosts {
		switch {
		case h.released < 0:
			live++
			if h.zone == a.Zone {
				inZone++
			}
		case o.now < h.released+int64(o.p.QuotaLag.Seconds()):
			counted++
		}
	}
	if o.p.Quota > 0 && live+counted >= o.p.Quota {
		return pool.Allocated{Action: a.ID, Err: cloud.NewError("HostLimitExceeded", "the limit of %d hosts is reached", o.p.Quota)}
	}
	if n, ok := o.p.Capacity[a.Zone]; ok && inZone >= n {
		return pool.Allocated{Action: a.ID, Err: cloud.NewError("InsufficientHostCapacity", "the zone %s has no host left", a.Zone)}
	}
	h := &oracleHost{id: "h-" + strconv.Itoa(len(o.hosts)), zone: a.Zone, allocated: o.now, released: -1, state: "free"}
	o.hosts = append(o.hosts, h)
	o.show(h)
	return pool.Allocated{Action: a.ID, Host: h.id}
}

func (o *oracle) release(a pool.ReleaseHosts) pool.Event {
	r := pool.Released{Action: a.ID, Refused: map[string]*cloud.Error{}}
	for _, id := range a.Hosts {
		h := o.find(id)
		earliest := h.allocated + int64(min(o.p.MinAge, 24*time.Hour).Seconds())
		switch {
		case h.state != "free":
			r.Refused[id] = cloud.NewError("Client.InvalidHost.Occupied", "host %s is occupied", id)
		case o.now < earliest:
			r.Refused[id] = cloud.NewError("Client.HostMinAllocationPeriodUnexpired", "You can release this host any time after %s.",
				time.Unix(earliest, 0).UTC().Format(time.RFC3339))
		default:
			h.released = o.now
			r.Released = append(r.Released, id)
			o.show(h)
		}
	}
	return r
}

// count adds the present second to the accounts, and reports whether all is over.
func (o *oracle) count() (over bool) {
	month := time.Unix(o.now, 0).UTC().Format("2006-01")
	sum := o.result.Months[month]
	names := map[string]measure{"run": executing, "boot": starting, "end": starting, "free": idle, "scrub": cleaning, "pending": pending}
	var live, instances int64
	for _, h := range o.hosts {
		if h.released >= 0 {
			continue
		}
		live++
		sum[names[h.state]]++
		if h.state == "run" || h.state == "boot" || h.state == "end" {
			instances++
		}
	}
	sum[queued] += int64(len(o.wait))
	peaks := &o.result.Peaks
	peaks.Hosts, peaks.Instances, peaks.Queue = max(peaks.Hosts, live), max(peaks.Instances, instances), max(peaks.Queue, int64(len(o.wait)))
	if over = live == 0 && !slices.Contains(o.result.Waits, waiting); !over {
		o.result.Months[month] = sum
		return false
	}
	for _, h := range o.hosts {
		o.result.Allocated = append(o.result.Allocated, h.allocated)
		o.result.Released = append(o.result.Released, h.released)
	}
	return true
}

// slowly is what the oracle says.
func slowly(p Pool, jobs []trace.Job, seed uint64) outcome {
	p.LookEvery, p.LookIdle, p.Origin = lookEvery, lookEvery, "simulation"
	o := &oracle{
		p: p, jobs: jobs, dice: rand.New(rand.NewPCG(seed, 1)), pool: pool.New(p.Config, &pool.Saved{Owned: true}), wait: map[int]bool{},
		result: outcome{Months: map[string]amounts{}, Waits: slices.Repeat([]int32{waiting}, len(jobs))},
	}
	o.run()
	return o.result
}

// fast is what the simulation says.
func fast(t interface{ Fatal(...any) }, p Pool, jobs []trace.Job, seed uint64) outcome {
	w := newWorld(p, jobs, seed, 600)
	if err := w.run(contextOf(t)); err != nil {
		t.Fatal(err)
	}
	if err := w.check(); err != nil {
		t.Fatal(err)
	}
	r := outcome{Months: map[string]amounts{}, Waits: w.waits, Peaks: w.peaks}
	for _, m := range w.meter.months {
		r.Months[at(m.start).Format("2006-01")] = m.amounts
	}
	for _, h := range w.hosts {
		r.Allocated, r.Released = append(r.Allocated, h.allocated), append(r.Released, h.released)
	}
	return r
}

// TestOracle: whatever the jobs and the pool are, the simulation comes to the
// same as one that counts every second.
func TestOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, jobs := drawPool(t), drawJobs(t)
		seed := rapid.Uint64().Draw(t, "seed")
		want, got := slowly(p, jobs, seed), fast(t, p, jobs, seed)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-oracle +simulation:\n%s", diff)
		}
		if diff := cmp.Diff(got, fast(t, p, jobs, seed)); diff != "" {
			t.Fatalf("a second run comes to something else:\n%s", diff)
		}
	})
}

func drawPool(t *rapid.T) Pool {
	of := func(name string, all ...time.Duration) time.Duration { return rapid.SampledFrom(all).Draw(t, name) }
	p := Default()
	p.Max = rapid.IntRange(1, 4).Draw(t, "max")
	p.ScrubbingDelay = of("scrubbing delay", 0, time.Second, 5*time.Minute, time.Hour)
	p.MinAge = of("release delay", 24*time.Hour, 24*time.Hour, 26*time.Hour)
	p.IdleDelay = of("idle before release", 0, 0, 10*time.Minute)
	p.PendingToAvailable = of("settle", 0, 3*time.Minute)
	p.Patience = of("patience", 0, 10*time.Minute, 2*time.Hour)
	p.Notice = of("notice", 0, 7*time.Second)
	p.Shutdown = of("shutdown", 0, time.Minute)
	p.Boot = rapid.SampledFrom([]Spread{Fixed(0), Fixed(7 * time.Minute), Between(time.Minute, 9*time.Minute)}).Draw(t, "boot")
	p.Scrub = rapid.SampledFrom([]Spread{Fixed(90 * time.Minute), Between(40*time.Minute, 270*time.Minute), {measured: []int64{3000, 6600}}}).Draw(t, "scrub")
	p.Zones = rapid.SampledFrom([][]string{{"a"}, {"a", "b"}}).Draw(t, "zones")
	if rapid.Bool().Draw(t, "limited") {
		p.Quota = rapid.IntRange(1, 4).Draw(t, "quota")
		p.Capacity = map[string]int{"a": rapid.IntRange(1, 2).Draw(t, "capacity")}
	}
	return p
}

// drawJobs are some jobs around the end of a month, of which some come together.
func drawJobs(t *rapid.T) []trace.Job {
	start := time.Date(2024, time.February, 28, 20, 0, 0, 0, time.UTC).Unix() // the 29th follows
	jobs := make([]trace.Job, rapid.IntRange(1, 10).Draw(t, "jobs"))
	for i := range jobs {
		start += rapid.SampledFrom([]int64{0, 0, 1, 60, 600, 5400, 40000}).Draw(t, "gap")
		jobs[i] = trace.Job{Arrival: start, Run: rapid.SampledFrom([]int64{0, 1, 300, 2400, 20000}).Draw(t, "run")}
	}
	return jobs
}
