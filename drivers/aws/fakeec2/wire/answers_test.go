package wire_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
)

// answerCase is a call, and what botocore is to read.
type answerCase struct {
	call
	want object
}

// stamp is the time of everything in the world.
const stamp = "2026-02-03T04:05:06.789000Z"

func tagList(tags cloud.Tags) list {
	return list{
		object{"Key": "AquariumNode", "Value": tags["AquariumNode"]},
		object{"Key": "empty", "Value": tags["empty"]},
		object{"Key": "odd <&>\"", "Value": tags["odd <&>\""]},
	}
}

// TestAnswers compares all that botocore reads in an answer with what the
// backend has, and everything in the answer with the service's model.
func TestAnswers(t *testing.T) {
	w := newWorld()
	tags := tagList(w.vpcs[0].Tags)
	cases := slices.Concat(instanceAnswers(tags), hostAnswers(tags), storageAnswers(tags), networkAnswers(tags), otherAnswers())
	calls := make([]call, len(cases))
	for i, c := range cases {
		calls[i] = c.call
	}
	s := serve(t, w, wire.Options{Aliases: []string{"alias/fish", "alias/unknown"}})
	for i, got := range botocore(t, s, calls...) {
		t.Run(calls[i].Operation, func(t *testing.T) {
			if got.Code != "" {
				t.Fatalf("refused with %s (%d): %s", got.Code, got.Status, got.Message)
			}
			if diff := cmp.Diff(cases[i].want, got.Result); diff != "" {
				t.Errorf("botocore read (-want +got):\n%s", diff)
			}
			if len(got.Unknown) > 0 {
				t.Errorf("elements that the service's model does not have: %q", got.Unknown)
			}
		})
	}
	if asked := s.Permissions(); len(asked) != 32 {
		t.Errorf("%d of the actions were tried: %v", len(asked), asked)
	}
}

func instanceAnswers(tags list) []answerCase {
	running := object{
		"InstanceId": "i-1", "ImageId": "ami-1", "State": object{"Code": 16.0, "Name": "running"}, "InstanceType": "m7g.large",
		"LaunchTime": stamp, "ClientToken": "tok", "Placement": object{"AvailabilityZone": "eu-central-1a", "Tenancy": "default"},
		"SubnetId": "subnet-1", "VpcId": "vpc-1", "PrivateIpAddress": "10.0.0.5", "PublicIpAddress": "198.51.100.7",
		"RootDeviceName": "/dev/xvda", "RootDeviceType": "ebs",
		"BlockDeviceMappings": list{
			object{"DeviceName": "/dev/sdb", "Ebs": object{"VolumeId": "vol-2"}},
			object{"DeviceName": "/dev/xvda", "Ebs": object{"VolumeId": "vol-1"}},
		},
		"InstanceLifecycle": "spot", "SpotInstanceRequestId": "sir-1",
		"NetworkInterfaces": list{object{
			"MacAddress": "02:00:00:00:00:01", "Attachment": object{"DeviceIndex": 0.0}, "PrivateIpAddress": "10.0.0.5",
			"Association": object{"PublicIp": "198.51.100.7"}, "SubnetId": "subnet-1", "VpcId": "vpc-1",
		}},
		"CpuOptions": object{"CoreCount": 1.0, "ThreadsPerCore": 2.0}, "HibernationOptions": object{"Configured": true}, "Tags": tags,
	}
	ended := object{
		"InstanceId": "i-2", "ImageId": "ami-2", "State": object{"Code": 48.0, "Name": "terminated"}, "InstanceType": "mac2.metal",
		"LaunchTime": stamp, "Placement": object{"AvailabilityZone": "eu-central-1b", "Tenancy": "host", "HostId": "h-1"},
		"StateReason":         object{"Code": "Client.UserInitiatedShutdown", "Message": "by user"},
		"BlockDeviceMappings": list{}, "NetworkInterfaces": list{}, "HibernationOptions": object{"Configured": false}, "Tags": list{},
	}
	return []answerCase{
		{ec2("RunInstances", object{"MinCount": 1, "MaxCount": 1, "ImageId": "ami-1", "InstanceType": "m7g.large", "SubnetId": "subnet-1"}),
			object{"ReservationId": "r-1", "Instances": list{running}}},
		{ec2("DescribeInstances", nil), object{"Reservations": list{
			object{"ReservationId": "r-1", "Instances": list{running}}, object{"ReservationId": "r-2", "Instances": list{ended}},
		}}},
		{ec2("StopInstances", object{"InstanceIds": list{"i-1"}}), object{"StoppingInstances": list{object{"InstanceId": "i-1"}}}},
		{ec2("StartInstances", object{"InstanceIds": list{"i-1"}}), object{"StartingInstances": list{object{"InstanceId": "i-1"}}}},
		{ec2("TerminateInstances", object{"InstanceIds": list{"i-1"}}), object{"TerminatingInstances": list{object{"InstanceId": "i-1"}}}},
		{ec2("DescribeSpotInstanceRequests", nil), object{"SpotInstanceRequests": list{object{
			"SpotInstanceRequestId": "sir-1", "InstanceId": "i-1", "State": "active", "Status": object{"Code": "fulfilled"}, "Type": "one-time", "Tags": tags,
		}}}},
		{ec2("CancelSpotInstanceRequests", object{"SpotInstanceRequestIds": list{"sir-1"}}), object{"CancelledSpotInstanceRequests": list{
			object{"SpotInstanceRequestId": "sir-1", "State": "cancelled"},
		}}},
	}
}

func hostAnswers(tags list) []answerCase {
	return []answerCase{
		{ec2("AllocateHosts", object{"Quantity": 1, "AutoPlacement": "off", "InstanceType": "mac2.metal", "AvailabilityZone": "eu-central-1b"}),
			object{"HostIds": list{"h-9"}}},
		{ec2("DescribeHosts", nil), object{"Hosts": list{
			object{
				"HostId": "h-1", "AvailabilityZone": "eu-central-1b", "State": "pending", "AllocationTime": stamp, "AutoPlacement": "off",
				"HostRecovery": "off", "ClientToken": "htok", "HostProperties": object{"InstanceType": "mac2.metal"},
				"AvailableCapacity": object{"AvailableInstanceCapacity": list{object{"AvailableCapacity": 0.0, "InstanceType": "mac2.metal"}}},
				"Instances":         list{object{"InstanceId": "i-2", "InstanceType": "mac2.metal"}}, "Tags": tags,
			},
			object{
				"HostId": "h-2", "AvailabilityZone": "eu-central-1b", "State": "released", "AllocationTime": stamp,
				"ReleaseTime": "2026-02-04T05:05:06.789000Z", "AutoPlacement": "off", "HostRecovery": "off",
				"HostProperties": object{"InstanceType": "mac2.metal"}, "Instances": list{}, "Tags": list{},
			},
		}}},
		{ec2("ReleaseHosts", object{"HostIds": list{"h-1", "h-2"}}), object{
			"Successful": list{"h-1"},
			"Unsuccessful": list{object{"ResourceId": "h-2", "Error": object{
				"Code": "Client.HostMinAllocationPeriodUnexpired", "Message": "h-2: any time after 2026-02-04T04:05:06.789Z.",
			}}},
		}},
		{ec2("DescribeMacHosts", nil), object{"MacHosts": list{object{"HostId": "h-1", "MacOSLatestSupportedVersions": list{"14.5", "15.1"}}}}},
	}
}

func storageAnswers(tags list) []answerCase {
	begun := object{
		"SnapshotId": "snap-1", "VolumeId": "vol-1", "OwnerId": account, "State": "error", "StartTime": stamp,
		"VolumeSize": 8.0, "Encrypted": true, "Progress": "42%", "Tags": tags,
	}
	snapshotTags := list{object{"ResourceType": "snapshot", "Tags": list{}}}
	return []answerCase{
		{ec2("DescribeImages", nil), object{"Images": list{object{
			"ImageId": "ami-1", "Name": "ubuntu", "OwnerId": account, "State": "failed", "StateReason": object{"Message": "no key"},
			"CreationDate": "2026-02-03T04:05:06.789Z", "Architecture": "arm64", "RootDeviceName": "/dev/xvda", "RootDeviceType": "ebs",
			"BlockDeviceMappings": list{object{"DeviceName": "/dev/xvda", "Ebs": object{"SnapshotId": "snap-1", "VolumeSize": 8.0, "Encrypted": true}}},
			"Tags":                tags,
		}}}},
		{ec2("CreateImage", object{"InstanceId": "i-1", "Name": "golden"}), object{"ImageId": "ami-9"}},
		{ec2("CopyImage", object{"SourceImageId": "ami-1", "SourceRegion": region, "Name": "golden", "Encrypted": true, "ClientToken": "t"}), object{"ImageId": "ami-9"}},
		{ec2("DeregisterImage", object{"ImageId": "ami-1", "DeleteAssociatedSnapshots": true}), object{"Return": true}},
		{ec2("CreateSnapshots", object{"InstanceSpecification": object{"InstanceId": "i-1"}, "TagSpecifications": snapshotTags}), object{"Snapshots": list{begun}}},
		{ec2("DescribeSnapshots", nil), object{"Snapshots": list{object{
			"SnapshotId": "snap-1", "VolumeId": "vol-1", "OwnerId": account, "State": "error", "StateMessage": "lost", "StartTime": stamp,
			"VolumeSize": 8.0, "Encrypted": true, "Progress": "42%", "Tags": tags,
		}}}},
		{ec2("DeleteSnapshot", object{"SnapshotId": "snap-1"}), object{}},
		{ec2("DescribeVolumes", nil), object{"Volumes": list{object{
			"VolumeId": "vol-1", "AvailabilityZone": "eu-central-1a", "State": "in-use", "Size": 8.0, "VolumeType": "gp3", "CreateTime": stamp,
			"Attachments": list{object{"VolumeId": "vol-1", "InstanceId": "i-1"}}, "Tags": tags,
		}}}},
		{ec2("DeleteVolume", object{"VolumeId": "vol-1"}), object{}},
		{ec2("CreateTags", object{"Resources": list{"i-1", "h-1"}, "Tags": list{object{"Key": "k", "Value": ""}}}), object{}},
	}
}

func networkAnswers(tags list) []answerCase {
	return []answerCase{
		{ec2("DescribeVpcs", nil), object{"Vpcs": list{object{"VpcId": "vpc-1", "State": "available", "IsDefault": true, "Tags": tags}}}},
		{ec2("DescribeSubnets", nil), object{"Subnets": list{object{
			"SubnetId": "subnet-1", "VpcId": "vpc-1", "AvailabilityZone": "eu-central-1a", "OwnerId": account, "State": "available",
			"AvailableIpAddressCount": 4091.0, "Tags": tags,
		}}}},
		{ec2("DescribeSecurityGroups", nil), object{"SecurityGroups": list{object{
			"GroupId": "sg-1", "GroupName": "default", "VpcId": "vpc-1", "OwnerId": account, "Tags": tags,
		}}}},
		{ec2("DescribeInstanceTypes", nil), object{"InstanceTypes": list{
			object{
				"InstanceType": "m7g.large", "SupportedUsageClasses": list{"on-demand", "spot"}, "BareMetal": false,
				"ProcessorInfo": object{"SupportedArchitectures": list{"arm64"}}, "VCpuInfo": object{"DefaultVCpus": 2.0},
				"MemoryInfo": object{"SizeInMiB": 8192.0}, "EbsInfo": object{"MaximumEbsAttachments": 27.0}, "HibernationSupported": true,
			},
			object{
				"InstanceType": "mac2.metal", "SupportedUsageClasses": list{"on-demand"}, "BareMetal": true,
				"ProcessorInfo": object{"SupportedArchitectures": list{"arm64_mac"}}, "VCpuInfo": object{"DefaultVCpus": 8.0},
				"MemoryInfo": object{"SizeInMiB": 16384.0}, "HibernationSupported": false,
			},
		}}},
		{ec2("DescribeInstanceTypeOfferings", object{"LocationType": "availability-zone", "Filters": list{object{"Name": "instance-type", "Values": list{"mac2.*", "m7?.large"}}, object{"Name": "location", "Values": list{"*b"}}}}),
			object{"InstanceTypeOfferings": list{
				object{"InstanceType": "m7g.large", "LocationType": "availability-zone", "Location": "eu-central-1b"},
				object{"InstanceType": "mac2.metal", "LocationType": "availability-zone", "Location": "eu-central-1b"},
			}}},
		{ec2("DescribeInstanceTypeOfferings", nil), object{"InstanceTypeOfferings": list{
			object{"InstanceType": "m7g.large", "LocationType": "region", "Location": region},
			object{"InstanceType": "mac2.metal", "LocationType": "region", "Location": region},
		}}},
		{ec2("DescribeAvailabilityZones", nil), object{"AvailabilityZones": list{
			object{"ZoneName": "eu-central-1a", "RegionName": region, "State": "available"},
			object{"ZoneName": "eu-central-1b", "RegionName": region, "State": "available"},
		}}},
	}
}

func otherAnswers() []answerCase {
	return []answerCase{
		{call{Service: "sts", Operation: "GetCallerIdentity", Params: nil}, object{"Account": account, "UserId": "AIDAFISH", "Arn": "arn:aws:iam::123456789012:user/fish"}},
		{call{Service: "kms", Operation: "DescribeKey", Params: object{"KeyId": "alias/fish"}}, object{"KeyMetadata": object{
			"KeyId": "0001", "Arn": "arn:aws:kms:eu-central-1:123456789012:key/0001", "Enabled": true, "KeyState": "Enabled",
		}}},
		{call{Service: "kms", Operation: "ListAliases", Params: nil}, object{"Truncated": false, "Aliases": list{object{
			"AliasName": "alias/fish", "AliasArn": "arn:aws:kms:eu-central-1:123456789012:alias/fish", "TargetKeyId": "0001",
		}}}},
		{call{Service: "service-quotas", Operation: "ListServiceQuotas", Params: object{"ServiceCode": "ec2"}}, object{"Quotas": list{
			object{"ServiceCode": "ec2", "QuotaCode": "L-34B43A08", "Value": 64.0, "Adjustable": true},
			object{"ServiceCode": "ec2", "QuotaCode": "L-5D8DADF5", "Value": 2.0, "Adjustable": true},
		}}},
		{call{Service: "service-quotas", Operation: "ListAWSDefaultServiceQuotas", Params: object{"ServiceCode": "ec2"}}, object{"Quotas": list{
			object{"ServiceCode": "ec2", "QuotaCode": "L-1216C47A", "Value": 5.0, "Adjustable": true},
			object{"ServiceCode": "ec2", "QuotaCode": "L-34B43A08", "Value": 5.0, "Adjustable": true},
			object{"ServiceCode": "ec2", "QuotaCode": "L-5D8DADF5", "Value": 0.0, "Adjustable": true},
			object{"ServiceCode": "ec2", "QuotaCode": "L-A8448DC5", "Value": 0.0, "Adjustable": true},
		}}},
	}
}
