package account

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// TestBudget: with 500 hosts, 100 environments that are inspected every ten
// seconds each, 20 that come and go every minute, ten labels and 60 elections
// a minute, the account asks for less than half of what AWS refills: the fake
// is given half of AWS's buckets, and throttles nothing.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		half := fakeec2.Bucket{Size: 50, PerSecond: 10}
		var mu sync.Mutex
		throttled := map[string]int{}
		ec2 := fakeec2.New(fakeec2.Options{Seed: 1, PageSize: 100, Buckets: map[string]fakeec2.Bucket{
			"DescribeInstances": half, "DescribeHosts": half, "DescribeSubnets": half, "DescribeVpcs": half,
			"DescribeInstanceTypes": half, "DescribeInstanceTypeOfferings": half, "ListServiceQuotas": {Size: 5, PerSecond: 5},
			"AllocateHosts": {Size: 1000, PerSecond: 5}, "RunInstances": {Size: 1000, PerSecond: 2}, // which fill the region
		}, Hook: func(_ context.Context, c fakeec2.Call) error {
			if c.After && cloud.IsKind(c.Err, cloud.Throttled) {
				mu.Lock()
				defer mu.Unlock()
				throttled[c.Action]++
			}
			return nil
		}})
		w := &world{T: t, ec2: ec2, all: &Accounts{}, image: ec2.AddImage(fakeec2.ImageSpec{Name: "test"}),
			api: &counted{API: ec2, underWay: map[string]int{}, most: map[string]int{}}}
		w.fill()
		w.m = w.join(Options{Pools: []string{"mac"}, Brakes: Brakes{MaxInstances: 1000}})
		other := w.join(Options{Instance: "aws/other"})
		w.pass(time.Minute)

		lasts := 8 * time.Minute
		if testing.Short() {
			lasts = 3 * time.Minute
		}
		if needs.Long() {
			lasts = 2 * time.Hour
		}
		before := ec2.Counts()
		w.load(other, lasts)
		for action, n := range ec2.Counts() {
			n -= before[action]
			perMinute := float64(n) / lasts.Minutes()
			t.Logf("%-32s %6.1f a minute", action, perMinute)
			if most := 60 * half.PerSecond; perMinute > most {
				t.Errorf("%s: %.1f requests a minute, want %v at most", action, perMinute, most)
			}
		}
		if len(throttled) > 0 {
			t.Errorf("throttled: %v", throttled)
		}
	})
}

// fill makes 500 hosts and 100 environments.
func (w *world) fill() {
	w.ec2.SetQuota(stdOnDemand, 10000)
	w.ec2.SetQuota("L-5D8DADF5", 500)
	tags := func(token string) cloud.Tags {
		return cloud.Tags{cloud.TagNode: node, cloud.TagInstance: inst, cloud.TagToken: token}
	}
	for i := range 500 {
		if _, err := w.ec2.AllocateHost(w.Context(), cloud.HostRequest{ClientToken: fmt.Sprint("h-", i), Type: "mac2.metal",
			Zone: "eu-central-1a", Tags: tags("")}); err != nil {
			w.Fatal(err)
		}
	}
	subnets, err := w.ec2.Subnets(w.Context(), cloud.Query{})
	if err != nil {
		w.Fatal(err)
	}
	for i := range 100 {
		if _, err := w.ec2.RunInstance(w.Context(), cloud.Launch{ClientToken: fmt.Sprint("r-", i), ImageID: w.image, Type: large,
			SubnetID: subnets[0].ID, Tags: tags(fmt.Sprint("r-", i))}); err != nil {
			w.Fatal(err)
		}
	}
}

// load is what the node does for a while.
func (w *world) load(other *Member, lasts time.Duration) {
	ctx, cancel := context.WithTimeout(w.Context(), lasts)
	defer cancel()
	var all sync.WaitGroup
	every := func(period time.Duration, do func()) {
		all.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(period):
					do()
				}
			}
		})
	}
	labels := []string{large, "c5.xlarge", "m5.large", "m5.xlarge", "m5.4xlarge", "t3.micro", "t3.large", "m6g.large", "g4dn.xlarge", "nonsense.large"}
	every(time.Second, func() { // elections
		for _, typ := range labels {
			w.m.Capacity(onDemand(typ))
			other.Capacity(onDemand(typ))
		}
	})
	for range 100 {
		every(10*time.Second, func() { _ = w.m.Fresh(ctx, time.Now()) }) // its error is the end of the test
	}
	n := 0
	every(3*time.Second, func() {
		n++
		token := fmt.Sprint("c-", n)
		got, err := w.launch(w.m, token, Need{Type: labels[n%3]})
		if err != nil {
			w.Errorf("launch: %v", err)
			return
		}
		all.Go(func() {
			w.until(ctx, got.ID, cloud.Running)
			if err := w.ec2.TerminateInstances(w.Context(), []string{got.ID}); err != nil {
				w.Errorf("terminate: %v", err)
			}
			w.until(ctx, got.ID, cloud.Terminated)
		})
	})
	all.Wait()
}

// until waits as the driver does.
func (w *world) until(ctx context.Context, id, state string) {
	for ctx.Err() == nil {
		if w.m.Snapshot().mine[id].State == state {
			return
		}
		_ = w.m.Fresh(ctx, time.Now()) // asked again until ctx ends
	}
}

// BenchmarkChange is the price of one change with 2,000 instances.
func BenchmarkChange(b *testing.B) {
	var all Accounts
	m, err := all.Join(b.Context(), Options{Settings: cloud.Settings{Region: "eu-central-1"}, NodeUID: node, Instance: inst,
		Dial:   func(context.Context, cloud.Settings) (cloud.API, error) { return fakeec2.New(fakeec2.Options{}), nil },
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	if err := m.Fresh(b.Context(), time.Now()); err != nil {
		b.Fatal(err)
	}
	var list []cloud.Instance
	for i := range 2000 {
		list = append(list, cloud.Instance{ID: fmt.Sprint("i-", i), Type: large, State: cloud.Running, Tags: cloud.Tags{cloud.TagNode: node, cloud.TagInstance: inst}})
	}
	m.change(func(f *facts) { f.use = list; f.seeMine(list, time.Now()) })
	for b.Loop() {
		if err := m.Reserve(Need{Token: "t", Type: large}); err != nil {
			b.Fatal(err)
		}
		m.Release("t")
	}
}
