package fakeec2

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// subnet is a subnet with its addresses.
type subnet struct {
	cloud.Subnet
	first  netip.Addr
	size   int  // how many addresses there are for instances
	public bool // instances get a public address too
	main   bool // the default subnet of its zone
	taken  int  // by instances
	others int  // addresses that are not instances' of ours
}

// free is how many addresses are left.
func (s subnet) free() int { return max(0, s.size-s.taken-s.others) }

// VPCs implements cloud.API.
func (c *Cloud) VPCs(ctx context.Context, q cloud.Query) ([]cloud.VPC, error) {
	return ask(ctx, c, "DescribeVpcs", func(time.Time) ([]cloud.VPC, error) {
		return list(c.account, q, &c.vpcs, withTags(fields[cloud.VPC]{
			"vpc-id":     func(v cloud.VPC) []string { return one(v.ID) },
			"is-default": func(v cloud.VPC) []string { return flag(v.Default) },
			"isDefault":  func(v cloud.VPC) []string { return flag(v.Default) },
			"owner-id":   func(cloud.VPC) []string { return one(c.opts.Account) },
			"state":      func(cloud.VPC) []string { return one("available") },
		}, func(v cloud.VPC) cloud.Tags { return v.Tags }), func(v cloud.VPC) (cloud.VPC, bool) {
			v.Tags = copyTags(v.Tags)
			return v, true
		})
	})
}

// Subnets implements cloud.API.
func (c *Cloud) Subnets(ctx context.Context, q cloud.Query) ([]cloud.Subnet, error) {
	return ask(ctx, c, "DescribeSubnets", func(time.Time) ([]cloud.Subnet, error) {
		return list(c.account, q, &c.subnets, withTags(fields[subnet]{
			"subnet-id":                  func(s subnet) []string { return one(s.ID) },
			"vpc-id":                     func(s subnet) []string { return one(s.VPCID) },
			"availability-zone":          func(s subnet) []string { return one(s.Zone) },
			"availabilityZone":           func(s subnet) []string { return one(s.Zone) },
			"owner-id":                   func(s subnet) []string { return one(s.Owner) },
			"default-for-az":             func(s subnet) []string { return flag(s.main) },
			"defaultForAz":               func(s subnet) []string { return flag(s.main) },
			"map-public-ip-on-launch":    func(s subnet) []string { return flag(s.public) },
			"available-ip-address-count": func(s subnet) []string { return number(s.free()) },
			"state":                      func(subnet) []string { return one("available") },
		}, func(s subnet) cloud.Tags { return s.Tags }), func(s subnet) (cloud.Subnet, bool) {
			shown := s.Subnet
			shown.FreeAddresses, shown.Tags = s.free(), copyTags(s.Tags)
			return shown, true
		})
	})
}

// SecurityGroups implements cloud.API.
func (c *Cloud) SecurityGroups(ctx context.Context, q cloud.Query) ([]cloud.SecurityGroup, error) {
	return ask(ctx, c, "DescribeSecurityGroups", func(time.Time) ([]cloud.SecurityGroup, error) {
		return list(c.account, q, &c.groups, withTags(fields[cloud.SecurityGroup]{
			"group-id":   func(g cloud.SecurityGroup) []string { return one(g.ID) },
			"group-name": func(g cloud.SecurityGroup) []string { return one(g.Name) },
			"vpc-id":     func(g cloud.SecurityGroup) []string { return one(g.VPCID) },
			"owner-id":   func(g cloud.SecurityGroup) []string { return one(g.Owner) },
		}, func(g cloud.SecurityGroup) cloud.Tags { return g.Tags }), func(g cloud.SecurityGroup) (cloud.SecurityGroup, bool) {
			g.Tags = copyTags(g.Tags)
			return g, true
		})
	})
}

// subnetFor is the subnet that a launch goes into.
func (a *account) subnetFor(l cloud.Launch) (subnet, error) {
	if l.SubnetID != "" {
		s, found := a.subnets.get(l.SubnetID)
		if !found {
			return s, cloud.NewError("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", l.SubnetID)
		}
		return s, nil
	}
	wanted := ""
	if h, found := a.hosts.get(l.HostID); found {
		wanted = h.Zone
	}
	var fit []subnet
	for _, s := range a.subnets.all() {
		if s.main && (wanted == "" || s.Zone == wanted) && a.offered[cloud.Offering{Type: l.Type, Zone: s.Zone}] {
			fit = append(fit, s)
		}
	}
	if len(fit) == 0 {
		return subnet{}, cloud.NewError("VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.")
	}
	return fit[a.random.IntN(len(fit))], nil
}

func (a *account) checkGroups(ids []string, net subnet) error {
	for _, id := range ids {
		g, found := a.groups.get(id)
		switch {
		case !found:
			return cloud.NewError("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
		case g.VPCID != net.VPCID:
			return cloud.NewError("InvalidParameter", "Security group %s and subnet %s belong to different networks.", id, net.ID)
		}
	}
	return nil
}

// takeAddress gives out the first free address, so that addresses come again.
func (a *account) takeAddress(id string, now time.Time) string {
	s, _ := a.subnets.get(id)
	address := s.first
	for a.addresses[address] {
		address = address.Next()
	}
	a.addresses[address] = true
	a.subnets.change(id, now, func(s *subnet) { s.taken++ })
	return address.String()
}

func (a *account) freeAddress(id, address string, now time.Time) {
	delete(a.addresses, netip.MustParseAddr(address))
	a.subnets.change(id, now, func(s *subnet) { s.taken-- })
}

// publicAddress is of a network that is for documentation alone.
func (a *account) publicAddress() string {
	return fmt.Sprintf("198.51.100.%d", 1+a.random.IntN(254))
}
