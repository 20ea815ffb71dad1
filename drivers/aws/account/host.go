package account

import (
	"maps"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
)

// HostSighting is a dedicated host of the account, and when it was seen.
type HostSighting struct {
	cloud.Host
	// First and Last are when the first and the last list that showed it were
	// asked for.
	First, Last time.Time
	// Unpaid is for how long it was seen pending, which is not paid for: from
	// list to list, so that it is rather too short than too long.
	Unpaid time.Duration
}

// Cost is what the host has cost until now, at most: what it was pending before
// First is not known. false: its price is not known.
func (h HostSighting) Cost(prices price.Table, now time.Time) (usd float64, known bool) {
	if !h.ReleaseTime.IsZero() && h.ReleaseTime.Before(now) {
		now = h.ReleaseTime
	}
	return prices.CostOf(h.Type, now.Sub(h.AllocationTime)-h.Unpaid)
}

// hostSightings are those of the account, by the host's id.
type hostSightings map[string]HostSighting

// see is what is known after a list that was asked for at a time.
func (old hostSightings) see(list []cloud.Host, asked time.Time) hostSightings {
	next := maps.Clone(old)
	if next == nil {
		next = hostSightings{}
	}
	listed := make(map[string]bool, len(list))
	for _, h := range list {
		listed[h.ID] = true
		was, known := old[h.ID]
		if !known {
			was.First, was.Last = asked, asked
		}
		if was.State == cloud.HostPending && h.State == cloud.HostPending {
			was.Unpaid += max(0, asked.Sub(was.Last))
		}
		was.Host, was.Last = h, asked
		next[h.ID] = was
	}
	for id, was := range old {
		if !listed[id] && asked.Sub(was.Last) > cloud.Settled {
			delete(next, id)
		}
	}
	return next
}
