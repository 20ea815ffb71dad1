package aws

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

// A host is the dearest thing that can be forgotten. The tests of this file are
// named after the ways in which hosts were, or were bought needlessly.

// visit is an application on a Mac that comes, stays until lists show it, and
// goes; the host that it was on.
func (s *site) visit(t testing.TB, d *driver, pool, token string) (host string) {
	t.Helper()
	req := request(token, definition(`{"image": "ci-mac-*", "pool": "`+pool+`"}`))
	env := allocate(t, d, req)
	host = s.machine(t, env.Identifier).HostID
	time.Sleep(time.Minute)
	if err := d.Deallocate(within(t, time.Hour), refTo(req, env.Identifier)); err != nil {
		t.Fatalf("Deallocate() of %s = %v", token, err)
	}
	return host
}

// later is the next process, a while after the end of the one before. Nobody has
// to look at anything meanwhile, which saves the test most of a host's day.
func (s *site) later(t testing.TB, d *driver, while time.Duration) *driver {
	t.Helper()
	_ = d.Close()
	time.Sleep(while)
	return s.start(t)
}

// bought are all hosts that there ever were.
func (s *site) bought() (hosts []fakeec2.Bill) {
	for _, b := range s.cloud.Bills() {
		if b.Kind == "host" {
			hosts = append(hosts, b)
		}
	}
	return hosts
}

// wantDays fails where a host is still there after its day, or was AWS asked to
// release it before.
func (s *site) wantDays(t testing.TB, hosts int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Hour); len(s.hostIDs()) > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Minute)
	}
	born := map[string]time.Time{}
	for _, b := range s.bought() {
		born[b.ID] = b.Since
		if age := b.Until.Sub(b.Since); b.Until.IsZero() || age < 24*time.Hour || age > 25*time.Hour {
			t.Errorf("host %s is from %v to %v, want a day", b.ID, b.Since, b.Until)
		}
	}
	if len(born) != hosts {
		t.Errorf("%d hosts were bought, want %d", len(born), hosts)
	}
	for _, e := range s.cloud.Journal() {
		for _, id := range e.IDs {
			if e.Action == "ReleaseHosts" && e.At.Sub(born[id]) < 24*time.Hour {
				t.Errorf("AWS was asked to release %s after %v", id, e.At.Sub(born[id]))
			}
		}
	}
}

// TestLeakOfADelayThatIsNotConfigured: the default of the delay was lost, so
// each idle Mac was too old for its pool at once, which then bought another one.
func TestLeakOfADelayThatIsNotConfigured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.cloud.SetQuota("L-5D8DADF5", 10)
		s.cfg = "dedicated_pool: {one: {type: mac2.metal, zone: eu-central-1a, max: 3}, two: {type: mac2.metal, zone: eu-central-1b, max: 3}}\n"
		d := s.open(t, "aws", node)
		for pool, tokens := range map[string][2]string{"one": {"a", "b"}, "two": {"c", "d"}} {
			first := s.visit(t, d, pool, tokens[0])
			time.Sleep(2 * time.Hour)
			if again := s.visit(t, d, pool, tokens[1]); again != first {
				t.Errorf("pool %s has %s idle, and bought %s", pool, first, again)
			}
		}
		s.later(t, d, 19*time.Hour)
		s.wantDays(t, 2)
	})
}

// refusing is EC2 that refuses to release any host, as it does for hours, and
// says so of each host in an answer that is no error.
type refusing struct {
	cloud.API
	off   *atomic.Bool
	asked *atomic.Int32
}

func (r refusing) ReleaseHosts(ctx context.Context, ids []string) ([]string, map[string]*cloud.Error, error) {
	if r.off.Load() {
		return r.API.ReleaseHosts(ctx, ids)
	}
	refused := map[string]*cloud.Error{}
	for _, id := range ids {
		r.asked.Add(1)
		refused[id] = cloud.NewError("Client.InvalidHost.Occupied", "Dedicated host '%s' cannot be released as it is occupied", id)
	}
	return nil, refused, nil
}

// TestLeakOfARefusedRelease: hosts that AWS refused to release were struck off
// the list all the same: paid for on, of no use, and not counted.
func TestLeakOfARefusedRelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		var off atomic.Bool
		var asked atomic.Int32
		s.wrap = func(api cloud.API) cloud.API { return refusing{api, &off, &asked} }
		s.withMacs("")
		d := s.open(t, "aws", node)
		one, two := allocate(t, d, request("a", onMac())), allocate(t, d, request("b", onMac()))
		d = s.later(t, d, 25*time.Hour)
		for name, env := range map[string]string{"a": one.Identifier, "b": two.Identifier} {
			if err := d.Deallocate(within(t, time.Hour), refTo(request(name, onMac()), env)); err != nil {
				t.Fatal(err)
			}
		}
		for range 6 {
			time.Sleep(time.Hour)
			if list := command[view.PoolList](t, d, view.Pools, `{}`); list.Pools[0].Total != 2 || list.Pools[0].Paid != 2 {
				t.Fatalf("the pool counts %d hosts, of which %d cost, want 2", list.Pools[0].Total, list.Pools[0].Paid)
			}
		}
		if n := asked.Load(); n < 12 || n > 200 {
			t.Errorf("a release was asked for %d times in 6 hours", n)
		}
		s.visit(t, d, "mac", "c")
		if n := len(s.bought()); n != 2 {
			t.Errorf("%d hosts were bought, want the 2 that nobody takes back to serve", n)
		}
		off.Store(true)
		eventually(t, 2*time.Hour, "both are released", func() bool { return len(s.hostIDs()) == 0 })
	})
}

// TestLeakOfAChangedPool: hosts were found by the type and the zones of their
// pool's configuration. After a change of it nobody had the old ones.
func TestLeakOfAChangedPool(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]string{
		"type":    "dedicated_pool: {mac: {type: mac2-m2.metal, zone: eu-central-1a, max: 2}}\n",
		"zone":    "dedicated_pool: {mac: {type: mac2.metal, zone: eu-central-1c, max: 2}}\n",
		"name":    "orphan_hosts: release\ndedicated_pool: {new: {type: mac2.metal, zone: eu-central-1a, max: 2}}\n",
		"removed": "orphan_hosts: release\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.withMacs("")
				d := s.open(t, "aws", node)
				s.visit(t, d, "mac", "a")
				s.cfg = cfg
				s.later(t, d, 22*time.Hour)
				s.wantDays(t, 1)
			})
		})
	}
	t.Run("removed, and to be told", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			s.withMacs("")
			d := s.open(t, "aws", node)
			host := s.visit(t, d, "mac", "a")
			s.cfg = ""
			d = s.later(t, d, 25*time.Hour)
			time.Sleep(time.Hour)
			if !strings.Contains(s.log.String(), "there are hosts of a pool that is not configured any more") {
				t.Error("nobody is told")
			}
			listed := command[view.Account](t, d, view.Status, `{}`).Things
			if len(listed) != 1 || listed[0].ID != host || len(s.hostIDs()) != 1 {
				t.Errorf("listed are %+v, want %s", listed, host)
			}
		})
	})
}

// TestLeakOfManyLaunchesAtOnce: however many ask at once, there are never more
// hosts than there may be, and never two machines on one.
func TestLeakOfManyLaunchesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.withMacs("")
		s.cloud.SetLatency(fakeec2.Range{Max: 10 * time.Second})
		d := s.start(t)
		var served atomic.Int32
		for _, name := range strings.Split("abcdef", "") {
			go func() {
				_, err := d.Allocate(within(t, 20*time.Minute), request(name, onMac()))
				if err == nil {
					served.Add(1)
				} else if !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "may have 2") {
					t.Errorf("%s: %v", name, err)
				}
			}()
		}
		for range 20 * 60 {
			time.Sleep(time.Second)
			if n := len(s.hostIDs()); n > 2 {
				t.Fatalf("%d hosts, and there may be 2", n)
			}
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		if n := served.Load(); n != 2 {
			t.Errorf("%d have a machine, want 2", n)
		}
		if n := s.cloud.Counts()["AllocateHosts"]; n > 4 {
			t.Errorf("%d requests for hosts", n)
		}
	})
}

// TestLeakOfATypeNamedOtherwise: what a Mac is, its architecture says, and not
// its name; it lives a day whatever is configured.
func TestLeakOfATypeNamedOtherwise(t *testing.T) {
	t.Parallel()
	hour, one := time.Hour, 1
	if c := poolConfig("m5", "x", poolSettings{Type: "m5.metal", ReleaseDelay: &hour, ScrubbingDelay: &hour, Max: &one}, false); c.MinAge != time.Hour || c.ScrubbingDelay != 0 {
		t.Errorf("what is no Mac, and so never scrubbed, is released after %v and scrubbed after %v", c.MinAge, c.ScrubbingDelay)
	}
	if c := poolConfig("m4", "x", poolSettings{Type: "mac-m4.metal", ReleaseDelay: &hour, Max: &one}, true); c.MinAge != pool.MacMinAge {
		t.Errorf("released after %v", c.MinAge)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.cloud.SetQuota("L-2CBA8B92", 1)
		s.cfg = "dedicated_pool: {mac: {type: mac-m4.metal, zone: eu-central-1a, max: 1, release_delay: 0s}}\n"
		d := s.open(t, "aws", node)
		s.visit(t, d, "mac", "a")
		time.Sleep(time.Hour)
		s.later(t, d, 22*time.Hour)
		s.wantDays(t, 1)
	})
}
