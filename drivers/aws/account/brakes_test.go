package account

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// TestParallelReserve: of many who reserve at once as many get through as fit.
func TestParallelReserve(t *testing.T) {
	for _, test := range []struct {
		name   string
		brakes Brakes
		want   int
	}{
		{"by number", Brakes{MaxInstances: 7}, 7},
		{"by cost", Brakes{MaxHourlyCost: 0.5}, 5}, // of 0.085
		{"by both", Brakes{MaxInstances: 4, MaxHourlyCost: 0.5}, 4},
		{"without", Brakes{}, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, Options{Brakes: test.brakes}, func(w *world) {
				w.pass(5 * time.Second)
				var wg sync.WaitGroup
				var mu sync.Mutex
				granted := 0
				for i := range 200 {
					wg.Go(func() {
						err := w.m.Reserve(Need{Token: fmt.Sprint("t-", i), Type: large})
						if full := new(Full); err != nil && !errors.As(err, &full) {
							w.Errorf("Reserve = %v, want a brake's reason", err)
						}
						if err == nil {
							mu.Lock()
							defer mu.Unlock()
							granted++
						}
					})
				}
				wg.Wait()
				if granted != test.want {
					w.Errorf("%d got through, want %d", granted, test.want)
				}
			})
		})
	}
}

// TestReserveIsIdempotent: another attempt takes the place of the one before.
func TestReserveIsIdempotent(t *testing.T) {
	inWorld(t, Options{Brakes: Brakes{MaxInstances: 1, MaxHourlyCost: 0.2}}, func(w *world) {
		w.pass(5 * time.Second)
		for _, typ := range []string{large, "c5.xlarge", large} {
			if err := w.m.Reserve(Need{Token: "t-1", Type: typ}); err != nil {
				w.Fatalf("another attempt with %s: %v", typ, err)
			}
		}
		full := new(Full)
		if err := w.m.Reserve(Need{Token: "t-1", Type: "m5.4xlarge"}); !errors.As(err, &full) || !strings.Contains(full.Why, "max_hourly_cost") {
			w.Errorf("an attempt that costs too much = %v", err)
		}
		if n := w.m.Bill(); n.Instances != 1 || n.Hourly != 0.085 {
			w.Errorf("bill = %+v, want what was granted before", n)
		}
		if err := w.m.Reserve(Need{Token: "t-2", Type: large}); err == nil {
			w.Error("a second one got through")
		}
		w.m.Release("t-1")
		if err := w.m.Reserve(Need{Token: "t-2", Type: large}); err != nil {
			w.Errorf("after the release: %v", err)
		}
	})
}

// TestAssume: what a process before this one may have launched counts, whether
// the brakes would let it through or not.
func TestAssume(t *testing.T) {
	inWorld(t, Options{Brakes: Brakes{MaxInstances: 2}}, func(w *world) {
		for i := range 3 {
			w.m.Assume(Need{Token: fmt.Sprint("t-", i), Type: large})
		}
		w.capacity(large)
		w.pass(5 * time.Second)
		w.wantCapacity(0, "there are 3")
		if err := w.m.Reserve(Need{Token: "t-0", Type: large}); err == nil {
			w.Error("its repetition gets through the brake that is on by the others")
		}
		w.m.Release("t-0")
		w.m.Release("t-1")
		w.wantCapacity(1, "max_instances")
	})
}

func TestUnknownPriceIsRefused(t *testing.T) {
	inWorld(t, Options{Brakes: Brakes{MaxHourlyCost: 1000}}, func(w *world) {
		w.pass(5 * time.Second)
		full := new(Full)
		if err := w.m.Reserve(Need{Token: "t-1", Type: "p5.48xlarge"}); !errors.As(err, &full) || !strings.Contains(full.Why, "price of p5.48xlarge") {
			w.Errorf("Reserve of an unknown price = %v, want it refused by name", err)
		}
		w.m.Assume(Need{Token: "t-2", Type: "q1.large"})
		if err := w.m.Reserve(Need{Token: "t-3", Type: large}); !errors.As(err, &full) || !strings.Contains(full.Why, "q1.large") {
			w.Errorf("Reserve beside an unknown price = %v, want it refused by name", err)
		}
	})
}

// TestAdoptedHostsCost: hosts of v0.7, which nobody marked, are on the bill of who
// has their pool. Those of other pools, and of others, are not.
func TestAdoptedHostsCost(t *testing.T) {
	prices, err := price.New(map[string]float64{"mac2.metal": 1})
	if err != nil {
		t.Fatal(err)
	}
	inEmptyWorld(t, func(w *world) {
		w.ec2.SetQuota("L-5D8DADF5", 9)
		for i, tags := range []cloud.Tags{
			{cloud.TagOldPool: "mac"}, {cloud.TagOldPoolPrefix + "mac": ""}, // these
			{cloud.TagOldPool: "other"}, {cloud.TagPool: "mac", cloud.TagNode: "another"}, {cloud.TagPool: "mac", cloud.TagNode: node, cloud.TagInstance: "aws/other"},
		} {
			if _, err := w.ec2.AllocateHost(w.Context(), cloud.HostRequest{ClientToken: fmt.Sprint(i), Type: "mac2.metal", Zone: "eu-central-1a", Tags: tags}); err != nil {
				w.Fatal(err)
			}
		}
		w.m = w.join(Options{Pools: []string{"mac"}, Brakes: Brakes{MaxHourlyCost: 2, Prices: prices}})
		w.pass(2 * hostsPace)
		if bill := w.m.Bill(); bill.Hourly != 2 {
			w.Errorf("bill = %+v, want two hosts", bill)
		}
		if err := w.m.Reserve(Need{Token: "h", Type: "mac2.metal", Host: true}); err == nil {
			w.Error("a host got through that max_hourly_cost does not allow")
		}
	})
}

// TestHostsCost: hosts of the instance's pools are on its bill from the
// moment they are asked for, and what runs on them is not.
func TestHostsCost(t *testing.T) {
	prices, err := price.New(map[string]float64{"mac2.metal": 1})
	if err != nil {
		t.Fatal(err)
	}
	inEmptyWorld(t, func(w *world) {
		w.ec2.SetQuota("L-5D8DADF5", 3)
		w.m = w.join(Options{Pools: []string{"mac"}, Brakes: Brakes{MaxHourlyCost: 2, Prices: prices}})
		w.pass(5 * time.Second)
		host := Need{Token: "h-1", Type: "mac2.metal", Host: true}
		if err := w.m.Reserve(host); err != nil {
			w.Fatal(err)
		}
		if n, why := w.m.HostsLeft("mac2.metal"); n != 1 {
			w.Errorf("hosts left = %d (%s), want 1: there is a dollar left", n, why)
		}
		if _, err := w.ec2.AllocateHost(w.Context(), cloud.HostRequest{ClientToken: "h-1", Type: "mac2.metal", Zone: "eu-central-1a",
			Tags: cloud.Tags{cloud.TagNode: node, cloud.TagInstance: inst}}); err != nil {
			w.Fatal(err)
		}
		w.pass(2 * hostsPace)
		if n := len(w.m.facts.holds); n != 0 {
			w.Errorf("%d holds are left, want that of the host to end", n)
		}
		if bill := w.m.Bill(); bill.Hourly != 1 || bill.Instances != 0 {
			w.Errorf("bill = %+v, want one host", bill)
		}
		if err := w.m.Reserve(Need{Token: "t-1", Type: "mac2.metal", OnHost: true}); err != nil {
			w.Errorf("a machine on the host: %v", err)
		}
		if bill := w.m.Bill(); bill.Hourly != 1 || bill.Instances != 1 {
			w.Errorf("bill = %+v, want one host with one machine", bill)
		}
		if err := w.m.Reserve(Need{Token: "h-2", Type: "mac2.metal", Host: true}); err != nil {
			w.Errorf("a second host: %v", err)
		}
		if err := w.m.Reserve(Need{Token: "h-3", Type: "mac2.metal", Host: true}); err == nil {
			w.Error("a third host got through")
		}
		if err := w.m.Reserve(host); err != nil {
			w.Errorf("the first host once more: %v", err)
		}
		hosts, err := w.m.Hosts(w.Context(), time.Now())
		if err != nil || len(hosts) != 1 {
			w.Errorf("hosts = %v, %v, want one", hosts, err)
		}
	})
}

// TestHostIsNoInstance: while a host is on its way, instances are not asked for
// any more often.
func TestHostIsNoInstance(t *testing.T) {
	inWorld(t, Options{Pools: []string{"mac"}}, func(w *world) {
		w.pass(time.Minute)
		before := w.ec2.Counts()["DescribeInstances"]
		if err := w.m.Reserve(Need{Token: "h-1", Type: "mac2.metal", Host: true}); err != nil {
			w.Fatal(err)
		}
		w.pass(10 * time.Minute)
		if n := w.ec2.Counts()["DescribeInstances"] - before; n > 35 {
			w.Errorf("%d lists of instances in 10 minutes, want one of ours each 30 s and one of all each minute", n)
		}
	})
}

// TestHostsOnDemand: without pools, hosts are asked for while somebody wants
// to know of them.
func TestHostsOnDemand(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.pass(3 * time.Hour)
		if n := w.ec2.Counts()["DescribeHosts"]; n != 0 {
			w.Errorf("%d questions for hosts that nobody wants", n)
		}
		for range 3 {
			if _, err := w.m.Hosts(w.Context(), time.Now()); err != nil {
				w.Fatal(err)
			}
		}
		w.pass(2 * hostsFor)
		n := w.ec2.Counts()["DescribeHosts"]
		if n < 5 || n > 20 {
			w.Errorf("%d questions for hosts after somebody wanted them, want about 10", n)
		}
		w.pass(hostsFor)
		if more := w.ec2.Counts()["DescribeHosts"] - n; more > 1 {
			w.Errorf("%d more questions for hosts after the interest ended", more)
		}
	})
}

// TestCountedIsCounted: after Counted no brake refuses for not knowing yet,
// though the account was open and nobody needed its hosts until the pool came.
func TestCountedIsCounted(t *testing.T) {
	for name, open := range map[string]time.Duration{"just now": 0, "for long": time.Hour} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				w.pass(open)
				m := w.join(Options{Instance: "aws/macs", Pools: []string{"mac"}, Brakes: Brakes{MaxInstances: 5, MaxHourlyCost: 10}})
				if err := m.Counted(w.Context()); err != nil {
					w.Fatal(err)
				}
				if bill := m.Bill(); !bill.Known {
					w.Errorf("Bill = %+v after Counted", bill)
				}
				if err := m.Reserve(Need{Token: "t-1", Type: large}); err != nil {
					w.Errorf("Reserve after Counted = %v", err)
				}
			})
		})
	}
}

// TestBrakesHold is the property: many launch and end at once, with lost
// replies, throttling and lists that lag, and never is there more at EC2 than
// the brakes allow.
func TestBrakesHold(t *testing.T) {
	seeds := 4
	if testing.Short() {
		seeds = 2
	}
	if needs.Long() {
		seeds = 100
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inWorld(t, Options{Brakes: Brakes{MaxInstances: 7, MaxHourlyCost: 0.8}}, func(w *world) {
				if _, err := w.m.Types(w.Context(), large, "c5.xlarge"); err != nil {
					w.Fatal(err)
				}
				w.ec2.SetStorm(fakeec2.Storm{Unreachable: 0.05, Lost: 0.1, Throttled: 0.1, Internal: 0.05})
				w.ec2.SetLag(fakeec2.Range{Max: 2 * time.Minute})
				w.ec2.SetLatency(fakeec2.Range{Max: 2 * time.Second})
				w.pass(3 * time.Minute) // the network itself is as old as lists lag
				w.storm(rand.New(rand.NewPCG(uint64(seed), 1)))
			})
		})
	}
}

func (w *world) storm(random *rand.Rand) {
	var wg sync.WaitGroup
	stop := make(chan struct{})
	most := 0
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(500 * time.Millisecond):
			}
			n, usd := w.runs()
			most = max(most, n)
			if n > 7 || usd > 0.8+1e-9 {
				w.Errorf("%d instances for %.3f USD an hour at EC2", n, usd)
				return
			}
		}
	})
	var lives sync.WaitGroup
	for i := range 20 {
		seed := random.Uint64()
		lives.Go(func() { w.live(i, rand.New(rand.NewPCG(seed, 2))) })
	}
	lives.Wait()
	close(stop)
	wg.Wait()
	if most < 5 {
		w.Errorf("at most %d ran at once: this tested little", most)
	}
	w.ec2.SetStorm(fakeec2.Storm{})
	w.ec2.SetLag(fakeec2.Range{})
	w.pass(holdFor + 2*cloud.Settled + time.Minute)
	if bill := w.m.Bill(); bill.Instances != 0 || bill.Hourly != 0 {
		w.Errorf("after all has ended the bill is %+v", bill)
	}
	if s := w.m.Snapshot(); s.Used[stdOnDemand].All != 0 || w.freeAddresses() != 3*4091 {
		w.Errorf("after all has ended %+v is used, and %d addresses are free", s.Used, w.freeAddresses())
	}
}

// runs is what there is at EC2.
func (w *world) runs() (n int, usd float64) {
	for _, b := range w.ec2.Billable() {
		if got, known := w.ec2.Instance(b.ID); b.Kind == "instance" && known && !cloud.Gone(got.State) {
			n++
			one, _ := price.Table{}.Hourly(b.Type)
			usd += one
		}
	}
	return n, usd
}

// live launches and ends some, one after the other, as the driver does: what
// is not certain is repeated with the same token in the same place.
func (w *world) live(who int, random *rand.Rand) {
	pause := func(most time.Duration) { time.Sleep(time.Duration(random.Int64N(int64(most)))) }
	for n := range 5 {
		pause(time.Minute)
		typ := []string{large, "c5.xlarge"}[random.IntN(2)]
		subnets := w.places(w.m, typ)
		if len(subnets) == 0 {
			w.Error("no candidates")
			return
		}
		need := Need{Token: fmt.Sprintf("t-%d-%d", who, n), Type: typ, SubnetID: subnets[0].ID}
		if w.m.Reserve(need) != nil {
			continue
		}
		got, err := w.attempt(w.m, need)
		for unsure := false; err != nil; got, err = w.attempt(w.m, need) {
			unsure = unsure || !cloud.Undone(err)
			if !unsure {
				break // now it is certain that there is nothing
			}
			pause(5 * time.Second)
		}
		if err != nil {
			w.m.Release(need.Token)
			continue
		}
		pause(3 * time.Minute)
		for w.ec2.TerminateInstances(w.Context(), []string{got.ID}) != nil {
			pause(5 * time.Second)
		}
	}
}
