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
