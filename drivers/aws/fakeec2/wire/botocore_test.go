package wire_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wiretest"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

const (
	region = "eu-central-1"
	keyID  = "AKIDEXAMPLE"
	secret = "a secret / of+letters"
)

// object is one of JSON.
type object = map[string]any

type list = []any

// call is one call that botocore makes.
type call struct {
	Service   string `json:"service"`
	Operation string `json:"operation"`
	Params    object `json:"params,omitempty"`
}

// outcome is what botocore read.
type outcome struct {
	Result    object   `json:"result"`
	Unknown   []string `json:"unknown"`
	Code      string   `json:"code"`
	Message   string   `json:"message"`
	Status    int      `json:"status"`
	RequestID string   `json:"request_id"`
}

// serve serves a backend that wants signatures.
func serve(t *testing.T, backend cloud.API, o wire.Options) *wiretest.Server {
	t.Helper()
	o.Region = region
	o.Keys = map[string]string{keyID: secret}
	return wiretest.Serve(t, backend, o)
}

// botocore makes calls with the library that aws-cli is made of.
func botocore(t *testing.T, s *wiretest.Server, calls ...call) []outcome {
	t.Helper()
	if out, err := exec.Command("python3", "-c", "import awscli.clidriver").CombinedOutput(); err != nil {
		needs.Lacking(t, "needs python3 with awscli:", err, string(out))
	}
	input, err := json.Marshal(calls)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "testdata/client.py", s.URL)
	cmd.Env = wiretest.Environment(s.URL, region, keyID, secret)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var outcomes []outcome
	if err := json.Unmarshal(out, &outcomes); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(outcomes) != len(calls) {
		t.Fatalf("%d outcomes of %d calls", len(outcomes), len(calls))
	}
	return outcomes
}

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
	const stamp, short = "2026-02-03T04:05:06.789000Z", "2026-02-03T04:05:06.789Z"
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
	begun := object{
		"SnapshotId": "snap-1", "VolumeId": "vol-1", "OwnerId": account, "State": "error", "StartTime": stamp,
		"VolumeSize": 8.0, "Encrypted": true, "Progress": "42%", "Tags": tags,
	}
	snapshotTags := list{object{"ResourceType": "snapshot", "Tags": list{}}}
	cases := []struct {
		call
		want object
	}{
		{call{"ec2", "RunInstances", object{"MinCount": 1, "MaxCount": 1, "ImageId": "ami-1", "InstanceType": "m7g.large", "SubnetId": "subnet-1"}},
			object{"ReservationId": "r-1", "Instances": list{running}}},
		{call{"ec2", "DescribeInstances", nil}, object{"Reservations": list{
			object{"ReservationId": "r-1", "Instances": list{running}}, object{"ReservationId": "r-2", "Instances": list{ended}},
		}}},
		{call{"ec2", "StopInstances", object{"InstanceIds": list{"i-1"}}}, object{"StoppingInstances": list{object{"InstanceId": "i-1"}}}},
		{call{"ec2", "StartInstances", object{"InstanceIds": list{"i-1"}}}, object{"StartingInstances": list{object{"InstanceId": "i-1"}}}},
		{call{"ec2", "TerminateInstances", object{"InstanceIds": list{"i-1"}}}, object{"TerminatingInstances": list{object{"InstanceId": "i-1"}}}},
		{call{"ec2", "DescribeSpotInstanceRequests", nil}, object{"SpotInstanceRequests": list{object{
			"SpotInstanceRequestId": "sir-1", "InstanceId": "i-1", "State": "active", "Status": object{"Code": "fulfilled"}, "Type": "one-time", "Tags": tags,
		}}}},
		{call{"ec2", "CancelSpotInstanceRequests", object{"SpotInstanceRequestIds": list{"sir-1"}}}, object{"CancelledSpotInstanceRequests": list{
			object{"SpotInstanceRequestId": "sir-1", "State": "cancelled"},
		}}},
		{call{"ec2", "AllocateHosts", object{"Quantity": 1, "AutoPlacement": "off", "InstanceType": "mac2.metal", "AvailabilityZone": "eu-central-1b"}},
			object{"HostIds": list{"h-9"}}},
		{call{"ec2", "DescribeHosts", nil}, object{"Hosts": list{
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
		{call{"ec2", "ReleaseHosts", object{"HostIds": list{"h-1", "h-2"}}}, object{
			"Successful": list{"h-1"},
			"Unsuccessful": list{object{"ResourceId": "h-2", "Error": object{
				"Code": "Client.HostMinAllocationPeriodUnexpired", "Message": "h-2: any time after 2026-02-04T04:05:06.789Z.",
			}}},
		}},
		{call{"ec2", "DescribeMacHosts", nil}, object{"MacHosts": list{object{"HostId": "h-1", "MacOSLatestSupportedVersions": list{"14.5", "15.1"}}}}},
		{call{"ec2", "DescribeImages", nil}, object{"Images": list{object{
			"ImageId": "ami-1", "Name": "ubuntu", "OwnerId": account, "State": "failed", "StateReason": object{"Message": "no key"},
			"CreationDate": short, "Architecture": "arm64", "RootDeviceName": "/dev/xvda", "RootDeviceType": "ebs",
			"BlockDeviceMappings": list{object{"DeviceName": "/dev/xvda", "Ebs": object{"SnapshotId": "snap-1", "VolumeSize": 8.0, "Encrypted": true}}},
			"Tags":                tags,
		}}}},
		{call{"ec2", "CreateImage", object{"InstanceId": "i-1", "Name": "golden"}}, object{"ImageId": "ami-9"}},
		{call{"ec2", "CopyImage", object{"SourceImageId": "ami-1", "SourceRegion": region, "Name": "golden", "Encrypted": true, "ClientToken": "t"}}, object{"ImageId": "ami-9"}},
		{call{"ec2", "DeregisterImage", object{"ImageId": "ami-1", "DeleteAssociatedSnapshots": true}}, object{"Return": true}},
		{call{"ec2", "CreateSnapshots", object{"InstanceSpecification": object{"InstanceId": "i-1"}, "TagSpecifications": snapshotTags}}, object{"Snapshots": list{begun}}},
		{call{"ec2", "DescribeSnapshots", nil}, object{"Snapshots": list{object{
			"SnapshotId": "snap-1", "VolumeId": "vol-1", "OwnerId": account, "State": "error", "StateMessage": "lost", "StartTime": stamp,
			"VolumeSize": 8.0, "Encrypted": true, "Progress": "42%", "Tags": tags,
		}}}},
		{call{"ec2", "DeleteSnapshot", object{"SnapshotId": "snap-1"}}, object{}},
		{call{"ec2", "DescribeVolumes", nil}, object{"Volumes": list{object{
			"VolumeId": "vol-1", "AvailabilityZone": "eu-central-1a", "State": "in-use", "Size": 8.0, "VolumeType": "gp3", "CreateTime": stamp,
			"Attachments": list{object{"VolumeId": "vol-1", "InstanceId": "i-1"}}, "Tags": tags,
		}}}},
		{call{"ec2", "DeleteVolume", object{"VolumeId": "vol-1"}}, object{}},
		{call{"ec2", "CreateTags", object{"Resources": list{"i-1", "h-1"}, "Tags": list{object{"Key": "k", "Value": ""}}}}, object{}},
		{call{"ec2", "DescribeVpcs", nil}, object{"Vpcs": list{object{"VpcId": "vpc-1", "State": "available", "IsDefault": true, "Tags": tags}}}},
		{call{"ec2", "DescribeSubnets", nil}, object{"Subnets": list{object{
			"SubnetId": "subnet-1", "VpcId": "vpc-1", "AvailabilityZone": "eu-central-1a", "OwnerId": account, "State": "available",
			"AvailableIpAddressCount": 4091.0, "Tags": tags,
		}}}},
		{call{"ec2", "DescribeSecurityGroups", nil}, object{"SecurityGroups": list{object{
			"GroupId": "sg-1", "GroupName": "default", "VpcId": "vpc-1", "OwnerId": account, "Tags": tags,
		}}}},
		{call{"ec2", "DescribeInstanceTypes", nil}, object{"InstanceTypes": list{
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
		{call{"ec2", "DescribeInstanceTypeOfferings", object{"LocationType": "availability-zone", "Filters": list{object{"Name": "instance-type", "Values": list{"mac2.*", "m7?.large"}}, object{"Name": "location", "Values": list{"*b"}}}}},
			object{"InstanceTypeOfferings": list{
				object{"InstanceType": "m7g.large", "LocationType": "availability-zone", "Location": "eu-central-1b"},
				object{"InstanceType": "mac2.metal", "LocationType": "availability-zone", "Location": "eu-central-1b"},
			}}},
		{call{"ec2", "DescribeInstanceTypeOfferings", nil}, object{"InstanceTypeOfferings": list{
			object{"InstanceType": "m7g.large", "LocationType": "region", "Location": region},
			object{"InstanceType": "mac2.metal", "LocationType": "region", "Location": region},
		}}},
		{call{"ec2", "DescribeAvailabilityZones", nil}, object{"AvailabilityZones": list{
			object{"ZoneName": "eu-central-1a", "RegionName": region, "State": "available"},
			object{"ZoneName": "eu-central-1b", "RegionName": region, "State": "available"},
		}}},
		{call{"sts", "GetCallerIdentity", nil}, object{"Account": account, "UserId": "AIDAFISH", "Arn": "arn:aws:iam::123456789012:user/fish"}},
		{call{"kms", "DescribeKey", object{"KeyId": "alias/fish"}}, object{"KeyMetadata": object{
			"KeyId": "0001", "Arn": "arn:aws:kms:eu-central-1:123456789012:key/0001", "Enabled": true, "KeyState": "Enabled",
		}}},
		{call{"kms", "ListAliases", nil}, object{"Truncated": false, "Aliases": list{object{
			"AliasName": "alias/fish", "AliasArn": "arn:aws:kms:eu-central-1:123456789012:alias/fish", "TargetKeyId": "0001",
		}}}},
		{call{"service-quotas", "ListServiceQuotas", object{"ServiceCode": "ec2"}}, object{"Quotas": list{
			object{"ServiceCode": "ec2", "QuotaCode": "L-34B43A08", "Value": 64.0, "Adjustable": true},
			object{"ServiceCode": "ec2", "QuotaCode": "L-5D8DADF5", "Value": 2.0, "Adjustable": true},
		}}},
		{call{"service-quotas", "ListAWSDefaultServiceQuotas", object{"ServiceCode": "ec2"}}, object{"Quotas": list{
			object{"ServiceCode": "ec2", "QuotaCode": "L-1216C47A", "Value": 5.0, "Adjustable": true},
			object{"ServiceCode": "ec2", "QuotaCode": "L-34B43A08", "Value": 5.0, "Adjustable": true},
			object{"ServiceCode": "ec2", "QuotaCode": "L-5D8DADF5", "Value": 0.0, "Adjustable": true},
			object{"ServiceCode": "ec2", "QuotaCode": "L-A8448DC5", "Value": 0.0, "Adjustable": true},
		}}},
	}
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
