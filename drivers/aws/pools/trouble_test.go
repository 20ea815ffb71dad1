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
)

// lasts is how long a trouble of these tests does: longer than every pause.
const lasts = 3 * time.Hour

// asker asks for a host again and again, a minute each time, as a driver does.
type asker struct {
	*site
	mu   sync.Mutex
	last error
	host string
}

// asks begins to ask for a token's host; the end of the test ends it.
func (s *site) asks(p *Pools, token string) *asker {
	a := &asker{site: s}
	ctx, cancel := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	asking.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			short, end := context.WithTimeout(ctx, time.Minute)
			host, _, err := p.Reserve(short, "mac", token, nil)
			end()
			if took := time.Since(began); took > time.Minute {
				s.Errorf("Reserve took %v", took)
			}
			if a.heard(host, err) {
				return
			}
			rest(ctx, time.Second)
		}
	})
	s.Cleanup(func() {
		cancel()
		asking.Wait()
	})
	return a
}

func (a *asker) heard(host string, err error) (served bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.host, a.last = host, err
	return err == nil
}

// told is the host, and the last error.
func (a *asker) told() (host, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last != nil {
		why = a.last.Error()
	}
	return a.host, why
}

// always is a trouble that lasts until it is healed.
func (s *site) always(action, code string) (heal func()) {
	return s.cloud.Inject(fakeec2.Fault{Action: action, Times: -1, Err: cloud.NewError(code, "for a long time")})
}

// calls counts those of an action while something is done.
func (s *site) calls(action string, during func()) int {
	before := s.counted(action)
	during()
	return s.counted(action) - before
}

func (s *site) counted(action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[action]
}

// TestNoHostForLong: who waits for a host that AWS does not give is told why in
// time, AWS is not asked more often than that makes sense, a person hears of what
// only he can mend, and who waits is served soon after it is mended.
func TestNoHostForLong(t *testing.T) {
	for _, c := range []struct {
		name, why string
		begin     func(s *site) (heal func())
		most      int // requests for hosts in the time
		within    time.Duration
		alarm     bool
	}{
		{"throttled", "RequestLimitExceeded", func(s *site) func() { return s.always("AllocateHosts", "RequestLimitExceeded") }, 30, 11 * time.Minute, false},
		{"host limit", "exceeds your current limit of 0", func(s *site) func() {
			s.cloud.SetQuota(macsQuota, 0)
			return func() { s.cloud.SetQuota(macsQuota, 1) }
		}, 20, 11 * time.Minute, true},
		{"no capacity", "AWS has no capacity", func(s *site) func() {
			for _, zone := range s.zones {
				s.cloud.SetCapacity(zone, macs, fakeec2.Dedicated, 0)
			}
			return func() { s.cloud.SetCapacity("eu-central-1b", macs, fakeec2.Dedicated, 1) }
		}, 60, 8 * time.Minute, false},
		{"denied", "UnauthorizedOperation", func(s *site) func() { return s.always("AllocateHosts", "UnauthorizedOperation") }, 30, 11 * time.Minute, true},
		{"failing inside", "InternalError", func(s *site) func() { return s.always("AllocateHosts", "InternalError") }, 60, 6 * time.Minute, true},
		{"no answer", "it is not known what came of it", func(s *site) func() {
			return s.cloud.Inject(fakeec2.Fault{Action: "AllocateHosts", Times: -1, Hang: true})
		}, 60, 6 * time.Minute, true},
		{"lists throttled", "the hosts can not be listed: for a long time (RequestLimitExceeded)", func(s *site) func() { return s.always("DescribeHosts", "RequestLimitExceeded") }, 0, 2 * time.Minute, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, quick())
				heal := c.begin(s)
				a := s.asks(s.start(alpha, macPool()), token(1))
				n := s.calls("AllocateHosts", func() { time.Sleep(lasts) })
				host, why := a.told()
				if host != "" || !strings.Contains(why, c.why) {
					t.Errorf("got %q and heard %q, want %q", host, why, c.why)
				}
				if n > c.most || n < c.most/4 {
					t.Errorf("AWS was asked for a host %d times in %v, want %d at most, and not much less", n, lasts, c.most)
				}
				if said := strings.Count(s.log.String(), "a pool needs a look"); (said == 1) != c.alarm || said > 1 {
					t.Errorf("a person was told %d times", said)
				}
				heal()
				s.eventually(c.within, "who waits is served", func() bool { host, _ := a.told(); return host != "" })
				s.audit(1)
			})
		})
	}
}

// TestNextZone: a zone without capacity costs who waits no time.
func TestNextZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		s.cloud.SetCapacity("eu-central-1a", macs, fakeec2.Dedicated, 0)
		p := s.start(alpha, macPool())
		if _, zone := s.reserve(p, token(1), 15*time.Second); zone != "eu-central-1b" {
			t.Errorf("in %s", zone)
		}
	})
}

// TestNoReleaseForLong: a host that can not be released is tried now and then, a
// person hears of it where that is of use, and it goes when it can. Meanwhile it serves.
func TestNoReleaseForLong(t *testing.T) {
	for _, c := range []struct {
		name   string
		begin  func(s *site) (heal func())
		most   int
		within time.Duration
		alarm  string
	}{
		{"throttled", func(s *site) func() { return s.always("ReleaseHosts", "RequestLimitExceeded") }, 30, 11 * time.Minute, ""},
		{"denied", func(s *site) func() { return s.always("ReleaseHosts", "UnauthorizedOperation") }, 30, 11 * time.Minute, "it can not be released"},
		{"failing inside", func(s *site) func() { return s.always("ReleaseHosts", "InternalError") }, 45, 6 * time.Minute, ""},
		{"no answer", func(s *site) func() {
			return s.cloud.Inject(fakeec2.Fault{Action: "ReleaseHosts", Times: -1, Hang: true})
		}, 45, 8 * time.Minute, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, quick())
				heal := c.begin(s)
				p := s.start(alpha, macPool())
				host := s.idle(p)
				time.Sleep(24 * time.Hour)
				n := s.calls("ReleaseHosts", func() { time.Sleep(lasts) })
				if n > c.most || n < c.most/4 {
					t.Errorf("AWS was asked %d times in %v, want %d at most, and not much less", n, lasts, c.most)
				}
				if len(s.hosts()) != 1 || s.phase(p, host) == "" {
					t.Errorf("the hosts are %v", s.hosts())
				}
				if said := strings.Contains(s.log.String(), "a pool needs a look"); said != (c.alarm != "") {
					t.Errorf("a person was told: %v", said)
				}
				s.wantLog(c.alarm)
				heal()
				s.eventually(c.within, "it is released", func() bool { return len(s.hosts()) == 0 })
				s.eventually(70*time.Minute, "it is forgotten", func() bool { return s.phase(p, host) == "" })
			})
		})
	}
}

// TestServesMeanwhile: a host whose release is refused as a whole is given to who
// asks, and is not released under him.
func TestServesMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		heal := s.always("ReleaseHosts", "RequestLimitExceeded")
		p := s.start(alpha, macPool(func(p *Pool) { p.Max = 1 }))
		host := s.idle(p)
		time.Sleep(25 * time.Hour)
		got, zone := s.reserve(p, token(2), 2*time.Minute)
		id := s.launch(p, token(2), got, zone)
		heal()
		s.never(2*time.Hour, "it is released with a machine on it", func() bool { return got != host || len(s.machines("")) != 1 })
		s.end(p, token(2), id)
		s.eventually(2*time.Hour, "it is released", func() bool { return len(s.hosts()) == 0 })
	})
}

// TestNoScrubForLong: a scrub that can not be started or ended is tried again for
// as long as it takes; of one that may have a machine on the host there is never
// a second one, and nobody is given the host meanwhile.
func TestNoScrubForLong(t *testing.T) {
	for _, c := range []struct {
		name, action string
		fault        fakeec2.Fault
		machines     int // that there are meanwhile
		most         int
	}{
		{"start throttled", "RunInstances", fakeec2.Fault{Err: cloud.NewError("RequestLimitExceeded", "slow down")}, 0, 45},
		{"start without answer", "RunInstances", fakeec2.Fault{Done: true}, 1, 45},
		{"end throttled", "TerminateInstances", fakeec2.Fault{Err: cloud.NewError("RequestLimitExceeded", "slow down")}, 1, 45},
		{"end failing inside", "TerminateInstances", fakeec2.Fault{Err: cloud.NewError("InternalError", "an error")}, 1, 45},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, quick())
				c.fault.Action, c.fault.Times = c.action, -1
				heal := s.cloud.Inject(c.fault)
				p := s.start(alpha, scrubbing())
				host := s.idle(p)
				time.Sleep(2 * time.Minute)
				n := s.calls(c.action, func() {
					for range lasts / time.Minute {
						time.Sleep(time.Minute)
						if got := s.machines(""); len(got) != c.machines {
							t.Fatalf("the machines are %v, want %d", got, c.machines)
						}
					}
				})
				if n > c.most || n < c.most/4 {
					t.Errorf("AWS was asked %d times in %v, want %d at most, and not much less", n, lasts, c.most)
				}
				s.wantLog("it goes on trying")
				heal()
				s.eventually(6*time.Minute, "it is scrubbed", func() bool { return s.phase(p, host) == "scrubbing" && len(s.machines("")) == 0 })
				s.eventually(26*time.Hour, "it is released", func() bool { return len(s.hosts()) == 0 })
			})
		})
	}
}
