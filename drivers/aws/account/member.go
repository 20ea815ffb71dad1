package account

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Member is a driver instance in its account. Its methods are called from many
// goroutines at once; those without a context answer from memory.
type Member struct {
	*Account
	instance string
	brakes   Brakes
	dryPause time.Duration
	pools    []string // whose hosts it pays for
	hasRoom  func()
	leave    func()
	once     sync.Once
}

// Close ends the membership. The last one waits until nothing is asked any more.
func (m *Member) Close() { m.once.Do(m.leave) }

func (a *Account) join(m *Member) {
	a.change(func(*facts) { a.members[m] = struct{}{} })
	if len(m.pools) > 0 {
		a.mu.Lock()
		a.hosts.wants(time.Now())
		a.mu.Unlock()
	}
}

func (a *Account) part(m *Member) {
	a.change(func(*facts) { delete(a.members, m) })
}

// API is that of the account, for what is not kept here.
func (a *Account) API() cloud.API { return a.api }

// Snapshot is what is known now.
func (a *Account) Snapshot() *Snapshot { return a.now.Load() }

// Trouble says since when the service does not answer, and how; nil if it does.
func (a *Account) Trouble() error {
	t := a.now.Load().trouble
	if t == nil || time.Since(t.Since) < troubleAfter {
		return nil
	}
	return t
}

// Fresh waits until what is known of instances was asked for after
// since. However many wait, they share one question. An error says that it
// could not be asked.
func (a *Account) Fresh(ctx context.Context, since time.Time) error {
	return a.fresh(ctx, a.instances, since)
}

// Types waits until the types are looked up. Those that the region has not are
// missing from the answer.
func (a *Account) Types(ctx context.Context, names ...string) (map[string]cloud.InstanceType, error) {
	if s := a.now.Load(); s.known(names) {
		return s.Types, nil
	}
	a.learnTypes(names)
	err := a.await(ctx, a.types, time.Now(), func() bool { return a.now.Load().known(names) })
	if err != nil {
		return nil, fmt.Errorf("look up instance types: %w", err)
	}
	return a.now.Load().Types, nil
}

// Networks waits until VPCs and subnets were asked for after since.
func (a *Account) Networks(ctx context.Context, since time.Time) error {
	return a.fresh(ctx, a.networks, since)
}

// Hosts waits until the account's hosts were asked for after since, and returns
// them by their id. They are watched for some minutes from then on.
func (a *Account) Hosts(ctx context.Context, since time.Time) (map[string]HostSighting, error) {
	a.mu.Lock()
	a.hostsTo = time.Now().Add(hostsFor)
	a.hosts.wants(since) // it may sleep, though an answer is new enough
	a.mu.Unlock()
	if err := a.fresh(ctx, a.hosts, since); err != nil {
		return nil, err
	}
	return a.now.Load().seen, nil
}

// Subscribe returns a channel that receives after instances changed, or the
// service went away or came back; what happens while nobody reads it is one
// event. stop ends the subscription.
func (a *Account) Subscribe() (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.subs[c] = struct{}{}
	return c, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.subs, c)
	}
}

// Instances are this driver instance's own, and when the last list of them was
// asked for: zero if there was none yet.
func (m *Member) Instances() (list []Sighting, asked time.Time) {
	s := m.now.Load()
	for _, one := range s.mine {
		if one.Tags[cloud.TagInstance] == m.instance {
			list = append(list, one)
		}
	}
	return list, s.InstancesAsked
}

// Instance is this driver instance's own of the id, if it is known.
func (m *Member) Instance(id string) (Sighting, bool) {
	one, known := m.now.Load().mine[id]
	return one, known && one.Tags[cloud.TagInstance] == m.instance
}

// Capacity answers from memory. Types that were never heard of are looked up,
// and HasRoom is called when they are known.
func (m *Member) Capacity(q Question) Answer {
	s := m.now.Load()
	if !s.known(q.Types) {
		m.learnTypes(q.Types)
	}
	return s.Capacity(q, m.brakes, s.bills[m.instance], time.Now())
}

// HostsLeft is how many more dedicated hosts of a type this instance may
// allocate, by the quota and its brakes; why says what bounds that.
func (m *Member) HostsLeft(instanceType string) (n int, why string) {
	s := m.now.Load()
	left := s.hostsLeft(instanceType, m.brakes, s.bills[m.instance])
	return left.n, left.why
}

// Bill is what this driver instance has, and what that costs.
func (m *Member) Bill() Bill { return m.now.Load().bills[m.instance] }

// Counted waits until it is known what the brakes of the instance count: before
// that they let nothing through. After a nil error no Full of Reserve is
// Uncounted. Without brakes it does not wait.
func (m *Member) Counted(ctx context.Context) error {
	if m.brakes.MaxInstances <= 0 && m.brakes.MaxHourlyCost <= 0 || m.Bill().Known {
		return nil
	}
	if err := m.fresh(ctx, m.instances, time.Time{}); err != nil {
		return fmt.Errorf("count instances for max_instances and max_hourly_cost: %w", err)
	}
	if len(m.pools) == 0 {
		return nil
	}
	if err := m.fresh(ctx, m.Account.hosts, time.Time{}); err != nil {
		return fmt.Errorf("count dedicated hosts for max_instances and max_hourly_cost: %w", err)
	}
	return nil
}

// Full says why a brake lets nothing more through.
type Full struct {
	Why string
	// Uncounted: it is only not known yet what there is (Counted).
	Uncounted bool
}

// Error implements error.
func (f *Full) Error() string { return f.Why }

// Reserve takes what a launch needs, or returns a *Full if the brakes of the
// instance forbid it. It is idempotent by Need.Token: another attempt replaces
// what the one before took. What is taken is given back by Release, or becomes
// what Launched or a list of instances shows.
func (m *Member) Reserve(n Need) error { return m.take(n, true) }

// Assume is Reserve for what may be on its way already, from before the process
// began: it asks no brake.
func (m *Member) Assume(n Need) { _ = m.take(n, false) } // it has no other error

func (m *Member) take(n Need, brake bool) (err error) {
	m.change(func(f *facts) {
		if f.shows(n) {
			return // it counts already
		}
		if brake {
			err = m.refuse(f, n)
		}
		if err == nil {
			f.holds[n.Token] = hold{Need: n, instance: m.instance, since: time.Now()}
		}
	})
	return err
}

// refuse judges by what there is without the need itself.
func (m *Member) refuse(f *facts, n Need) error {
	if h, held := f.holds[n.Token]; held {
		delete(f.holds, n.Token)
		defer func() { f.holds[n.Token] = h }()
	}
	bill := f.bill(m.node, m.instance, m.brakes.Prices, m.pools)
	if m.brakes.MaxInstances > 0 && !n.Host {
		if left := instancesLeft(m.brakes, bill); left.n < 1 {
			return &Full{Why: left.why, Uncounted: !bill.Known}
		}
	}
	if m.brakes.MaxHourlyCost > 0 && !n.OnHost {
		if left := affordable(n.Type, m.brakes, bill); left.n < 1 {
			return &Full{Why: left.why, Uncounted: !bill.Known}
		}
	}
	return nil
}

// shows reports whether lists show what the need is for.
func (f *facts) shows(n Need) bool {
	if n.Host {
		for _, h := range f.hosts {
			if h.ClientToken == n.Token && !h.Released() {
				return true
			}
		}
		return false
	}
	for _, s := range f.mine {
		if s.Tags[cloud.TagToken] == n.Token && s.Alive() {
			return true
		}
	}
	return false
}

// Launched takes the answer of the launch that holds the token.
func (m *Member) Launched(token string, inst cloud.Instance) {
	m.change(func(f *facts) { f.launched(token, inst, time.Now()) })
}

// Release gives back what was reserved: it is certain that nothing came of it,
// or that it is gone.
func (m *Member) Release(token string) {
	m.change(func(f *facts) { delete(f.holds, token) })
}
