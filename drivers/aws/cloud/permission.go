package cloud

// Permissions are what a policy has to allow for each method of API: the
// actions that the method asks for. Some actions need others besides, of which
// no request tells, such as ec2:CreateTags for what is tagged when it is made.
func Permissions() map[string][]string {
	return map[string][]string{
		"Identity": {"sts:GetCallerIdentity"},

		"RunInstance":        {"ec2:RunInstances"},
		"Instances":          {"ec2:DescribeInstances"},
		"StopInstance":       {"ec2:StopInstances"},
		"StartInstance":      {"ec2:StartInstances"},
		"TerminateInstances": {"ec2:TerminateInstances"},

		"AllocateHost": {"ec2:AllocateHosts"},
		"Hosts":        {"ec2:DescribeHosts"},
		"ReleaseHosts": {"ec2:ReleaseHosts"},
		"MacHosts":     {"ec2:DescribeMacHosts"},

		"Images":          {"ec2:DescribeImages"},
		"CreateImage":     {"ec2:CreateImage"},
		"CopyImage":       {"ec2:CopyImage"},
		"DeregisterImage": {"ec2:DeregisterImage"},

		"Snapshots":       {"ec2:DescribeSnapshots"},
		"CreateSnapshots": {"ec2:CreateSnapshots"},
		"DeleteSnapshot":  {"ec2:DeleteSnapshot"},

		"Volumes":      {"ec2:DescribeVolumes"},
		"DeleteVolume": {"ec2:DeleteVolume"},
		"CreateTags":   {"ec2:CreateTags"},

		"SpotRequests":       {"ec2:DescribeSpotInstanceRequests"},
		"CancelSpotRequests": {"ec2:CancelSpotInstanceRequests"},

		"VPCs":           {"ec2:DescribeVpcs"},
		"Subnets":        {"ec2:DescribeSubnets"},
		"SecurityGroups": {"ec2:DescribeSecurityGroups"},

		"InstanceTypes": {"ec2:DescribeInstanceTypes"},
		"Offerings":     {"ec2:DescribeInstanceTypeOfferings"},
		"Quotas":        {"servicequotas:ListAWSDefaultServiceQuotas", "servicequotas:ListServiceQuotas"},

		"Key": {"kms:DescribeKey"},
	}
}
