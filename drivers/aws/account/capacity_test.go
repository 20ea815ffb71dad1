package account

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
)

// noon is when the snapshots of these tests were made.
func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

const (
	stdOnDemand = "L-1216C47A"
	stdSpot     = "L-34B43A08"
)

// known is a region of two zones in which everything is known and ample.
func known() *Snapshot {
	asked := noon().Add(-10 * time.Second)
	info := func(name string, vcpus int, arch string) cloud.InstanceType {
		return cloud.InstanceType{Name: name, VCPUs: vcpus, Architectures: []string{arch}}
	}
	both := []string{"z1", "z2"}
	return &Snapshot{
		InstancesAsked: asked, UseAsked: asked, NetworksAsked: asked, QuotasAsked: asked, HostsAsked: asked,
		Types: map[string]cloud.InstanceType{
			"c6i.large": info("c6i.large", 2, "x86_64"), "c6i.8xlarge": info("c6i.8xlarge", 32, "x86_64"),
			"q9.large": info("q9.large", 4, "x86_64"), "mac-m4.metal": info("mac-m4.metal", 10, "arm64_mac"),
			"im4gn.large": info("im4gn.large", 2, "arm64"), "u7i-12tb.224xlarge": info("u7i-12tb.224xlarge", 896, "x86_64"),
		},
		NoSuchType: map[string]bool{"c6i.lagre": true},
		Zones: map[string][]string{"c6i.large": both, "c6i.8xlarge": {"z2"}, "q9.large": both, "mac-m4.metal": {"z1"},
			"im4gn.large": {"z3"}, "u7i-12tb.224xlarge": both},
		VPCs: []cloud.VPC{{ID: "vpc-1", Default: true}, {ID: "vpc-2", Tags: cloud.Tags{"Net": "ci"}}},
		Subnets: []cloud.Subnet{
			{ID: "subnet-1", VPCID: "vpc-1", Zone: "z1", Owner: "me", FreeAddresses: 100},
			{ID: "subnet-2", VPCID: "vpc-1", Zone: "z2", Owner: "me", FreeAddresses: 40},
			{ID: "subnet-3", VPCID: "vpc-2", Zone: "z1", Owner: "other", FreeAddresses: 7, Tags: cloud.Tags{"Use": "ci"}},
		},
		Taken:     map[string]int{"subnet-2": 5},
		Quotas:    map[string]float64{stdOnDemand: 640, stdSpot: 64, "L-2CBA8B92": 3},
		Used:      map[string]Use{stdOnDemand: {All: 600, Running: 500}, stdSpot: {All: 10, Running: 10}},
		UsedHosts: map[string]int{"mac-m4.metal": 1},
	}
}

func onDemand(types ...string) Question {
	return Question{Types: types, OnDemand: true, Hosts: NoHosts}
}

func TestCapacity(t *testing.T) {
	rich := Bill{Known: true}
	for _, test := range []struct {
		name   string
		change func(s *Snapshot, q *Question)
		q      Question
		brakes Brakes
		bill   Bill
		want   int
		why    string // part of
	}{
		{name: "vCPUs of the type are left", q: onDemand("c6i.large"), want: 20, why: stdOnDemand},
		{name: "running ones alone count if so wanted", q: onDemand("c6i.large"), want: 70, why: stdOnDemand,
			change: func(_ *Snapshot, q *Question) { q.RunningOnly = true }},
		{name: "a big type fits once", q: onDemand("c6i.8xlarge"), want: 1, why: stdOnDemand},
		{name: "spot has a quota of its own", q: Question{Types: []string{"c6i.large"}, Spot: true, Hosts: NoHosts}, want: 27, why: stdSpot},
		{name: "spot or on demand: the better one", q: Question{Types: []string{"c6i.large"}, Spot: true, OnDemand: true, Hosts: NoHosts}, want: 27},
		{name: "neither", q: Question{Types: []string{"c6i.large"}, Hosts: NoHosts}, want: 0, why: "neither"},
		{name: "of several types the best", q: onDemand("c6i.8xlarge", "c6i.large"), want: 20},
		{name: "no type", q: onDemand(), want: 0, why: "no instance type"},
		{name: "used more than the quota is not negative", q: onDemand("c6i.large"), want: 0,
			change: func(s *Snapshot, _ *Question) { s.Used[stdOnDemand] = Use{All: 9999} }},
		{name: "a quota of 0", q: onDemand("c6i.large"), want: 0, change: func(s *Snapshot, _ *Question) { s.Quotas[stdOnDemand] = 0 }},
		{name: "EC2 said that the quota is used up", q: onDemand("c6i.large"), want: 0, why: "used up",
			change: func(s *Snapshot, _ *Question) { s.Exhausted = map[string]bool{stdOnDemand: true} }},
		{name: "what EC2 said of spot is not about on demand", q: onDemand("c6i.large"), want: 20,
			change: func(s *Snapshot, _ *Question) { s.Exhausted = map[string]bool{stdSpot: true} }},
		{name: "an unknown family is bounded by addresses, and is not -1", q: onDemand("q9.large"), want: 135, why: "addresses"},
		{name: "a quota that is not known does not bound", q: onDemand("u7i-12tb.224xlarge"), want: 135, why: "addresses"},
		{name: "no quotas at all", q: onDemand("c6i.large"), want: 135, change: func(s *Snapshot, _ *Question) { s.Quotas = nil }},
		{name: "addresses less those on their way", q: onDemand("c6i.large"), want: 3, why: "addresses",
			change: func(s *Snapshot, _ *Question) {
				s.Subnets[0].FreeAddresses, s.Subnets[1].FreeAddresses = -1, 8
				s.Taken["subnet-1"] = 2
			}},
		{name: "zones of the label", q: onDemand("q9.large"), want: 35, change: func(_ *Snapshot, q *Question) { q.Zones = []string{"z2"} }},
		{name: "a subnet", q: onDemand("q9.large"), want: 7, change: func(_ *Snapshot, q *Question) { q.Network = "subnet-3" }},
		{name: "a VPC by its tag", q: onDemand("q9.large"), want: 7, change: func(_ *Snapshot, q *Question) { q.Network = "Net:ci" }},
		{name: "a subnet by its tag", q: onDemand("q9.large"), want: 7, change: func(_ *Snapshot, q *Question) { q.Network = "Use:ci" }},
		{name: "somebody else's subnet", q: onDemand("q9.large"), want: 0, why: "trusted",
			change: func(_ *Snapshot, q *Question) { q.Network, q.Owners = "subnet-3", []string{"me"} }},
		{name: "no such tag", q: onDemand("q9.large"), want: 0, why: "Net:none", change: func(_ *Snapshot, q *Question) { q.Network = "Net:none" }},
		{name: "no default VPC", q: onDemand("q9.large"), want: 0, why: "default VPC", change: func(s *Snapshot, _ *Question) { s.VPCs = s.VPCs[1:] }},
		{name: "nonsense for a network", q: onDemand("q9.large"), want: 0, why: "neither empty", change: func(_ *Snapshot, q *Question) { q.Network = "nonsense" }},
		{name: "not offered in the zones of the network", q: onDemand("im4gn.large"), want: 0, why: "not to be had"},
		{name: "one zone is dry", q: onDemand("q9.large"), want: 35,
			change: func(s *Snapshot, _ *Question) {
				s.Dry = map[Place]time.Time{{Zone: "z1", Type: "q9.large"}: noon().Add(time.Second)}
			}},
		{name: "dry as spot is not dry on demand", q: onDemand("q9.large"), want: 135,
			change: func(s *Snapshot, _ *Question) {
				s.Dry = map[Place]time.Time{{Zone: "z1", Type: "q9.large", Spot: true}: noon().Add(time.Second)}
			}},
		{name: "all zones are dry", q: onDemand("c6i.8xlarge"), want: 0, why: "lately",
			change: func(s *Snapshot, _ *Question) {
				s.Dry = map[Place]time.Time{{Zone: "z2", Type: "c6i.8xlarge"}: noon().Add(time.Second)}
			}},
		{name: "dry until now", q: onDemand("c6i.8xlarge"), want: 1,
			change: func(s *Snapshot, _ *Question) { s.Dry = map[Place]time.Time{{Zone: "z2", Type: "c6i.8xlarge"}: noon()} }},
		{name: "a type not looked up", q: onDemand("m9.large"), want: 0, why: "not looked up yet"},
		{name: "a type that does not exist", q: onDemand("c6i.lagre"), want: 0, why: "no instance type c6i.lagre"},
		{name: "but the next one does", q: onDemand("c6i.lagre", "c6i.large"), want: 20},
		{name: "a Mac without a host", q: onDemand("mac-m4.metal"), want: 0, why: "dedicated host"},
		{name: "a Mac on hosts: no vCPUs, no price", q: Question{Types: []string{"mac-m4.metal"}, Hosts: 2}, want: 2, why: "pool",
			brakes: Brakes{MaxHourlyCost: 0.01}, bill: rich},
		{name: "more hosts than addresses", q: Question{Types: []string{"mac-m4.metal"}, Hosts: 200}, want: 100, why: "addresses"},
		{name: "no free host", q: Question{Types: []string{"mac-m4.metal"}, Hosts: 0}, want: 0, why: "pool"},
		{name: "a zone dry for hosts has the hosts that are there", q: Question{Types: []string{"mac-m4.metal"}, Hosts: 2}, want: 2,
			change: func(s *Snapshot, _ *Question) {
				s.Dry = map[Place]time.Time{{Zone: "z1", Type: "mac-m4.metal", Host: true}: noon().Add(time.Hour)}
			}},
		{name: "max_instances", q: onDemand("c6i.large"), brakes: Brakes{MaxInstances: 10}, bill: Bill{Known: true, Instances: 7}, want: 3, why: "max_instances"},
		{name: "max_instances counts those on hosts", q: Question{Types: []string{"mac-m4.metal"}, Hosts: 9}, brakes: Brakes{MaxInstances: 10},
			bill: Bill{Known: true, Instances: 9}, want: 1, why: "max_instances"},
		{name: "more than max_instances", q: onDemand("c6i.large"), brakes: Brakes{MaxInstances: 10}, bill: Bill{Known: true, Instances: 70}, want: 0},
		{name: "max_hourly_cost", q: onDemand("c6i.large"), brakes: Brakes{MaxHourlyCost: 1}, bill: Bill{Known: true, Hourly: 0.66}, want: 4, why: "max_hourly_cost"},
		{name: "max_hourly_cost, exactly", q: onDemand("c6i.large"), brakes: Brakes{MaxHourlyCost: 0.85}, bill: rich, want: 10, why: "max_hourly_cost"},
		{name: "the cheaper of two types", q: onDemand("c6i.8xlarge", "c6i.large"), brakes: Brakes{MaxHourlyCost: 1}, bill: rich, want: 11},
		{name: "an unknown price under the brake", q: onDemand("q9.large"), brakes: Brakes{MaxHourlyCost: 100}, bill: rich, want: 0, why: "price of q9.large is not known"},
		{name: "an unknown price of what runs", q: onDemand("c6i.large"), brakes: Brakes{MaxHourlyCost: 100},
			bill: Bill{Known: true, Unpriced: []string{"q9.large"}}, want: 0, why: "price of q9.large, of which there are some"},
		{name: "an unknown price without the brake", q: onDemand("q9.large"), brakes: Brakes{MaxInstances: 5}, bill: rich, want: 5},
		{name: "a brake before anything is known", q: onDemand("c6i.large"), brakes: Brakes{MaxInstances: 5}, want: 0, why: "not known yet"},
		{name: "use is not known yet", q: onDemand("c6i.large"), want: 0, why: "not known yet", change: func(s *Snapshot, _ *Question) { s.UseAsked = time.Time{} }},
		{name: "networks are not known yet", q: onDemand("c6i.large"), want: 0, why: "not known yet", change: func(s *Snapshot, _ *Question) { s.NetworksAsked = time.Time{} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := known()
			if test.change != nil {
				test.change(s, &test.q)
			}
			got := s.Capacity(test.q, test.brakes, test.bill, noon())
			if got.N != test.want || !strings.Contains(got.Why, test.why) {
				t.Errorf("Capacity = %d (%s), want %d (%s)", got.N, got.Why, test.want, test.why)
			}
			if got.N < 0 || got.N > drivers.Unlimited {
				t.Errorf("Capacity = %d, which is no number of environments", got.N)
			}
		})
	}
}

func TestCapacityOfAFreePrice(t *testing.T) {
	free, err := price.New(map[string]float64{"c6i.large": 0})
	if err != nil {
		t.Fatal(err)
	}
	got := known().Capacity(onDemand("c6i.large"), Brakes{MaxHourlyCost: 1, Prices: free}, Bill{Known: true, Hourly: 5}, noon())
	if got.N != 20 {
		t.Errorf("Capacity of what costs nothing = %d (%s), want 20", got.N, got.Why)
	}
}

// TestUnknownIsSaid: what may bound and is not known is in the answer.
func TestUnknownIsSaid(t *testing.T) {
	for _, test := range []struct{ of, want string }{
		{"q9.large", "which quota q9.large"},
		{"u7i-12tb.224xlarge", "L-43DA4232"},
		{"c6i.large", ""},
	} {
		got := strings.Join(known().Capacity(onDemand(test.of), Brakes{}, Bill{}, noon()).Unknown, "; ")
		if !strings.Contains(got, test.want) || test.want == "" && got != "" {
			t.Errorf("unknown of %s: %q, want %q in it", test.of, got, test.want)
		}
	}
}

func TestAge(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(s *Snapshot)
		age    time.Duration
		stale  bool
	}{
		{"new", func(*Snapshot) {}, 10 * time.Second, false},
		{"one is old", func(s *Snapshot) { s.UseAsked = noon().Add(-2 * time.Minute) }, 2 * time.Minute, false},
		{"one is stale", func(s *Snapshot) { s.NetworksAsked = noon().Add(-4 * time.Minute) }, 4 * time.Minute, true},
		{"one was never answered", func(s *Snapshot) { s.InstancesAsked = time.Time{} }, 10 * time.Second, true},
		{"quotas may be older", func(s *Snapshot) { s.QuotasAsked = noon().Add(-2 * time.Hour) }, 10 * time.Second, false},
		{"but not that old", func(s *Snapshot) { s.QuotasAsked = noon().Add(-4 * time.Hour) }, 10 * time.Second, true},
		{"quotas that may not be read are not stale", func(s *Snapshot) { s.QuotasAsked = time.Time{} }, 10 * time.Second, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := known()
			test.change(s)
			got := s.Capacity(onDemand("c6i.large"), Brakes{}, Bill{}, noon())
			if got.Age != test.age || got.Stale != test.stale {
				t.Errorf("age = %v, stale %v, want %v, %v", got.Age, got.Stale, test.age, test.stale)
			}
		})
	}
}

func TestHostsLeft(t *testing.T) {
	priced, err := price.New(map[string]float64{"mac-m4.metal": 1})
	if err != nil {
		t.Fatal(err)
	}
	const code = "L-2CBA8B92"
	for _, test := range []struct {
		name   string
		change func(s *Snapshot)
		of     string
		brakes Brakes
		bill   Bill
		want   int
		why    string // part of
	}{
		{name: "the quota less what there is", want: 2, why: "quota L-2CBA8B92: 1 of 3 hosts of mac-m4.metal are used"},
		{name: "a new account", want: 0, why: "1 of 0 hosts", change: func(s *Snapshot) { s.Quotas[code] = 0 }},
		{name: "used up, says EC2", want: 0, why: "used up", change: func(s *Snapshot) { s.Exhausted = map[string]bool{code: true} }},
		{name: "used up, though the quota may not be read", want: 0, why: "used up",
			change: func(s *Snapshot) { s.Quotas, s.Exhausted = nil, map[string]bool{code: true} }},
		{name: "no such quota is known", of: "m5.metal", want: drivers.Unlimited},
		{name: "the quota is not applied", of: "mac2.metal", want: drivers.Unlimited},
		{name: "quotas may not be read", want: drivers.Unlimited, change: func(s *Snapshot) { s.Quotas, s.QuotasAsked = nil, time.Time{} }},
		{name: "quotas were not answered yet", want: 0, why: "quotas are not known yet",
			change: func(s *Snapshot) { s.Quotas, s.QuotasAsked, s.quotasAwaited = nil, time.Time{}, true }},
		{name: "hosts are not listed yet", want: drivers.Unlimited, change: func(s *Snapshot) { s.HostsAsked = time.Time{} }},
		{name: "money for one", want: 1, why: "max_hourly_cost", brakes: Brakes{MaxHourlyCost: 1.5, Prices: priced}, bill: Bill{Known: true}},
		{name: "no money", want: 0, why: "max_hourly_cost is 1.50 USD, and 1.00 are used; mac-m4.metal costs 1.00", brakes: Brakes{MaxHourlyCost: 1.5, Prices: priced},
			bill: Bill{Known: true, Hourly: 1}},
		{name: "an unknown price", of: "q9.metal", want: 0, why: "price of q9.metal", brakes: Brakes{MaxHourlyCost: 9, Prices: priced}, bill: Bill{Known: true}},
		{name: "money for more than the quota", want: 2, why: "quota", brakes: Brakes{MaxHourlyCost: 99, Prices: priced}, bill: Bill{Known: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := known()
			if test.change != nil {
				test.change(s)
			}
			if got := s.hostsLeft(cmp.Or(test.of, "mac-m4.metal"), test.brakes, test.bill); got.n != test.want || !strings.Contains(got.why, test.why) {
				t.Errorf("hosts left = %d (%s), want %d (%s)", got.n, got.why, test.want, test.why)
			}
		})
	}
}

// TestZonesOf: of the network, and of the label, those in which a machine can be.
func TestZonesOf(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(s *Snapshot)
		q      Question
		want   string
		err    string
	}{
		{name: "the default network", want: "z1 z2"},
		{name: "a subnet", q: Question{Network: "subnet-3"}, want: "z1"},
		{name: "the label's", q: Question{Zones: []string{"z2", "z9"}}, want: "z2"},
		{name: "none of both", q: Question{Network: "subnet-3", Zones: []string{"z2"}}, err: "no subnet in z2"},
		{name: "no such network", q: Question{Network: "subnet-9"}, err: "is not there"},
		{name: "without an address", want: "z1", change: func(s *Snapshot) { s.Taken["subnet-2"] = 40 }},
		{name: "no address at all", want: "z1 z2", change: func(s *Snapshot) { s.Taken["subnet-1"], s.Taken["subnet-2"] = 100, 40 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := known()
			if test.change != nil {
				test.change(s)
			}
			got, err := s.ZonesOf(test.q)
			if strings.Join(got, " ") != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("zones = %v, %v, want %s (%s)", got, err, test.want, test.err)
			}
		})
	}
}

// TestRaisedQuota: who had a quota raised need not restart anything, nor wait for long.
func TestRaisedQuota(t *testing.T) {
	inWorld(t, Options{Pools: []string{"mac"}}, func(w *world) {
		const macs = "L-5D8DADF5"
		w.ec2.SetQuota(macs, 0)
		w.pass(time.Hour)
		if n, why := w.m.HostsLeft("mac2.metal"); n != 0 {
			w.Fatalf("hosts left = %d (%s), want 0", n, why)
		}
		w.ec2.SetQuota(macs, 3)
		w.pass(11 * time.Minute)
		if n, why := w.m.HostsLeft("mac2.metal"); n != 3 {
			w.Errorf("hosts left = %d (%s), want 3", n, why)
		}
	})
}

// TestZonesOfALabelAreNamed: a zone that is misspelt in a label is in the reason.
func TestZonesOfALabelAreNamed(t *testing.T) {
	q := onDemand("c6i.large")
	q.Zones = []string{"eu-west-1z"}
	const want = "c6i.large is not to be had in any zone of the network that the label allows: eu-west-1z"
	if a := known().Capacity(q, Brakes{}, Bill{}, noon()); a.N != 0 || a.Why != want {
		t.Errorf("room for %d (%s), want 0: %s", a.N, a.Why, want)
	}
}
