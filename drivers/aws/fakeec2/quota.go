package fakeec2

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Market is in which way capacity is bought.
type Market string

// The markets.
const (
	OnDemand  Market = "on-demand"
	Spot      Market = "spot"
	Dedicated Market = "dedicated" // hosts
)

// Quotas implements cloud.API. The service has two lists, of the quotas that
// were ever applied and of the defaults; both are asked.
func (c *Cloud) Quotas(ctx context.Context) (map[string]float64, error) {
	return ask(ctx, c, "ListServiceQuotas", func(now time.Time) (map[string]float64, error) {
		c.counts["ListAWSDefaultServiceQuotas"]++
		if !c.admit("ListAWSDefaultServiceQuotas", now, 1) {
			return nil, errTooMany()
		}
		return maps.Clone(c.quotas), nil
	})
}

func errTooMany() error {
	return cloud.NewError("TooManyRequestsException", "Rate exceeded")
}

// defaultQuotas are AWS's for a new account, by code.
func defaultQuotas() map[string]float64 {
	quotas := map[string]float64{}
	for _, code := range []string{
		"L-DB2E81BA", "L-417A185B", "L-7295265B", "L-74FC7D96", "L-1945791B", "L-6E869C2A", "L-2C3B7624", "L-F7808C92", "L-43DA4232",
		"L-3819A6DF", "L-7212CCBC", "L-C4BD4855", "L-E3A00192", "L-88CF9481", "L-B5D1601B", "L-85EED4F7", "L-6B0D517C",
	} {
		quotas[code] = 0
	}
	for _, code := range macQuotas() {
		quotas[code] = 0
	}
	quotas["L-1216C47A"], quotas["L-34B43A08"] = 5, 5
	return quotas
}

// macQuotas are the codes of hosts by the part of the type before the point.
func macQuotas() map[string]string {
	return map[string]string{
		"mac1": "L-A8448DC5", "mac2": "L-5D8DADF5", "mac2-m1ultra": "L-AE4D744C", "mac2-m2": "L-B90B5B66", "mac2-m2pro": "L-14F120D1",
		"mac-m4": "L-2CBA8B92", "mac-m4pro": "L-6919FC30", "mac-m4max": "L-D82CB68A", "mac-m3ultra": "L-7108A7B5",
	}
}

// QuotaCode is which quota a type counts in; empty if none limits it.
func QuotaCode(kind string, market Market) string {
	family, _, _ := strings.Cut(kind, ".")
	if market == Dedicated {
		return macQuotas()[family]
	}
	letters := family[:len(family)-len(strings.TrimLeft(family, "abcdefghijklmnopqrstuvwxyz"))]
	spot := market == Spot
	switch letters {
	case "g", "gr", "vt":
		return either(spot, "L-3819A6DF", "L-DB2E81BA")
	case "p":
		if spot && strings.HasPrefix(family, "p5") {
			return "L-C4BD4855"
		}
		return either(spot, "L-7212CCBC", "L-417A185B")
	case "x":
		return either(spot, "L-E3A00192", "L-7295265B")
	case "f":
		return either(spot, "L-88CF9481", "L-74FC7D96")
	case "inf":
		return either(spot, "L-B5D1601B", "L-1945791B")
	case "dl":
		return either(spot, "L-85EED4F7", "L-6E869C2A")
	case "trn":
		return either(spot, "L-6B0D517C", "L-2C3B7624")
	case "hpc":
		return either(spot, "", "L-F7808C92")
	case "u":
		return either(spot, "", "L-43DA4232")
	}
	return either(spot, "L-34B43A08", "L-1216C47A") // A, C, D, H, I, M, R, T and Z are one
}

func either(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// SetQuota sets a limit by its code.
func (c *Cloud) SetQuota(code string, limit float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quotas[code] = limit
}

// SetCapacity limits how many instances (or hosts, in the market Dedicated) of
// the type the zone gives at most at one time; negative is any number, which
// is also so before the first call.
func (c *Cloud) SetCapacity(zone, kind string, market Market, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.capacity[slot{zone, kind, market}] = n
}

// SetSpotPrice sets what spot instances of the type cost in the zone, USD per
// hour; above the price on demand none starts.
func (c *Cloud) SetSpotPrice(zone, kind string, price float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spotPrice[slot{zone, kind, Spot}] = price
}

// market is how an instance was bought; Dedicated is counted with its host.
func (i instance) market() Market {
	switch {
	case i.HostID != "":
		return Dedicated
	case i.Spot:
		return Spot
	}
	return OnDemand
}

// holds reports whether an instance of the state takes capacity of its zone.
func holds(state string) bool {
	return state == cloud.Pending || state == cloud.Running || state == cloud.Stopping
}

// checkQuota refuses an instance that is beyond the account's limit of vCPUs.
func (a *account) checkQuota(t cloud.InstanceType, market Market) error {
	code := QuotaCode(t.Name, market)
	if market == Dedicated || code == "" {
		return nil
	}
	used := 0
	for _, i := range a.instances.all() {
		counted := holds(i.State) || a.opts.StoppedCount && i.State != cloud.Terminated
		if counted && i.market() == market && QuotaCode(i.Type, market) == code {
			used += i.VCPUs
		}
	}
	if float64(used+t.VCPUs) <= a.quotas[code] {
		return nil
	}
	if market == Spot {
		return cloud.NewError("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
	}
	return cloud.NewError("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %v allows for "+
		"the instance bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request "+
		"to request an adjustment to this limit.", a.quotas[code])
}

// checkCapacity refuses an instance that the zone has no room for.
func (a *account) checkCapacity(kind, zone string, market Market) error {
	limit, limited := a.capacity[slot{zone, kind, market}]
	if market == Dedicated || !limited || limit < 0 {
		return nil
	}
	used := 0
	for _, i := range a.instances.all() {
		if holds(i.State) && i.market() == market && i.Type == kind && i.Zone == zone {
			used++
		}
	}
	switch {
	case used < limit:
		return nil
	case market == Spot:
		return cloud.NewError("InsufficientInstanceCapacity", "There is no Spot capacity available that matches your request.")
	}
	return cloud.NewError("InsufficientInstanceCapacity", "We currently do not have sufficient %s capacity in the Availability Zone you "+
		"requested (%s). Our system will be working on provisioning additional capacity. You can currently get %s capacity by not "+
		"specifying an Availability Zone in your request or choosing another one.", kind, zone, kind)
}
