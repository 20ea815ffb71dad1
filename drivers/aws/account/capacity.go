package account

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
)

// The ages from which on an answer is stale: several times what it is
// refreshed after, so that one failed attempt makes none.
const (
	staleAfter       = 3 * time.Minute // instances, use, networks
	staleQuotasAfter = 3 * time.Hour
)

// NoHosts is a Question's Hosts where none are needed.
const NoHosts = -1

// Question is what capacity is asked for: environments of one definition.
type Question struct {
	// Types are those it may have, at least one: the answer is that of the best.
	Types []string
	// Spot and OnDemand say how it may be bought; the better counts if both.
	Spot, OnDemand bool
	// Network as in Snapshot.Network, of the owners' subnets only.
	Network string
	Owners  []string
	// Zones are those it may be in; all if none.
	Zones []string
	// Hosts is how many dedicated hosts wait for it, NoHosts if it needs none.
	// On hosts it takes no quota and has no price of its own.
	Hosts int
	// RunningOnly counts to quotas what runs, and not all that is not terminated.
	RunningOnly bool
}

// Brakes are what one driver instance may use at once.
type Brakes struct {
	MaxInstances  int     // 0: any number
	MaxHourlyCost float64 // USD; 0: any
	Prices        price.Table
}

// Answer is how many more there is room for.
type Answer struct {
	N int
	// Why says what bounds N, in words for the operator; empty if nothing does.
	Why string
	// Unknown is what may bound it and is not known, in the same words.
	Unknown []string
	// Age is that of the oldest fact in it, and Stale whether that is more than
	// it should be.
	Age   time.Duration
	Stale bool
	// Old says what of it is older than it should be, in words for the operator;
	// empty: nothing is, or it was never known.
	Old string
}

// bound is one limit. Limits are compared by n alone.
type bound struct {
	n   int
	why string
}

func lower(a, b bound) bound {
	if b.n < a.n {
		return b
	}
	return a
}

// ZonesOf are the zones that the question is about, of its network: those with a
// free address, or all if none has one.
func (s *Snapshot) ZonesOf(q Question) ([]string, error) {
	subnets, err := s.Network(q.Network, q.Owners)
	if err != nil {
		return nil, err
	}
	var all, free []string
	for _, sub := range subnets {
		if len(q.Zones) > 0 && !slices.Contains(q.Zones, sub.Zone) {
			continue
		}
		all = append(all, sub.Zone)
		if s.Free(sub) > 0 {
			free = append(free, sub.Zone)
		}
	}
	switch {
	case len(all) == 0:
		return nil, fmt.Errorf("network %q has no subnet in %s", q.Network, strings.Join(q.Zones, ", "))
	case len(free) == 0:
		return all, nil
	}
	return free, nil
}

// Capacity answers the question for an instance that has the bill.
func (s *Snapshot) Capacity(q Question, brakes Brakes, bill Bill, now time.Time) Answer {
	answer := s.age(q, now)
	all := bound{n: drivers.Unlimited}
	if q.Hosts != NoHosts {
		all = lower(all, bound{q.Hosts, "free hosts of the pool"})
	}
	if brakes.MaxInstances > 0 {
		all = lower(all, instancesLeft(brakes, bill))
	}
	subnets, err := s.Network(q.Network, q.Owners)
	if err != nil {
		answer.Why = err.Error()
		return answer
	}
	best := bound{n: -1, why: "no instance type"}
	for _, name := range q.Types {
		one, unknown := s.ofType(name, q, subnets, now)
		one = lower(lower(all, one), costLeft(name, q, brakes, bill))
		if one.n > best.n {
			best = one
			answer.Unknown = unknown
		}
	}
	answer.N, answer.Why = max(best.n, 0), best.why
	return answer
}

// age judges by what the answer is made from.
func (s *Snapshot) age(q Question, now time.Time) Answer {
	var a Answer
	facts := []time.Time{s.InstancesAsked, s.NetworksAsked}
	if q.Hosts == NoHosts {
		facts = append(facts, s.UseAsked)
	}
	for _, asked := range facts {
		if asked.IsZero() {
			a.Stale = true
			continue
		}
		a.Age = max(a.Age, now.Sub(asked))
	}
	quotas := !s.QuotasAsked.IsZero() && now.Sub(s.QuotasAsked) > staleQuotasAfter
	a.Stale = a.Stale || quotas || a.Age > staleAfter
	switch {
	case a.Age > staleAfter:
		a.Old = fmt.Sprintf("as of %v ago", a.Age.Round(time.Second))
	case quotas:
		a.Old = fmt.Sprintf("with the quotas of %v ago", now.Sub(s.QuotasAsked).Round(time.Minute))
	}
	return a
}

// ofType is what there is of one type, apart from money.
func (s *Snapshot) ofType(name string, q Question, subnets []cloud.Subnet, now time.Time) (best bound, unknown []string) {
	info, known := s.Types[name]
	switch {
	case s.NoSuchType[name]:
		return bound{0, fmt.Sprintf("the region has no instance type %s", name)}, nil
	case !known:
		return bound{0, fmt.Sprintf("instance type %s is not looked up yet", name)}, nil
	case info.Mac() && q.Hosts == NoHosts:
		return bound{0, fmt.Sprintf("%s needs a dedicated host: name a pool", name)}, nil
	case q.Hosts != NoHosts:
		return s.addresses(Place{Type: name}, q, subnets, now), nil
	}
	if !q.Spot && !q.OnDemand {
		return bound{0, "neither spot nor on demand is asked for"}, nil
	}
	best = bound{n: -1}
	for _, spot := range []bool{true, false} {
		if spot && !q.Spot || !spot && !q.OnDemand {
			continue
		}
		left, doubt := s.vcpusLeft(info, spot, q.RunningOnly)
		left = lower(left, s.addresses(Place{Type: name, Spot: spot}, q, subnets, now))
		if left.n > best.n {
			best, unknown = left, doubt
		}
	}
	return best, unknown
}

// addresses sums up the free addresses where the type may be launched.
func (s *Snapshot) addresses(p Place, q Question, subnets []cloud.Subnet, now time.Time) bound {
	fit, dry := s.offered(p, q, subnets, now)
	n := 0
	for _, sub := range fit {
		n += s.Free(sub)
	}
	switch {
	case len(fit) > 0:
		return bound{n, "free addresses of the network"}
	case dry:
		return bound{0, fmt.Sprintf("all zones had no capacity for %s lately", p.Type)}
	}
	why := fmt.Sprintf("%s is not to be had in any zone of the network", p.Type)
	if len(q.Zones) > 0 {
		why += " that the label allows: " + strings.Join(q.Zones, ", ")
	}
	return bound{0, why}
}

// offered are those of the subnets in zones that may be used; dry is whether
// others would be, but for their lack of capacity.
func (s *Snapshot) offered(p Place, q Question, subnets []cloud.Subnet, now time.Time) (fit []cloud.Subnet, dry bool) {
	for _, sub := range subnets {
		if len(q.Zones) > 0 && !slices.Contains(q.Zones, sub.Zone) || !slices.Contains(s.Zones[p.Type], sub.Zone) {
			continue
		}
		p.Zone = sub.Zone
		if q.Hosts == NoHosts && now.Before(s.Dry[p]) {
			dry = true
			continue
		}
		fit = append(fit, sub)
	}
	return fit, dry
}

// vcpusLeft is what the quota leaves. What is not known bounds nothing.
func (s *Snapshot) vcpusLeft(info cloud.InstanceType, spot, runningOnly bool) (left bound, unknown []string) {
	code, known := QuotaCode(info.Name, spot)
	if !known {
		return bound{n: drivers.Unlimited}, []string{fmt.Sprintf("which quota %s counts to", info.Name)}
	}
	if s.Exhausted[code] {
		return bound{0, fmt.Sprintf("EC2 said that the quota %s is used up", code)}, nil
	}
	quota, applied := s.Quotas[code]
	switch {
	case s.UseAsked.IsZero():
		return bound{0, errUnknown("instances").Error()}, nil
	case !applied:
		return bound{n: drivers.Unlimited}, []string{fmt.Sprintf("the quota %s", code)}
	case info.VCPUs <= 0:
		return bound{n: drivers.Unlimited}, []string{fmt.Sprintf("how many vCPUs %s has", info.Name)}
	}
	used := s.Used[code].All
	if runningOnly {
		used = s.Used[code].Running
	}
	n := max(0, (int(min(quota, math.MaxInt32))-used)/info.VCPUs)
	return bound{n, fmt.Sprintf("quota %s: %d of %v vCPUs are used", code, used, quota)}, nil
}

// hostsLeft is how many more dedicated hosts of a type the quota and the money
// allow. What is not known bounds nothing, but for what is just being asked.
func (s *Snapshot) hostsLeft(instanceType string, brakes Brakes, bill Bill) bound {
	left := bound{n: drivers.Unlimited}
	if brakes.MaxHourlyCost > 0 {
		left = affordable(instanceType, brakes, bill)
	}
	code, known := HostQuotaCode(instanceType)
	quota, applied := s.Quotas[code]
	switch {
	case !known:
		return left
	case s.Exhausted[code]:
		return lower(left, bound{0, fmt.Sprintf("EC2 said that the quota %s is used up", code)})
	case s.quotasAwaited:
		return lower(left, bound{0, errUnknown("quotas").Error()})
	case !applied || s.HostsAsked.IsZero():
		return left
	}
	used := s.UsedHosts[instanceType]
	n := max(0, int(min(quota, math.MaxInt32))-used)
	return lower(left, bound{n, fmt.Sprintf("quota %s: %d of %v hosts of %s are used; AWS raises it in Service Quotas", code, used, quota, instanceType)})
}

func instancesLeft(brakes Brakes, bill Bill) bound {
	if !bill.Known {
		return bound{0, errUnknown("own instances and hosts").Error()}
	}
	return bound{max(0, brakes.MaxInstances-bill.Instances), fmt.Sprintf("max_instances is %d, and there are %d", brakes.MaxInstances, bill.Instances)}
}

// costLeft is how many more of the type max_hourly_cost leaves. Those on hosts
// cost nothing: the host does, and is asked for when it is allocated.
func costLeft(name string, q Question, brakes Brakes, bill Bill) bound {
	if brakes.MaxHourlyCost <= 0 || q.Hosts != NoHosts {
		return bound{n: drivers.Unlimited}
	}
	return affordable(name, brakes, bill)
}

// affordable is how many of a type, or of hosts of it, there is money left for.
// A brake that does not know what it costs stays on.
func affordable(name string, brakes Brakes, bill Bill) bound {
	usd, known := brakes.Prices.Hourly(name)
	switch {
	case !bill.Known:
		return bound{0, errUnknown("own instances and hosts").Error()}
	case !known:
		return bound{0, fmt.Sprintf("max_hourly_cost is set and the price of %s is not known: add it to prices", name)}
	case len(bill.Unpriced) > 0:
		return bound{0, fmt.Sprintf("max_hourly_cost is set and the price of %s, of which there are some, is not known: add it to prices", bill.Unpriced[0])}
	case usd == 0:
		return bound{n: drivers.Unlimited}
	}
	// A millionth of a dollar is what sums of floats are off by, at most.
	n := math.Floor((brakes.MaxHourlyCost - bill.Hourly + 1e-6) / usd)
	return bound{int(max(0, min(n, drivers.Unlimited))), fmt.Sprintf("max_hourly_cost is %.2f USD, and %.2f are used; %s costs %.2f",
		brakes.MaxHourlyCost, bill.Hourly, name, usd)}
}
