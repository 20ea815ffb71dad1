package awssdk

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// launchForm is what is sent of a launch.
func launchForm(t *testing.T, l cloud.Launch) url.Values {
	t.Helper()
	s := &script{t: t, answer: always(launched("i-1"))}
	if _, err := s.client().RunInstance(context.Background(), l); err != nil {
		t.Fatal(err)
	}
	return s.sent[0].form
}

func TestLaunchRequest(t *testing.T) {
	l := cloud.Launch{
		ClientToken: "token-1", ImageID: "ami-1", Type: "mac2.metal", SubnetID: "subnet-1", SecurityGroupIDs: []string{"sg-2", "sg-1"},
		HostID: "h-1", UserData: []byte("hello"), Tags: cloud.Tags{"b": "2", "a": ""}, Spot: true, Hibernate: true, IAMProfile: "builder",
		ShutdownTerminates: true,
		Disks: []cloud.Disk{
			{Device: "/dev/sdc", Type: "io2", SizeGB: 10, IOPS: 300, Encrypted: true, KeyID: "key-1"},
			{Device: "/dev/sdb", SnapshotID: "snap-1", Throughput: 200},
		},
	}
	want := map[string]string{
		"Action": "RunInstances", "Version": "2016-11-15", "ClientToken": "token-1", "MinCount": "1", "MaxCount": "1",
		"ImageId": "ami-1", "InstanceType": "mac2.metal", "SubnetId": "subnet-1", "SecurityGroupId.1": "sg-1", "SecurityGroupId.2": "sg-2",
		"Placement.Tenancy": "host", "Placement.HostId": "h-1", "UserData": "aGVsbG8=",
		"MetadataOptions.HttpTokens": "required", "MetadataOptions.HttpEndpoint": "enabled",
		"InstanceMarketOptions.MarketType": "spot", "InstanceMarketOptions.SpotOptions.SpotInstanceType": "one-time",
		"InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior": "terminate",
		"HibernationOptions.Configured":                                  "true", "IamInstanceProfile.Name": "builder",
		"InstanceInitiatedShutdownBehavior": "terminate",
		"BlockDeviceMapping.1.DeviceName":   "/dev/sdb", "BlockDeviceMapping.1.Ebs.SnapshotId": "snap-1",
		"BlockDeviceMapping.1.Ebs.Throughput": "200", "BlockDeviceMapping.1.Ebs.DeleteOnTermination": "true",
		"BlockDeviceMapping.2.DeviceName": "/dev/sdc", "BlockDeviceMapping.2.Ebs.VolumeType": "io2",
		"BlockDeviceMapping.2.Ebs.VolumeSize": "10", "BlockDeviceMapping.2.Ebs.Iops": "300",
		"BlockDeviceMapping.2.Ebs.Encrypted": "true", "BlockDeviceMapping.2.Ebs.KmsKeyId": "key-1",
		"BlockDeviceMapping.2.Ebs.DeleteOnTermination": "true",
	}
	for i, kind := range []string{"instance", "volume", "network-interface", "spot-instances-request"} {
		prefix := fmt.Sprintf("TagSpecification.%d.", i+1)
		want[prefix+"ResourceType"] = kind
		want[prefix+"Tag.1.Key"], want[prefix+"Tag.1.Value"] = "a", ""
		want[prefix+"Tag.2.Key"], want[prefix+"Tag.2.Value"] = "b", "2"
	}
	got := map[string]string{}
	for k, v := range launchForm(t, l) {
		got[k] = v[0]
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("what is sent (-want +got):\n%s", d)
	}
	plain := launchForm(t, cloud.Launch{ClientToken: "token-1", ImageID: "ami-1", Type: "t3.micro", IAMProfile: "arn:aws:iam::1:instance-profile/x"})
	want = map[string]string{
		"Action": "RunInstances", "Version": "2016-11-15", "ClientToken": "token-1", "MinCount": "1", "MaxCount": "1",
		"ImageId": "ami-1", "InstanceType": "t3.micro", "IamInstanceProfile.Arn": "arn:aws:iam::1:instance-profile/x",
		"MetadataOptions.HttpTokens": "required", "MetadataOptions.HttpEndpoint": "enabled",
	}
	got = map[string]string{}
	for k, v := range plain {
		got[k] = v[0]
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("what is sent of the least (-want +got):\n%s", d)
	}
}

func TestALaunchThatCanNotBe(t *testing.T) {
	s := &script{t: t, answer: always(launched("i-1"))}
	c := s.client()
	big, none := launch(), launch()
	big.UserData, none.ClientToken = make([]byte, maxUserData+1), ""
	for _, l := range []cloud.Launch{big, none} {
		if _, err := c.RunInstance(context.Background(), l); !cloud.IsKind(err, cloud.Refused) {
			t.Errorf("RunInstance() = %v, want that it is refused", err)
		}
	}
	if _, err := c.AllocateHost(context.Background(), cloud.HostRequest{Type: "mac2.metal", Zone: "eu-central-1a"}); !cloud.IsKind(err, cloud.Refused) {
		t.Errorf("AllocateHost() = %v, want that it is refused", err)
	}
	if _, err := c.CopyImage(context.Background(), cloud.ImageCopy{SourceID: "ami-1", Name: "x"}); !cloud.IsKind(err, cloud.Refused) {
		t.Errorf("CopyImage() = %v, want that it is refused", err)
	}
	if len(s.sent) != 0 {
		t.Errorf("%v were sent", s.actions())
	}
}

// TestRequestsDoNotDependOnOrder: two launches that are equal are the same
// request byte by byte, or EC2 would refuse the second of a token.
func TestRequestsDoNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zA-Z0-9:/ _.-]{1,12}`), 0, 8, rapid.ID).Draw(rt, "keys")
		tags := cloud.Tags{}
		var disks []cloud.Disk
		for i, k := range keys {
			tags[k] = fmt.Sprint("value ", i)
			disks = append(disks, cloud.Disk{Device: "/dev/" + k, SizeGB: i + 1})
		}
		l := launch()
		l.Tags, l.Disks, l.SecurityGroupIDs, l.Spot = tags, disks, keys, rapid.Bool().Draw(rt, "spot")
		shuffled := l
		shuffled.Tags = maps.Clone(tags)
		shuffled.Disks, shuffled.SecurityGroupIDs = slices.Clone(disks), slices.Clone(keys)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		r.Shuffle(len(disks), func(i, j int) {
			shuffled.Disks[i], shuffled.Disks[j] = shuffled.Disks[j], shuffled.Disks[i]
			shuffled.SecurityGroupIDs[i], shuffled.SecurityGroupIDs[j] = shuffled.SecurityGroupIDs[j], shuffled.SecurityGroupIDs[i]
		})
		s := &script{t: t, answer: always(launched("i-1"))}
		c := s.client()
		for _, one := range []cloud.Launch{l, shuffled} {
			if _, err := c.RunInstance(context.Background(), one); err != nil {
				rt.Fatal(err)
			}
		}
		if d := cmp.Diff(s.sent[0].body, s.sent[1].body); d != "" {
			rt.Fatalf("the requests differ:\n%s", d)
		}
	})
}

func TestHostRequest(t *testing.T) {
	s := &script{t: t, answer: always(success("AllocateHosts", "<hostIdSet><item>h-1</item></hostIdSet>"))}
	id, err := s.client().AllocateHost(context.Background(), cloud.HostRequest{ClientToken: "t-1", Type: "mac2.metal", Zone: "eu-central-1a", Tags: cloud.Tags{"a": "1"}})
	if err != nil || id != "h-1" {
		t.Fatalf("AllocateHost() = %q, %v", id, err)
	}
	want := "Action=AllocateHosts&AutoPlacement=off&AvailabilityZone=eu-central-1a&ClientToken=t-1&HostMaintenance=off&HostRecovery=off&InstanceType=mac2.metal&Quantity=1&TagSpecification.1.ResourceType=dedicated-host&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=1&Version=2016-11-15"
	if got := s.sent[0].form.Encode(); got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}

func TestReleaseTellsWhyNot(t *testing.T) {
	s := &script{t: t, answer: always(success("ReleaseHosts", `<successful><item>h-1</item></successful><unsuccessful>
		<item><resourceId>h-2</resourceId><error><code>Client.HostMinAllocationPeriodUnexpired</code><message>You can release this host any time after 2023-12-03T14:33:06.089Z.</message></error></item>
		<item><resourceId>h-3</resourceId><error><code>Client.InvalidHost.Occupied</code><message>it is occupied</message></error></item></unsuccessful>`))}
	released, refused, err := s.client().ReleaseHosts(context.Background(), []string{"h-1", "h-2", "h-3", "h-4"})
	if err != nil || !slices.Equal(released, []string{"h-1"}) || len(refused) != 3 {
		t.Fatalf("ReleaseHosts() = %v, %v, %v", released, refused, err)
	}
	if e := refused["h-2"]; e.Kind != cloud.TooYoung || e.NotBefore.Unix() != 1701613986 {
		t.Errorf("h-2 is refused by %v until %v", e, e.NotBefore)
	}
	if refused["h-3"].Kind != cloud.Busy || !refused["h-4"].Unsure {
		t.Errorf("h-3 is refused by %v, h-4 by %v", refused["h-3"], refused["h-4"])
	}
}

// TestOneThatIsGoneSparesNoOther: an instance that EC2 forgot must not keep
// others from their end.
func TestOneThatIsGoneSparesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := map[string]bool{}
		s := &script{t: t, answer: func(_ int, r request) *reply {
			var ids []string
			for k, v := range r.form {
				if strings.HasPrefix(k, "InstanceId.") {
					ids = append(ids, v[0])
				}
			}
			if slices.Contains(ids, "i-77") {
				return failure(400, "InvalidInstanceID.NotFound", "The instance ID 'i-77' does not exist")
			}
			for _, id := range ids {
				ended[id] = true
			}
			return success("TerminateInstances", "")
		}}
		var ids []string
		for i := range 150 {
			ids = append(ids, fmt.Sprintf("i-%d", i))
		}
		err := s.client().TerminateInstances(context.Background(), ids)
		if !cloud.IsKind(err, cloud.NotFound) || len(ended) != 149 || len(s.sent) > 20 {
			t.Errorf("error %v, %d ended by %d requests", err, len(ended), len(s.sent))
		}
	})
}

func TestPagesAndManyValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := func(token string, ids ...string) *reply {
			inner := "<reservationSet>"
			for _, id := range ids {
				inner += "<item><instancesSet><item><instanceId>" + id + "</instanceId></item></instancesSet></item>"
			}
			return success("DescribeInstances", inner+"</reservationSet><nextToken>"+token+"</nextToken>")
		}
		s := &script{t: t}
		s.answer = func(_ int, r request) *reply {
			if r.form.Get("NextToken") == "" {
				return page("more", r.form.Get("Filter.1.Value.1"), "i-both")
			}
			return page("", r.form.Get("Filter.1.Value.2"))
		}
		var ids []string
		for i := range 450 {
			ids = append(ids, fmt.Sprintf("i-%d", i))
		}
		list, err := s.client().Instances(context.Background(), cloud.Where("instance-id", ids...).And("instance-state-name", "running", "pending"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range list {
			got = append(got, i.ID)
		}
		want := []string{"i-0", "i-both", "i-1", "i-198", "i-199", "i-396", "i-397"}
		if !slices.Equal(got, want) || len(s.sent) != 6 {
			t.Errorf("Instances() = %v by %d requests, want %v by 6", got, len(s.sent), want)
		}
		for _, r := range s.sent {
			values := 0
			for k := range r.form {
				if strings.Contains(k, ".Value.") {
					values++
				}
			}
			if values > maxValues || r.form.Get("MaxResults") == "" || r.form.Get("Filter.2.Value.2") != "pending" {
				t.Errorf("a request with %d values: %v", values, r.form)
			}
		}
		before := len(s.sent)
		if list, err = s.client().Instances(context.Background(), cloud.Where("instance-id")); err != nil || list != nil || len(s.sent) != before {
			t.Errorf("of no id: %v, %v, want nothing and no request", list, err)
		}
	})
}

// TestFiltersThatHostsHaveNot: EC2 would refuse the filters, so they are looked at here.
func TestFiltersThatHostsHaveNot(t *testing.T) {
	s := &script{t: t, answer: always(success("DescribeHosts", `<hostSet>
		<item><hostId>h-1</hostId><state>pending</state><tagSet><item><key>pool</key><value>mac</value></item></tagSet></item>
		<item><hostId>h-2</hostId><state>available</state><tagSet><item><key>pool</key><value>other</value></item></tagSet></item>
		<item><hostId>h-3</hostId><state>available</state></item></hostSet>`))}
	c := s.client()
	for _, tt := range []struct {
		q    cloud.Query
		want []string
	}{
		{cloud.Query{}, []string{"h-1", "h-2", "h-3"}},
		{cloud.Where("host-id", "h-3", "h-9"), []string{"h-3"}},
		{cloud.Where("tag:pool", "mac"), []string{"h-1"}},
		{cloud.Where("tag:pool", "*").And("state", "available"), []string{"h-2"}},
		{cloud.Where("state", "pending"), []string{"h-1"}},
	} {
		list, err := c.Hosts(context.Background(), tt.q.And("availability-zone", "eu-central-1a"))
		var got []string
		for _, h := range list {
			got = append(got, h.ID)
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("Hosts(%v) = %v, %v, want %v", tt.q, got, err, tt.want)
		}
		if f := s.sent[len(s.sent)-1].form; f.Get("Filter.1.Name") != "availability-zone" || f.Get("Filter.2.Name") != "" {
			t.Errorf("sent the filters %v", f)
		}
	}
	if _, err := c.Hosts(context.Background(), cloud.Where("colour", "red")); !cloud.IsKind(err, cloud.Refused) {
		t.Errorf("a filter of no meaning: %v", err)
	}
}

// TestAnImagesSnapshotsAreGone: EC2 may leave some, which nothing would find.
func TestAnImagesSnapshotsAreGone(t *testing.T) {
	s := &script{t: t, answer: func(_ int, r request) *reply {
		if r.form.Get("SnapshotId") == "snap-4" {
			return failure(400, "InvalidSnapshot.InUse", "in use")
		}
		if r.action == "DeleteSnapshot" {
			return success("DeleteSnapshot", "<return>true</return>")
		}
		return success("DeregisterImage", `<return>true</return><deleteSnapshotResultSet>
			<item><snapshotId>snap-1</snapshotId><returnCode>success</returnCode></item>
			<item><snapshotId>snap-2</snapshotId><returnCode>skipped</returnCode></item>
			<item><snapshotId>snap-3</snapshotId><returnCode>internal-error</returnCode></item>
			<item><snapshotId>snap-4</snapshotId><returnCode>client-error</returnCode></item></deleteSnapshotResultSet>`)
	}}
	err := s.client().DeregisterImage(context.Background(), "ami-1")
	if !cloud.IsKind(err, cloud.Busy) || !strings.Contains(err.Error(), "snap-4") {
		t.Errorf("DeregisterImage() = %v, want what is left", err)
	}
	if got := s.actions(); !slices.Equal(got, []string{"DeregisterImage", "DeleteSnapshot", "DeleteSnapshot"}) {
		t.Errorf("asked for %v", got)
	}
}
