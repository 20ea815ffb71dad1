package wire

import (
	"context"
	"maps"
	"slices"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

type typeItem struct {
	Name          string      `xml:"instanceType"`
	UsageClasses  set[string] `xml:"supportedUsageClasses"`
	BareMetal     bool        `xml:"bareMetal"`
	Architectures set[string] `xml:"processorInfo>supportedArchitectures"`
	VCPUs         int         `xml:"vCpuInfo>defaultVCpus"`
	MemoryMB      int         `xml:"memoryInfo>sizeInMiB"`
	EBS           *ebsItem    `xml:"ebsInfo,omitempty"`
	Hibernation   bool        `xml:"hibernationSupported"`
}

type ebsItem struct {
	MaxDisks int `xml:"maximumEbsAttachments"`
}

func lookOfType(t cloud.InstanceType) typeItem {
	item := typeItem{
		Name: t.Name, UsageClasses: set[string]{[]string{"on-demand"}}, BareMetal: t.BareMetal,
		Architectures: set[string]{t.Architectures}, VCPUs: t.VCPUs, MemoryMB: t.MemoryMB,
		Hibernation: t.Hibernation,
	}
	if t.MaxDisks > 0 {
		item.EBS = &ebsItem{t.MaxDisks}
	}
	if t.SpotUsable {
		item.UsageClasses.Items = append(item.UsageClasses.Items, "spot")
	}
	return item
}

func (h *Handler) describeInstanceTypes(f form) run {
	names := f.texts("InstanceType")
	get := list(h, f, listing[cloud.InstanceType]{
		action: "DescribeInstanceTypes", ids: "InstanceType", missing: "InvalidInstanceType", most: 100,
		idOf: func(t cloud.InstanceType) string { return t.Name },
		fetch: func(ctx context.Context, q cloud.Query) ([]cloud.InstanceType, error) {
			all, err := h.backend.InstanceTypes(ctx, names)
			return slices.DeleteFunc(all, func(t cloud.InstanceType) bool {
				return !matches(q, map[string]string{"instance-type": t.Name})
			}), err
		},
	})
	if len(names) > 100 {
		f.fail("InvalidParameterValue", "at most 100 instance types can be named, and these are %d", len(names))
	}
	type reply struct {
		head
		Types     set[typeItem] `xml:"instanceTypeSet"`
		NextToken string        `xml:"nextToken,omitempty"`
	}
	return func(ctx context.Context) (any, error) {
		page, next, err := get(ctx)
		return &reply{Types: setOf(page, lookOfType), NextToken: next}, err
	}
}

func (h *Handler) describeOfferings(f form) run {
	byZone := f.oneOf("LocationType", "region", "availability-zone") == "availability-zone"
	kind := "region"
	if byZone {
		kind = "availability-zone"
	}
	get := list(h, f, listing[cloud.Offering]{
		action: "DescribeInstanceTypeOfferings",
		idOf:   func(o cloud.Offering) string { return o.Type + " " + o.Zone },
		fetch:  func(ctx context.Context, q cloud.Query) ([]cloud.Offering, error) { return h.offerings(ctx, q, byZone) },
	})
	type item struct {
		Type         string `xml:"instanceType"`
		LocationType string `xml:"locationType"`
		Location     string `xml:"location"`
	}
	type reply struct {
		head
		Offerings set[item] `xml:"instanceTypeOfferingSet"`
		NextToken string    `xml:"nextToken,omitempty"`
	}
	return func(ctx context.Context) (any, error) {
		page, next, err := get(ctx)
		return &reply{NextToken: next, Offerings: setOf(page, func(o cloud.Offering) item {
			return item{o.Type, kind, o.Zone}
		})}, err
	}
}

// offerings are those that match, by zone or for the region as a whole.
func (h *Handler) offerings(ctx context.Context, q cloud.Query, byZone bool) ([]cloud.Offering, error) {
	all, err := h.backend.Offerings(ctx, nil)
	if err != nil {
		return nil, err
	}
	found := map[cloud.Offering]bool{}
	for _, o := range all {
		if !byZone {
			o.Zone = regionOf(o.Zone)
		}
		if matches(q, map[string]string{"instance-type": o.Type, "location": o.Zone}) {
			found[o] = true
		}
	}
	return slices.Collect(maps.Keys(found)), nil
}

// regionOf is the region of a zone such as "eu-central-1a".
func regionOf(zone string) string {
	if zone == "" {
		return ""
	}
	return zone[:len(zone)-1]
}

// matches reports whether values of something are what a query wants.
func matches(q cloud.Query, values map[string]string) bool {
	for _, filter := range q.Filters {
		value, ok := values[filter.Name]
		if !ok || !slices.ContainsFunc(filter.Values, func(pattern string) bool { return cloud.Match(pattern, value) }) {
			return false
		}
	}
	return true
}

// describeZones lists the zones in which anything is offered, or has a subnet.
func (h *Handler) describeZones(f form) run {
	query := readQuery(f, "DescribeAvailabilityZones")
	if names := f.texts("ZoneName"); len(names) > 0 {
		query = query.And("zone-name", names...)
	}
	type item struct {
		Name   string `xml:"zoneName"`
		Region string `xml:"regionName"`
		State  string `xml:"zoneState"`
	}
	type reply struct {
		head
		Zones set[item] `xml:"availabilityZoneInfo"`
	}
	return func(ctx context.Context) (any, error) {
		zones, err := h.zones(ctx)
		if err != nil {
			return nil, err
		}
		zones = slices.DeleteFunc(zones, func(zone string) bool {
			return !matches(query, map[string]string{"zone-name": zone, "region-name": regionOf(zone), "state": "available"})
		})
		return &reply{Zones: setOf(zones, func(zone string) item { return item{zone, regionOf(zone), "available"} })}, nil
	}
}

func (h *Handler) zones(ctx context.Context) ([]string, error) {
	offerings, err := h.backend.Offerings(ctx, nil)
	if err != nil {
		return nil, err
	}
	subnets, err := h.backend.Subnets(ctx, cloud.Query{})
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, o := range offerings {
		found[o.Zone] = true
	}
	for _, s := range subnets {
		found[s.Zone] = true
	}
	return sortedKeys(found), nil
}
