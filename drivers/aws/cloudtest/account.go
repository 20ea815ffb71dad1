package cloudtest

import (
	"regexp"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func accountCases() []testCase {
	return []testCase{
		{"identity", identity},
		{"network: VPCs", vpcs},
		{"network: subnets", subnets},
		{"network: security groups", securityGroups},
		{"types: those that were asked for", someTypes},
		{"types: all", allTypes},
		{"types: where they can be had", offerings},
		{"quotas", quotas},
		{"key: by alias and ARN", key},
		{"key: that is not there", func(k *check) {
			_, err := k.API.Key(k.ctx, "alias/not-there")
			k.is(err, "no key", cloud.NotFound)
		}},
	}
}

func identity(k *check) {
	who, err := k.API.Identity(k.ctx)
	k.ok(err, "identity")
	if !regexp.MustCompile(`^[0-9]{12}$`).MatchString(who.Account) || !strings.HasPrefix(who.ARN, "arn:aws:") || !strings.Contains(who.ARN, who.Account) {
		k.errorf("it is %+v", who)
	}
}

func vpcs(k *check) {
	list, err := k.API.VPCs(k.ctx, cloud.Where("is-default", "true"))
	k.ok(err, "list")
	if len(list) != 1 || list[0].ID != k.VPC || !list[0].Default {
		k.errorf("the default VPC is %+v", list)
	}
	k.ok(k.API.CreateTags(k.ctx, []string{k.VPC}, cloud.Tags{"net": "ci"}), "tag")
	finds(k, func(q cloud.Query) ([]cloud.VPC, error) { return k.API.VPCs(k.ctx, q) }, func(v cloud.VPC) string { return v.ID }, []want{
		{cloud.Where("vpc-id", k.VPC, "vpc-00000000000000bad"), []string{k.VPC}},
		{cloud.Where("tag:net", "ci"), []string{k.VPC}},
		{cloud.Where("tag:net", "other"), nil},
	})
}

func subnets(k *check) {
	who, err := k.API.Identity(k.ctx)
	k.ok(err, "identity")
	list, err := k.API.Subnets(k.ctx, cloud.Where("subnet-id", k.Subnets[0]))
	k.ok(err, "list")
	if len(list) != 1 || list[0].VPCID != k.VPC || list[0].Zone != k.Zones[0] || list[0].Owner != who.Account || list[0].FreeAddresses == 0 {
		k.errorf("the subnet is %+v", list)
	}
	k.ok(k.API.CreateTags(k.ctx, []string{k.Subnets[1]}, cloud.Tags{"net": "ci"}), "tag")
	finds(k, func(q cloud.Query) ([]cloud.Subnet, error) { return k.API.Subnets(k.ctx, q) }, func(s cloud.Subnet) string { return s.ID }, []want{
		{cloud.Where("subnet-id", k.Subnets[1], "subnet-00000000000000bad"), []string{k.Subnets[1]}},
		{cloud.Where("vpc-id", k.VPC).And("availability-zone", k.Zones[0]), []string{k.Subnets[0]}},
		{cloud.Where("vpc-id", "vpc-00000000000000bad"), nil},
		{cloud.Where("tag:net", "ci").And("vpc-id", k.VPC), []string{k.Subnets[1]}},
		{cloud.Where("owner-id", "000000000000"), nil},
	})
}

func securityGroups(k *check) {
	list, err := k.API.SecurityGroups(k.ctx, cloud.Where("group-id", k.Group))
	k.ok(err, "list")
	if len(list) != 1 || list[0].Name == "" || list[0].VPCID != k.VPC || list[0].Owner == "" {
		k.fatalf("the group is %+v", list)
	}
	finds(k, func(q cloud.Query) ([]cloud.SecurityGroup, error) { return k.API.SecurityGroups(k.ctx, q) }, func(g cloud.SecurityGroup) string { return g.ID }, []want{
		{cloud.Where("group-name", list[0].Name).And("vpc-id", k.VPC), []string{k.Group}},
		{cloud.Where("group-name", list[0].Name).And("vpc-id", k.VPC).And("owner-id", list[0].Owner), []string{k.Group}},
		{cloud.Where("group-id", k.Group, "sg-00000000000000bad"), []string{k.Group}},
		{cloud.Where("group-name", "not there"), nil},
	})
}

func typeName(t cloud.InstanceType) string { return t.Name }

func someTypes(k *check) {
	list, err := k.API.InstanceTypes(k.ctx, []string{k.Type, k.MacType, "t99.huge"})
	k.ok(err, "list")
	names := []string{k.Type, k.MacType}
	slices.Sort(names)
	if got := ids(list, typeName); !slices.Equal(got, names) {
		k.fatalf("found %v", got)
	}
	for _, t := range list {
		if t.VCPUs == 0 || t.MemoryMB == 0 || len(t.Architectures) == 0 || t.Mac() != (t.Name == k.MacType) || t.BareMetal != t.Mac() || t.SpotUsable == t.Mac() {
			k.errorf("the type is %+v", t)
		}
	}
}

func allTypes(k *check) {
	list, err := k.API.InstanceTypes(k.ctx, nil)
	k.ok(err, "list")
	if got := ids(list, typeName); len(got) < 10 || !slices.Contains(got, k.Type) || !slices.Contains(got, k.MacType) || len(slices.Compact(got)) != len(list) {
		k.errorf("all types are %v", got)
	}
}

func offerings(k *check) {
	list, err := k.API.Offerings(k.ctx, []string{k.Type, "t99.huge"})
	k.ok(err, "list")
	for _, zone := range k.Zones {
		if !slices.Contains(list, cloud.Offering{Type: k.Type, Zone: zone}) {
			k.errorf("%s is not offered in %s: %v", k.Type, zone, list)
		}
	}
	for _, o := range list {
		if o.Type != k.Type {
			k.errorf("%+v was not asked for", o)
		}
	}
}

func quotas(k *check) {
	limits, err := k.API.Quotas(k.ctx)
	k.ok(err, "list")
	for _, code := range []string{"L-1216C47A", "L-34B43A08", "L-5D8DADF5"} { // standard, standard on spot, mac2
		if _, ok := limits[code]; !ok {
			k.errorf("%s is missing in %d quotas", code, len(limits))
		}
	}
}

func key(k *check) {
	arn, err := k.API.Key(k.ctx, k.Key)
	k.ok(err, "find the key")
	if !strings.HasPrefix(arn, "arn:aws:kms:") {
		k.errorf("the key is %s", arn)
	}
	if again, err := k.API.Key(k.ctx, arn); err != nil || again != arn {
		k.errorf("by its ARN it is %s, %v", again, err)
	}
}
