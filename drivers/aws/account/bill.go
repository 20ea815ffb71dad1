package account

import (
	"slices"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
)

// Bill is what a driver instance has, what is on its way included.
type Bill struct {
	// Known reports whether what there is was found out at all.
	Known bool
	// Instances are environments that are not gone, those that stand still too.
	Instances int
	// Hourly is what they and the hosts that the instance allocated cost in USD, as
	// if all were running: what stands still or is pending goes on by itself.
	Hourly float64
	// Unpriced are the types among them whose price is not known.
	Unpriced []string
}

// bill adds up what a driver instance of the node has. With pools, it is known
// when the hosts are.
func (f *facts) bill(node, instance string, prices price.Table, pools []string) Bill {
	bill := Bill{Known: !f.mineAsked.IsZero() && (len(pools) == 0 || !f.hostsAsked.IsZero())}
	for _, s := range f.mine {
		if s.Tags[cloud.TagInstance] == instance && s.Alive() {
			bill.add(s.Work(), s.HostID == "", s.Type, prices)
		}
	}
	for _, h := range f.hosts {
		if !h.Released() && pays(h.Tags, node, instance, pools) {
			bill.add(false, true, h.Type, prices)
		}
	}
	for _, h := range f.holds {
		if h.instance == instance {
			bill.add(!h.Host, !h.OnHost, h.Type, prices)
		}
	}
	slices.Sort(bill.Unpriced)
	return bill
}

// pays reports whether a host is on the bill of a driver instance: one that it
// allocated, or one of v0.7, which bears nobody's mark and is of a pool of its.
func pays(tags cloud.Tags, node, instance string, pools []string) bool {
	if _, marked := tags[cloud.TagNode]; marked {
		return cloud.Maker{Node: node, Instance: instance}.Made(tags)
	}
	return slices.ContainsFunc(pools, func(pool string) bool { return cloud.InPool(tags, pool) })
}

// add adds one thing, an environment or not, that is paid for or not.
func (b *Bill) add(work, paid bool, instanceType string, prices price.Table) {
	if work {
		b.Instances++
	}
	if !paid {
		return
	}
	usd, known := prices.Hourly(instanceType)
	b.Hourly += usd
	if !known && !slices.Contains(b.Unpriced, instanceType) {
		b.Unpriced = append(b.Unpriced, instanceType)
	}
}
