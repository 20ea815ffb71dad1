package fakeec2

import (
	"context"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// InstanceTypes implements cloud.API.
func (c *Cloud) InstanceTypes(ctx context.Context, names []string) ([]cloud.InstanceType, error) {
	return ask(ctx, c, "DescribeInstanceTypes", func(time.Time) ([]cloud.InstanceType, error) {
		var found []cloud.InstanceType
		for _, t := range c.types.all() {
			if named(t.Name, names) {
				found = append(found, copyType(t))
			}
		}
		return found, c.goOn(forNames(names), len(found)*max(c.opts.PageSize, 0)/typesPage)
	})
}

// named reports whether a type is one of those asked for: any if none is.
func named(kind string, names []string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, func(pattern string) bool { return cloud.Match(pattern, kind) })
}

// forNames is how many requests it takes to ask for so many names.
func forNames(names []string) int { return (len(names) + maxFilterValues - 1) / maxFilterValues }

// typesPage is how many types one page can have at most, where other lists have 1000.
const typesPage = 100

func copyType(t cloud.InstanceType) cloud.InstanceType {
	t.Architectures = slices.Clone(t.Architectures)
	return t
}

// Offerings implements cloud.API.
func (c *Cloud) Offerings(ctx context.Context, types []string) ([]cloud.Offering, error) {
	return ask(ctx, c, "DescribeInstanceTypeOfferings", func(time.Time) ([]cloud.Offering, error) {
		var found []cloud.Offering
		for _, kind := range c.types.ids {
			for _, zone := range c.Zones() {
				if o := (cloud.Offering{Type: kind, Zone: zone}); c.offered[o] && named(kind, types) {
					found = append(found, o)
				}
			}
		}
		return found, c.goOn(forNames(types), len(found))
	})
}

// typeRow is a type of the table.
type typeRow struct {
	name        string
	vcpus       int
	memoryGB    float64
	arch        string
	hibernation bool
	metal       bool
	spot        bool
	disks       int
}

// fixtureTypes are real types with the numbers that EC2 documents for them:
// all Macs, and of every quota one or two.
func fixtureTypes() []typeRow {
	const x86, arm, macX86, macArm = "x86_64", "arm64", "x86_64_mac", "arm64_mac"
	return []typeRow{
		{"t3.micro", 2, 1, x86, true, false, true, 28},
		{"t3.medium", 2, 4, x86, true, false, true, 28},
		{"t3.large", 2, 8, x86, true, false, true, 28},
		{"t4g.small", 2, 2, arm, true, false, true, 28},
		{"m5.large", 2, 8, x86, true, false, true, 28},
		{"m5.xlarge", 4, 16, x86, true, false, true, 28},
		{"m5.4xlarge", 16, 64, x86, true, false, true, 28},
		{"m5.metal", 96, 384, x86, false, true, true, 31},
		{"m6g.large", 2, 8, arm, true, false, true, 28},
		{"c5.large", 2, 4, x86, true, false, true, 28},
		{"c5.xlarge", 4, 8, x86, true, false, true, 28},
		{"r5.24xlarge", 96, 768, x86, false, false, true, 28},
		{"im4gn.large", 2, 8, arm, false, false, true, 27},
		{"g4dn.xlarge", 4, 16, x86, false, false, true, 28},
		{"gr6.4xlarge", 16, 128, x86, false, false, true, 28},
		{"p3.2xlarge", 8, 61, x86, false, false, true, 28},
		{"p5.48xlarge", 192, 2048, x86, false, false, true, 128},
		{"x1e.xlarge", 4, 122, x86, false, false, true, 28},
		{"f1.2xlarge", 8, 122, x86, false, false, true, 28},
		{"inf1.xlarge", 4, 8, x86, false, false, true, 28},
		{"trn1.2xlarge", 8, 32, x86, false, false, true, 28},
		{"dl1.24xlarge", 96, 768, x86, false, false, true, 28},
		{"hpc6a.48xlarge", 96, 384, x86, false, false, false, 28},
		{"u7i-12tb.224xlarge", 896, 12288, x86, false, false, false, 39},
		{"mac1.metal", 12, 32, macX86, false, true, false, 16},
		{"mac2.metal", 8, 16, macArm, false, true, false, 16},
		{"mac2-m1ultra.metal", 20, 128, macArm, false, true, false, 16},
		{"mac2-m2.metal", 8, 24, macArm, false, true, false, 16},
		{"mac2-m2pro.metal", 12, 32, macArm, false, true, false, 16},
		{"mac-m4.metal", 10, 24, macArm, false, true, false, 16},
		{"mac-m4pro.metal", 14, 48, macArm, false, true, false, 16},
		{"mac-m4max.metal", 16, 128, macArm, false, true, false, 16},
		{"mac-m3ultra.metal", 32, 256, macArm, false, true, false, 16},
	}
}

func (r typeRow) instanceType() cloud.InstanceType {
	return cloud.InstanceType{
		Name: r.name, VCPUs: r.vcpus, MemoryMB: int(r.memoryGB * 1024), Architectures: []string{r.arch},
		Hibernation: r.hibernation, BareMetal: r.metal, SpotUsable: r.spot, MaxDisks: r.disks,
	}
}

// AddType makes a type known, and offered in the zones, or in all if none.
func (c *Cloud) AddType(t cloud.InstanceType, zones ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(zones) == 0 {
		zones = c.Zones()
	}
	c.types.put(t.Name, c.time, copyType(t))
	for _, zone := range zones {
		c.offered[cloud.Offering{Type: t.Name, Zone: zone}] = true
	}
}

// SetOffered says whether a type can be had in a zone.
func (c *Cloud) SetOffered(kind, zone string, offered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offered[cloud.Offering{Type: kind, Zone: zone}] = offered
}
