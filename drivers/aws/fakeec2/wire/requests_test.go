package wire_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
)

func specs(tags object, types ...string) list {
	var pairs, all list
	for key, value := range tags {
		pairs = append(pairs, object{"Key": key, "Value": value})
	}
	for _, kind := range types {
		all = append(all, object{"ResourceType": kind, "Tags": pairs})
	}
	return all
}

// TestRequests lets botocore send requests and compares what the backend is
// asked by them.
func TestRequests(t *testing.T) {
	tags := object{"AquariumNode": "n1", "empty": ""}
	ourTags := cloud.Tags{"AquariumNode": "n1", "empty": ""}
	launch := func(more object) object {
		all := object{
			"MinCount": 1, "MaxCount": 1, "ImageId": "ami-1", "InstanceType": "m7g.large", "SubnetId": "subnet-1",
			"MetadataOptions": object{"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 2},
		}
		for name, value := range more {
			all[name] = value
		}
		return all
	}
	cases := []struct {
		call
		want any
	}{
		{ec2("RunInstances", launch(object{
			"ClientToken": "tok", "SecurityGroupIds": list{"sg-1", "sg-2"}, "UserData": "#!/bin/sh\necho ä\n",
			"BlockDeviceMappings": list{
				object{"DeviceName": "/dev/xvda", "Ebs": object{"VolumeSize": 20, "DeleteOnTermination": true, "Encrypted": true, "KmsKeyId": "alias/fish"}},
				object{"DeviceName": "/dev/sdb", "Ebs": object{"VolumeType": "gp3", "Iops": 4000, "Throughput": 250, "SnapshotId": "snap-1", "DeleteOnTermination": true}},
			},
			"TagSpecifications":  specs(tags, "network-interface", "volume", "instance"),
			"HibernationOptions": object{"Configured": true}, "IamInstanceProfile": object{"Name": "runner"},
			"InstanceInitiatedShutdownBehavior": "terminate",
		})), cloud.Launch{
			ClientToken: "tok", ImageID: "ami-1", Type: "m7g.large", SubnetID: "subnet-1", SecurityGroupIDs: []string{"sg-1", "sg-2"},
			UserData: []byte("#!/bin/sh\necho ä\n"), Tags: ourTags, Hibernate: true, IAMProfile: "runner", ShutdownTerminates: true,
			Disks: []cloud.Disk{
				{Device: "/dev/xvda", SizeGB: 20, Encrypted: true, KeyID: "alias/fish"},
				{Device: "/dev/sdb", Type: "gp3", IOPS: 4000, Throughput: 250, SnapshotID: "snap-1"},
			},
		}},
		{ec2("RunInstances", launch(object{
			"ClientToken": "tok", "InstanceMarketOptions": object{"MarketType": "spot", "SpotOptions": object{"SpotInstanceType": "one-time"}},
			"TagSpecifications": specs(tags, "instance", "volume", "network-interface", "spot-instances-request"),
		})), cloud.Launch{ClientToken: "tok", ImageID: "ami-1", Type: "m7g.large", SubnetID: "subnet-1", Spot: true, Tags: ourTags}},
		{ec2("RunInstances", object{
			"MinCount": 1, "MaxCount": 1, "ImageId": "ami-2", "InstanceType": "mac2.metal", "ClientToken": "tok",
			"Placement":          object{"HostId": "h-1", "Tenancy": "host"},
			"NetworkInterfaces":  list{object{"DeviceIndex": 0, "SubnetId": "subnet-1", "Groups": list{"sg-1"}, "DeleteOnTermination": true}},
			"IamInstanceProfile": object{"Arn": "arn:aws:iam::1:instance-profile/x"},
		}), cloud.Launch{
			ClientToken: "tok", ImageID: "ami-2", Type: "mac2.metal", SubnetID: "subnet-1", SecurityGroupIDs: []string{"sg-1"}, HostID: "h-1",
			IAMProfile: "arn:aws:iam::1:instance-profile/x",
		}},
		{ec2("StopInstances", object{"InstanceIds": list{"i-1"}, "Hibernate": true}), stopped{"i-1", cloud.Stop{Hibernate: true}}},
		{ec2("StopInstances", object{"InstanceIds": list{"i-1"}, "Force": true}), stopped{"i-1", cloud.Stop{Force: true}}},
		{ec2("StartInstances", object{"InstanceIds": list{"i-1"}}), "i-1"},
		{ec2("TerminateInstances", object{"InstanceIds": list{"i-1", "i-2"}}), []string{"i-1", "i-2"}},
		{ec2("CancelSpotInstanceRequests", object{"SpotInstanceRequestIds": list{"sir-1"}}), []string{"sir-1"}},
		{ec2("AllocateHosts", object{
			"Quantity": 1, "AutoPlacement": "off", "HostRecovery": "off", "HostMaintenance": "off", "InstanceType": "mac2.metal",
			"AvailabilityZone": "eu-central-1b", "ClientToken": "tok", "TagSpecifications": specs(tags, "dedicated-host"),
		}), cloud.HostRequest{ClientToken: "tok", Type: "mac2.metal", Zone: "eu-central-1b", Tags: ourTags}},
		{ec2("ReleaseHosts", object{"HostIds": list{"h-1", "h-2"}}), []string{"h-1", "h-2"}},
		{ec2("DescribeImages", object{"Owners": list{"self", "amazon"}}), []string{"self", "amazon"}},
		{ec2("CreateImage", object{
			"InstanceId": "i-1", "Name": "golden", "Description": "d", "NoReboot": true, "TagSpecifications": specs(tags, "image", "snapshot"),
			"BlockDeviceMappings": list{object{"DeviceName": "/dev/sdb", "NoDevice": ""}},
		}), cloud.ImageRequest{InstanceID: "i-1", Name: "golden", Description: "d", Omit: []string{"/dev/sdb"}, Tags: ourTags}},
		{ec2("CreateImage", object{"InstanceId": "i-1", "Name": "golden"}), cloud.ImageRequest{InstanceID: "i-1", Name: "golden", Reboot: true}},
		{ec2("CopyImage", object{
			"SourceImageId": "ami-1", "SourceRegion": region, "Name": "golden", "Description": "d", "Encrypted": true, "KmsKeyId": "alias/fish",
			"ClientToken": "tok", "TagSpecifications": specs(tags, "image", "snapshot"),
		}), cloud.ImageCopy{ClientToken: "tok", SourceID: "ami-1", Name: "golden", Description: "d", KeyID: "alias/fish", Tags: ourTags}},
		{ec2("DeregisterImage", object{"ImageId": "ami-1", "DeleteAssociatedSnapshots": true}), "ami-1"},
		{ec2("DescribeSnapshots", object{"OwnerIds": list{"self"}}), []string{"self"}},
		{ec2("CreateSnapshots", object{
			"InstanceSpecification": object{"InstanceId": "i-1", "ExcludeBootVolume": true}, "Description": "d", "TagSpecifications": specs(tags, "snapshot"),
		}), cloud.SnapshotsRequest{InstanceID: "i-1", WithoutRoot: true, Description: "d", Tags: ourTags}},
		{ec2("DeleteSnapshot", object{"SnapshotId": "snap-1"}), "snap-1"},
		{ec2("DeleteVolume", object{"VolumeId": "vol-1"}), "vol-1"},
		{ec2("CreateTags", object{"Resources": list{"i-1", "h-1"}, "Tags": list{object{"Key": "k", "Value": ""}}}),
			tagged{[]string{"i-1", "h-1"}, cloud.Tags{"k": ""}}},
	}
	w := newWorld()
	s := serve(t, w, wire.Options{})
	calls := make([]call, len(cases))
	for i, c := range cases {
		calls[i] = c.call
	}
	for i, got := range botocore(t, s, calls...) {
		if got.Code != "" {
			t.Fatalf("%s refused with %s (%d): %s", calls[i].Operation, got.Code, got.Status, got.Message)
		}
		if diff := cmp.Diff(cases[i].want, w.heard()[i]); diff != "" {
			t.Errorf("%s asked the backend for (-want +got):\n%s", calls[i].Operation, diff)
		}
	}
	if run := s.CallsOf("RunInstances")[0]; run.Params["MetadataOptions.HttpTokens"] != "required" || run.KeyID != keyID || run.Status != 200 {
		t.Errorf("the journal has %+v", run)
	}
}

// TestQueries compares what filters and ids become.
func TestQueries(t *testing.T) {
	for _, tt := range []struct {
		name   string
		params []string
		want   cloud.Query
	}{
		{"none", []string{"Action", "DescribeInstances"}, cloud.Query{}},
		{"filters", []string{
			"Action", "DescribeInstances", "Filter.1.Name", "tag:AquariumNode", "Filter.1.Value.1", "n1", "Filter.1.Value.2", "n2",
			"Filter.2.Name", "instance-state-name", "Filter.2.Value.1", "run*",
		}, cloud.Where("tag:AquariumNode", "n1", "n2").And("instance-state-name", "run*")},
		{"ids", []string{"Action", "DescribeInstances", "InstanceId.1", "i-1", "InstanceId.2", "i-2"}, cloud.Where("instance-id", "i-1", "i-2")},
		{"hosts", []string{"Action", "DescribeHosts", "HostId.1", "h-1", "Filter.1.Name", "tag-key", "Filter.1.Value.1", "k"},
			cloud.Where("tag-key", "k").And("host-id", "h-1")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			status, body := post(t, unsigned(t, w).URL, tt.params...)
			if status != 200 {
				t.Fatalf("%d %s", status, body)
			}
			if diff := cmp.Diff(tt.want, w.query); diff != "" {
				t.Errorf("the backend is asked (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFilters compares the filters that are taken with those that AWS documents.
func TestFilters(t *testing.T) {
	actions := []string{
		"DescribeInstances", "DescribeHosts", "DescribeMacHosts", "DescribeImages", "DescribeSnapshots", "DescribeVolumes",
		"DescribeSpotInstanceRequests", "DescribeVpcs", "DescribeSubnets", "DescribeSecurityGroups", "DescribeInstanceTypeOfferings",
		"DescribeInstanceTypes",
		"DescribeAvailabilityZones",
	}
	var documented map[string][]string
	order(t, object{"filters": actions}, &documented)
	for _, action := range actions {
		if len(documented[action]) == 0 || len(wire.FiltersOf(action)) == 0 {
			t.Errorf("%s has no filters: documented %q", action, documented[action])
		}
		for _, name := range wire.FiltersOf(action) {
			if !slices.Contains(documented[action], name) {
				t.Errorf("%s takes the filter %q, which is not among %q", action, name, documented[action])
			}
		}
	}
}

// TestRefusals is of requests that the backend never hears of.
func TestRefusals(t *testing.T) {
	run := "Action=RunInstances MinCount=1 MaxCount=1 ImageId=ami-1 InstanceType=x SubnetId=s "
	host := "Action=AllocateHosts Quantity=1 AutoPlacement=off InstanceType=x AvailabilityZone=z "
	tag := func(n, kind, value string) string {
		return strings.ReplaceAll("TagSpecification.N.ResourceType="+kind+" TagSpecification.N.Tag.1.Key=k TagSpecification.N.Tag.1.Value="+value+" ", "N", n)
	}
	many := "Action=DescribeInstances Filter.1.Name=instance-id"
	for i := range 201 {
		many += " Filter.1.Value." + itoa(i+1) + "=i"
	}
	for _, tt := range []struct {
		name, form string
		status     int
		code       string
	}{
		{"unknown action", "Action=DescribeKeyPairs", 400, "InvalidAction"},
		{"no action", "X=1", 400, "MissingAction"},
		{"other version", "Action=DescribeVpcs Version=2014-10-01", 400, "NoSuchVersion"},
		{"twice", "Action=DescribeVpcs Action=DescribeVpcs", 400, "InvalidParameterCombination"},
		{"typo", "Action=DescribeInstances InstanceIds.1=i-1", 400, "UnknownParameter"},
		{"typo in depth", run + "BlockDeviceMapping.1.DeviceName=d BlockDeviceMapping.1.Ebs.DeleteOnTermination=true BlockDeviceMapping.1.Ebs.Size=1", 400, "UnknownParameter"},
		{"gap in a list", "Action=TerminateInstances InstanceId.1=i-1 InstanceId.3=i-3", 400, "UnknownParameter"},
		{"what cloud.API can not say", run + "KeyName=k", 400, "UnknownParameter"},
		{"no image", "Action=RunInstances MinCount=1 MaxCount=1 InstanceType=x SubnetId=s", 400, "MissingParameter"},
		{"no ids", "Action=TerminateInstances", 400, "MissingParameter"},
		{"no tags", "Action=CreateTags ResourceId.1=i-1", 400, "MissingParameter"},
		{"two at once", strings.Replace(run, "MaxCount=1", "MaxCount=2", 1), 501, "NotImplemented"},
		{"user data", run + "UserData=%", 400, "InvalidUserData.Malformed"},
		{"flag", "Action=StopInstances InstanceId.1=i-1 Force=yes", 400, "InvalidParameterValue"},
		{"number", run + "BlockDeviceMapping.1.DeviceName=d BlockDeviceMapping.1.Ebs.DeleteOnTermination=true BlockDeviceMapping.1.Ebs.VolumeSize=1.5", 400, "InvalidParameterValue"},
		{"a disk that stays", run + "BlockDeviceMapping.1.DeviceName=d BlockDeviceMapping.1.Ebs.VolumeSize=1", 501, "NotImplemented"},
		{"host without tenancy", run + "Placement.HostId=h-1", 400, "InvalidParameterCombination"},
		{"tenancy without host", run + "Placement.Tenancy=host", 501, "NotImplemented"},
		{"subnet twice", run + "NetworkInterface.1.DeviceIndex=0 NetworkInterface.1.SubnetId=s", 400, "InvalidParameterCombination"},
		{"two interfaces", strings.Replace(run, "SubnetId=s", "", 1) + "NetworkInterface.1.DeviceIndex=0 NetworkInterface.1.SubnetId=s NetworkInterface.2.DeviceIndex=1", 400, "UnknownParameter"},
		{"persistent spot", run + "InstanceMarketOptions.MarketType=spot InstanceMarketOptions.SpotOptions.SpotInstanceType=persistent", 501, "NotImplemented"},
		{"highest price", run + "InstanceMarketOptions.MarketType=spot InstanceMarketOptions.SpotOptions.MaxPrice=1", 400, "UnknownParameter"},
		{"tokens", run + "MetadataOptions.HttpTokens=always", 400, "InvalidParameterValue"},
		{"hops", run + "MetadataOptions.HttpPutResponseHopLimit=65", 400, "InvalidParameterValue"},
		{"two profiles", run + "IamInstanceProfile.Name=a IamInstanceProfile.Arn=b", 400, "InvalidParameterCombination"},
		{"volume without tags", run + tag("1", "instance", "v") + tag("2", "network-interface", "v"), 501, "NotImplemented"},
		{"volume with other tags", run + tag("1", "instance", "v") + tag("2", "network-interface", "v") + tag("3", "volume", "w"), 501, "NotImplemented"},
		{"tags of no spot request", run + tag("1", "instance", "v") + tag("2", "network-interface", "v") + tag("3", "volume", "v") + tag("4", "spot-instances-request", "v"), 400, "InvalidParameterValue"},
		{"tags of nothing", host + tag("1", "host", "v"), 400, "InvalidParameterValue"},
		{"type twice", host + tag("1", "dedicated-host", "v") + tag("2", "dedicated-host", "v"), 400, "InvalidParameterValue"},
		{"key twice", "Action=CreateTags ResourceId.1=i-1 Tag.1.Key=k Tag.1.Value=a Tag.2.Key=k Tag.2.Value=b", 400, "InvalidParameterValue"},
		{"auto placement", strings.Replace(host, "AutoPlacement=off", "", 1), 501, "NotImplemented"},
		{"two hosts", strings.Replace(host, "Quantity=1", "Quantity=2", 1), 501, "NotImplemented"},
		{"copy in clear", "Action=CopyImage SourceImageId=ami-1 SourceRegion=eu-central-1 Name=n", 501, "NotImplemented"},
		{"copy from afar", "Action=CopyImage SourceImageId=ami-1 SourceRegion=eu-west-1 Name=n Encrypted=true", 501, "NotImplemented"},
		{"image with other disks", "Action=CreateImage InstanceId=i-1 Name=n BlockDeviceMapping.1.DeviceName=d", 501, "NotImplemented"},
		{"snapshots that stay", "Action=DeregisterImage ImageId=ami-1", 501, "NotImplemented"},
		{"filter that EC2 has not", "Action=DescribeHosts Filter.1.Name=host-id Filter.1.Value.1=h-1", 400, "InvalidParameterValue"},
		{"tags of hosts", "Action=DescribeHosts Filter.1.Name=tag:k Filter.1.Value.1=v", 400, "InvalidParameterValue"},
		{"filter for no key", "Action=DescribeInstances Filter.1.Name=tag: Filter.1.Value.1=v", 400, "InvalidParameterValue"},
		{"filter without values", "Action=DescribeInstances Filter.1.Name=tag-key", 400, "InvalidParameterValue"},
		{"filter without name", "Action=DescribeInstances Filter.1.Value.1=v", 400, "MissingParameter"},
		{"too many values", many, 400, "FilterLimitExceeded"},
		{"ids and pages", "Action=DescribeInstances InstanceId.1=i-1 MaxResults=5", 400, "InvalidParameterCombination"},
		{"page too small", "Action=DescribeInstances MaxResults=4", 400, "InvalidParameterValue"},
		{"page too large", "Action=DescribeHosts MaxResults=501", 400, "InvalidParameterValue"},
		{"token", "Action=DescribeInstances NextToken=abc", 400, "InvalidNextToken"},
		{"location", "Action=DescribeInstanceTypeOfferings LocationType=planet", 400, "InvalidParameterValue"},
		{"dry run", run + "DryRun=true", 412, "DryRunOperation"},
		{"dry run with a typo", run + "DryRun=true Foo=1", 400, "UnknownParameter"},
		{"role", "Action=AssumeRole Version=2011-06-15 RoleArn=me RoleSessionName=s", 400, "ValidationError"},
		{"role for long", "Action=AssumeRole Version=2011-06-15 RoleArn=arn:aws:iam::1:role/r RoleSessionName=s DurationSeconds=1", 400, "ValidationError"},
		{"unknown action of STS", "Action=GetFederationToken Version=2011-06-15", 400, "InvalidAction"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			s := unsigned(t, w)
			var pairs []string
			for _, pair := range strings.Fields(tt.form) {
				name, value, _ := strings.Cut(pair, "=")
				pairs = append(pairs, name, value)
			}
			status, body := post(t, s.URL, pairs...)
			if status != tt.status || !strings.Contains(body, "<Code>"+tt.code+"</Code>") {
				t.Errorf("answered with %d %s, want %d %s", status, body, tt.status, tt.code)
			}
			if len(w.heard()) > 0 {
				t.Errorf("the backend was asked for %v", w.heard())
			}
			if c := s.Calls()[0]; c.Status != tt.status || c.Code != tt.code || !strings.Contains(body, c.RequestID) {
				t.Errorf("the journal has %+v", c)
			}
		})
	}
}

// TestMissingIDs is of ids that are not there, which EC2 refuses and a filter
// does not.
func TestMissingIDs(t *testing.T) {
	for action, param := range map[string]string{
		"DescribeInstances": "InstanceId InvalidInstanceID.NotFound", "DescribeHosts": "HostId InvalidHostID.NotFound",
		"DescribeMacHosts": "HostId InvalidHostID.NotFound", "DescribeImages": "ImageId InvalidAMIID.NotFound",
		"DescribeSnapshots": "SnapshotId InvalidSnapshot.NotFound", "DescribeVolumes": "VolumeId InvalidVolume.NotFound",
		"DescribeSpotInstanceRequests": "SpotInstanceRequestId InvalidSpotInstanceRequestID.NotFound",
		"DescribeVpcs":                 "VpcId InvalidVpcID.NotFound", "DescribeSubnets": "SubnetId InvalidSubnetID.NotFound",
		"DescribeSecurityGroups": "GroupId InvalidGroup.NotFound", "DescribeInstanceTypes": "InstanceType InvalidInstanceType",
	} {
		name, code, _ := strings.Cut(param, " ")
		status, body := post(t, unsigned(t, newWorld()).URL, "Action", action, name+".1", "x-9")
		if status != 400 || !strings.Contains(body, "<Code>"+code+"</Code>") || !strings.Contains(body, "x-9") {
			t.Errorf("%s: %d %s, want %s", action, status, body, code)
		}
	}
}
