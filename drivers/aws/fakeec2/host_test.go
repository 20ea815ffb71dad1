package fakeec2_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

const macQuota = "L-5D8DADF5" // hosts of mac2

// macs is an account that may have so many hosts, where all takes a known time.
func macs(hosts float64, test func(b bench)) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		timing := fakeec2.AWSTiming()
		timing.HostStart, timing.Launch, timing.MacTerminate = fakeec2.Fixed(0), fakeec2.Fixed(time.Minute), fakeec2.Fixed(2*time.Minute)
		timing.Scrub, timing.Settle = fakeec2.Fixed(time.Hour), fakeec2.Fixed(3*time.Minute)
		timing.MacStop, timing.Vacated = fakeec2.Fixed(15*time.Minute), fakeec2.Fixed(time.Minute)
		timing.HostListed, timing.HostCounted = fakeec2.Fixed(10*time.Minute), fakeec2.Fixed(3*time.Minute)
		inBubble(t, fakeec2.Options{Timing: timing}, func(b bench) {
			b.SetQuota(macQuota, hosts)
			test(b)
		})
	}
}

func (b bench) allocate(token string) (id string) {
	b.Helper()
	id, err := b.AllocateHost(b.Context(), cloud.HostRequest{ClientToken: token, Type: "mac2.metal", Zone: "eu-central-1a", Tags: cloud.Tags{"pool": "ci"}})
	if err != nil {
		b.Fatal(err)
	}
	return id
}

// macOn is a launch on a host.
func (b bench) macOn(hostID, token string) cloud.Launch {
	b.Helper()
	return cloud.Launch{ClientToken: token, ImageID: b.image("ci-mac-2026"), Type: "mac2.metal", SubnetID: b.subnet("a"), HostID: hostID}
}

// hostIs checks the state of a host.
func (b bench) hostIs(id, state string) cloud.Host {
	b.Helper()
	h, found := b.Host(id)
	if !found || h.State != state {
		b.Errorf("host %s is %q, want %q", id, h.State, state)
	}
	return h
}

// refusedRelease checks that a host can not be released, and why.
func (b bench) refusedRelease(id, code string) *cloud.Error {
	b.Helper()
	done, refused, err := b.ReleaseHosts(b.Context(), []string{id})
	if err != nil || len(done) > 0 || refused[id] == nil || refused[id].Code != code {
		b.Fatalf("ReleaseHosts = %v, %v, %v, want %s", done, refused, err, code)
	}
	return refused[id]
}

func (b bench) released(id string) {
	b.Helper()
	if done, refused, err := b.ReleaseHosts(b.Context(), []string{id}); err != nil || !slices.Equal(done, []string{id}) {
		b.Fatalf("ReleaseHosts = %v, %v, %v, want it done", done, refused, err)
	}
}

func (b bench) terminate(ids ...string) {
	b.Helper()
	if err := b.TerminateInstances(b.Context(), ids); err != nil {
		b.Fatal(err)
	}
}

func TestAMacStaysForADay(t *testing.T) {
	macs(1, func(b bench) {
		id := b.allocate("one")
		begun := time.Now()
		time.Sleep(time.Hour)
		refusal := b.refusedRelease(id, "Client.HostMinAllocationPeriodUnexpired")
		if !refusal.NotBefore.Equal(begun.Add(24*time.Hour)) || !strings.Contains(refusal.Message, "at least 24 hour(s)") || refusal.Kind != cloud.TooYoung {
			b.Errorf("the refusal is %+v", refusal)
		}
		time.Sleep(23*time.Hour - time.Millisecond)
		b.refusedRelease(id, "Client.HostMinAllocationPeriodUnexpired")
		time.Sleep(time.Millisecond)
		b.released(id)
		if paid := b.Paid(id); paid != 24*time.Hour || len(b.Billable()) > 0 {
			b.Errorf("it was paid for %v, and %v is left", paid, b.Billable())
		}
	})(t)
}

func TestAMacTakesOneInstanceAndIsScrubbed(t *testing.T) {
	macs(1, func(b bench) {
		id := b.allocate("one")
		first := b.run(b.macOn(id, "first"))
		_, err := b.RunInstance(b.Context(), b.macOn(id, "second"))
		b.refused(err, "InsufficientCapacityOnHost")
		if h := b.hostIs(id, cloud.HostAvailable); h.Free != 0 || !slices.Equal(h.Instances, []string{first.ID}) {
			b.Errorf("a busy host is %+v", h)
		}
		b.refusedRelease(id, "Client.InvalidHost.Occupied")
		time.Sleep(10 * time.Minute)
		b.terminate(first.ID)
		b.hostIs(id, cloud.HostAvailable)
		time.Sleep(2 * time.Minute) // terminated now
		if h := b.hostIs(id, cloud.HostPending); !slices.Equal(h.Instances, []string{first.ID}) {
			b.Errorf("a host that was busy just now lists %v", h.Instances)
		}
		_, err = b.RunInstance(b.Context(), b.macOn(id, "second"))
		b.refused(err, "InvalidHostState")
		time.Sleep(24 * time.Hour) // old enough: only what it does counts
		again := b.run(b.macOn(id, "third"))
		time.Sleep(time.Minute)
		b.terminate(again.ID)
		time.Sleep(30 * time.Minute)
		b.refusedRelease(id, "Client.InvalidHost.Occupied")
		time.Sleep(32 * time.Minute)
		b.released(id)
	})(t)
}

func TestAHostIsNotPaidForWhileItIsScrubbed(t *testing.T) {
	macs(1, func(b bench) {
		id := b.allocate("one")
		begun := time.Now()
		for _, token := range []string{"1", "2", "3", "4", "5"} {
			i := b.run(b.macOn(id, token))
			time.Sleep(10 * time.Minute)
			b.terminate(i.ID)
			time.Sleep(2*time.Minute + time.Hour + 3*time.Minute)
		}
		time.Sleep(24 * time.Hour)
		b.released(id)
		if paid, want := b.Paid(id), time.Since(begun)-5*time.Hour; paid != want {
			b.Errorf("paid for %v, want %v", paid, want)
		}
		for _, bill := range b.Bills() {
			if bill.Kind == "instance" && bill.Cost != 0 {
				b.Errorf("an instance on a host costs: %+v", bill)
			}
		}
	})(t)
}

func TestAvailableIsSaidTooEarly(t *testing.T) {
	macs(1, func(b bench) {
		id := b.allocate("one")
		i := b.run(b.macOn(id, "first"))
		time.Sleep(10 * time.Minute)
		b.terminate(i.ID)
		time.Sleep(62 * time.Minute)
		if h := b.hostIs(id, cloud.HostAvailable); h.Free != 1 {
			b.Errorf("it says that %d fit", h.Free)
		}
		_, err := b.RunInstance(b.Context(), b.macOn(id, "second"))
		b.refused(err, "InsufficientCapacityOnHost")
		time.Sleep(3 * time.Minute)
		b.run(b.macOn(id, "second"))
	})(t)
}

func TestAStoppedMacScrubsItsHostToo(t *testing.T) {
	macs(1, func(b bench) {
		id := b.allocate("one")
		i := b.run(b.macOn(id, "first"))
		time.Sleep(10 * time.Minute)
		if err := b.StopInstance(b.Context(), i.ID, cloud.Stop{}); err != nil {
			b.Fatal(err)
		}
		time.Sleep(14 * time.Minute)
		b.is(i.ID, cloud.Stopping)
		b.hostIs(id, cloud.HostAvailable)
		time.Sleep(time.Minute)
		b.is(i.ID, cloud.Stopped)
		b.hostIs(id, cloud.HostPending)
		b.refused(b.StartInstance(b.Context(), i.ID), "InvalidHostState")
		time.Sleep(64 * time.Minute)
		if err := b.StartInstance(b.Context(), i.ID); err != nil {
			b.Fatal(err)
		}
	})(t)
}

func TestReleasedHostsCountForAWhile(t *testing.T) {
	macs(1, func(b bench) {
		_, err := b.AllocateHost(b.Context(), cloud.HostRequest{ClientToken: "another", Type: "mac-m4.metal", Zone: "eu-central-1a"})
		b.refused(err, "HostLimitExceeded")
		id := b.allocate("one")
		if again := b.allocate("one"); again != id {
			b.Errorf("the same token made %s and %s", id, again)
		}
		time.Sleep(24 * time.Hour)
		b.released(id)
		request := cloud.HostRequest{ClientToken: "two", Type: "mac2.metal", Zone: "eu-central-1a"}
		_, err = b.AllocateHost(b.Context(), request)
		b.refused(err, "HostLimitExceeded")
		time.Sleep(3 * time.Minute)
		if _, err := b.AllocateHost(b.Context(), request); err != nil {
			b.Error(err)
		}
		b.hostIs(id, cloud.HostReleased)
		b.refusedRelease(id, "Client.InvalidHostID.NotFound")
		time.Sleep(10 * time.Minute)
		if _, found := b.Host(id); found {
			b.Error("a released host is listed for ever")
		}
	})(t)
}

func TestAllocationsAreRefused(t *testing.T) {
	macs(5, func(b bench) {
		b.SetCapacity("eu-central-1b", "mac2.metal", fakeec2.Dedicated, 1)
		b.SetOffered("mac2.metal", "eu-central-1c", false)
		request := cloud.HostRequest{ClientToken: "one", Type: "mac2.metal", Zone: "eu-central-1b"}
		if _, err := b.AllocateHost(b.Context(), request); err != nil {
			b.Fatal(err)
		}
		other := request
		other.Tags = cloud.Tags{"a": "b"}
		for _, test := range []struct {
			request cloud.HostRequest
			code    string
		}{
			{other, "IdempotentParameterMismatch"},
			{cloud.HostRequest{ClientToken: "another", Type: "mac2.metal", Zone: "eu-central-1b"}, "InsufficientHostCapacity"},
			{cloud.HostRequest{ClientToken: "another", Type: "mac2.metal", Zone: "eu-central-1c"}, "Unsupported"},
			{cloud.HostRequest{ClientToken: "another", Type: "mac2.metal", Zone: "moon-1a"}, "InvalidParameterValue"},
			{cloud.HostRequest{ClientToken: "another", Type: "mac9.metal", Zone: "eu-central-1a"}, "InvalidParameterValue"},
		} {
			_, err := b.AllocateHost(b.Context(), test.request)
			b.refused(err, test.code)
		}
	})(t)
}

func TestBrokenHosts(t *testing.T) {
	macs(2, func(b bench) {
		id := b.allocate("one")
		i := b.run(b.macOn(id, "first"))
		time.Sleep(time.Minute)
		b.SetHostState(id, cloud.HostUnderAssessment)
		b.is(i.ID, cloud.Running)
		b.SetHostState(id, cloud.HostPermanentFailure)
		if h := b.hostIs(id, cloud.HostPermanentFailure); h.Free != 0 {
			b.Errorf("a broken host takes %d", h.Free)
		}
		replacement := b.ReplaceHost(id)
		b.hostIs(id, cloud.HostReleasedFailure)
		if h := b.hostIs(replacement, cloud.HostAvailable); h.Tags["pool"] != "ci" {
			b.Errorf("the replacement is %+v", h)
		}
		time.Sleep(5 * time.Minute)
		if got := b.is(i.ID, cloud.Terminated).Reason.Code; got != "Server.InternalError" {
			b.Errorf("it ended by %s", got)
		}
		b.WithdrawHost(replacement) // AWS may, before 24 hours are over
		b.WithdrawHost("h-none")
		b.hostIs(replacement, cloud.HostReleasedFailure)
		unknown := b.AddHost(fakeec2.HostSpec{Type: "mac2.metal", Zone: "eu-central-1a"})
		b.SetHostState(unknown, "configuring")
		_, err := b.RunInstance(b.Context(), b.macOn(unknown, "second"))
		b.refused(err, "InvalidHostState")
		b.SetHostState(unknown, cloud.HostReleased)
		for _, bill := range b.Billable() {
			if bill.Kind == "host" {
				b.Errorf("%+v costs", bill)
			}
		}
	})(t)
}

func TestAMacNeedsAHost(t *testing.T) {
	macs(1, func(b bench) {
		l := b.macOn("", "one")
		_, err := b.RunInstance(b.Context(), l)
		b.refused(err, "Unsupported")
		id := b.allocate("one")
		l = b.macOn(id, "one")
		l.Spot = true
		_, err = b.RunInstance(b.Context(), l)
		b.refused(err, "InvalidParameterCombination")
		l = b.macOn(id, "one")
		l.SubnetID = b.subnet("b")
		_, err = b.RunInstance(b.Context(), l)
		b.refused(err, "ZonesMismatched")
		l = b.macOn("h-00000000000000000", "one")
		_, err = b.RunInstance(b.Context(), l)
		b.refused(err, "InvalidHostID.NotFound")
	})(t)
}

func TestAdoptedHosts(t *testing.T) {
	macs(0, func(b bench) {
		id := b.AddHost(fakeec2.HostSpec{Type: "mac2.metal", Zone: "eu-central-1a", Age: 23 * time.Hour, Tags: cloud.Tags{cloud.TagOldPool: "ci"}})
		hosts, err := b.Hosts(b.Context(), cloud.Where("tag-key", cloud.TagOldPool).And("state", "avail*"))
		if err != nil || len(hosts) != 1 || hosts[0].ID != id {
			b.Fatalf("Hosts = %v, %v, want it", hosts, err)
		}
		b.refusedRelease(id, "Client.HostMinAllocationPeriodUnexpired")
		time.Sleep(time.Hour)
		b.released(id)
	})(t)
}

func TestScrubsOfAnyLength(t *testing.T) {
	opts := fakeec2.Options{Timing: fakeec2.QuickTiming(), Scrub: func(kind string, _ *rand.Rand) time.Duration {
		return time.Duration(len(kind)) * time.Hour
	}}
	inBubble(t, opts, func(b bench) {
		id := b.AddHost(fakeec2.HostSpec{Type: "mac2.metal", Zone: "eu-central-1a"})
		i := b.run(b.macOn(id, "one"))
		time.Sleep(time.Minute)
		b.terminate(i.ID)
		time.Sleep(10*time.Hour - time.Second)
		b.hostIs(id, cloud.HostPending)
		time.Sleep(time.Second)
		b.hostIs(id, cloud.HostAvailable)
	})
}
