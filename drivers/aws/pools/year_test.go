package pools

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// TestYear runs the keeper of a pool against AWS as it is documented, with a
// week's load, through a 29th of February; with FISH_LONG=1 for a whole year. Now
// and then the node is restarted, AWS is not there for a while, or half deaf.
// At each hour the bills of AWS are held against what must be.
func TestYear(t *testing.T) {
	t.Parallel()
	from, to := time.Date(2028, 2, 27, 0, 0, 0, 0, time.UTC), time.Date(2028, 3, 3, 0, 0, 0, 0, time.UTC)
	switch {
	case testing.Short():
		from = from.AddDate(0, 0, 1)
	case needs.Long():
		from, to = time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC), time.Date(2028, 7, 1, 0, 0, 0, 0, time.UTC)
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(from))
		y := newYear(t)
		for time.Now().Before(to) && !t.Failed() {
			time.Sleep(time.Hour)
			y.hour()
		}
		y.finish()
	})
}

// mostHosts is how many hosts the pool of a year has at most: enough for two
// machines an hour, each of which takes a host for three hours and more.
const mostHosts = 10

// year is a pool with its load.
type year struct {
	*site
	random *rand.Rand
	node   *Pools
	ctx    context.Context
	end    context.CancelFunc
	jobs   sync.WaitGroup
	like   map[string]cloud.Launch // what machines are launched like, by zone

	guard          sync.Mutex // of node, served and wait
	wanted, served int
	wait           time.Duration
	months         []month
	trouble        time.Time // until when things may be late
	idle           map[string]time.Time
	booked         map[string]fakeec2.Bill // hosts that are gone
	costs          float64                 // of the hosts that are gone
	restarts, bads int
	calls          int // until now
}

// month is what a month took.
type month struct {
	of    time.Month
	days  int
	calls int
	heap  uint64
}

func newYear(t *testing.T) *year {
	s := newSite(t, fakeec2.Options{Seed: 1, Keep: 4 * 24 * time.Hour})
	s.cloud.SetLag(fakeec2.Range{Max: 30 * time.Second})
	s.cloud.SetLatency(fakeec2.Range{Max: 2 * time.Second})
	time.Sleep(time.Minute)
	y := &year{site: s, random: rand.New(rand.NewPCG(7, 29)), idle: map[string]time.Time{}, like: s.likes(), booked: map[string]fakeec2.Bill{}}
	y.ctx, y.end = context.WithCancel(context.Background())
	t.Cleanup(y.end)
	y.node = y.start(alpha, y.pool())
	return y
}

func (y *year) pool() Pool {
	return macPool(func(p *Pool) {
		p.Max, p.ScrubbingDelay, p.PendingToAvailable, p.Patience = mostHosts, 10*time.Minute, 2*time.Minute, 5*time.Minute
	})
}

// hour lets begin what begins in an hour, and looks at what there is.
func (y *year) hour() {
	now := time.Now().UTC()
	jobs := y.random.IntN(2)
	if day := now.Weekday(); now.Hour() >= 8 && now.Hour() < 18 && day != time.Saturday && day != time.Sunday {
		jobs += y.random.IntN(4)
	}
	for range jobs {
		y.job(time.Duration(y.random.Int64N(int64(time.Hour))), 5*time.Minute+time.Duration(y.random.Int64N(int64(80*time.Minute))))
	}
	if now.Hour() == 3 {
		y.misfortune()
		now = time.Now().UTC() // it takes its time
	}
	y.look(now)
	y.sweep()
	if n := len(y.months); n == 0 || y.months[n-1].of != now.Month() {
		y.months = append(y.months, month{of: now.Month()})
	}
	m := &y.months[len(y.months)-1]
	if now.Hour() == 0 {
		m.days++
	}
	all := 0
	y.change(func() {
		for _, n := range y.asked {
			all += n
		}
	})
	m.calls, y.calls = m.calls+all-y.calls, all
	if now.Hour() == 23 {
		var mem runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&mem)
		m.heap = mem.HeapAlloc
	}
}

// job is an application: it waits half a day at most.
func (y *year) job(in, lasts time.Duration) {
	y.wanted++
	tok := token(y.wanted)
	y.jobs.Go(func() {
		if !rest(y.ctx, in) {
			return
		}
		began := time.Now()
		var host, zone string
		for host == "" {
			p := y.now()
			ctx, cancel := context.WithTimeout(y.ctx, 10*time.Minute)
			host, zone, _ = p.Reserve(ctx, "mac", tok, nil) // asked again until it is served
			cancel()
			if y.ctx.Err() != nil {
				return
			}
			if time.Since(began) > 12*time.Hour {
				y.Errorf("%s: %s waits for 12 hours", time.Now().Format(time.RFC3339), tok)
				return
			}
			if host == "" {
				rest(y.ctx, time.Second)
				continue
			}
			if y.serve(tok, host, zone, lasts) {
				break
			}
			host = ""
		}
		y.guard.Lock()
		defer y.guard.Unlock()
		y.served++
		y.wait += time.Since(began) - lasts
	})
}

// serve runs a machine on a host. false: the host does not take it, and another
// one is to be asked for.
func (y *year) serve(tok, host, zone string, lasts time.Duration) bool {
	l := on(y.like[zone], tok, host)
	inst, err := y.cloud.RunInstance(y.ctx, l)
	for err != nil && !cloud.Undone(err) || cloud.IsKind(err, cloud.Throttled) {
		rest(y.ctx, 5*time.Second)
		inst, err = y.cloud.RunInstance(y.ctx, l)
	}
	if err != nil {
		y.now().Failed(y.ctx, "mac", tok, err)
		return false
	}
	y.now().Launched(y.ctx, "mac", tok, inst.ID)
	rest(y.ctx, lasts)
	for y.cloud.TerminateInstances(context.WithoutCancel(y.ctx), []string{inst.ID}) != nil {
		time.Sleep(5 * time.Second)
	}
	y.now().Released(y.ctx, "mac", tok)
	return true
}

// now is the process that runs.
func (y *year) now() *Pools {
	y.guard.Lock()
	defer y.guard.Unlock()
	return y.node
}

// misfortune is what happens to a node in some nights.
func (y *year) misfortune() {
	switch y.random.IntN(5) {
	case 0:
		y.restarts++
		y.now().Close()
		time.Sleep(time.Duration(y.random.Int64N(int64(20 * time.Minute))))
		next := y.start(alpha, y.pool())
		y.guard.Lock()
		defer y.guard.Unlock()
		y.node = next
	case 1:
		y.cloud.Outage(30 * time.Minute)
	case 2:
		y.cloud.SetStorm(fakeec2.Storm{Unreachable: 0.1, Lost: 0.1, Throttled: 0.2, Internal: 0.05})
		time.Sleep(time.Hour)
		y.cloud.SetStorm(fakeec2.Storm{})
	default:
		return
	}
	y.bads++
	y.trouble = time.Now().Add(3 * time.Hour)
}

// look holds what AWS has against what must be.
func (y *year) look(now time.Time) {
	y.audit(mostHosts)
	shown := map[string]float64{}
	for _, h := range y.now().Pools(y.ctx)[0].Hosts {
		if h.Cost != nil {
			shown[h.ID] = *h.Cost
		}
	}
	calm := now.After(y.trouble)
	for _, b := range y.cloud.Bills() {
		age := now.Sub(b.Since)
		switch {
		case b.Kind == "host" && b.Until.IsZero():
			cost, known := shown[b.ID]
			if !known && calm && age > 15*time.Minute {
				y.Errorf("%v: host %s is in nobody's books", now, b.ID)
			}
			if most := age.Hours() * b.Rate; known && (cost < b.Cost-0.05 || cost > most+0.05) {
				y.Errorf("%v: host %s costs %.2f USD by our books, %.2f by AWS's, and %.2f at most", now, b.ID, cost, b.Cost, most)
			}
			y.lookIdle(b, now, calm)
		case b.Kind == "host":
			y.book(b)
		case b.Kind == "instance" && b.Until.IsZero() && b.Tags[cloud.TagPurpose] == cloud.PurposeScrub && calm && age > time.Hour:
			y.Errorf("%v: the scrub's machine %s is there for %v", now, b.ID, age)
		}
	}
	if now.Hour() == 12 {
		y.reconcile()
	}
	y.log.keep(1 << 16)
}

// lookIdle fails where a host is paid for that nobody uses and AWS would release.
func (y *year) lookIdle(b fakeec2.Bill, now time.Time, calm bool) {
	h, _ := y.cloud.Host(b.ID)
	if !calm || now.Sub(b.Since) < 24*time.Hour || h.State != cloud.HostAvailable || len(h.Instances) > 0 {
		delete(y.idle, b.ID)
		return
	}
	if y.idle[b.ID].IsZero() {
		y.idle[b.ID] = now
	}
	if since := now.Sub(y.idle[b.ID]); since > time.Hour {
		y.Errorf("%v: host %s of %v idles for %v, and is paid for", now, b.ID, b.Since, since)
	}
}

// book takes down a host that is gone.
func (y *year) book(b fakeec2.Bill) {
	if _, known := y.booked[b.ID]; known {
		return
	}
	y.booked[b.ID] = b
	y.costs += b.Cost
	if age := b.Until.Sub(b.Since); age < 24*time.Hour {
		y.Errorf("host %s was released after %v", b.ID, age)
	}
}

// reconcile adds up what the journal says of the hosts that went since: from its
// first to its last moment a host was paid for or pending, to the instant.
func (y *year) reconcile() {
	pending, since, over := map[string]time.Duration{}, map[string]time.Time{}, map[string]bool{}
	for _, e := range y.cloud.Journal() {
		if cloud.IsKind(e.Err, cloud.TooYoung) {
			y.Errorf("%v: hosts %v were to be released too early", e.At, e.IDs)
		}
		if len(e.IDs) == 0 {
			continue
		}
		id := e.IDs[0]
		switch e.Action {
		case "host " + cloud.HostPending:
			since[id] = e.At
		case "host " + cloud.HostAvailable, "host " + cloud.HostReleased:
			if at, was := since[id]; was {
				pending[id] += e.At.Sub(at)
				delete(since, id)
			}
			over[id] = e.Action == "host "+cloud.HostReleased
		}
	}
	for id, gone := range over {
		b, known := y.booked[id]
		if !gone || !known || time.Since(b.Since) > 3*24*time.Hour { // the journal may not go back so far
			continue
		}
		if all := b.Until.Sub(b.Since); all != b.Paid+pending[id] || math.Abs(b.Cost-b.Paid.Hours()*b.Rate) > 1e-9 {
			y.Errorf("host %s was there for %v, was paid for %v and pending for %v, and cost %.4f USD", id, all, b.Paid, pending[id], b.Cost)
		}
	}
}

// finish lets all end, and looks back.
func (y *year) finish() {
	y.jobs.Wait()
	for range 48 {
		time.Sleep(time.Hour)
		y.look(time.Now().UTC())
		y.sweep()
	}
	for _, b := range y.cloud.Billable() {
		y.Errorf("at the end %s %s of %v is left", b.Kind, b.ID, b.Tags)
	}
	if y.served != y.wanted || y.served < 25 {
		y.Errorf("%d of %d were served", y.served, y.wanted)
	}
	var paid, all time.Duration
	for _, b := range y.booked {
		paid += b.Paid
		all += b.Until.Sub(b.Since)
	}
	y.Logf("%d served after %v on average, on %d hosts, that were there for %.0f h and paid for %.0f h, %.2f USD; %d restarts, %d misfortunes",
		y.served, (y.wait / time.Duration(max(y.served, 1))).Round(time.Second), len(y.booked), all.Hours(), paid.Hours(), y.costs, y.restarts, y.bads)
	y.lookBack()
}

// lookBack fails where whole months differ in calls or memory.
func (y *year) lookBack() {
	whole := slices.DeleteFunc(y.months, func(m month) bool { return m.days < 28 })
	for _, m := range whole {
		perDay, first := m.calls/m.days, whole[0].calls/whole[0].days
		y.Logf("%-9s %5d calls a day, %3d MB", m.of, perDay, m.heap>>20)
		if perDay > first*5/4 || perDay < first*3/4 {
			y.Errorf("%d calls a day in %s, and %d in %s", perDay, m.of, first, whole[0].of)
		}
		if m.heap > whole[0].heap+16<<20 {
			y.Errorf("%d MB in use after %s, and %d after %s", m.heap>>20, m.of, whole[0].heap>>20, whole[0].of)
		}
	}
}
