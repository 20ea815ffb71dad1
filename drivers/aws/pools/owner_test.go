package pools

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestTwoNodes: nodes that share a pool together never have more than its
// maximum, nor two machines on a host, and all are served in the end.
func TestTwoNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		s.cloud.SetLatency(fakeec2.Range{Max: 4 * time.Second})
		nodes := []*Pools{s.start(alpha, macPool()), s.start(beta, macPool())}
		time.Sleep(10 * time.Second)
		if n, err := nodes[1].Free("mac", nil); n != 2 || err != nil {
			t.Errorf("Free() at the other node = %d, %v, want 2", n, err)
		}
		var served sync.WaitGroup
		for i := range 6 {
			served.Go(func() {
				p, tok := nodes[i%2], token(i)
				ctx, cancel := context.WithTimeout(t.Context(), 12*time.Hour)
				defer cancel()
				host, zone, err := p.Reserve(ctx, "mac", tok, nil)
				if err != nil {
					t.Errorf("%d: %v", i, err)
					return
				}
				id := s.launch(p, tok, host, zone)
				time.Sleep(10 * time.Minute)
				s.audit(2)
				s.end(p, tok, id)
			})
		}
		served.Wait()
		a, b := nodes[0].Pools(t.Context())[0], nodes[1].Pools(t.Context())[0]
		if a.Owner != alpha.String() || b.Owner != a.Owner || len(a.Hosts) == 0 || len(a.Hosts) != len(b.Hosts) {
			t.Errorf("the owner shows %+v, the other %+v", a, b)
		}
		if v, err := nodes[1].Drain(t.Context(), "mac", false); err != nil || !v.Draining {
			t.Errorf("Drain() by the other = %+v, %v", v, err)
		}
		s.eventually(30*time.Hour, "all is released", func() bool { return len(s.hosts()) == 0 })
		s.audit(2)
	})
}

// TestOwnerAway: who can not reach the owner has no room, waits for it, and
// touches nothing.
func TestOwnerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		owner, other := s.start(alpha, macPool()), s.start(beta, macPool())
		host, zone := s.reserve(other, token(1), time.Minute)
		id := s.launch(other, token(1), host, zone)
		s.eventually(time.Minute, "there is room", func() bool { n, _ := other.Free("mac", nil); return n > 0 })
		s.change(func() { s.cut[alpha] = true })
		time.Sleep(roomFor + askRoomEvery)
		if n, err := other.Free("mac", nil); n != 0 || err == nil || !strings.Contains(err.Error(), "can not be reached") {
			t.Errorf("Free() = %d, %v, want none and why", n, err)
		}
		if v := other.Pools(t.Context())[0]; v.Owner != alpha.String() || v.Trouble == "" || v.Max != 2 {
			t.Errorf("it shows %+v", v)
		}
		owner.Close()
		s.change(func() { s.up[alpha] = nil })
		got := make(chan string)
		go func() {
			second, _, err := other.Reserve(t.Context(), "mac", token(2), nil)
			if err != nil {
				t.Error(err)
			}
			got <- second
		}()
		calls := s.cloud.Counts()
		time.Sleep(40 * time.Hour)
		for _, action := range []string{"AllocateHosts", "ReleaseHosts", "TerminateInstances", "RunInstances"} {
			if n := s.cloud.Counts()[action] - calls[action]; n > 0 {
				t.Errorf("%d times %s without the owner", n, action)
			}
		}
		if m := s.machines(""); len(m) != 1 || m[0] != id {
			t.Errorf("machines are %v", m)
		}
		s.change(func() { s.cut[alpha] = false })
		s.start(alpha, macPool())
		select {
		case second := <-got:
			if second == host {
				t.Errorf("%s is given out twice", host)
			}
		case <-time.After(time.Minute):
			t.Error("nothing was given out after the owner was back")
		}
		s.audit(2)
	})
}

// TestHandOver: who waits is served by the new owner, after all that the old one
// may have had under way; what it gave out stays given.
func TestHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		s.first = false
		a, b := s.start(alpha, macPool()), s.start(beta, macPool())
		if _, _, err := a.Reserve(within(t, time.Minute), "mac", token(1), nil); err == nil || !strings.Contains(err.Error(), "taken over lately") {
			t.Fatalf("Reserve() = %v, want to hear of the wait", err)
		}
		s.wantTrouble(a, "taken over lately")
		host, zone := s.reserve(a, token(1), 15*time.Minute)
		waits := make(chan [2]string)
		s.cloud.SetLatency(fakeec2.Fixed(30 * time.Second)) // the second host is on its way
		go func() {
			second, zone, err := b.Reserve(t.Context(), "mac", token(2), nil)
			if err != nil {
				t.Error(err)
			}
			waits <- [2]string{second, zone}
		}()
		time.Sleep(5 * time.Second)
		s.change(func() { s.owner = model.NilUID })
		time.Sleep(2 * time.Second)
		if n, err := a.Free("mac", nil); n != 0 || err == nil {
			t.Errorf("Free() of nobody's pool = %d, %v", n, err)
		}
		s.change(func() { s.owner = beta })
		took := time.Now()
		id := s.launch(a, token(1), host, zone) // late, as its node was slow
		given := <-waits
		second := given[0]
		s.launch(b, token(2), second, given[1])
		if wait := time.Since(took); second == host || wait < 9*time.Minute || wait > 15*time.Minute {
			t.Errorf("%s was given after %v, %s is in use", second, wait, host)
		}
		time.Sleep(20 * time.Minute)
		if got := s.phase(b, host); got != "busy" {
			t.Errorf("the host of the machine %s is %s", id, got)
		}
		s.audit(2)
		// Back and forth in a second, with somebody waiting: nobody is forgotten, nothing is given twice.
		for range 5 {
			s.change(func() { s.owner = alpha })
			time.Sleep(700 * time.Millisecond)
			s.change(func() { s.owner = beta })
			time.Sleep(700 * time.Millisecond)
		}
		s.end(a, token(1), id)
		if third, _ := s.reserve(a, token(3), 3*time.Hour); third == second {
			t.Errorf("%s is given twice", third)
		}
		s.audit(2)
	})
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func (s *site) wantTrouble(p *Pools, words string) {
	s.Helper()
	if v := p.Pools(s.Context())[0]; !strings.Contains(v.Trouble, words) {
		s.Errorf("it shows %q, want %q", v.Trouble, words)
	}
}

// TestFirstStart: of a pool that nobody ever had a host is given at once. Where
// there are hosts, somebody had it.
func TestFirstStart(t *testing.T) {
	for _, c := range []struct {
		name  string
		first bool
		there bool
		least time.Duration
	}{
		{"first", true, false, 0}, {"not known to be the first", false, false, 10 * time.Minute}, {"hosts are there", true, true, 10 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, quick())
				s.first = c.first
				if c.there {
					s.cloud.AddHost(fakeec2.HostSpec{Type: macs, Zone: s.zones[0], Tags: cloud.Tags{cloud.TagPool: "mac"}})
				}
				p, before := s.start(alpha, macPool()), time.Now()
				s.reserve(p, token(1), 20*time.Minute)
				if took := time.Since(before); took < c.least || took > c.least+time.Minute {
					t.Errorf("it took %v, want %v", took, c.least)
				}
			})
		})
	}
}

// TestOldFile: a node that was the owner once, and whose file says so, does not
// go on from there after another one was.
func TestOldFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		p := s.start(alpha, macPool())
		s.reserve(p, token(1), time.Minute)
		p.Close() // and so it never stores that it is not the owner any more
		s.change(func() { s.owner = beta })
		p = s.start(alpha, macPool())
		time.Sleep(5 * time.Second)
		s.change(func() { s.owner = alpha })
		before := time.Now()
		s.reserve(p, token(2), 20*time.Minute)
		if took := time.Since(before); took < 9*time.Minute {
			t.Errorf("a host was given %v after the pool was taken over", took)
		}
	})
}
