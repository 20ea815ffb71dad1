package account

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Snapshot is what is known at one moment. Nobody changes one: all maps and
// slices in it are for reading.
type Snapshot struct {
	// When the newest answers to each question were asked for; zero: never
	// answered.
	InstancesAsked, UseAsked, NetworksAsked, QuotasAsked, HostsAsked time.Time

	// Types are those that were looked up; NoSuchType those of them that the
	// region has not.
	Types      map[string]cloud.InstanceType
	NoSuchType map[string]bool
	// Zones are where a type can be had.
	Zones map[string][]string

	VPCs    []cloud.VPC
	Subnets []cloud.Subnet
	// Taken are the addresses of subnets that launches took which Subnets does
	// not show yet.
	Taken map[string]int

	// Quotas are by their code, and may lack some.
	Quotas map[string]float64
	// Used is what counts to each vCPU quota, launches on their way included.
	Used map[string]Use
	// UsedHosts is how many dedicated hosts of each type there are; empty
	// before HostsAsked.
	UsedHosts map[string]int
	// Exhausted are quotas of which EC2 said that nothing is left, until more
	// is known.
	Exhausted map[string]bool
	// Dry are the places that had no capacity lately, and until when they are
	// left alone.
	Dry map[Place]time.Time

	mine    sightings
	seen    hostSightings
	bills   map[string]Bill // by driver instance
	trouble *Trouble
	// quotasAwaited: they were not answered, nor refused, even once.
	quotasAwaited bool
}

// Place is where instances of a type, or hosts for them, come from.
type Place struct {
	Zone, Type string
	Spot, Host bool
}

// Network are the subnets that a definition's network means: that of an id, or
// all of a VPC ("vpc-..."), of the default VPC (""), or of the VPC or the
// subnets that carry a tag ("Key:Value"). Of those only what belongs to the
// owners counts; to anybody if there are none.
func (s *Snapshot) Network(network string, owners []string) ([]cloud.Subnet, error) {
	if s.NetworksAsked.IsZero() {
		return nil, errUnknown("networks")
	}
	match, err := s.matcher(network)
	if err != nil {
		return nil, err
	}
	var found []cloud.Subnet
	for _, sub := range s.Subnets {
		if match(sub) && (len(owners) == 0 || slices.Contains(owners, sub.Owner)) {
			found = append(found, sub)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("network %q is not there%s: correct the label, or add its owner to account_ids", network, among(owners))
	}
	return found, nil
}

// among says where was looked.
func among(owners []string) string {
	if len(owners) == 0 {
		return ""
	}
	return ", in none of the trusted accounts (" + strings.Join(owners, ", ") + ")"
}

func (s *Snapshot) matcher(network string) (func(cloud.Subnet) bool, error) {
	inVPC := func(ids []string) func(cloud.Subnet) bool {
		return func(sub cloud.Subnet) bool { return slices.Contains(ids, sub.VPCID) }
	}
	key, value, tagged := strings.Cut(network, ":")
	switch {
	case network == "":
		ids := s.vpcs(func(v cloud.VPC) bool { return v.Default })
		if len(ids) == 0 {
			return nil, fmt.Errorf("the region has no default VPC: name a VPC, a subnet or a tag as the network")
		}
		return inVPC(ids), nil
	case strings.HasPrefix(network, "vpc-"):
		return inVPC([]string{network}), nil
	case strings.HasPrefix(network, "subnet-"):
		return func(sub cloud.Subnet) bool { return sub.ID == network }, nil
	case tagged:
		has := func(t cloud.Tags) bool { v, ok := t[key]; return ok && v == value }
		if ids := s.vpcs(func(v cloud.VPC) bool { return has(v.Tags) }); len(ids) > 0 {
			return inVPC(ids), nil
		}
		return func(sub cloud.Subnet) bool { return has(sub.Tags) }, nil
	}
	return nil, fmt.Errorf("network %q is neither empty nor an id (vpc-..., subnet-...) nor a tag (Key:Value)", network)
}

func (s *Snapshot) vpcs(is func(cloud.VPC) bool) (ids []string) {
	for _, v := range s.VPCs {
		if is(v) {
			ids = append(ids, v.ID)
		}
	}
	return ids
}

// errUnknown is of what was not answered even once.
type errUnknown string

func (e errUnknown) Error() string {
	return fmt.Sprintf("the account's %s are not known yet", string(e))
}

// Free is how many addresses a subnet has left for new launches.
func (s *Snapshot) Free(sub cloud.Subnet) int { return max(0, sub.FreeAddresses-s.Taken[sub.ID]) }
