package wire

// filtersOf are the filters that an action takes: of those that EC2 documents
// for it, the ones that our things have values for. "tag:" stands for all names
// of that beginning.
func filtersOf(action string) []string {
	filters := map[string][]string{
		"DescribeAvailabilityZones": {
			"region-name", "state", "zone-name",
		},
		"DescribeHosts": {
			"auto-placement", "availability-zone", "client-token", "host-reservation-id", "instance-type", "state", "tag-key",
		},
		"DescribeImages": {
			"architecture", "block-device-mapping.snapshot-id", "creation-date", "description", "image-id", "image-type",
			"is-public", "name", "owner-alias", "owner-id", "root-device-name", "root-device-type", "source-image-id",
			"source-instance-id", "state", "tag-key", "tag:",
		},
		"DescribeInstanceTypeOfferings": {
			"instance-type", "location",
		},
		"DescribeInstanceTypes": {
			"instance-type",
		},
		"DescribeInstances": {
			"availability-zone", "block-device-mapping.volume-id", "client-token", "host-id", "image-id", "instance-id",
			"instance-lifecycle", "instance-state-code", "instance-state-name", "instance-type", "instance.group-id",
			"ip-address", "launch-time", "private-ip-address", "reason", "spot-instance-request-id",
			"state-reason-code", "state-reason-message", "subnet-id", "tag-key", "tag:", "tenancy", "vpc-id",
		},
		"DescribeMacHosts": {
			"availability-zone", "instance-type",
		},
		"DescribeSecurityGroups": {
			"description", "group-id", "group-name", "owner-id", "tag-key", "tag:", "vpc-id",
		},
		"DescribeSnapshots": {
			"description", "encrypted", "owner-alias", "owner-id", "progress", "snapshot-id", "start-time", "status",
			"tag-key", "tag:", "volume-id", "volume-size",
		},
		"DescribeSpotInstanceRequests": {
			"instance-id", "spot-instance-request-id", "state", "status-code", "tag-key", "tag:", "type",
		},
		"DescribeSubnets": {
			"availability-zone", "available-ip-address-count", "cidr-block", "default-for-az", "owner-id", "state",
			"subnet-id", "tag-key", "tag:", "vpc-id",
		},
		"DescribeVolumes": {
			"attachment.device", "attachment.instance-id", "attachment.status", "availability-zone", "create-time",
			"encrypted", "size", "snapshot-id", "status", "tag-key", "tag:", "volume-id", "volume-type",
		},
		"DescribeVpcs": {
			"cidr", "is-default", "owner-id", "state", "tag-key", "tag:", "vpc-id",
		},
	}
	return filters[action]
}
