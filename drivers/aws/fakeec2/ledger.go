package fakeec2

import (
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Bill is what one thing costs.
type Bill struct {
	Kind string // "instance", "host", "volume", "snapshot", "image" or "spot-request"
	ID   string
	Type string // of instances and hosts
	Who  string // who made it, as said with As
	Tags cloud.Tags

	Since, Until time.Time     // when it was made, and when it was gone: zero if it is there
	Paying       bool          // it costs now
	Rate         float64       // USD per hour while Paying
	Paid         time.Duration // how long it was paid for until now
	Cost         float64       // USD until now
}

// meter is a Bill that runs.
type meter struct {
	Bill
	counted time.Time // until when Paid and Cost are right
	fixture bool      // the test's own, not made by a call
}

type ledger struct {
	ids   []string
	bills map[string]*meter
	past  float64 // USD of bills that were dropped
	full  int     // when there are so many, old ones may go
}

// drop forgets bills of what is gone since then.
func (l *ledger) drop(since time.Time) {
	l.ids = slices.DeleteFunc(l.ids, func(id string) bool {
		m := l.bills[id]
		if m.Until.IsZero() || !m.Until.Before(since) {
			return false
		}
		if !m.fixture {
			l.past += m.Cost
		}
		delete(l.bills, id)
		return true
	})
	l.full = 2*len(l.ids) + 1000
}

// open begins to count a thing.
func (a *account) open(kind, id, typ string, rate float64, paying bool) {
	if a.opts.Keep > 0 && len(a.meters.ids) >= a.meters.full {
		a.meters.drop(a.time.Add(-a.opts.Keep))
	}
	a.meters.ids = append(a.meters.ids, id)
	a.meters.bills[id] = &meter{
		Bill:    Bill{Kind: kind, ID: id, Type: typ, Who: a.asked.Who, Since: a.time, Paying: paying, Rate: rate},
		counted: a.time, fixture: a.furnishing,
	}
}

// pay says whether a thing costs from now on.
func (a *account) pay(id string, now time.Time, paying bool) {
	if m := a.meters.bills[id]; m != nil {
		m.count(now)
		m.Paying = paying
	}
}

// gone ends the counting of a thing.
func (a *account) gone(id string, now time.Time) {
	if m := a.meters.bills[id]; m != nil && m.Until.IsZero() {
		m.count(now)
		m.Paying, m.Until, m.Tags = false, now, a.tagsOf(id)
	}
}

func (m *meter) count(now time.Time) {
	if m.Paying {
		m.Paid += now.Sub(m.counted)
		m.Cost = m.Paid.Hours() * m.Rate
	}
	m.counted = now
}

// Bills are the bills of everything that was ever made by calls.
func (c *Cloud) Bills() []Bill {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.catchUp()
	var all []Bill
	for _, id := range c.meters.ids {
		m := c.meters.bills[id]
		if m.fixture {
			continue
		}
		m.count(now)
		bill := m.Bill
		if bill.Until.IsZero() {
			bill.Tags = c.tagsOf(id)
		}
		all = append(all, bill)
	}
	return all
}

// Billable are the things that are there, were made by calls, and cost money
// or will: also a launch that has not begun to cost, a host that is being
// scrubbed, and an image, whose price is that of its snapshots.
func (c *Cloud) Billable() []Bill {
	return slices.DeleteFunc(c.Bills(), func(b Bill) bool { return !b.Until.IsZero() })
}

// Paid is how long a thing was paid for until now.
func (c *Cloud) Paid(id string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.meters.bills[id]
	now := c.catchUp()
	if m == nil {
		return 0
	}
	m.count(now)
	return m.Paid
}

// Cost is what everything made by calls has cost until now, in USD.
func (c *Cloud) Cost() float64 {
	bills := c.Bills()
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := c.meters.past
	for _, b := range bills {
		sum += b.Cost
	}
	return sum
}

// tagsOf are the tags of anything.
func (a *account) tagsOf(id string) cloud.Tags {
	if i, found := a.instances.get(id); found {
		return copyTags(i.Tags)
	}
	if v, found := a.volumes.get(id); found {
		return copyTags(v.Tags)
	}
	if h, found := a.hosts.get(id); found {
		return copyTags(h.Tags)
	}
	if s, found := a.snapshots.get(id); found {
		return copyTags(s.Tags)
	}
	if i, found := a.images.get(id); found {
		return copyTags(i.Tags)
	}
	s, _ := a.spots.get(id)
	return copyTags(s.Tags)
}

func copyTags(tags cloud.Tags) cloud.Tags {
	if len(tags) == 0 {
		return nil
	}
	copied := make(cloud.Tags, len(tags))
	for key, value := range tags {
		copied[key] = value
	}
	return copied
}
