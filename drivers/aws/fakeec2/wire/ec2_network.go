package wire

import (
	"context"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func (h *Handler) describeVPCs(f form) run {
	get := list(h, f, listing[cloud.VPC]{
		action: "DescribeVpcs", ids: "VpcId", idFilter: "vpc-id", missing: "InvalidVpcID.NotFound",
		idOf:  func(v cloud.VPC) string { return v.ID },
		fetch: h.backend.VPCs,
	})
	type item struct {
		ID      string       `xml:"vpcId"`
		State   string       `xml:"state"`
		Default bool         `xml:"isDefault"`
		Tags    set[tagItem] `xml:"tagSet"`
	}
	type reply struct {
		head
		VPCs      set[item] `xml:"vpcSet"`
		NextToken string    `xml:"nextToken,omitempty"`
	}
	return func(ctx context.Context) (any, error) {
		page, next, err := get(ctx)
		return &reply{NextToken: next, VPCs: setOf(page, func(v cloud.VPC) item {
			return item{v.ID, "available", v.Default, tagSet(v.Tags)}
		})}, err
	}
}

func (h *Handler) describeSubnets(f form) run {
	get := list(h, f, listing[cloud.Subnet]{
		action: "DescribeSubnets", ids: "SubnetId", idFilter: "subnet-id", missing: "InvalidSubnetID.NotFound",
		idOf:  func(s cloud.Subnet) string { return s.ID },
		fetch: h.backend.Subnets,
	})
	type item struct {
		ID    string       `xml:"subnetId"`
		VPCID string       `xml:"vpcId"`
		Zone  string       `xml:"availabilityZone"`
		Owner string       `xml:"ownerId"`
		State string       `xml:"state"`
		Free  int          `xml:"availableIpAddressCount"`
		Tags  set[tagItem] `xml:"tagSet"`
	}
	type reply struct {
		head
		Subnets   set[item] `xml:"subnetSet"`
		NextToken string    `xml:"nextToken,omitempty"`
	}
	return func(ctx context.Context) (any, error) {
		page, next, err := get(ctx)
		return &reply{NextToken: next, Subnets: setOf(page, func(s cloud.Subnet) item {
			return item{s.ID, s.VPCID, s.Zone, s.Owner, "available", s.FreeAddresses, tagSet(s.Tags)}
		})}, err
	}
}

func (h *Handler) describeSecurityGroups(f form) run {
	get := list(h, f, listing[cloud.SecurityGroup]{
		action: "DescribeSecurityGroups", ids: "GroupId", idFilter: "group-id", missing: "InvalidGroup.NotFound",
		idOf:  func(g cloud.SecurityGroup) string { return g.ID },
		fetch: h.backend.SecurityGroups,
	})
	type item struct {
		ID    string       `xml:"groupId"`
		Name  string       `xml:"groupName"`
		VPCID string       `xml:"vpcId"`
		Owner string       `xml:"ownerId"`
		Tags  set[tagItem] `xml:"tagSet"`
	}
	type reply struct {
		head
		Groups    set[item] `xml:"securityGroupInfo"`
		NextToken string    `xml:"nextToken,omitempty"`
	}
	return func(ctx context.Context) (any, error) {
		page, next, err := get(ctx)
		return &reply{NextToken: next, Groups: setOf(page, func(g cloud.SecurityGroup) item {
			return item{g.ID, g.Name, g.VPCID, g.Owner, tagSet(g.Tags)}
		})}, err
	}
}
