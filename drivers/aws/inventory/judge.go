package inventory

import (
	"fmt"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

// ours reports whether tags are those of any node, of this version or an old one.
func ours(tags cloud.Tags) bool {
	_, marked := tags[cloud.TagNode]
	return marked || poolOf(tags) != ""
}

// poolOf is the pool that tags name; empty: none.
func poolOf(tags cloud.Tags) string {
	for _, key := range []string{cloud.TagPool, cloud.TagOldPool} {
		if name := tags[key]; name != "" {
			return name
		}
	}
	for key := range tags {
		if name, old := strings.CutPrefix(key, cloud.TagOldPoolPrefix); old {
			return name
		}
	}
	return ""
}

// judge says what there is to say about things.
type judge struct {
	mine   cloud.Maker
	former drivers.Former
	prices price.Table
	macs   map[string]bool
	now    time.Time
}

// owner is whose a thing is by its tags.
func (j judge) owner(tags cloud.Tags) view.Owner {
	o := view.Owner{
		Node: tags[cloud.TagNode], Instance: tags[cloud.TagInstance], Purpose: tags[cloud.TagPurpose], Pool: poolOf(tags),
		Application: tags[cloud.TagApplication], Task: tags[cloud.TagTask], Token: tags[cloud.TagToken],
	}
	o.Mine, o.Lease = j.mine.Made(tags), tags.Lease()
	if o.Node == j.mine.Node {
		o.Former = !o.Mine && j.former.Instance(o.Instance)
	} else {
		o.RetiredAt, o.Retired = j.former.RetiredAt(o.Node)
	}
	return o
}

// cost is what is known of a price.
func cost(usd float64, known bool) *float64 {
	if !known {
		return nil
	}
	return &usd
}

func (j judge) host(h account.HostSighting) view.Thing {
	t := view.Thing{
		ID: h.ID, Type: h.Type, Zone: h.Zone, State: h.State, Owner: j.owner(h.Tags), Created: h.AllocationTime, Cost: cost(h.Cost(j.prices, j.now)),
	}
	mac, known := j.macs[h.Type]
	switch {
	case mac:
		t.Release = h.AllocationTime.Add(pool.MacMinAge)
	case !known:
		t.Why = "EC2 did not say whether it is a Mac, which is kept for a day"
	}
	switch {
	case len(h.Instances) > 0:
		t.Busy = true
		t.Why = "has " + strings.Join(h.Instances, ", ")
	case h.State == cloud.HostPending:
		t.Why = "is not paid for while it is pending"
	}
	return t
}

func (j judge) instance(i cloud.Instance) view.Thing {
	t := view.Thing{
		ID: i.ID, Type: i.Type, Zone: i.Zone, State: i.State, On: i.HostID, Owner: j.owner(i.Tags), Created: i.LaunchTime,
	}
	switch {
	case i.HostID != "":
		t.Cost, t.Why = cost(0, true), "its host "+i.HostID+" is paid for"
	case i.State == cloud.Running || i.State == cloud.Pending:
		t.Cost = cost(j.prices.Cost(i.Type, i.LaunchTime, j.now))
	case cloud.Gone(i.State):
		t.Why = "is not paid for any more"
	default: // how long it ran nobody tells
		t.Why = "only its disks are paid for while it stands still"
	}
	if i.Spot && t.Why == "" {
		t.Why = "spot: costs less"
	}
	return t
}

func (j judge) spot(s cloud.SpotRequest) view.Thing {
	return view.Thing{
		ID: s.ID, State: s.State, On: s.InstanceID, Owner: j.owner(s.Tags), Created: s.Tags.Created(), Cost: cost(0, true),
		Why: strings.TrimSpace("no instance yet " + s.Status),
	}
}

func (j judge) volume(v cloud.Volume) view.Thing {
	t := view.Thing{
		ID: v.ID, Type: v.Type, Zone: v.Zone, State: v.State, SizeGB: v.SizeGB, On: v.InstanceID, Owner: j.owner(v.Tags), Created: v.Created,
		Cost: cost(price.Volume(v.Type, v.SizeGB, j.now.Sub(v.Created))),
	}
	if v.InstanceID != "" {
		t.Why = "of " + v.InstanceID
	}
	return t
}

func (j judge) snapshot(s cloud.Snapshot) view.Thing {
	return view.Thing{
		ID: s.ID, State: s.State, SizeGB: s.SizeGB, Owner: j.owner(s.Tags), Created: s.Started,
		Cost: cost(price.Snapshot(s.SizeGB, j.now.Sub(s.Started)), true), Why: s.Reason,
	}
}

func (j judge) image(i cloud.Image) view.Thing {
	t := view.Thing{
		ID: i.ID, Name: i.Name, State: i.State, Owner: j.owner(i.Tags), Created: i.Created, Cost: cost(0, true), Why: i.Reason,
	}
	for _, d := range i.Disks {
		t.SizeGB += d.SizeGB
	}
	if t.Why == "" {
		t.Why = fmt.Sprintf("%q; its snapshots are paid for", i.Name)
	}
	return t
}
