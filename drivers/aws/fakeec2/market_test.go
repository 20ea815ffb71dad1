package fakeec2_test

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

func TestQuotaCodes(t *testing.T) {
	for _, test := range []struct {
		kind, demand, spot string
	}{
		{"t3.micro", "L-1216C47A", "L-34B43A08"},
		{"im4gn.large", "L-1216C47A", "L-34B43A08"},
		{"is4gen.large", "L-1216C47A", "L-34B43A08"},
		{"c7i-flex.large", "L-1216C47A", "L-34B43A08"},
		{"z1d.large", "L-1216C47A", "L-34B43A08"},
		{"g4dn.xlarge", "L-DB2E81BA", "L-3819A6DF"},
		{"gr6.4xlarge", "L-DB2E81BA", "L-3819A6DF"},
		{"vt1.3xlarge", "L-DB2E81BA", "L-3819A6DF"},
		{"p3.2xlarge", "L-417A185B", "L-7212CCBC"},
		{"p5en.48xlarge", "L-417A185B", "L-C4BD4855"},
		{"x2iedn.xlarge", "L-7295265B", "L-E3A00192"},
		{"f1.2xlarge", "L-74FC7D96", "L-88CF9481"},
		{"inf2.xlarge", "L-1945791B", "L-B5D1601B"},
		{"dl2q.24xlarge", "L-6E869C2A", "L-85EED4F7"},
		{"trn1n.32xlarge", "L-2C3B7624", "L-6B0D517C"},
		{"hpc6a.48xlarge", "L-F7808C92", ""},
		{"u7i-12tb.224xlarge", "L-43DA4232", ""},
		{"u-6tb1.metal", "L-43DA4232", ""},
	} {
		if demand, spot := fakeec2.QuotaCode(test.kind, fakeec2.OnDemand), fakeec2.QuotaCode(test.kind, fakeec2.Spot); demand != test.demand || spot != test.spot {
			t.Errorf("QuotaCode(%s) = %s, %s, want %s, %s", test.kind, demand, spot, test.demand, test.spot)
		}
	}
	if got := fakeec2.QuotaCode("mac-m4.metal", fakeec2.Dedicated); got != "L-2CBA8B92" {
		t.Errorf("hosts of mac-m4 are %s", got)
	}
}

func TestQuotasCountVCPUs(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		first := b.run(b.linux("1"))
		b.run(b.linux("2"))
		_, err := b.RunInstance(b.Context(), b.linux("3"))
		b.refused(err, "VcpuLimitExceeded") // 4 of 5 are used
		l := b.linux("3")
		l.Spot = true
		b.run(l) // counted apart
		time.Sleep(time.Minute)
		b.StopInstance(b.Context(), first.ID, cloud.Stop{})
		time.Sleep(2 * time.Minute)
		b.run(b.linux("3 again"))
		b.refused(b.StartInstance(b.Context(), first.ID), "VcpuLimitExceeded")
		b.SetQuota("L-1216C47A", 6)
		if err := b.StartInstance(b.Context(), first.ID); err != nil {
			b.Error(err)
		}
		quotas, err := b.Quotas(b.Context())
		if err != nil || quotas["L-1216C47A"] != 6 || quotas["L-34B43A08"] != 5 {
			b.Errorf("Quotas = %v, %v", quotas, err)
		}
	})
}

func TestCapacityIsOfZoneTypeAndMarket(t *testing.T) {
	inBubble(t, fakeec2.Options{Timing: fakeec2.QuickTiming()}, func(b bench) {
		b.SetQuota("L-1216C47A", 100)
		b.SetCapacity("eu-central-1a", "m5.large", fakeec2.OnDemand, 1)
		i := b.run(b.linux("1"))
		_, err := b.RunInstance(b.Context(), b.linux("2"))
		b.refused(err, "InsufficientInstanceCapacity")
		l := b.linux("2")
		l.SubnetID = b.subnet("b")
		b.run(l)
		l = b.linux("2")
		l.Type = "c5.large"
		b.run(l)
		l = b.linux("3")
		l.Spot = true
		b.run(l)
		b.Instances(b.Context(), cloud.Query{}) // it is running now
		if err := b.StopInstance(b.Context(), i.ID, cloud.Stop{}); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Second)
		b.run(b.linux("4"))
		b.refused(b.StartInstance(b.Context(), i.ID), "InsufficientInstanceCapacity")
		b.SetOffered("c5.xlarge", "eu-central-1a", false)
		l = b.linux("5")
		l.Type = "c5.xlarge"
		_, err = b.RunInstance(b.Context(), l)
		b.refused(err, "Unsupported")
	})
}

func TestASpotInstanceIsTakenBack(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		l := b.linux("one")
		l.Spot = true
		i := b.run(l)
		time.Sleep(time.Minute)
		request := func(state, status string) {
			b.Helper()
			found, err := b.SpotRequests(b.Context(), cloud.Where("spot-instance-request-id", i.SpotRequestID))
			if err != nil || len(found) != 1 || found[0].State != state || found[0].Status != status || found[0].Tags["owner"] != "me" {
				b.Errorf("the request is %+v, %v, want %s, %s", found, err, state, status)
			}
		}
		request("active", "fulfilled")
		b.refused(b.StopInstance(b.Context(), i.ID, cloud.Stop{}), "UnsupportedOperation")
		b.Interrupt(i.ID, "no-capacity")
		request("active", "marked-for-termination")
		time.Sleep(2*time.Minute - time.Second)
		b.is(i.ID, cloud.Running)
		time.Sleep(time.Second)
		if got := b.is(i.ID, cloud.ShuttingDown).Reason.Code; got != "Server.SpotInstanceTermination" {
			b.Errorf("it ends by %s", got)
		}
		request("closed", "instance-terminated-no-capacity")
	})
}

func TestSpotIsRefused(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		l := b.linux("one")
		l.Spot = true
		b.SetSpotPrice("eu-central-1a", "m5.large", 1)
		_, err := b.RunInstance(b.Context(), l)
		b.refused(err, "SpotMaxPriceTooLow")
		b.SetSpotPrice("eu-central-1a", "m5.large", 0.01)
		b.SetCapacity("eu-central-1a", "m5.large", fakeec2.Spot, 0)
		_, err = b.RunInstance(b.Context(), l)
		b.refused(err, "InsufficientInstanceCapacity")
		b.SetCapacity("eu-central-1a", "m5.large", fakeec2.Spot, -1)
		b.SetQuota("L-34B43A08", 1)
		_, err = b.RunInstance(b.Context(), l)
		b.refused(err, "MaxSpotInstanceCountExceeded")
		b.SetQuota("L-34B43A08", 5)
		i := b.run(l)
		if err := b.CancelSpotRequests(b.Context(), []string{i.SpotRequestID}); err != nil {
			b.Error(err)
		}
		time.Sleep(time.Minute)
		b.is(i.ID, cloud.Running)
		b.refused(b.CancelSpotRequests(b.Context(), []string{"sir-none"}), "InvalidSpotInstanceRequestID.NotFound")
	})
}

func TestHibernation(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		l := b.linux("one")
		l.Hibernate = true
		_, err := b.RunInstance(b.Context(), l)
		b.refused(err, "UnsupportedHibernationConfiguration") // the root disk is not encrypted
		l.Disks = []cloud.Disk{{Device: "/dev/sda1", Encrypted: true, SizeGB: 20}}
		for _, kind := range []string{"m5.metal", "r5.24xlarge"} {
			other := l
			other.Type, other.ClientToken = kind, kind
			_, err := b.RunInstance(b.Context(), other)
			b.refused(err, "UnsupportedHibernationConfiguration")
		}
		i := b.run(l)
		time.Sleep(time.Minute)
		b.refused(b.StopInstance(b.Context(), i.ID, cloud.Stop{Hibernate: true}), "UnsupportedOperation") // not ready yet
		sleep := func(reason string, boots, resumes int) {
			b.Helper()
			time.Sleep(5 * time.Minute)
			if err := b.StopInstance(b.Context(), i.ID, cloud.Stop{Hibernate: true}); err != nil {
				b.Fatal(err)
			}
			time.Sleep(5 * time.Minute)
			if got := b.is(i.ID, cloud.Stopped).Reason.Code; got != reason {
				b.Errorf("stopped by %s, want %s", got, reason)
			}
			if err := b.StartInstance(b.Context(), i.ID); err != nil {
				b.Fatal(err)
			}
			if guest, _ := b.Guest(i.ID); guest.Boots != boots || guest.Resumes != resumes {
				b.Errorf("the guest is %+v, want %d boots and %d resumes", guest, boots, resumes)
			}
		}
		sleep("Client.UserInitiatedHibernate", 1, 1)
		b.FailHibernations(1)
		sleep("Client.UserInitiatedShutdown", 2, 1)
		other := b.run(b.linux("two"))
		time.Sleep(5 * time.Minute)
		b.refused(b.StopInstance(b.Context(), other.ID, cloud.Stop{Hibernate: true}), "UnsupportedHibernationConfiguration")
	})
}

func TestAddressesRunOut(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		l := b.linux("one")
		b.SetFreeAddresses(l.SubnetID, 1)
		i := b.run(l)
		next := b.linux("two")
		_, err := b.RunInstance(b.Context(), next)
		b.refused(err, "InsufficientFreeAddressesInSubnet")
		time.Sleep(time.Minute)
		b.StopInstance(b.Context(), i.ID, cloud.Stop{})
		time.Sleep(2 * time.Minute)
		_, err = b.RunInstance(b.Context(), next)
		b.refused(err, "InsufficientFreeAddressesInSubnet") // stopped ones keep theirs
		b.terminate(i.ID)
		time.Sleep(time.Second)
		again := b.run(next)
		time.Sleep(time.Minute)
		if got := b.is(again.ID, cloud.Running).PrivateIP; got != "10.0.0.4" {
			b.Errorf("its address is %s, want the one that came free", got)
		}
	})
}

func TestMachinesThatShutThemselvesDown(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		stops, ends := b.run(b.linux("stops")), b.linux("ends")
		ends.ShutdownTerminates = true
		gone := b.run(ends)
		time.Sleep(time.Minute)
		b.ShutDown(stops.ID)
		b.ShutDown(gone.ID)
		b.ShutDown("i-none")
		time.Sleep(2 * time.Minute)
		b.is(stops.ID, cloud.Stopped)
		if got := b.is(gone.ID, cloud.Terminated).Reason.Code; got != "Client.InstanceInitiatedShutdown" {
			b.Errorf("it ended by %s", got)
		}
		b.End(stops.ID, "Server.InternalError", "broken")
		time.Sleep(2 * time.Minute)
		if got := b.is(stops.ID, cloud.Terminated).Reason; got.Code != "Server.InternalError" || got.Message != "broken" {
			b.Errorf("it ended by %+v", got)
		}
	})
}
