package account

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

const (
	node  = "node-1"
	inst  = "aws/ci"
	large = "c5.large"

	dryPause = 7 * time.Minute
)

// counted counts questions while they are asked.
type counted struct {
	cloud.API
	mu       sync.Mutex
	underWay map[string]int
	most     map[string]int
	panics   bool
	listed   int // instances in all lists
}

func (c *counted) in(what string) (out func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underWay[what]++
	c.most[what] = max(c.most[what], c.underWay[what])
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.underWay[what]--
	}
}

func (c *counted) Instances(ctx context.Context, q cloud.Query) ([]cloud.Instance, error) {
	defer c.in("Instances " + q.Filters[0].Name)()
	c.mu.Lock()
	panics := c.panics
	c.mu.Unlock()
	if panics {
		panic("the client is broken")
	}
	list, err := c.API.Instances(ctx, q)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listed += len(list)
	return list, err
}

func (c *counted) breakDown(broken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.panics = broken
}

// world is a region with a member in it.
type world struct {
	*testing.T
	ec2   *fakeec2.Cloud
	api   *counted
	all   *Accounts
	m     *Member
	image string
	rooms int // how often there was room; guarded by api.mu
}

// inWorld runs a test in fake time, with a member.
func inWorld(t *testing.T, o Options, f func(w *world)) {
	inEmptyWorld(t, func(w *world) {
		w.m = w.join(o)
		f(w)
	})
}

// inEmptyWorld leaves it to the test when the account is joined: from then on
// it is asked for what there is.
func inEmptyWorld(t *testing.T, f func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		ec2 := fakeec2.New(fakeec2.Options{Seed: 1, StoppedCount: true})
		ec2.SetQuota(stdOnDemand, 640)
		ec2.SetQuota(stdSpot, 640)
		w := &world{T: t, ec2: ec2, all: &Accounts{},
			api: &counted{API: ec2, underWay: map[string]int{}, most: map[string]int{}}}
		w.image = ec2.AddImage(fakeec2.ImageSpec{Name: "test"})
		f(w)
	})
}

func (w *world) join(o Options) *Member {
	w.Helper()
	o.Settings.Region = "eu-central-1"
	o.Dial = func(context.Context, cloud.Settings) (cloud.API, error) { return w.api, nil }
	o.DryPause = dryPause
	o.NodeUID, o.Logger = node, slog.New(slog.NewTextHandler(io.Discard, nil))
	if o.Instance == "" {
		o.Instance = inst
	}
	o.HasRoom = func() {
		w.api.mu.Lock()
		defer w.api.mu.Unlock()
		w.rooms++
	}
	m, err := w.all.Join(w.Context(), o)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(m.Close)
	return m
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) sawRoom() bool {
	w.api.mu.Lock()
	defer w.api.mu.Unlock()
	saw := w.rooms > 0
	w.rooms = 0
	return saw
}

// launch is what the driver does: in the best subnet, with one attempt.
func (w *world) launch(m *Member, token string, n Need) (cloud.Instance, error) {
	subnets := w.places(m, n.Type)
	if len(subnets) == 0 {
		return cloud.Instance{}, errors.New("no subnet")
	}
	n.Token, n.SubnetID = token, subnets[0].ID
	if err := m.Reserve(n); err != nil {
		return cloud.Instance{}, err
	}
	got, err := w.attempt(m, n)
	if err != nil && cloud.Undone(err) {
		m.Failed(n, subnets[0].Zone, err)
		m.Release(token)
	}
	return got, err
}

// places are where the type is to be had, the subnet with most addresses first.
func (w *world) places(m *Member, typ string) []cloud.Subnet {
	s := m.Snapshot()
	subnets, err := s.Network("", nil)
	if err != nil {
		w.Error(err)
	}
	fit, _ := s.offered(Place{Type: typ}, onDemand(typ), subnets, time.Now())
	slices.SortFunc(fit, func(a, b cloud.Subnet) int { return cmp.Compare(s.Free(b), s.Free(a)) })
	return fit
}

// attempt launches what is reserved.
func (w *world) attempt(m *Member, n Need) (cloud.Instance, error) {
	got, err := w.ec2.RunInstance(w.Context(), cloud.Launch{
		ClientToken: n.Token, ImageID: w.image, Type: n.Type, SubnetID: n.SubnetID, Spot: n.Spot, Tags: cloud.Tags{
			cloud.TagNode: node, cloud.TagInstance: m.instance, cloud.TagToken: n.Token, cloud.TagPurpose: cloud.PurposeWork}})
	if err == nil {
		m.Launched(n.Token, got)
	}
	return got, err
}

func (w *world) mustLaunch(token string, n Need) cloud.Instance {
	w.Helper()
	got, err := w.launch(w.m, token, n)
	if err != nil {
		w.Fatalf("launch %s: %v", token, err)
	}
	return got
}

func (w *world) capacity(types ...string) Answer { return w.m.Capacity(onDemand(types...)) }

func (w *world) wantCapacity(want int, why string) {
	w.Helper()
	if got := w.capacity(large); got.N != want || !strings.Contains(got.Why, why) {
		w.Errorf("capacity = %d (%s), want %d (%s)", got.N, got.Why, want, why)
	}
}

// TestFromNothing: at first nothing is known, then everything, and it is told.
func TestFromNothing(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.wantCapacity(0, "")
		w.pass(5 * time.Second)
		if !w.sawRoom() {
			w.Error("nobody was told that there is room")
		}
		w.wantCapacity(320, stdOnDemand)
		if a := w.capacity(large); a.Stale || a.Age > 10*time.Second || len(a.Unknown) > 0 {
			w.Errorf("answer = %+v, want a new one", a)
		}
		if err := w.m.Trouble(); err != nil {
			w.Errorf("trouble = %v, want none", err)
		}
	})
}

// TestLaunchCounts follows a launch through everything that counts it, of which
// none may count it twice or lose it.
func TestLaunchCounts(t *testing.T) {
	inWorld(t, Options{Brakes: Brakes{MaxInstances: 100, MaxHourlyCost: 100}}, func(w *world) {
		w.capacity(large)
		w.pass(5 * time.Second)
		got := w.mustLaunch("t-1", Need{Type: large})
		for range 100 {
			w.wantCapacity(99, "max_instances")
			if used := w.m.Snapshot().Used[stdOnDemand].All; used != 2 {
				w.Fatalf("%v after the launch %d vCPUs are used, want 2", time.Since(got.LaunchTime), used)
			}
			if free := w.freeAddresses(); free != 3*4091-1 {
				w.Fatalf("%v after the launch %d addresses are free, want %d", time.Since(got.LaunchTime), free, 3*4091-1)
			}
			w.pass(1700 * time.Millisecond)
		}
		if bill := w.m.Bill(); bill.Instances != 1 || bill.Hourly != 0.085 {
			w.Errorf("bill = %+v, want one %s", bill, large)
		}
		w.sawRoom()
		if err := w.ec2.TerminateInstances(w.Context(), []string{got.ID}); err != nil {
			w.Fatal(err)
		}
		w.pass(4 * time.Minute)
		w.wantCapacity(100, "max_instances")
		if used := w.m.Snapshot().Used[stdOnDemand].All; used != 0 {
			w.Errorf("%d vCPUs are used after the end, want none", used)
		}
		if !w.sawRoom() {
			w.Error("nobody was told that there is room after the end")
		}
	})
}

func (w *world) freeAddresses() (n int) {
	s := w.m.Snapshot()
	for _, sub := range s.Subnets {
		n += s.Free(sub)
	}
	return n
}

// TestLostReply: the launch was done and nobody knows; the list of instances
// shows it by its token, and the hold ends.
func TestLostReply(t *testing.T) {
	inWorld(t, Options{Brakes: Brakes{MaxInstances: 2}}, func(w *world) {
		w.capacity(large)
		w.pass(5 * time.Second)
		w.ec2.Inject(fakeec2.Fault{Action: "RunInstances", Done: true})
		if _, err := w.launch(w.m, "t-1", Need{Type: large}); err == nil {
			w.Fatal("the reply was not lost")
		}
		w.wantCapacity(1, "max_instances")
		if err := w.m.Fresh(w.Context(), time.Now()); err != nil {
			w.Fatal(err)
		}
		w.wantCapacity(1, "max_instances")
		if n := len(w.m.facts.holds); n != 0 {
			w.Errorf("%d holds are left, want none", n)
		}
		if list, _ := w.m.Instances(); len(list) != 1 || list[0].Tags[cloud.TagToken] != "t-1" {
			w.Errorf("instances = %+v, want that of the token", list)
		}
		w.m.Release("t-1") // of nothing
		w.wantCapacity(1, "max_instances")
	})
}

// TestHoldEnds: a launch of which nothing is ever heard holds nothing for ever.
func TestHoldEnds(t *testing.T) {
	inWorld(t, Options{Brakes: Brakes{MaxInstances: 2}}, func(w *world) {
		w.capacity(large)
		w.pass(5 * time.Second)
		if err := w.m.Reserve(Need{Token: "t-1", Type: large}); err != nil {
			w.Fatal(err)
		}
		w.pass(holdFor)
		w.wantCapacity(1, "max_instances")
		w.pass(time.Minute)
		w.wantCapacity(2, "max_instances")
	})
}

// TestFreshIsShared: a hundred who wait cost two questions at most, the one on
// its way and the one after it.
func TestFreshIsShared(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.ec2.SetLatency(fakeec2.Fixed(time.Second))
		w.pass(20 * time.Second)
		before := w.ec2.Counts()["DescribeInstances"]
		began := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				time.Sleep(10 * time.Millisecond)
				since := time.Now()
				if err := w.m.Fresh(w.Context(), since); err != nil {
					w.Errorf("Fresh: %v", err)
				}
				if !w.m.Snapshot().InstancesAsked.After(since) {
					w.Error("it is older than was wanted")
				}
			})
		}
		wg.Wait()
		if n := w.ec2.Counts()["DescribeInstances"] - before; n > 2 {
			w.Errorf("100 who wait cost %d questions", n)
		}
		if took := time.Since(began); took > 5*time.Second {
			w.Errorf("they waited %v", took)
		}
		for what, n := range w.api.most {
			if n > 1 {
				w.Errorf("%s was asked %d times at once", what, n)
			}
		}
	})
}

func TestFreshEndsWithItsContext(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.pass(5 * time.Second)
		w.ec2.Inject(fakeec2.Fault{Action: "DescribeInstances", Hang: true, Times: -1})
		ctx, cancel := context.WithTimeout(w.Context(), 3*time.Second)
		defer cancel()
		if err := w.m.Fresh(ctx, time.Now()); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("Fresh = %v, want the end of its context", err)
		}
		other := w.join(Options{Instance: "aws/other"})
		w.m.Close()
		other.Close()
		if err := w.m.Fresh(w.Context(), time.Now()); !errors.Is(err, errClosed) {
			w.Errorf("Fresh after the end = %v, want %v", err, errClosed)
		}
	})
}

// TestAccountsAreShared: instances with the same settings share what is asked,
// and it ends with the last of them.
func TestAccountsAreShared(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		other := w.join(Options{Instance: "aws/other"})
		if w.m.Account != other.Account {
			w.Error("two instances have two accounts")
		}
		w.capacity(large)
		w.pass(5 * time.Second)
		if _, err := w.launch(other, "t-9", Need{Type: large}); err != nil {
			w.Fatal(err)
		}
		if list, _ := w.m.Instances(); len(list) != 0 {
			w.Errorf("instances = %v, want none of the other's", list)
		}
		if list, _ := other.Instances(); len(list) != 1 {
			w.Errorf("instances of the other = %v, want one", list)
		}
		if n := w.m.Bill().Instances; n != 0 {
			w.Errorf("the bill has %d instances, want none of the other's", n)
		}
		other.Close()
		other.Close()
		before := w.ec2.Counts()["DescribeInstances"]
		w.pass(5 * time.Minute)
		if w.ec2.Counts()["DescribeInstances"] == before {
			w.Error("nothing is asked any more, although there is a member")
		}
		w.m.Close()
		before = w.ec2.Counts()["DescribeInstances"]
		w.pass(time.Hour)
		if n := w.ec2.Counts()["DescribeInstances"]; n != before {
			w.Errorf("%d questions after the last member left", n-before)
		}
		if again := w.join(Options{}); again.Account == w.m.Account {
			w.Error("an account that ended is used again")
		} else {
			again.Close()
		}
	})
}

func TestJoinRefuses(t *testing.T) {
	var all Accounts
	good := Options{NodeUID: node, Instance: inst, Logger: slog.New(slog.DiscardHandler),
		Dial: func(context.Context, cloud.Settings) (cloud.API, error) { return nil, errors.New("no credentials") }}
	if _, err := all.Join(t.Context(), good); err == nil || !strings.Contains(err.Error(), "region") {
		t.Errorf("Join without a region = %v", err)
	}
	good.Settings.Region = "eu-central-1"
	if _, err := all.Join(t.Context(), good); err == nil || !strings.Contains(err.Error(), "no credentials") {
		t.Errorf("Join without credentials = %v", err)
	}
	if len(all.open) != 0 {
		t.Errorf("%d accounts are open after a failure", len(all.open))
	}
	good.Dial = nil
	if _, err := all.Join(t.Context(), good); err == nil {
		t.Error("Join without Dial: no error")
	}
}
