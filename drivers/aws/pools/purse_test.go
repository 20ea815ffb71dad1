package pools

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// paid is a purse with the brakes of a real account.
type paid struct{ *account.Member }

func (p paid) Reserve(token, typ string) error { return p.Member.Reserve(hostNeed(token, typ)) }
func (p paid) Assume(token, typ string)        { p.Member.Assume(hostNeed(token, typ)) }
func (p paid) Failed(token, typ, zone string, err error) {
	p.Member.Failed(hostNeed(token, typ), zone, err)
}
func (p paid) Left(typ string) (n int, why string) { return p.HostsLeft(typ) }

func hostNeed(token, typ string) account.Need {
	return account.Need{Token: token, Type: typ, Host: true}
}

// member is a node in the account, as its driver is.
func (s *site) member(node model.UID, brakes account.Brakes, all *account.Accounts) *account.Member {
	s.Helper()
	m, err := all.Join(s.Context(), account.Options{
		Settings: cloud.Settings{Region: "eu-central-1"}, NodeUID: node.String(), Instance: "aws", Brakes: brakes, Pools: []string{"mac"},
		Dial:     func(context.Context, cloud.Settings) (cloud.API, error) { return s.cloud.As(node.String()), nil },
		DryPause: 7 * time.Minute, Logger: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(m.Close)
	if err := m.Fresh(s.Context(), time.Now()); err != nil {
		s.Fatal(err)
	}
	return m
}

// costing is a table in which a host costs a dollar an hour.
func costing(t *testing.T) price.Table {
	t.Helper()
	prices, err := price.New(map[string]float64{macs: 1})
	if err != nil {
		t.Fatal(err)
	}
	return prices
}

// TestPurseNeverShort: what may be paid for is on the bill at every moment, also
// while only AWS knows of it: after a lost reply, whatever the next try of the
// same request is answered with, and after a kill. So a brake for one host lets
// no second one through.
func TestPurseNeverShort(t *testing.T) {
	throttled := cloud.NewError("RequestLimitExceeded", "slow down")
	for _, c := range []struct {
		name string
		next []fakeec2.Fault // of the tries after that whose reply was lost
		kill bool
	}{
		{name: "repeated"},
		{name: "throttled", next: []fakeec2.Fault{{Action: "AllocateHosts", Times: 3, Err: throttled}}},
		{name: "refused", next: []fakeec2.Fault{{Action: "AllocateHosts", Times: 3, Err: cloud.NewError("InsufficientHostCapacity", "none")}}},
		{name: "mismatch", next: []fakeec2.Fault{{Action: "AllocateHosts", Err: cloud.NewError("IdempotentParameterMismatch", "other")}}},
		{name: "unreachable", next: []fakeec2.Fault{{Action: "AllocateHosts", Times: 3}}},
		{name: "killed", kill: true},
		{name: "killed and throttled", kill: true, next: []fakeec2.Fault{{Action: "AllocateHosts", Times: 3, Err: throttled}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, quick())
				s.cloud.SetLag(fakeec2.Fixed(4 * time.Minute))
				time.Sleep(5 * time.Minute) // the account itself is older than lists lag
				brakes := account.Brakes{MaxHourlyCost: 1.5, Prices: costing(t)}
				all := &account.Accounts{}
				m := s.member(alpha, brakes, all)
				opts := s.options(alpha, macPool())
				opts.Purse = paid{m}
				p := s.startWith(opts)
				s.cloud.Inject(fakeec2.Fault{Action: "AllocateHosts", Done: true})
				for _, f := range c.next {
					s.cloud.Inject(f)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ask := func(n int) { go func() { _, _, _ = p.Reserve(ctx, "mac", token(n), nil) }() } // one of them may get the host
				ask(1)
				s.eventually(time.Minute, "the host is allocated", func() bool { return len(s.hosts()) == 1 })
				if c.kill {
					p.Close()
					m.Close()
					m = s.member(alpha, brakes, all)
					opts.Purse = paid{m}
					p = s.startWith(opts)
					ask(1)
				}
				more := time.AfterFunc(2*time.Minute, func() { ask(2) })
				defer more.Stop()
				s.never(2*time.Hour, "there is more than the bill says", func() bool {
					return m.Bill().Hourly < float64(len(s.hosts())) || len(s.hosts()) > 1
				})
			})
		})
	}
}

// TestPurseGivesBack: what a brake held up is allocated when there is money
// again, and the reason is told meanwhile.
func TestPurseGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		m := s.member(alpha, account.Brakes{MaxHourlyCost: 1.5, Prices: costing(t)}, &account.Accounts{})
		opts := s.options(alpha, macPool())
		opts.Purse = paid{m}
		p := s.startWith(opts)
		s.reserve(p, token(1), time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := p.Reserve(ctx, "mac", token(2), nil); err == nil || !strings.Contains(err.Error(), "max_hourly_cost is 1.50 USD, and 1.00 are used") {
			t.Errorf("Reserve() = %v, want the brake's reason", err)
		}
		s.wantLog("no host can be allocated", "max_hourly_cost")
		p.Released(t.Context(), "mac", token(1))
		s.eventually(25*time.Hour, "the first one is released", func() bool { return len(s.hosts()) == 0 })
		s.eventually(30*time.Minute, "it is off the bill", func() bool { return m.Bill().Hourly == 0 })
		s.reserve(p, token(3), 15*time.Minute)
		if got := m.Bill(); got.Hourly != 1 {
			t.Errorf("the bill is %+v, want one host", got)
		}
	})
}

// TestQuotaIsNoRoom: what the account's quota refuses is offered to nobody, so
// that who asks goes elsewhere or waits unassigned; hosts that are there count.
func TestQuotaIsNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		s.cloud.SetQuota(macsQuota, 0)
		m := s.member(alpha, account.Brakes{}, &account.Accounts{})
		opts := s.options(alpha, macPool(func(p *Pool) { p.Max = 3 }))
		opts.Purse = paid{m}
		p := s.startWith(opts)
		time.Sleep(time.Minute)
		const why = "quota L-5D8DADF5: 0 of 0 hosts of mac2.metal are used; AWS raises it in Service Quotas"
		if n, err := p.Free("mac", nil); n != 0 || err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("Free() = %d, %v, want 0: %s", n, err, why)
		}
		free := func(want int) func() bool {
			return func() bool { n, err := p.Free("mac", nil); return n == want && err == nil }
		}
		s.cloud.SetQuota(macsQuota, 1)
		s.eventually(time.Hour, "the one host of the quota is offered", free(1))
		s.reserve(p, token(1), time.Minute)
		s.eventually(time.Minute, "there is none left", func() bool { n, err := p.Free("mac", nil); return n == 0 && err != nil })
		p.Released(t.Context(), "mac", token(1))
		s.eventually(10*time.Minute, "the host that is there is offered", free(1))
		s.cloud.SetQuota(macsQuota, 5)
		s.eventually(time.Hour, "the pool's own maximum counts", free(3))
	})
}
