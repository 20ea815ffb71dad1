package fakeec2_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

func TestTheDefaultAccount(t *testing.T) {
	inBubble(t, fakeec2.Options{Region: "us-east-2", Account: "111122223333"}, func(b bench) {
		ctx := b.Context()
		who, err := b.As("node-1").Identity(ctx)
		if err != nil || who.Account != "111122223333" || !strings.HasSuffix(who.ARN, "node-1") {
			b.Errorf("Identity = %+v, %v", who, err)
		}
		vpcs, err := b.VPCs(ctx, cloud.Where("is-default", "true"))
		if err != nil || len(vpcs) != 1 {
			b.Fatalf("VPCs = %v, %v", vpcs, err)
		}
		subnets, err := b.Subnets(ctx, cloud.Where("vpc-id", vpcs[0].ID).And("owner-id", "111122223333"))
		if err != nil || len(subnets) != 3 || subnets[0].FreeAddresses != 4091 || !strings.HasPrefix(subnets[0].Zone, "us-east-2") {
			b.Errorf("Subnets = %v, %v", subnets, err)
		}
		groups, err := b.SecurityGroups(ctx, cloud.Where("group-name", "default").And("vpc-id", vpcs[0].ID))
		if err != nil || len(groups) != 1 {
			b.Errorf("SecurityGroups = %v, %v", groups, err)
		}
		if arn, err := b.Key(ctx, "alias/aws/ebs"); err != nil || !strings.HasPrefix(arn, "arn:aws:kms:us-east-2:111122223333:key/") {
			b.Errorf("Key = %s, %v", arn, err)
		}
		_, err = b.Key(ctx, "alias/none")
		b.refused(err, "NotFoundException")
		if left := b.Billable(); len(left) > 0 {
			b.Errorf("what was there before costs: %v", left)
		}
	})
}

func TestTypesAndOfferings(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		types, err := b.InstanceTypes(b.Context(), []string{"mac*", "t3.micro", "none.large"})
		if err != nil || len(types) != 10 {
			b.Fatalf("InstanceTypes = %v, %v, want nine Macs and one", types, err)
		}
		for _, kind := range types {
			if kind.Mac() != strings.HasPrefix(kind.Name, "mac") || kind.Mac() && (kind.SpotUsable || kind.Hibernation || !kind.BareMetal) {
				b.Errorf("%+v", kind)
			}
			if kind.Mac() && fakeec2.QuotaCode(kind.Name, fakeec2.Dedicated) == "" {
				b.Errorf("no limit for hosts of %s", kind.Name)
			}
		}
		b.AddType(cloud.InstanceType{Name: "mac-m9.metal", Architectures: []string{"arm64_mac"}}, "eu-central-1b")
		offered, err := b.Offerings(b.Context(), []string{"mac-m9.metal"})
		if err != nil || !slices.Equal(offered, []cloud.Offering{{Type: "mac-m9.metal", Zone: "eu-central-1b"}}) {
			b.Errorf("Offerings = %v, %v", offered, err)
		}
	})
}

func TestWhatMacsStart(t *testing.T) {
	macs(1, func(b bench) {
		id := b.allocate("one")
		b.SetMacVersions("mac2.metal", "15.1")
		found, err := b.MacHosts(b.Context(), cloud.Where("host-id", id))
		if err != nil || len(found) != 1 || !slices.Equal(found[0].Latest, []string{"15.1"}) {
			b.Errorf("MacHosts = %v, %v", found, err)
		}
		time.Sleep(24 * time.Hour)
		b.released(id)
		if found, err := b.MacHosts(b.Context(), cloud.Query{}); err != nil || len(found) > 0 {
			b.Errorf("of a released host MacHosts = %v, %v", found, err)
		}
	})(t)
}

func TestTagsAreAdded(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		i := b.run(b.linux("one"))
		given := cloud.Tags{"more": "1", "owner": "you"}
		if err := b.CreateTags(b.Context(), []string{i.ID}, given); err != nil {
			b.Fatal(err)
		}
		given["later"] = "1" // the caller's own
		if got := b.is(i.ID, cloud.Pending).Tags; len(got) != 2 || got["more"] != "1" || got["owner"] != "you" {
			b.Errorf("tags are %v", got)
		}
		if i.Tags["owner"] != "me" {
			b.Error("an answer changed after it was given")
		}
		for tags, code := range map[*cloud.Tags]string{
			{"": "x"}: "InvalidParameterValue", {"aws:x": "x"}: "InvalidParameterValue", {strings.Repeat("x", 128): "x"}: "InvalidParameterValue",
			{"x": strings.Repeat("x", 256)}: "InvalidParameterValue",
		} {
			b.refused(b.CreateTags(b.Context(), []string{i.ID}, *tags), code)
		}
		many := cloud.Tags{}
		for n := range 49 {
			many[strings.Repeat("k", n+1)] = ""
		}
		b.refused(b.CreateTags(b.Context(), []string{i.ID}, many), "TagLimitExceeded")
		b.refused(b.CreateTags(b.Context(), []string{"x-1"}, given), "InvalidID")
		for id, code := range map[string]string{"i-1": "InvalidInstanceID.NotFound", "h-1": "InvalidHostID.NotFound", "sg-1": "InvalidGroup.NotFound"} {
			b.refused(b.CreateTags(b.Context(), []string{id}, given), code)
		}
	})
}

func TestOneUnknownIDIsTheEndOfARequest(t *testing.T) {
	inBubble(t, fakeec2.Options{Timing: fakeec2.QuickTiming()}, func(b bench) {
		ids := []string{b.run(b.linux("one")).ID, "i-none", b.run(b.linux("two")).ID}
		b.refused(b.Strict().TerminateInstances(b.Context(), ids), "InvalidInstanceID.NotFound")
		b.is(ids[0], cloud.Running)
		b.refused(b.Strict().TerminateInstances(b.Context(), nil), "InvalidParameterCombination")
		b.refused(b.TerminateInstances(b.Context(), ids), "InvalidInstanceID.NotFound") // in parts
		b.is(ids[0], cloud.Terminated)
		b.is(ids[2], cloud.Terminated)
		if err := b.TerminateInstances(b.Context(), nil); err != nil {
			b.Error(err)
		}
	})
}

func TestFiltersOfEveryList(t *testing.T) {
	macs(1, func(b bench) {
		ctx := b.Context()
		b.SetLag(fakeec2.Range{})
		b.AddKey("alias/ci")
		host := b.allocate("h")
		mac := b.run(b.macOn(host, "mac"))
		l := b.linux("spot")
		l.Spot, l.IAMProfile, l.SecurityGroupIDs = true, "ci", []string{b.group()}
		l.Disks = []cloud.Disk{{Device: "/dev/sdb", SizeGB: 7, Encrypted: true, KeyID: "alias/ci"}}
		spot := b.run(l)
		time.Sleep(time.Minute)
		spot, mac = b.is(spot.ID, cloud.Running), b.is(mac.ID, cloud.Running)
		image := b.image(fakeec2.LinuxImage)
		snapshots, err := b.CreateSnapshots(ctx, cloud.SnapshotsRequest{InstanceID: spot.ID, Description: "of spot", WithoutRoot: true})
		if err != nil {
			b.Fatal(err)
		}
		expect(b, "instances", func(q cloud.Query) ([]cloud.Instance, error) { return b.Instances(ctx, q) },
			func(i cloud.Instance) string { return i.ID }, spot.ID, map[string]string{
				"instance-id": spot.ID, "instance-state-name": "running", "instance-state-code": "16", "instance-type": "m5.large",
				"image-id": image, "client-token": "spot", "availability-zone": spot.Zone, "vpc-id": spot.VPCID, "subnet-id": spot.SubnetID,
				"private-ip-address": spot.PrivateIP, "ip-address": spot.PublicIP, "spot-instance-request-id": spot.SpotRequestID,
				"launch-time": "2000-*", "root-device-name": "/dev/sda1", "hibernation-options.configured": "false",
				"iam-instance-profile.name": "ci", "instance.group-id": l.SecurityGroupIDs[0], "tenancy": "default", "instance-lifecycle": "spot",
				"block-device-mapping.volume-id": spot.Volumes["/dev/sdb"], "block-device-mapping.device-name": "/dev/sdb",
			})
		expect(b, "instances", func(q cloud.Query) ([]cloud.Instance, error) { return b.Instances(ctx, q) },
			func(i cloud.Instance) string { return i.ID }, mac.ID, map[string]string{"host-id": host, "tenancy": "host"})
		expect(b, "volumes", func(q cloud.Query) ([]cloud.Volume, error) { return b.Volumes(ctx, q) },
			func(v cloud.Volume) string { return v.ID }, spot.Volumes["/dev/sdb"], map[string]string{
				"volume-id": spot.Volumes["/dev/sdb"], "status": "in-use", "availability-zone": spot.Zone, "volume-type": "gp2", "size": "7",
				"encrypted": "true", "create-time": "2000-*", "attachment.instance-id": spot.ID, "attachment.device": "/dev/sdb",
				"attachment.status": "attached", "attachment.delete-on-termination": "true", "tag:owner": "me",
			})
		expect(b, "snapshots", func(q cloud.Query) ([]cloud.Snapshot, error) { return b.Snapshots(ctx, nil, q) },
			func(s cloud.Snapshot) string { return s.ID }, snapshots[0].ID, map[string]string{
				"snapshot-id": snapshots[0].ID, "volume-id": spot.Volumes["/dev/sdb"], "volume-size": "7", "owner-id": "123456789012",
				"status": "pending", "progress": "0%", "encrypted": "true", "description": "of *", "start-time": "2000-*",
			})
		expect(b, "images", func(q cloud.Query) ([]cloud.Image, error) { return b.Images(ctx, nil, q) },
			func(i cloud.Image) string { return i.ID }, image, map[string]string{
				"image-id": image, "name": "al2023-*", "owner-id": fakeec2.Amazon, "owner-alias": "amazon", "state": "available",
				"architecture": "x86_64", "is-public": "true", "creation-date": "1999-12-31T*", "root-device-name": "/dev/sda1",
				"root-device-type": "ebs", "image-type": "machine", "virtualization-type": "hvm",
				"block-device-mapping.snapshot-id": "snap-*", "block-device-mapping.device-name": "/dev/sda1",
			})
		expect(b, "hosts", func(q cloud.Query) ([]cloud.Host, error) { return b.Hosts(ctx, q) },
			func(h cloud.Host) string { return h.ID }, host, map[string]string{
				"host-id": host, "availability-zone": "eu-central-1a", "instance-type": "mac2.*", "state": "available", "client-token": "h",
				"auto-placement": "off", "tag:pool": "ci", "tag-key": "pool",
			})
		expect(b, "spot requests", func(q cloud.Query) ([]cloud.SpotRequest, error) { return b.SpotRequests(ctx, q) },
			func(s cloud.SpotRequest) string { return s.ID }, spot.SpotRequestID, map[string]string{
				"spot-instance-request-id": spot.SpotRequestID, "instance-id": spot.ID, "state": "active", "status-code": "fulfilled", "type": "one-time",
			})
		expect(b, "subnets", func(q cloud.Query) ([]cloud.Subnet, error) { return b.Subnets(ctx, q) },
			func(s cloud.Subnet) string { return s.ID }, spot.SubnetID, map[string]string{
				"subnet-id": spot.SubnetID, "vpc-id": spot.VPCID, "availabilityZone": spot.Zone, "owner-id": "123456789012",
				"default-for-az": "true", "map-public-ip-on-launch": "true", "available-ip-address-count": "4089", "state": "available",
			})
	})(t)
}

// group is the default security group.
func (b bench) group() string {
	b.Helper()
	groups, err := b.SecurityGroups(b.Context(), cloud.Where("group-name", "default"))
	if err != nil || len(groups) != 1 {
		b.Fatalf("SecurityGroups = %v, %v", groups, err)
	}
	return groups[0].ID
}

// expect checks that a thing is found by each filter, and not by another value of it.
func expect[T any](b bench, kind string, list func(cloud.Query) ([]T, error), id func(T) string, wanted string, by map[string]string) {
	b.Helper()
	has := func(name, value string) bool {
		found, err := list(cloud.Where(name, value))
		if err != nil {
			b.Errorf("%s by %s: %v", kind, name, err)
		}
		return slices.ContainsFunc(found, func(one T) bool { return id(one) == wanted })
	}
	for name, value := range by {
		if !has(name, value) {
			b.Errorf("%s by %s %q: not found", kind, name, value)
		}
		if has(name, value+"-not") {
			b.Errorf("%s by %s %q: found all the same", kind, name, value+"-not")
		}
	}
}
