package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func instanceCases() []testCase {
	return []testCase{
		{"launch: what was asked for", launchIsAsAsked},
		{"launch: everything has its tags", launchTagsAll},
		{"launch: disks", launchDisks},
		{"launch: encrypted disk", launchEncrypted},
		{"launch: takes an address", launchTakesAddress},
		{"launch: repeated with its token", launchRepeated},
		{"launch: repeated with another request", launchMismatch},
		{"launch: repeated after its end", launchAfterItsEnd},
		{"launch: the same token in another zone", launchOtherZone},
		{"launch: at most 16 KiB of user data", launchUserData},
		{"launch: unknown image", refused(func(l *cloud.Launch) { l.ImageID = "ami-00000000000000bad" }, cloud.NotFound)},
		{"launch: malformed image", refused(func(l *cloud.Launch) { l.ImageID = "nonsense" }, cloud.Refused)},
		{"launch: unknown type", refused(func(l *cloud.Launch) { l.Type = "t99.huge" }, cloud.Refused, cloud.NotFound)},
		{"launch: unknown subnet", refused(func(l *cloud.Launch) { l.SubnetID = "subnet-00000000000000bad" }, cloud.NotFound)},
		{"launch: unknown group", refused(func(l *cloud.Launch) { l.SecurityGroupIDs = []string{"sg-00000000000000bad"} }, cloud.NotFound)},
		{"launch: unknown snapshot", refused(func(l *cloud.Launch) {
			l.Disks = []cloud.Disk{{Device: "/dev/sdb", SnapshotID: "snap-00000000000000bad"}}
		}, cloud.NotFound)},
		{"launch: without a token", refused(func(l *cloud.Launch) { l.ClientToken = "" }, cloud.Refused)},
		{"launch: cancelled", launchCancelled},
		{"instances: filters", instanceFilters},
		{"instances: by zone", instancesByZone},
		{"instances: by client token", instancesByToken},
		{"instances: one that is not there", instanceNotThere},
		{"instances: many ids", instancesManyIDs},
		{"spot: launch", spotLaunch},
		{"spot: its request is told", spotRequestOfLaunch},
		{"spot: requests and their end", spotRequests},
		{"spot: unknown request", func(k *check) {
			k.is(k.API.CancelSpotRequests(k.ctx, []string{"sir-00000bad"}), "the end of no request", cloud.NotFound)
		}},
	}
}

func launchIsAsAsked(k *check) {
	l := k.request()
	first, err := k.API.RunInstance(k.ctx, l)
	k.ok(err, "launch")
	if first.ID == "" || (first.State != cloud.Pending && first.State != cloud.Running) {
		k.errorf("the answer is %+v", first)
	}
	i := k.reach(first.ID, cloud.Running)
	if !fits(i.Tags) {
		k.errorf("its tags are %v", i.Tags)
	}
	if i.PrivateIP == "" || i.MAC == "" || i.RootDevice == "" || i.Volumes[i.RootDevice] == "" || i.LaunchTime.IsZero() {
		k.errorf("it runs, and lacks something: %+v", i)
	}
	got := cloud.Instance{
		ClientToken: i.ClientToken, Type: i.Type, ImageID: i.ImageID, SubnetID: i.SubnetID, Zone: i.Zone, VPCID: i.VPCID,
		Spot: i.Spot, SpotRequestID: i.SpotRequestID, HostID: i.HostID, Hibernates: i.Hibernates,
	}
	asked := cloud.Instance{
		ClientToken: l.ClientToken, Type: l.Type, ImageID: l.ImageID, SubnetID: l.SubnetID, Zone: k.Zones[0], VPCID: k.VPC,
	}
	if d := cmp.Diff(asked, got); d != "" {
		k.errorf("not what was asked for (-asked +got):\n%s", d)
	}
}

func launchTagsAll(k *check) {
	i := k.launch(func(l *cloud.Launch) { l.Disks = []cloud.Disk{{Device: "/dev/sdb", SizeGB: 2}} })
	volumes, err := k.API.Volumes(k.ctx, cloud.Where("tag:"+cloud.TagNode, "node-1"))
	k.ok(err, "list volumes")
	if len(volumes) != len(i.Volumes) || len(volumes) == 0 {
		k.errorf("%d volumes of %v have the tag", len(volumes), i.Volumes)
	}
	for _, v := range volumes {
		if v.InstanceID != i.ID || !fits(v.Tags) {
			k.errorf("volume %+v", v)
		}
	}
}

func launchDisks(k *check) {
	source := k.launch(nil)
	snapshots, err := k.API.CreateSnapshots(k.ctx, cloud.SnapshotsRequest{InstanceID: source.ID, Tags: tags()})
	k.ok(err, "snapshot")
	k.completed(snapshots[0].ID)
	i := k.launch(func(l *cloud.Launch) {
		l.Disks = []cloud.Disk{
			{Device: "/dev/sdc", SnapshotID: snapshots[0].ID},
			{Device: "/dev/sdb", Type: "gp3", SizeGB: 3, IOPS: 3500, Throughput: 200},
		}
	})
	if len(i.Volumes) != 3 || i.Volumes["/dev/sdb"] == "" || i.Volumes["/dev/sdc"] == "" {
		k.fatalf("the volumes are %v", i.Volumes)
	}
	volumes, err := k.API.Volumes(k.ctx, cloud.Where("volume-id", i.Volumes["/dev/sdb"], i.Volumes["/dev/sdc"]))
	k.ok(err, "list volumes")
	for _, v := range volumes {
		switch v.ID {
		case i.Volumes["/dev/sdb"]:
			if v.SizeGB != 3 || v.Type != "gp3" || v.Zone != k.Zones[0] || v.State != "in-use" {
				k.errorf("the new disk is %+v", v)
			}
		default:
			if v.SizeGB != snapshots[0].SizeGB {
				k.errorf("the clone of %d GB is %+v", snapshots[0].SizeGB, v)
			}
		}
	}
}

func launchEncrypted(k *check) {
	i := k.launch(func(l *cloud.Launch) {
		l.Disks = []cloud.Disk{{Device: "/dev/sdb", SizeGB: 2, Encrypted: true, KeyID: k.Key}}
	})
	snapshots, err := k.API.CreateSnapshots(k.ctx, cloud.SnapshotsRequest{InstanceID: i.ID, WithoutRoot: true})
	k.ok(err, "snapshot")
	if len(snapshots) != 1 || !snapshots[0].Encrypted {
		k.errorf("the snapshots of an encrypted disk are %+v", snapshots)
	}
}

func launchTakesAddress(k *check) {
	free := func() int {
		list, err := k.API.Subnets(k.ctx, cloud.Where("subnet-id", k.Subnets[0]))
		k.ok(err, "list subnets")
		if len(list) != 1 {
			k.fatalf("the subnets are %v", list)
		}
		return list[0].FreeAddresses
	}
	before := free()
	i := k.launch(nil)
	k.until(5*time.Minute, "one address less", func() bool { return free() == before-1 })
	k.ok(k.API.TerminateInstances(k.ctx, []string{i.ID}), "terminate")
	k.until(30*time.Minute, "the address is free", func() bool { return free() == before })
}

func launchRepeated(k *check) {
	l := k.request()
	first, err := k.API.RunInstance(k.ctx, l)
	k.ok(err, "launch")
	second, err := k.API.RunInstance(k.ctx, l)
	k.ok(err, "launch again")
	if first.ID != second.ID {
		k.errorf("one token gave %s and %s", first.ID, second.ID)
	}
}

func launchMismatch(k *check) {
	l := k.request()
	_, err := k.API.RunInstance(k.ctx, l)
	k.ok(err, "launch")
	l.UserData = []byte("other")
	_, err = k.API.RunInstance(k.ctx, l)
	k.is(err, "another launch with the token", cloud.Mismatch)
}

func launchAfterItsEnd(k *check) {
	l := k.request()
	i, err := k.API.RunInstance(k.ctx, l)
	k.ok(err, "launch")
	k.ok(k.API.TerminateInstances(k.ctx, []string{i.ID}), "terminate")
	k.reach(i.ID, cloud.Terminated)
	_, err = k.API.RunInstance(k.ctx, l)
	k.is(err, "a launch with the token of what is gone", cloud.Mismatch)
}

func launchOtherZone(k *check) {
	l := k.request()
	first, err := k.API.RunInstance(k.ctx, l)
	k.ok(err, "launch")
	l.SubnetID = k.Subnets[1]
	second, err := k.API.RunInstance(k.ctx, l)
	k.ok(err, "launch in another zone")
	if first.ID == second.ID {
		k.errorf("one token of two zones gave %s alone", first.ID)
	}
	if got := k.reach(second.ID, cloud.Running).Zone; got != k.Zones[1] {
		k.errorf("the second is in %s", got)
	}
}

func launchUserData(k *check) {
	k.launch(func(l *cloud.Launch) { l.UserData = make([]byte, 16<<10) })
	l := k.request()
	l.UserData = make([]byte, 16<<10+1)
	_, err := k.API.RunInstance(k.ctx, l)
	k.is(err, "a launch with too much user data", cloud.Refused)
}

// refused is the test of a launch that can not be.
func refused(change func(*cloud.Launch), kinds ...cloud.Kind) func(*check) {
	return func(k *check) {
		l := k.request()
		change(&l)
		_, err := k.API.RunInstance(k.ctx, l)
		k.is(err, "a wrong launch", kinds...)
		list, err := k.API.Instances(k.ctx, cloud.Query{})
		if err != nil || len(list) != 0 {
			k.errorf("after it there are %v, %v", list, err)
		}
	}
}

func launchCancelled(k *check) {
	ctx, cancel := context.WithCancel(k.ctx)
	cancel()
	if _, err := k.API.RunInstance(ctx, k.request()); !errors.Is(err, context.Canceled) {
		k.errorf("a launch of nobody: %v", err)
	}
	if _, err := k.API.Instances(ctx, cloud.Query{}); !errors.Is(err, context.Canceled) {
		k.errorf("a list for nobody: %v", err)
	}
}

func instanceFilters(k *check) {
	a := k.launch(nil)
	b := k.launch(func(l *cloud.Launch) {
		l.SubnetID, l.Tags = k.Subnets[1], cloud.Tags{cloud.TagNode: "node-2", cloud.TagToken: "b"}
	})
	c := k.launch(func(l *cloud.Launch) { l.Tags = cloud.Tags{"other": "node-1"} })
	k.ok(k.API.StopInstance(k.ctx, c.ID, cloud.Stop{}), "stop")
	k.reach(c.ID, cloud.Stopped)
	all := []string{a.ID, b.ID, c.ID}
	finds(k, func(q cloud.Query) ([]cloud.Instance, error) { return k.API.Instances(k.ctx, q) }, func(i cloud.Instance) string { return i.ID }, []want{
		{cloud.Query{}, all},
		{cloud.Where("instance-id", a.ID, c.ID), []string{a.ID, c.ID}},
		{cloud.Where("instance-id", a.ID, c.ID).And("instance-state-name", "stopped"), []string{c.ID}},
		{cloud.Where("instance-state-name", "pending", "running"), []string{a.ID, b.ID}},
		{cloud.Where("tag:"+cloud.TagNode, "node-1"), []string{a.ID}},
		{cloud.Where("tag:"+cloud.TagNode, "node-1", "node-2"), []string{a.ID, b.ID}},
		{cloud.Where("tag:"+cloud.TagNode, "node-*"), []string{a.ID, b.ID}},
		{cloud.Where("tag:"+cloud.TagNode, "node-?").And("tag-key", cloud.TagToken), []string{b.ID}},
		{cloud.Where("tag-key", cloud.TagNode), []string{a.ID, b.ID}},
		{cloud.Where("tag:empty", ""), []string{a.ID}},
		{cloud.Where("tag:Odd <&> key", "a \"value\" = ü"), []string{a.ID}},
		{cloud.Where("subnet-id", k.Subnets[1]), []string{b.ID}},
		{cloud.Where("vpc-id", k.VPC), all},
		{cloud.Where("instance-type", k.Type), all},
		{cloud.Where("image-id", "ami-00000000000000bad"), nil},
		{cloud.Where("tag:"+cloud.TagNode, "node-3"), nil},
	})
}

func instancesByToken(k *check) {
	i := k.launch(nil)
	k.launch(nil)
	finds(k, func(q cloud.Query) ([]cloud.Instance, error) { return k.API.Instances(k.ctx, q) }, func(i cloud.Instance) string { return i.ID }, []want{
		{cloud.Where("client-token", i.ClientToken, "none"), []string{i.ID}},
		{cloud.Where("client-token", "none"), nil},
	})
}

func instancesByZone(k *check) {
	a, b := k.launch(nil), k.launch(func(l *cloud.Launch) { l.SubnetID = k.Subnets[1] })
	finds(k, func(q cloud.Query) ([]cloud.Instance, error) { return k.API.Instances(k.ctx, q) }, func(i cloud.Instance) string { return i.ID }, []want{
		{cloud.Where("availability-zone", k.Zones[0]), []string{a.ID}},
		{cloud.Where("availability-zone", k.Zones[0], k.Zones[1]), []string{a.ID, b.ID}},
	})
}

func instanceNotThere(k *check) {
	list, err := k.API.Instances(k.ctx, cloud.Where("instance-id", "i-00000000000000bad"))
	if err != nil || len(list) != 0 {
		k.errorf("found %v, %v", list, err)
	}
	list, err = k.API.Instances(k.ctx, cloud.Where("instance-id"))
	if err != nil || len(list) != 0 {
		k.errorf("of no id found %v, %v", list, err)
	}
}

func instancesManyIDs(k *check) {
	var wanted, asked []string
	for n := range 300 {
		asked = append(asked, fmt.Sprintf("i-%017x", n))
	}
	for range 3 {
		wanted = append(wanted, k.launch(nil).ID)
	}
	asked = slices.Concat(wanted[:1], asked, wanted[1:], wanted[:1])
	finds(k, func(q cloud.Query) ([]cloud.Instance, error) { return k.API.Instances(k.ctx, q) }, func(i cloud.Instance) string { return i.ID }, []want{
		{cloud.Where("instance-id", asked...).And("instance-state-name", "running", "stopped"), wanted},
	})
}

func spotLaunch(k *check) {
	i := k.launch(func(l *cloud.Launch) { l.Spot = true })
	if !i.Spot || !fits(i.Tags) {
		k.errorf("a spot instance is %+v", i)
	}
}

func spotRequestOfLaunch(k *check) {
	i := k.launch(func(l *cloud.Launch) { l.Spot = true })
	if i.SpotRequestID == "" {
		k.errorf("a spot instance has no request")
	}
}

func spotRequests(k *check) {
	i := k.launch(func(l *cloud.Launch) { l.Spot = true })
	list, err := k.API.SpotRequests(k.ctx, cloud.Where("tag:"+cloud.TagNode, "node-1"))
	k.ok(err, "list requests")
	if len(list) != 1 || list[0].InstanceID != i.ID || list[0].State != "active" || list[0].Status == "" || !fits(list[0].Tags) {
		k.fatalf("the requests are %+v", list)
	}
	id := list[0].ID
	k.ok(k.API.CancelSpotRequests(k.ctx, []string{id}), "cancel")
	k.ok(k.API.CancelSpotRequests(k.ctx, []string{id}), "cancel again")
	list, err = k.API.SpotRequests(k.ctx, cloud.Where("spot-instance-request-id", id).And("state", "cancelled"))
	if err != nil || len(list) != 1 {
		k.errorf("after the cancel: %v, %v", list, err)
	}
	if got := k.instance(i.ID).State; got != cloud.Running {
		k.errorf("the instance is %s after the cancel of its request", got)
	}
}
