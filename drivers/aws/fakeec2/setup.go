package fakeec2

import (
	"fmt"
	"net/netip"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// furnish makes what every account has, and what it has by default.
func (c *Cloud) furnish() {
	c.furnishing = true
	defer func() { c.furnishing = false }()
	for _, row := range fixtureTypes() {
		c.AddType(row.instanceType())
	}
	c.AddKey("alias/aws/ebs")
	if c.opts.Bare {
		return
	}
	vpc := c.AddVPC(cloud.VPC{Default: true})
	for _, zone := range c.Zones() {
		c.AddSubnet(SubnetSpec{VPCID: vpc, Zone: zone, Default: true, Public: true})
	}
	c.AddSecurityGroup(cloud.SecurityGroup{Name: "default", VPCID: vpc})
	c.AddImage(ImageSpec{Name: LinuxImage, Owner: Amazon, Public: true})
	c.AddImage(ImageSpec{Name: "amzn-ec2-macos-14.5-20240528-114204-arm64", Owner: Amazon, Public: true, Architecture: "arm64_mac", SizeGB: 100})
	c.AddImage(ImageSpec{Name: "amzn-ec2-macos-14.5-20240528-114204", Owner: Amazon, Public: true, Architecture: "x86_64_mac", SizeGB: 100})
	c.AddImage(ImageSpec{Name: "ci-linux-2026", SizeGB: 20, Encrypted: true})
	c.AddImage(ImageSpec{Name: "ci-mac-2026", Architecture: "arm64_mac", SizeGB: 100})
}

// Amazon is the account that Amazon's own images belong to here.
const Amazon = "137112412989"

// LinuxImage is the name of Amazon's Linux image here.
const LinuxImage = "al2023-ami-2023.5.20240708.0-kernel-6.1-x86_64"

// AddVPC makes a network; its id, if none is given.
func (c *Cloud) AddVPC(v cloud.VPC) (id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.ID == "" {
		v.ID = c.newID("vpc")
	}
	v.Tags = copyTags(v.Tags)
	c.vpcs.put(v.ID, c.catchUp(), v)
	return v.ID
}

// SubnetSpec is a subnet to be made.
type SubnetSpec struct {
	ID, VPCID, Zone string // an id is made if none is given
	Owner           string // the account itself if empty
	Size            int    // addresses for instances; 4091 if 0, as a /20 has
	Default, Public bool
	Tags            cloud.Tags
}

// AddSubnet makes a subnet.
func (c *Cloud) AddSubnet(spec SubnetSpec) (id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if spec.ID == "" {
		spec.ID = c.newID("subnet")
	}
	if spec.Owner == "" {
		spec.Owner = c.opts.Account
	}
	if spec.Size == 0 {
		spec.Size = 4091
	}
	block := len(c.subnets.ids)
	c.subnets.put(spec.ID, c.catchUp(), subnet{
		Subnet: cloud.Subnet{ID: spec.ID, VPCID: spec.VPCID, Zone: spec.Zone, Owner: spec.Owner, Tags: copyTags(spec.Tags)},
		first:  netip.AddrFrom4([4]byte{10, byte(block / 16), byte(block % 16 * 16), 4}), // AWS keeps the first four
		size:   spec.Size, public: spec.Public, main: spec.Default,
	})
	return spec.ID
}

// SetFreeAddresses lets others take addresses of a subnet, or give them back,
// so that n are left.
func (c *Cloud) SetFreeAddresses(subnetID string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subnets.change(subnetID, c.catchUp(), func(s *subnet) { s.others += s.size - s.taken - s.others - n })
}

// AddSecurityGroup makes a security group; its id and owner if none is given.
func (c *Cloud) AddSecurityGroup(g cloud.SecurityGroup) (id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.ID == "" {
		g.ID = c.newID("sg")
	}
	if g.Owner == "" {
		g.Owner = c.opts.Account
	}
	g.Tags = copyTags(g.Tags)
	c.groups.put(g.ID, c.catchUp(), g)
	return g.ID
}

// AddKey makes an encryption key with an alias such as "alias/ci".
func (c *Cloud) AddKey(alias string) (arn string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", c.random.Uint32(), c.random.IntN(1<<16), c.random.IntN(1<<12), c.random.IntN(1<<12),
		c.random.Int64N(1<<48))
	base := "arn:aws:kms:" + c.opts.Region + ":" + c.opts.Account + ":"
	arn = base + "key/" + id
	for _, name := range []string{alias, base + alias, id, arn} {
		c.keys[name] = arn
	}
	return arn
}
