package aws

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestWrongLabels: errors that trying again does not mend come at once, and
// say what is wrong.
func TestWrongLabels(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d := s.start(t)
		for options, want := range map[string]string{
			`{"image": "none-*", "instance_type": "m5.large"}`:                                  "option image: an available image \"none-*\" is not there",
			`{"image": "` + fakeec2.LinuxImage + `", "instance_type": "m5.large"}`:              "trusted accounts",
			`{"image": "ci-linux-*", "instance_type": "m99.large"}`:                             "option instance_type: eu-central-1 has no type m99.large",
			`{"image": "ci-linux-*", "instance_type": "m6g.large"}`:                             "is of arm64, and image",
			`{"image": "ci-mac-*", "instance_type": "mac2.metal"}`:                              "name a pool",
			`{"image": "ci-linux-*", "instance_type": "m5.large", "security_group": "none"}`:    "option security_group",
			`{"image": "ci-linux-*", "instance_type": "m5.large", "encrypt_key": "alias/none"}`: "option encrypt_key",
			`{"image": "ci-linux-*", "instance_type": "m5.large", "zones": ["eu-central-1z"]}`:  "in the zones of network",
			`{"image": "ci-linux-*", "instance_type": "r5.24xlarge", "hibernate": true}`:        "can not hibernate",
			`{"image": "ci-linux-*", "instance_type": "m5.large", "pool": "mac"}`:               "option pool: \"mac\" is not in dedicated_pool",
			`{"image": "ci-linux-*", "instance_type": "u7i-12tb.224xlarge", "spot": true}`:      "is not to be had as spot",
		} {
			began := time.Now()
			req := request("a", definition(options))
			_, err := d.Allocate(within(t, time.Hour), req)
			if err == nil || !strings.Contains(err.Error(), want) || time.Since(began) > 10*time.Second {
				t.Errorf("Allocate(%s) = %v after %v, want %q", options, err, time.Since(began), want)
			}
		}
		if n, _ := s.launches(); n != 0 {
			t.Errorf("%d launches, want none", n)
		}
	})
}

// TestTypeOfOtherRegions: a type that this region has not is passed over, as long
// as there is another.
func TestTypeOfOtherRegions(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d := s.start(t)
		env, err := d.Allocate(within(t, time.Hour), request("a", definition(`{"image": "ci-linux-*", "instance_types": ["m99.large", "m5.large"]}`)))
		if err != nil {
			t.Fatal(err)
		}
		if list, err := s.cloud.Instances(t.Context(), cloud.Where("instance-id", env.Identifier)); err != nil || len(list) != 1 || list[0].Type != "m5.large" {
			t.Errorf("%v, %v", list, err)
		}
		_, err = d.Allocate(within(t, time.Hour), request("b", definition(`{"image": "ci-linux-*", "instance_types": ["m99.large", "m98.large"]}`)))
		if err == nil || !strings.Contains(err.Error(), "eu-central-1 has no type m99.large, m98.large") {
			t.Errorf("none of the types: %v", err)
		}
	})
}

// TestNewestImage: newest of those that are available and of trusted owners.
func TestNewestImage(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		s.cfg = "account_ids: [\"222222222222\"]\n"
		at := func(day int) time.Time { return time.Date(1999, 6, day, 0, 0, 0, 0, time.UTC) }
		s.cloud.AddImage(fakeec2.ImageSpec{Name: "base-1", Created: at(1), Tags: cloud.Tags{"Os": "linux"}})
		want := s.cloud.AddImage(fakeec2.ImageSpec{Name: "base-2", Created: at(2), Owner: "222222222222", Public: true, Tags: cloud.Tags{"Os": "linux"}})
		s.cloud.AddImage(fakeec2.ImageSpec{Name: "base-3", Created: at(3), Owner: "333333333333", Public: true, Tags: cloud.Tags{"Os": "linux"}})
		s.cloud.AddImage(fakeec2.ImageSpec{Name: "base-4", Created: at(4), State: cloud.ImageFailed, Tags: cloud.Tags{"Os": "linux"}})
		d := s.start(t)
		for i, image := range []string{"base-*", "base-?", "Os:linux", want} {
			env, err := d.Allocate(within(t, time.Hour), request(string("abcd"[i]), definition(`{"image": "`+image+`", "instance_type": "m5.large"}`)))
			if err != nil {
				t.Errorf("%s: %v", image, err)
			} else if got := s.machine(t, env.Identifier).ImageID; got != want {
				t.Errorf("%s is %s, want %s", image, got, want)
			}
		}
	})
}

// TestNetwork: the subnet with most free addresses that offers the type, of
// what the label names.
func TestNetwork(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		zones := s.cloud.Zones()
		vpc := s.cloud.AddVPC(cloud.VPC{Tags: cloud.Tags{"Env": "ci"}})
		small := s.cloud.AddSubnet(fakeec2.SubnetSpec{VPCID: vpc, Zone: zones[0], Size: 10})
		big := s.cloud.AddSubnet(fakeec2.SubnetSpec{VPCID: vpc, Zone: zones[1], Size: 100, Tags: cloud.Tags{"Net": "b"}})
		s.cloud.AddSubnet(fakeec2.SubnetSpec{VPCID: vpc, Zone: zones[2], Size: 1000})
		s.cloud.SetOffered("m5.large", zones[2], false)
		s.cloud.AddSubnet(fakeec2.SubnetSpec{VPCID: vpc, Zone: zones[1], Size: 1000, Owner: "333333333333"})
		time.Sleep(time.Minute)
		d := s.start(t)
		for i, tt := range []struct{ network, want string }{{vpc, big}, {"Env:ci", big}, {"Net:b", big}, {small, small}} {
			def := plain()
			def.Resources.Network = tt.network
			env, err := d.Allocate(within(t, time.Hour), request(string("abcd"[i]), def))
			if err != nil {
				t.Errorf("%s: %v", tt.network, err)
			} else if got := s.machine(t, env.Identifier).SubnetID; got != tt.want {
				t.Errorf("network %s is %s, want %s", tt.network, got, tt.want)
			}
		}
		def := plain()
		def.Resources.Network = "Env:none"
		if _, err := d.Allocate(within(t, time.Hour), request("e", def)); err == nil || !strings.Contains(err.Error(), "Env:none") {
			t.Errorf("a network that is not there: %v", err)
		}
	})
}

// TestClone: a disk of a snapshot, the newest of a tag.
func TestClone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		s.cloud.AddSnapshot(fakeec2.SnapshotSpec{SizeGB: 4, Started: time.Now().Add(-2 * time.Hour), Tags: cloud.Tags{"Cache": "maven"}})
		newest := s.cloud.AddSnapshot(fakeec2.SnapshotSpec{SizeGB: 4, Started: time.Now().Add(-time.Hour), Tags: cloud.Tags{"Cache": "maven"}})
		d := s.start(t)
		def := plain()
		def.Resources.Disks = map[string]model.Disk{"/dev/sdf": {Clone: "Cache:maven", Size: 8}}
		env := allocate(t, d, request("a", def))
		guest, _ := s.cloud.Guest(env.Identifier)
		if i := slices.IndexFunc(guest.Launch.Disks, func(disk cloud.Disk) bool { return disk.SnapshotID == newest && disk.SizeGB == 8 }); i < 0 {
			t.Errorf("disks are %+v, want one of %s", guest.Launch.Disks, newest)
		}
		def.Resources.Disks = map[string]model.Disk{"/dev/sdf": {Clone: "Cache:maven", Size: 2}}
		if _, err := d.Allocate(within(t, time.Hour), request("b", def)); err == nil || !strings.Contains(err.Error(), "at least the 4 GB") {
			t.Errorf("a disk smaller than its snapshot: %v", err)
		}
	})
}
