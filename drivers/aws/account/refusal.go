package account

import (
	"errors"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Failed takes the error of an attempt to launch in a zone: a quota that is
// used up and a zone that has no capacity are left alone for a while.
func (m *Member) Failed(n Need, zone string, err error) {
	m.change(func(f *facts) {
		now := time.Now()
		if place, dry := dryOf(n, zone, err); dry {
			f.dry[place] = now.Add(m.dryPause)
		}
		if code, exhausted := exhaustedOf(n, err); exhausted {
			f.exhausted[code] = now
			m.use.wants(now)
			m.quotas.wants(now)
			if n.Host {
				m.hosts.wants(now)
			}
		}
		if codeOf(err) == "InsufficientFreeAddressesInSubnet" {
			m.networks.wants(now)
		}
	})
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		return e.Code
	}
	return ""
}

// dryOf is where an error says that there is no capacity. Other refusals that
// make the driver try the next zone are about the disks or the subnet of one
// label, and say nothing of the type.
func dryOf(n Need, zone string, err error) (p Place, dry bool) {
	if zone == "" || n.OnHost {
		return Place{}, false
	}
	switch codeOf(err) {
	case "InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientCapacity", "UnfulfillableCapacity", "SpotMaxPriceTooLow":
		return Place{Zone: zone, Type: n.Type, Spot: n.Spot, Host: n.Host}, true
	}
	return Place{}, false
}

// exhaustedOf is the quota of which an error says that it is used up. Limits of
// volumes and the like are not those that are counted here.
func exhaustedOf(n Need, err error) (code string, exhausted bool) {
	switch codeOf(err) {
	case "VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded":
		if !n.OnHost && !n.Host {
			return QuotaCode(n.Type, n.Spot)
		}
	case "HostLimitExceeded":
		if n.Host {
			return HostQuotaCode(n.Type)
		}
	}
	return "", false
}
