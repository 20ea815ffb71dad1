package fakeec2_test

import (
	"context"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

func TestTheServiceHasATimeOfItsOwn(t *testing.T) {
	clock := &turned{now: time.Date(2028, 2, 29, 23, 59, 0, 0, time.UTC)}
	b := bench{t, fakeec2.New(fakeec2.Options{Now: clock.Now, Sleep: clock.Sleep})}
	i := b.run(b.linux("one"))
	clock.now = clock.now.Add(time.Minute)
	b.is(i.ID, cloud.Running)
	paid := b.Paid(i.ID)
	clock.now = clock.now.Add(-time.Hour)
	b.is(i.ID, cloud.Running)
	if b.Paid(i.ID) != paid {
		t.Errorf("a clock turned back made it %v of %v", b.Paid(i.ID), paid)
	}
	b.terminate(i.ID)
	b.is(i.ID, cloud.ShuttingDown)
	clock.now = clock.now.Add(time.Hour + 2*time.Minute)
	b.is(i.ID, cloud.Terminated)
}

func TestEventsHappenAtTheirTime(t *testing.T) {
	clock := &turned{now: time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)}
	timing := fakeec2.AWSTiming()
	timing.Launch, timing.Terminate = fakeec2.Fixed(20*time.Second), fakeec2.Fixed(30*time.Second)
	b := bench{t, fakeec2.New(fakeec2.Options{Timing: timing, Now: clock.Now, Sleep: clock.Sleep})}
	i := b.run(b.linux("one"))
	b.Interrupt(i.ID, "by-price") // no spot instance: nothing happens
	clock.now = clock.now.Add(365 * 24 * time.Hour)
	b.is(i.ID, cloud.Running) // nobody looked for a year
	b.terminate(i.ID)
	clock.now = clock.now.Add(24 * time.Hour)
	if _, found := b.Instance(i.ID); found {
		t.Error("it is still listed a day after its end")
	}
	if got, want := b.Paid(i.ID), 365*24*time.Hour-20*time.Second; got != want {
		t.Errorf("paid for %v, want %v", got, want)
	}
	for _, bill := range b.Bills() {
		if want := time.Date(2028, 1, 1, 0, 0, 30, 0, time.UTC).Add(365 * 24 * time.Hour); !bill.Until.Equal(want) {
			t.Errorf("%s ended at %v, want %v", bill.Kind, bill.Until, want)
		}
	}
}

func TestABareAccount(t *testing.T) {
	inBubble(t, fakeec2.Options{Bare: true}, func(b bench) {
		_, err := b.RunInstance(b.Context(), cloud.Launch{ClientToken: "l", Type: "m5.large", ImageID: "ami-1"})
		b.refused(err, "VPCIdNotSpecified")
		vpc := b.AddVPC(cloud.VPC{Tags: cloud.Tags{"Name": "ci"}})
		other := b.AddVPC(cloud.VPC{})
		subnet := b.AddSubnet(fakeec2.SubnetSpec{VPCID: vpc, Zone: "eu-central-1b", Size: 2})
		wrong := b.AddSecurityGroup(cloud.SecurityGroup{Name: "ci", VPCID: other})
		l := cloud.Launch{ClientToken: "l", Type: "m5.large", ImageID: b.AddImage(fakeec2.ImageSpec{Name: "ci"}), SubnetID: subnet, SecurityGroupIDs: []string{wrong}}
		_, err = b.RunInstance(b.Context(), l)
		b.refused(err, "InvalidParameter")
		l.SecurityGroupIDs = nil
		i := b.run(l)
		time.Sleep(time.Minute)
		if i = b.is(i.ID, cloud.Running); i.Zone != "eu-central-1b" || i.PublicIP != "" || i.VPCID != vpc {
			b.Errorf("it is %+v", i)
		}
		if left, err := b.Subnets(b.Context(), cloud.Where("available-ip-address-count", "1")); err != nil || len(left) != 1 {
			b.Errorf("Subnets = %v, %v, want one with one address left", left, err)
		}
	})
}

func TestAHookThatPanicsHarmsNobody(t *testing.T) {
	armed := false
	opts := fakeec2.Options{Hook: func(_ context.Context, c fakeec2.Call) error {
		if armed && c.After {
			armed = false
			panic("killed")
		}
		return nil
	}}
	inBubble(t, opts, func(b bench) {
		l := b.linux("one")
		func() {
			defer func() { _ = recover() }()
			armed = true
			b.run(l)
			b.Error("it was not killed")
		}()
		if len(b.Billable()) != 2 {
			b.Errorf("%v costs", b.Billable())
		}
		b.run(l)
		if len(b.Billable()) != 2 {
			b.Errorf("after the second try %v costs", b.Billable())
		}
	})
}

func TestWhoDidIt(t *testing.T) {
	macs(1, func(b bench) {
		adopted := b.AddHost(fakeec2.HostSpec{Type: "mac2.metal", Zone: "eu-central-1a"})
		i, err := b.As("node-1").RunInstance(b.Context(), b.macOn(adopted, "one"))
		if err != nil {
			b.Fatal(err)
		}
		for _, bill := range b.Bills() {
			if want := map[string]string{adopted: "", i.ID: "node-1", i.Volumes[i.RootDevice]: "node-1"}[bill.ID]; bill.Who != want && bill.Kind != "volume" {
				b.Errorf("%s %s is of %q, want %q", bill.Kind, bill.ID, bill.Who, want)
			}
		}
		time.Sleep(5 * time.Minute)
		b.As("node-2").TerminateInstances(b.Context(), []string{i.ID})
		time.Sleep(5 * time.Minute)
		var seen []string
		for _, e := range b.Journal() {
			if len(e.IDs) > 0 && e.IDs[0] == i.ID {
				seen = append(seen, e.Who+" "+e.Action)
			}
		}
		want := []string{"node-1 RunInstances", "aws running", "aws shutting-down", "node-2 TerminateInstances", "aws terminated"}
		if len(seen) != len(want) {
			b.Fatalf("the journal has %q, want %q", seen, want)
		}
		for n := range want {
			if seen[n] != want[n] {
				b.Errorf("the journal has %q, want %q", seen, want)
			}
		}
	})(t)
}
