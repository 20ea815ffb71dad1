package cloudtest

import (
	"context"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// FindNetwork fills in the default VPC, and two zones of it with their subnets
// and its group, of an account that has what a new one has.
func (f *Fixture) FindNetwork(ctx context.Context) error {
	vpcs, err := f.API.VPCs(ctx, cloud.Where("is-default", "true"))
	if err != nil || len(vpcs) != 1 {
		return fmt.Errorf("the default VPC is %v, %w", vpcs, err)
	}
	f.VPC = vpcs[0].ID
	subnets, err := f.API.Subnets(ctx, cloud.Where("vpc-id", f.VPC))
	if err != nil || len(subnets) < 2 {
		return fmt.Errorf("the subnets are %v, %w", subnets, err)
	}
	for n := range f.Subnets {
		f.Zones[n], f.Subnets[n] = subnets[n].Zone, subnets[n].ID
	}
	groups, err := f.API.SecurityGroups(ctx, cloud.Where("vpc-id", f.VPC))
	if err != nil || len(groups) != 1 {
		return fmt.Errorf("the groups are %v, %w", groups, err)
	}
	f.Group = groups[0].ID
	return nil
}
