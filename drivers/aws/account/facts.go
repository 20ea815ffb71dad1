package account

import (
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

const (
	// exhaustedFor is how long a quota that EC2 called used up is taken for
	// it at least: what was ended counts for a while.
	exhaustedFor = time.Minute
	// holdFor is how long a launch of which nothing was heard holds what it
	// takes. It is renewed with every attempt; what was launched shows in lists
	// long before.
	holdFor = 3 * cloud.Settled
	// addressLag is how much later than a launch a list of subnets is asked for
	// that is taken to count its address.
	addressLag = 10 * time.Second
)

// Need is what a launch takes before any list shows it.
type Need struct {
	// Token is that of the allocation, or the ClientToken of a host.
	Token    string
	Type     string
	Spot     bool
	SubnetID string // empty: takes no address, or it is not known of which
	OnHost   bool   // an instance on a dedicated host: no quota and no price of its own
	Host     bool   // a dedicated host itself
}

// hold is a Need that was granted.
type hold struct {
	Need
	instance string // the driver's
	since    time.Time
}

// facts are all that an account remembers. Their methods are pure: time is
// handed in, and nothing is asked. The maps and slices of answers are replaced
// and never changed, as snapshots share them.
type facts struct {
	mine      sightings
	mineAsked time.Time

	use      []cloud.Instance // of anybody in the account, but what is terminated
	useAsked time.Time

	vpcs          []cloud.VPC
	subnets       []cloud.Subnet
	networksAsked time.Time

	quotas      map[string]float64
	quotasAsked time.Time

	hosts      hostSightings
	hostsAsked time.Time

	types  map[string]cloud.InstanceType
	noSuch map[string]bool
	zones  map[string][]string

	holds     map[string]hold      // by token
	exhausted map[string]time.Time // quotas, since when
	dry       map[Place]time.Time  // until when
}

// forget drops what is not true any more by the passing of time.
func (f *facts) forget(now time.Time) {
	maps.DeleteFunc(f.dry, func(_ Place, until time.Time) bool { return !now.Before(until) })
	maps.DeleteFunc(f.exhausted, func(_ string, since time.Time) bool {
		looked := f.useAsked.After(since) || f.hostsAsked.After(since)
		return looked && now.Sub(since) >= exhaustedFor
	})
	maps.DeleteFunc(f.holds, func(_ string, h hold) bool {
		asked := f.mineAsked
		if h.Host {
			asked = f.hostsAsked
		}
		return now.Sub(h.since) > holdFor && asked.Sub(h.since) > cloud.Settled
	})
}

// seeMine takes a list of the node's instances, and ends the holds of those
// that it shows.
func (f *facts) seeMine(list []cloud.Instance, asked time.Time) (changed bool) {
	f.mine, changed = f.mine.see(list, asked)
	f.mineAsked = asked
	for id, s := range f.mine {
		h, held := f.holds[s.Tags[cloud.TagToken]]
		if !held || h.Host || !s.Alive() && s.First.Before(h.since) {
			continue
		}
		delete(f.holds, h.Token)
		s.launched = asked
		f.mine[id] = s
	}
	return changed
}

// launched takes the answer of a launch.
func (f *facts) launched(token string, inst cloud.Instance, now time.Time) {
	delete(f.holds, token)
	mine := maps.Clone(f.mine)
	if mine == nil {
		mine = sightings{}
	}
	s := mine[inst.ID].again(inst, now)
	s.launched = now
	mine[inst.ID] = s
	f.mine = mine
}

// seeHosts takes a list of hosts, and ends the holds of those that it shows.
func (f *facts) seeHosts(list []cloud.Host, asked time.Time) {
	f.hosts = f.hosts.see(list, asked)
	f.hostsAsked = asked
	for _, h := range list {
		if f.holds[h.ClientToken].Host {
			delete(f.holds, h.ClientToken)
		}
	}
}

// snapshot is what the facts come to.
func (f *facts) snapshot() *Snapshot {
	s := &Snapshot{
		InstancesAsked: f.mineAsked, UseAsked: f.useAsked, NetworksAsked: f.networksAsked,
		QuotasAsked: f.quotasAsked, HostsAsked: f.hostsAsked,
		Types: f.types, NoSuchType: f.noSuch, Zones: f.zones,
		VPCs: f.vpcs, Subnets: f.subnets, Taken: f.taken(),
		Quotas: f.quotas, Used: f.used(), UsedHosts: f.usedHosts(),
		Exhausted: make(map[string]bool, len(f.exhausted)),
		Dry:       maps.Clone(f.dry),
		mine:      f.mine, seen: f.hosts,
	}
	for code := range f.exhausted {
		s.Exhausted[code] = true
	}
	return s
}

// taken are the addresses that no list of subnets shows yet.
func (f *facts) taken() map[string]int {
	taken := map[string]int{}
	for _, s := range f.mine {
		if !s.launched.IsZero() && s.Alive() && f.networksAsked.Before(s.launched.Add(addressLag)) {
			taken[s.SubnetID]++
		}
	}
	for _, h := range f.holds {
		if h.SubnetID != "" {
			taken[h.SubnetID]++
		}
	}
	return taken
}

// Use is what counts to a quota in vCPUs. AWS documents that running instances
// do; its staff was heard saying that all do that are not terminated.
type Use struct{ All, Running int }

// used sums up the vCPUs of types by quota: of what the list of the account
// shows, of our own that it does not show yet, and of launches on their way.
func (f *facts) used() map[string]Use {
	used := map[string]Use{}
	listed := make(map[string]bool, len(f.use))
	for _, inst := range f.use {
		listed[inst.ID] = true
		if own, ours := f.mine[inst.ID]; ours {
			inst = own.Instance // which knows what ended for good
		}
		f.count(used, inst)
	}
	for id, s := range f.mine {
		if !listed[id] && (s.Missing.IsZero() || s.Last.After(f.useAsked)) {
			f.count(used, s.Instance)
		}
	}
	for _, h := range f.holds {
		if !h.OnHost && !h.Host {
			f.count(used, cloud.Instance{Type: h.Type, Spot: h.Spot, State: cloud.Pending})
		}
	}
	return used
}

// count adds an instance to its quota.
func (f *facts) count(used map[string]Use, inst cloud.Instance) {
	code, known := QuotaCode(inst.Type, inst.Spot)
	if !known || inst.HostID != "" || inst.State == cloud.Terminated {
		return
	}
	n, u := f.vcpus(inst), used[code]
	u.All += n
	if inst.State == cloud.Running || inst.State == cloud.Pending {
		u.Running += n
	}
	used[code] = u
}

// vcpus are those of the type, which is what AWS counts, and not those that
// the instance was made with.
func (f *facts) vcpus(inst cloud.Instance) int {
	if info, known := f.types[inst.Type]; known && info.VCPUs > 0 {
		return info.VCPUs
	}
	return inst.VCPUs
}

func (f *facts) usedHosts() map[string]int {
	used := map[string]int{}
	for _, h := range f.hosts {
		if !h.Released() {
			used[h.Type]++
		}
	}
	for _, h := range f.holds {
		if h.Host {
			used[h.Type]++
		}
	}
	return used
}

// unknownTypes are those that matter and were not looked up.
func (f *facts) unknownTypes(asked map[string]bool) []string {
	var names []string
	need := func(name string) {
		if _, known := f.types[name]; name != "" && !known && !f.noSuch[name] && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for name := range asked {
		need(name)
	}
	for _, inst := range f.use {
		need(inst.Type)
	}
	for _, h := range f.holds {
		need(h.Type)
	}
	slices.Sort(names)
	return names
}
