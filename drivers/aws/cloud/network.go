package cloud

// VPC is a virtual network.
type VPC struct {
	ID      string
	Default bool
	Tags    Tags
}

// Subnet is the part of a VPC that is in one zone.
type Subnet struct {
	ID, VPCID, Zone, Owner string
	FreeAddresses          int
	Tags                   Tags
}

// SecurityGroup is a set of firewall rules.
type SecurityGroup struct {
	ID, Name, VPCID, Owner string
	Tags                   Tags
}
