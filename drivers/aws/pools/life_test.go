package pools

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

// TestHostsLife: a host is allocated for who asks, serves, is wiped, settles,
// serves again, and is released when it is a day old.
func TestHostsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		p := s.start(alpha, macPool(func(p *Pool) { p.PendingToAvailable = 2 * time.Minute }))
		began := time.Now()
		host, zone := s.reserve(p, token(1), time.Minute)
		if zone != "eu-central-1a" || len(s.hosts()) != 1 {
			t.Fatalf("host %s in %s of %v, want one in the first zone", host, zone, s.hosts())
		}
		id := s.launch(p, token(1), host, zone)
		s.eventually(time.Minute, "it is busy", func() bool { return s.phase(p, host) == "busy" })
		if again, _ := s.reserve(p, token(1), time.Minute); again != host {
			t.Errorf("asked again it is %s, want %s", again, host)
		}
		time.Sleep(10 * time.Minute)
		s.end(p, token(1), id)
		s.eventually(5*time.Minute, "it is wiped", func() bool { return s.phase(p, host) == "scrubbing" })
		s.eventually(70*time.Minute, "it settles", func() bool { return s.phase(p, host) == "settling" })
		s.eventually(3*time.Minute, "it is free", func() bool { return s.phase(p, host) == "available" })
		second, zone := s.reserve(p, token(2), time.Minute)
		if second != host {
			t.Fatalf("the second one got %s, want the idle %s", second, host)
		}
		s.end(p, token(2), s.launch(p, token(2), host, zone))
		s.eventually(25*time.Hour, "it is released", func() bool { return len(s.hosts()) == 0 })
		if age := time.Since(began); age < 24*time.Hour || age > 24*time.Hour+10*time.Minute {
			t.Errorf("it was released after %v", age)
		}
		for _, e := range s.cloud.Journal() {
			if e.Action == "ReleaseHosts" && e.Err != nil {
				t.Errorf("a release at %v was refused: %v", e.At, e.Err)
			}
		}
		s.audit(1)
	})
}

// TestCostFromTheFirstMoment: a host that no list has yet costs what it costs, and
// so does one that the process before allocated.
func TestCostFromTheFirstMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		s.cloud.SetLag(fakeec2.Fixed(2 * time.Minute))
		time.Sleep(3 * time.Minute)
		p := s.start(alpha, macPool())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, _, _ = p.Reserve(ctx, "mac", token(1), nil) // it is not listed yet
		want := func(most time.Duration) {
			t.Helper()
			all := p.Pools(t.Context())[0].Hosts
			if len(all) != 1 || all[0].Cost == nil || *all[0].Cost > 0.65*most.Hours() || *all[0].Cost < 0.65*(most-3*time.Minute).Hours() {
				t.Errorf("the hosts are %+v, want one that costs as much as %v", all, most)
			}
		}
		want(2 * time.Minute)
		time.Sleep(2 * time.Hour)
		p.Close()
		s.cloud.Inject(fakeec2.Fault{Action: "DescribeHosts", Times: -1})
		p = s.start(alpha, macPool())
		time.Sleep(time.Minute)
		want(2*time.Hour + 3*time.Minute)
	})
}

// TestAbandoned: a host that was asked for by somebody who left comes back, and
// who asked before he left is not waited for.
func TestAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		s.cloud.SetLatency(fakeec2.Fixed(20 * time.Second))
		p := s.start(alpha, macPool(func(p *Pool) { p.Max = 1 }))
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second) // the request for a host is on its way
		defer cancel()
		if _, _, err := p.Reserve(ctx, "mac", token(1), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Reserve() = %v", err)
		}
		p.Released(t.Context(), "mac", token(1))
		host, _ := s.reserve(p, token(2), 3*time.Minute)
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, _, err := p.Reserve(ctx, "mac", token(3), nil)
		if err == nil || !strings.Contains(err.Error(), "it has 1 hosts, and may have 1 (1 reserved)") {
			t.Fatalf("the third one: %v, want why", err)
		}
		// The second is never heard of again: its host comes back, after all that may be under way.
		again, _ := s.reserve(p, token(4), 15*time.Minute)
		if again != host {
			t.Errorf("got %s, want %s", again, host)
		}
		s.audit(1)
	})
}

// TestTakenBack: who waits hears that his request was taken back.
func TestTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		p := s.start(alpha, macPool(func(p *Pool) { p.Max = 1 }))
		s.reserve(p, token(1), time.Minute)
		got := make(chan error, 1)
		go func() {
			_, _, err := p.Reserve(t.Context(), "mac", token(2), nil)
			got <- err
		}()
		time.Sleep(5 * time.Second)
		p.Released(t.Context(), "", token(2))
		select {
		case err := <-got:
			if err == nil || !strings.Contains(err.Error(), "taken back") {
				t.Errorf("Reserve() = %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("it waits on")
		}
	})
}

// TestCloseInTheMiddle: whatever is under way, Close ends everything, and who
// comes later is told.
func TestCloseInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		s.cloud.SetLatency(fakeec2.Fixed(10 * time.Second))
		p := s.start(alpha, macPool(func(p *Pool) { p.ScrubbingDelay = time.Minute }))
		var asking sync.WaitGroup
		for i := range 5 {
			asking.Go(func() {
				if _, _, err := p.Reserve(t.Context(), "mac", token(i), nil); err == nil && i > 1 {
					t.Errorf("%d got a host", i)
				}
			})
		}
		time.Sleep(12 * time.Second)
		p.Close()
		asking.Wait()
		before := time.Now()
		if _, _, err := p.Reserve(t.Context(), "mac", token(9), nil); !errors.Is(err, errClosing) {
			t.Errorf("Reserve() after Close = %v", err)
		}
		p.Released(t.Context(), "", token(9))
		p.Failed(t.Context(), "mac", token(9), errors.New("x"))
		if _, err := p.Drain(t.Context(), "mac", false); !errors.Is(err, drivers.ErrCommandRefused) {
			t.Errorf("Drain() after Close = %v", err)
		}
		if took := time.Since(before); took > 0 {
			t.Errorf("it took %v to be told", took)
		}
	})
}

// TestHostRefuses: a host that does not take the launch is left alone, and
// another one is given.
func TestHostRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		p := s.start(alpha, macPool())
		host, _ := s.reserve(p, token(1), time.Minute)
		p.Failed(t.Context(), "mac", token(1), cloud.NewError("InsufficientCapacityOnHost", "not now"))
		other, _ := s.reserve(p, token(1), time.Minute)
		if other == host {
			t.Errorf("got %s again", host)
		}
		p.Failed(t.Context(), "mac", token(1), errors.New("connection reset")) // nobody knows: it stays
		if same, _ := s.reserve(p, token(1), time.Minute); same != other {
			t.Errorf("got %s, want %s, on which something may be", same, other)
		}
	})
}

// TestDrain: a pool that is drained gives out nothing, lets who is there finish,
// and lets its hosts go; so it does after a restart.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		p := s.start(alpha, macPool())
		host, zone := s.reserve(p, token(1), time.Minute)
		id := s.launch(p, token(1), host, zone)
		v, err := p.Drain(t.Context(), "mac", false)
		if err != nil || !v.Draining || v.Capacity != 0 {
			t.Fatalf("Drain() = %+v, %v", v, err)
		}
		p.Close()
		p = s.start(alpha, macPool())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := p.Reserve(ctx, "mac", token(2), nil); err == nil || !strings.Contains(err.Error(), "drained") {
			t.Errorf("Reserve() = %v, want why not", err)
		}
		if n, err := p.Free("mac", nil); n != 0 || err == nil || !strings.Contains(err.Error(), "drained") {
			t.Errorf("Free() = %d, %v", n, err)
		}
		time.Sleep(30 * time.Hour)
		if got := s.machines(""); len(got) != 1 || got[0] != id {
			t.Fatalf("machines are %v, want %s", got, id)
		}
		s.end(p, token(1), id)
		s.eventually(3*time.Hour, "all is released", func() bool { return len(s.hosts()) == 0 })
		if _, err := p.Drain(t.Context(), "mac", true); err != nil {
			t.Fatal(err)
		}
		s.reserve(p, token(3), time.Minute)
		if _, err := p.Drain(t.Context(), "win", true); !errors.Is(err, drivers.ErrCommandArgument) {
			t.Errorf("Drain() of no pool = %v", err)
		}
	})
}

// TestDrainIsStored: who is told that a pool is drained relies on it, also after
// a restart.
func TestDrainIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		p := s.start(alpha, macPool())
		s.reserve(p, token(1), time.Minute)
		s.change(func() { s.full = true })
		if _, err := p.Drain(t.Context(), "mac", false); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("Drain() on a full disk = %v", err)
		}
		s.change(func() { s.full = false })
		if _, err := p.Drain(t.Context(), "mac", false); err != nil {
			t.Errorf("Drain() once there is room = %v", err)
		}
		p.Close()
		p = s.start(alpha, macPool())
		time.Sleep(time.Minute)
		if v := p.Pools(t.Context())[0]; !v.Draining {
			t.Errorf("after a restart it is %+v", v)
		}
	})
}
