package pools

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// TestBudget: 500 hosts in five pools, which all idle at first, with the account's
// own questions and 20 machines that come and go every minute, ask AWS for less
// than half of what it refills of each action, in every minute but the first of a
// burst. Nothing is throttled, and nothing gives up as too much waits for its turn.
func TestBudget(t *testing.T) {
	t.Parallel()
	lasts := 24 * time.Minute
	switch {
	case testing.Short():
		lasts = 20 * time.Minute
	case needs.Long():
		lasts = 3 * time.Hour
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t)
		ran := int((lasts - newFor).Minutes()) * 18
		b.load(lasts)
		lasts := time.Since(b.began)
		for action, minutes := range b.minutes() {
			all, most := 0, 0
			for _, n := range minutes {
				all += n
				most = max(most, n)
			}
			mean, half := float64(all)/lasts.Minutes(), 30*cloud.LimitOf(action).PerSecond
			t.Logf("%-32s %6.1f a minute, %4d at most, of %.0f", action, mean, most, half)
			if mean > half/2 || float64(most) > half+float64(cloud.LimitOf(action).Burst)/2 {
				t.Errorf("%s: %.1f a minute, %d at most, want half of %.0f, and that with a burst at most", action, mean, most, half)
			}
		}
		if len(b.refused) > 0 {
			t.Errorf("refused: %v", b.refused)
		}
		t.Logf("%d machines ran; %d scrubs; the longest wait for a turn was %v", b.ran, b.counted("TerminateInstances")-b.ran, b.longest)
		if b.longest > 30*time.Second {
			t.Errorf("a call waited %v for its turn", b.longest)
		}
		if scrubs := b.counted("RunInstances") - b.ran; b.ran < ran || scrubs < 250 {
			t.Errorf("only %d machines ran, and %d were launched: this tested little", b.ran, b.counted("RunInstances"))
		}
	})
}

// newFor is how long the pools do nothing, as they are new to the node.
const newFor = 11 * time.Minute

// budget is 500 hosts.
type budget struct {
	*site
	node  *Pools
	began time.Time
	like  map[string]cloud.Launch // what machines are launched like, by zone

	guard   sync.Mutex
	calls   map[string]map[int]int // by action and minute
	refused map[string]int
	longest time.Duration
	ran     int
	gates   map[string]*rate.Limiter
}

func newBudget(t *testing.T) *budget {
	s := newSite(t, fakeec2.Options{Seed: 3})
	b := &budget{site: s, like: s.likes(), calls: map[string]map[int]int{}, refused: map[string]int{}, gates: map[string]*rate.Limiter{}}
	s.cloud.SetQuota(macsQuota, 1000)
	s.cloud.SetLatency(fakeec2.Range{Min: 100 * time.Millisecond, Max: 900 * time.Millisecond})
	random := rand.New(rand.NewPCG(1, 2))
	var five []Pool
	for i := range 5 {
		name := fmt.Sprint("mac-", i)
		five = append(five, macPool(func(p *Pool) {
			p.Name, p.Thing, p.Max, p.ScrubbingDelay = name, "aws/eu-central-1/"+name, 200, 5*time.Minute
		}))
		for n := range 100 {
			s.cloud.AddHost(fakeec2.HostSpec{Type: macs, Zone: s.zones[n%2], Age: time.Duration(random.Int64N(int64(25 * time.Hour))),
				Tags: cloud.Tags{cloud.TagPool: name, cloud.TagNode: alpha.String(), cloud.TagInstance: "aws"}})
		}
	}
	m := s.member(alpha, account.Brakes{}, &account.Accounts{})
	opts := s.options(alpha, five...)
	opts.Purse = paid{m}
	opts.API = b.gate(opts.API)
	s.change(func() { s.hook = b.count })
	b.began = time.Now()
	b.node = s.startWith(opts)
	return b
}

// load has machines come and go.
func (b *budget) load(lasts time.Duration) {
	random := rand.New(rand.NewPCG(3, 4))
	time.Sleep(newFor)
	ctx, cancel := context.WithTimeout(b.Context(), lasts-newFor)
	defer cancel()
	var jobs sync.WaitGroup
	for n := 0; rest(ctx, 3*time.Second); n++ {
		lasts := 5*time.Minute + time.Duration(random.Int64N(int64(20*time.Minute)))
		jobs.Go(func() { b.job(ctx, fmt.Sprint("mac-", n%5), token(n), lasts) })
	}
	jobs.Wait()
}

func (b *budget) job(ctx context.Context, name, token string, lasts time.Duration) {
	host, zone, err := b.node.Reserve(ctx, name, token, nil)
	if err != nil {
		if ctx.Err() == nil {
			b.Errorf("Reserve: %v", err)
		}
		return
	}
	api := b.gate(b.cloud.As(alpha.String()))
	inst, err := api.RunInstance(b.Context(), on(b.like[zone], token, host))
	if err != nil {
		b.node.Failed(b.Context(), name, token, err)
		return
	}
	b.node.Launched(b.Context(), name, token, inst.ID)
	b.guard.Lock()
	b.ran++
	b.guard.Unlock()
	rest(b.Context(), lasts)
	if err := api.TerminateInstances(b.Context(), []string{inst.ID}); err != nil {
		b.Errorf("terminate: %v", err)
	}
	b.node.Released(b.Context(), name, token)
}

// count counts the calls of the node, and what AWS refuses as too much.
func (b *budget) count(_ context.Context, c fakeec2.Call) error {
	b.guard.Lock()
	defer b.guard.Unlock()
	switch {
	case c.Who == "":
	case !c.After:
		minute := int(time.Since(b.began) / time.Minute)
		if b.calls[c.Action] == nil {
			b.calls[c.Action] = map[int]int{}
		}
		b.calls[c.Action][minute]++
	case cloud.IsKind(c.Err, cloud.Throttled):
		b.refused[c.Action+" by AWS"]++
	}
	return nil
}

func (b *budget) minutes() map[string]map[int]int {
	b.guard.Lock()
	defer b.guard.Unlock()
	return b.calls
}

// gated is an API before which calls that change something wait for their turn,
// at half of AWS's rate, as those of the real one do.
type gated struct {
	cloud.API
	b *budget
}

func (b *budget) gate(api cloud.API) cloud.API { return &gated{api, b} }

func (g *gated) turn(ctx context.Context, action string) error {
	began := time.Now()
	g.b.guard.Lock()
	l := g.b.gates[action]
	if l == nil {
		limit := cloud.LimitOf(action)
		l = rate.NewLimiter(rate.Limit(limit.PerSecond/2), limit.Burst/2)
		g.b.gates[action] = l
	}
	g.b.guard.Unlock()
	err := l.Wait(ctx)
	g.b.guard.Lock()
	defer g.b.guard.Unlock()
	g.b.longest = max(g.b.longest, time.Since(began))
	if err != nil && ctx.Err() == nil {
		g.b.refused[action+" before it was sent"]++
		return cloud.NotSent(err)
	}
	return err
}

// RunInstance implements cloud.API.
func (g *gated) RunInstance(ctx context.Context, l cloud.Launch) (cloud.Instance, error) {
	if err := g.turn(ctx, "RunInstances"); err != nil {
		return cloud.Instance{}, err
	}
	return g.API.RunInstance(ctx, l)
}

// TerminateInstances implements cloud.API.
func (g *gated) TerminateInstances(ctx context.Context, ids []string) error {
	if err := g.turn(ctx, "TerminateInstances"); err != nil {
		return err
	}
	return g.API.TerminateInstances(ctx, ids)
}

// AllocateHost implements cloud.API.
func (g *gated) AllocateHost(ctx context.Context, r cloud.HostRequest) (string, error) {
	if err := g.turn(ctx, "AllocateHosts"); err != nil {
		return "", err
	}
	return g.API.AllocateHost(ctx, r)
}

// ReleaseHosts implements cloud.API.
func (g *gated) ReleaseHosts(ctx context.Context, ids []string) ([]string, map[string]*cloud.Error, error) {
	if err := g.turn(ctx, "ReleaseHosts"); err != nil {
		return nil, nil, err
	}
	return g.API.ReleaseHosts(ctx, ids)
}
