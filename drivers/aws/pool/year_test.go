package pool

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// TestYear runs a pool through a leap year with its 29th of February, ends of
// months and the turn of the year: each month costs as many calls as the one
// before, and nothing piles up.
func TestYear(t *testing.T) {
	cfg := scrubbing()
	cfg.Max, cfg.PendingToAvailable, cfg.LookEvery, cfg.LookIdle = 6, time.Minute, time.Minute, 5*time.Minute
	months := 12
	if testing.Short() {
		months = 3
	}
	y := &year{pool: New(cfg, &Saved{Owned: true}), now: at("2027-12-31 12:00"), hosts: map[string]*yearHost{}}
	y.step(t, Own{Owner: true})
	end := time.Date(2028, time.Month(1+months), 2, 0, 0, 0, 0, time.UTC)
	var calls []int
	var heap []uint64
	month := y.now.Month()
	for y.now.Before(end) {
		y.advance(t)
		if y.now.Month() == month {
			continue
		}
		month = y.now.Month()
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		calls, heap = append(calls, y.calls), append(heap, m.HeapAlloc)
		y.calls = 0
	}
	calls, heap = calls[1:], heap[1:] // the first ones began before the month
	t.Logf("calls by month %v, grants %d, heap %v", calls, y.grants, heap)
	for i := range calls {
		days := time.Date(2028, time.Month(i+2), 0, 0, 0, 0, 0, time.UTC).Day()
		if perDay := calls[i] / days; perDay > calls[0]*11/10/31 || perDay < calls[0]*9/10/31 {
			t.Errorf("%d calls a day in month %d, and %d in January", perDay, i+1, calls[0]/31)
		}
		if heap[i] > heap[0]+1<<20 {
			t.Errorf("%d bytes in use after month %d, %d after the first", heap[i], i+1, heap[0])
		}
	}
	if y.grants < 300*months {
		t.Errorf("%d grants in %d months", y.grants, months)
	}
	if a := y.pool.Accounting(); a.Ghosts > 50 || len(y.pool.ghosts) > 50 || len(y.pool.timers) > cfg.Max {
		t.Errorf("remembered at the end: %+v, %d ghosts", a, len(y.pool.ghosts))
	}
}

// year is a world without misfortunes: work comes every two hours.
type year struct {
	pool   *State
	now    time.Time
	hosts  map[string]*yearHost
	made   int
	asked  time.Time
	calls  int
	grants int
	pace   int
}

type yearHost struct {
	cloud.Host
	until time.Time // busy or pending
}

func (y *year) advance(t *testing.T) {
	next := y.now.Add(10 * time.Minute)
	if tick := y.pool.Next(); tick.Before(next) {
		next = tick
	}
	y.now = next
	for _, h := range y.hosts {
		if h.until.IsZero() || h.until.After(y.now) {
			continue
		}
		h.until = time.Time{}
		if h.State == cloud.HostAvailable {
			y.scrub(h)
		} else {
			h.State, h.Free = cloud.HostAvailable, 1
		}
	}
	y.step(t, Tick{})
	if y.now.Sub(y.asked) >= 2*time.Hour {
		y.asked = y.now
		for range 1 + y.pace%3 {
			y.pace++
			y.step(t, Want{Token: fmt.Sprint("t", y.pace), Until: y.now.Add(time.Hour)})
		}
	}
}

func (y *year) scrub(h *yearHost) {
	h.State, h.Instances, h.Free, h.until = cloud.HostPending, nil, 0, y.now.Add(90*time.Minute)
}

func (y *year) step(t *testing.T, e Event) {
	for _, a := range y.pool.Step(y.now, e) {
		y.calls++
		switch a := a.(type) {
		case Describe:
			var hosts []cloud.Host
			for _, h := range y.hosts {
				hosts = append(hosts, h.Host)
			}
			y.step(t, Described{Action: a.ID, Hosts: hosts})
		case AllocateHost:
			y.made++
			id := fmt.Sprint("h-", y.made)
			y.hosts[id] = &yearHost{Host: cloud.Host{
				ID: id, Type: a.Type, Zone: a.Zone, State: cloud.HostAvailable, AllocationTime: y.now, Free: 1, ClientToken: a.ClientToken,
			}}
			y.step(t, Allocated{Action: a.ID, Host: id})
		case ReleaseHosts:
			for _, id := range a.Hosts {
				if age := y.now.Sub(y.hosts[id].AllocationTime); age < MacMinAge {
					t.Fatalf("%s is released after %v", id, age)
				}
				delete(y.hosts, id)
			}
			y.step(t, Released{Action: a.ID, Released: a.Hosts})
		case StartScrub:
			y.step(t, ScrubStarted{Action: a.ID, Instance: "i-" + a.Host})
		case EndScrub:
			y.scrub(y.hosts[a.Host])
			y.step(t, ScrubEnded{Action: a.ID})
		case Grant:
			y.calls--
			y.grants++
			h := y.hosts[a.Host]
			h.Instances, h.Free, h.until = []string{"i-" + a.Token}, 0, y.now.Add(time.Duration(20+y.pace%100)*time.Minute)
			y.step(t, Launched{Token: a.Token, Instance: "i-" + a.Token})
		case Refuse:
			y.calls--
		case Alarm:
			t.Fatalf("%v: %+v", y.now, a)
		}
	}
}
