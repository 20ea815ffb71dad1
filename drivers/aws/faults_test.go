package aws

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The tests of this file are named after faults that drivers of clouds have had,
// and that lose nothing at once: they hang, race, or promise one thing twice.
// Each fails where the fault is.

// wantAtOnce fails where something takes any time.
func wantAtOnce(t *testing.T, what string, do func()) {
	t.Helper()
	began := time.Now()
	do()
	if took := time.Since(began); took > 0 {
		t.Errorf("%s took %v", what, took)
	}
}

// TestFaultCapacityAfterAnError: a question without an answer kept the lock of
// the quotas, and every question after it waited for ever.
func TestFaultCapacityAfterAnError(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d := s.start(t)
		strange := definition(`{"image": "ci-linux-*", "instance_type": "z99.giant"}`)
		_, _ = d.Capacity(plain())
		time.Sleep(10 * time.Second)
		wantRoom(t, d, plain(), 500, "")
		heal := s.cloud.Inject(fakeec2.Fault{Action: "DescribeInstances", Times: -1, Err: cloud.NewError("InternalError", "again later")})
		for range 30 {
			var asking sync.WaitGroup
			for _, def := range []model.LabelDefinition{plain(), strange, onMac()} {
				for range 3 {
					asking.Go(func() { wantAtOnce(t, "Capacity", func() { _, _ = d.Capacity(def) }) })
				}
			}
			asking.Wait()
			time.Sleep(10 * time.Second)
		}
		wantRoom(t, d, plain(), 0, "does not answer")
		heal()
		time.Sleep(time.Minute)
		wantRoom(t, d, plain(), 500, "")
		wantRoom(t, d, strange, 0, "z99.giant")
	})
}

// TestFaultOneCallHoldsThePool: a release, the end of a scrub or a list that AWS
// did not answer held up the whole pool, whose lock was held meanwhile.
func TestFaultOneCallHoldsThePool(t *testing.T) {
	t.Parallel()
	for _, hangs := range []string{"ReleaseHosts", "TerminateInstances", "DescribeHosts"} {
		t.Run(hangs, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.withMacs(", scrubbing_delay: 10m")
				d := s.start(t)
				s.visit(t, d, "mac", "a")
				d = s.later(t, d, 22*time.Hour+30*time.Minute) // it is free again, and can be released in an hour
				time.Sleep(time.Minute)
				var asked atomic.Bool
				s.hookOf(func(_ context.Context, c fakeec2.Call) error {
					if c.Action == hangs {
						asked.Store(true)
					}
					return nil
				})
				heal := s.cloud.Inject(fakeec2.Fault{Action: hangs, Times: -1, Hang: true})
				eventually(t, 2*time.Hour, hangs+" hangs", asked.Load)
				began := time.Now()
				req := request("b", onMac())
				env := allocate(t, d, req)
				if took := time.Since(began); took > time.Minute {
					t.Errorf("a machine on another host took %v", took)
				}
				wantAtOnce(t, "Capacity", func() { _, _ = d.Capacity(onMac()) })
				wantAtOnce(t, "the list", func() { command[view.PoolList](t, d, view.Pools, `{}`) })
				wantAtOnce(t, "the order to drain", func() { command[view.Pool](t, d, view.Drain, `{"pool": "mac"}`) })
				heal()
				if err := d.Deallocate(within(t, time.Hour), refTo(req, env.Identifier)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestFaultReservedHostScrubbed: that a host is to be scrubbed was decided first
// and done later, when an application had been promised it. Here one comes in
// each half of the seconds around that moment, and AWS never has to refuse the one
// or the other.
func TestFaultReservedHostScrubbed(t *testing.T) {
	t.Parallel()
	idle := func(t *testing.T) (*site, *driver) {
		s := newSite(t)
		s.withMacs(", scrubbing_delay: 10m")
		d := s.start(t)
		s.visit(t, d, "mac", "a")
		s.cloud.SetLatency(fakeec2.Fixed(700 * time.Millisecond))
		return s, d
	}
	var due time.Duration // from the end of the first application to the scrub
	synctest.Test(t, func(t *testing.T) {
		s, _ := idle(t)
		began := time.Now()
		eventually(t, time.Hour, "the idle host is scrubbed", func() bool { made, _ := s.scrubs(t); return made > 0 })
		due = time.Since(began)
	})
	step := 500 * time.Millisecond
	if testing.Short() {
		step = 2 * time.Second
	}
	before, after := false, false
	for come := due - 8*time.Second; come <= due+time.Second; come += step {
		synctest.Test(t, func(t *testing.T) {
			s, d := idle(t)
			time.Sleep(come)
			req := request("b", onMac())
			env := allocate(t, d, req)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			if ending, err := d.Watch(ctx, refTo(req, env.Identifier)); err == nil {
				t.Errorf("of an application after %v the environment ended: %s", come, ending)
			}
			if _, refused := s.launches(); refused > 0 {
				t.Errorf("of an application after %v AWS refused %d launches: something was on the host", come, refused)
			}
			made, _ := s.scrubs(t)
			before, after = before || made == 0, after || made > 0
		})
	}
	if !before || !after {
		t.Errorf("it came before the scrub: %v, and after it: %v; want both", before, after)
	}
}

// TestFaultReservationLost: what was promised was forgotten with the next list of
// hosts, which did not show a launch that was on its way. Two were sent to one Mac.
func TestFaultReservationLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.cfg = "dedicated_pool: {mac: {type: mac2.metal, zone: eu-central-1a, max: 1}}\n"
		s.cloud.SetQuota("L-5D8DADF5", 1)
		d := s.start(t)
		var sent atomic.Int32
		s.hookOf(func(ctx context.Context, c fakeec2.Call) error {
			if c.Action == "RunInstances" && !c.After && sent.Add(1) == 1 {
				return loop.Sleep(ctx, 4*time.Minute)
			}
			return nil
		})
		var first drivers.Environment
		var launching sync.WaitGroup
		launching.Go(func() { first = allocate(t, d, request("a", onMac())) })
		time.Sleep(30 * time.Second)
		lists := s.cloud.Counts()["DescribeHosts"]
		if env, err := d.Allocate(within(t, 3*time.Minute), request("b", onMac())); err == nil {
			t.Errorf("%+v was launched on a host that is promised to another one", env)
		}
		if n := s.cloud.Counts()["DescribeHosts"] - lists; n < 3 {
			t.Errorf("%d lists came meanwhile: this tests nothing", n)
		}
		launching.Wait()
		if n, refused := s.launches(); n != 1 || refused > 0 || first.Identifier == "" {
			t.Errorf("%d launches, of which AWS refused %d, want 1", n, refused)
		}
	})
}

// TestFaultManyUseItAtOnce: lists of hosts were read while they were written, and
// two locks were taken in two orders. The race detector sees the first here, and
// a bubble in which all wait the other.
func TestFaultManyUseItAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.withMacs(", scrubbing_delay: 3m")
		s.cloud.SetLatency(fakeec2.Range{Max: 3 * time.Second})
		d := s.start(t)
		end := time.Now().Add(20 * time.Minute)
		if testing.Short() {
			end = time.Now().Add(5 * time.Minute)
		}
		var users sync.WaitGroup
		for i, def := range []model.LabelDefinition{plain(), onMac(), onMac(), onMac()} {
			users.Go(func() {
				for time.Now().Before(end) {
					req := request(fmt.Sprintf("%x", i), def)
					env, err := d.Allocate(within(t, 10*time.Minute), req)
					if err == nil {
						_, _ = d.Inspect(within(t, time.Minute), refTo(req, env.Identifier))
						time.Sleep(time.Minute)
					}
					if err := d.Deallocate(within(t, time.Hour), refTo(req, env.Identifier)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for _, look := range []func(){
			func() { _, _ = d.Capacity(plain()) }, func() { _, _ = d.Capacity(onMac()) },
			func() { _, _ = d.List(within(t, time.Minute)) }, func() { command[view.Account](t, d, view.Status, `{}`) },
			func() { command[view.PoolList](t, d, view.Pools, `{}`) }, func() { _ = d.Trouble() },
		} {
			users.Go(func() {
				for time.Now().Before(end) {
					look()
					time.Sleep(7 * time.Second)
				}
			})
		}
		users.Wait()
		s.wantNothing(t)
		if n := len(s.hostIDs()); n > 2 {
			t.Errorf("there are %d hosts, and there may be 2", n)
		}
	})
}

// TestFaultStartWithoutEnd: the start looked for something that AWS does not have
// until it was there, and what was begun had no end but its success.
func TestFaultStartWithoutEnd(t *testing.T) {
	t.Parallel()
	const pool = "dedicated_pool: {mac: {type: %s, zone: eu-central-1a, max: 1, scrubbing_delay: 10m}}\n"
	open := func(t *testing.T, s *site) error {
		o := &opener{accounts: s.accounts, dial: func(context.Context, cloud.Settings) (cloud.API, error) { return s.cloud, nil }}
		d, err := o.open(within(t, 2*time.Minute), s.config("aws", node))
		if err == nil {
			t.Cleanup(func() { _ = d.Close() })
		}
		return err
	}
	t.Run("of what AWS does not have", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			s.cfg = fmt.Sprintf(pool, "mac99.metal")
			began := time.Now()
			if err := open(t, s); err == nil || !strings.Contains(err.Error(), "eu-central-1 has no type mac99.metal") {
				t.Errorf("open() = %v", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v to say so", took)
			}
		})
	})
	for _, hangs := range []string{"GetCallerIdentity", "DescribeInstanceTypes", "*"} {
		t.Run("where "+hangs+" hangs", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.cfg = fmt.Sprintf(pool, "mac2.metal")
				s.cloud.Inject(fakeec2.Fault{Action: hangs, Times: -1, Hang: true})
				began := time.Now()
				if err := open(t, s); err == nil || time.Since(began) > 2*time.Minute {
					t.Errorf("open() = %v after %v", err, time.Since(began))
				}
			})
		})
	}
	t.Run("of a scrub that does not end", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			s.withMacs(", scrubbing_delay: 10m")
			d := s.open(t, "aws", node)
			s.visit(t, d, "mac", "a")
			s.cloud.Inject(fakeec2.Fault{Action: "TerminateInstances", Times: -1, Err: cloud.NewError("InternalError", "again later")})
			var asked atomic.Int32
			s.hookOf(func(_ context.Context, c fakeec2.Call) error {
				if c.Action == "TerminateInstances" && !c.After {
					asked.Add(1)
				}
				return nil
			})
			time.Sleep(time.Hour)
			if n := asked.Load(); n < 3 || n > 200 {
				t.Errorf("its end was asked for %d times in an hour", n)
			}
			s.cloud.Inject(fakeec2.Fault{Action: "*", Times: -1, Hang: true})
			time.Sleep(time.Minute)
			wantAtOnce(t, "Close", func() { _ = d.Close() })
		})
	})
}
