package account

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"pgregory.net/rapid"
)

func inState(id, state string) cloud.Instance {
	return cloud.Instance{ID: id, State: state, Type: "c6i.large"}
}

func TestSightings(t *testing.T) {
	at := func(s int) time.Time { return noon().Add(time.Duration(s) * time.Second) }
	var k sightings
	see := func(s int, wantChanged bool, list ...cloud.Instance) {
		t.Helper()
		var changed bool
		if k, changed = k.see(list, at(s)); changed != wantChanged {
			t.Errorf("at %d s: changed = %v, want %v", s, changed, wantChanged)
		}
	}
	see(0, true, inState("i-1", cloud.Pending))
	see(1, false, inState("i-1", cloud.Pending))
	see(2, true, inState("i-1", cloud.Running), inState("i-2", cloud.Pending))
	if one := k["i-1"]; !one.First.Equal(at(0)) || !one.Last.Equal(at(2)) || !one.Missing.IsZero() {
		t.Errorf("i-1 = %+v, want it seen from 0 to 2", one)
	}
	see(3, true, inState("i-1", cloud.Running)) // i-2 is missing
	if two := k["i-2"]; !two.Missing.Equal(at(3)) || !two.Alive() || !two.transient() {
		t.Errorf("i-2 = %+v, want it missing since 3 and alive", two)
	}
	see(4, false, inState("i-1", cloud.Running))
	see(5, true, inState("i-1", cloud.Running), inState("i-2", cloud.Running)) // the list had lagged
	if two := k["i-2"]; !two.Missing.IsZero() {
		t.Errorf("i-2 = %+v, want it not missing", two)
	}
	see(6, true, inState("i-1", cloud.Terminated), inState("i-2", cloud.Running))
	see(7, false, inState("i-1", cloud.Running), inState("i-2", cloud.Running)) // an older list
	see(8, false, inState("i-1", cloud.ShuttingDown), inState("i-2", cloud.Running))
	if one := k["i-1"]; one.State != cloud.Terminated {
		t.Errorf("i-1 = %+v, want it to stay terminated", one)
	}
	see(9, true)
	see(9+int(cloud.Settled/time.Second), false)
	if len(k) != 2 {
		t.Errorf("%d are known at the end of the time to settle, want 2", len(k))
	}
	see(10+int(cloud.Settled/time.Second), true)
	if _, known := k["i-2"]; known || len(k) != 1 {
		t.Errorf("%d are known after the time to settle, want the one that has ended", len(k))
	}
	see(8+int(endedFor/time.Second), false)
	if one := k["i-1"]; one.State != cloud.Terminated || !one.Missing.IsZero() {
		t.Errorf("i-1 = %+v, want it known to have ended", one)
	}
	see(9+int(endedFor/time.Second), true)
	if len(k) != 0 {
		t.Errorf("%d are known at the end, want none", len(k))
	}
}

// TestALaunchIsNotMissingFromAnEarlierList: the list was asked for before the
// launch was answered.
func TestALaunchIsNotMissingFromAnEarlierList(t *testing.T) {
	f := facts{holds: map[string]hold{}}
	f.launched("token", inState("i-1", cloud.Pending), noon())
	f.seeMine(nil, noon().Add(-time.Millisecond))
	if !f.mine["i-1"].Missing.IsZero() {
		t.Error("it is missing from a list that is older than it")
	}
	f.seeMine(nil, noon().Add(time.Second))
	if f.mine["i-1"].Missing.IsZero() {
		t.Error("it is not missing from a list that is younger than it")
	}
}

// TestSightingsProperty: whatever lists show in whatever order, what has ended
// stays ended while it is known, nothing is forgotten before lists are settled,
// and the input is not changed.
func TestSightingsProperty(t *testing.T) {
	states := []string{cloud.Pending, cloud.Running, cloud.Stopping, cloud.Stopped, cloud.ShuttingDown, cloud.Terminated}
	rapid.Check(t, func(t *rapid.T) {
		var k sightings
		now := noon()
		lastListed := map[string]time.Time{}
		for range rapid.IntRange(1, 40).Draw(t, "lists") {
			now = now.Add(time.Duration(rapid.IntRange(1, 200).Draw(t, "pause")) * time.Second)
			var list []cloud.Instance
			for _, id := range []string{"i-1", "i-2", "i-3"} {
				if rapid.Bool().Draw(t, "listed") {
					list = append(list, inState(id, rapid.SampledFrom(states).Draw(t, "state")))
					lastListed[id] = now
				}
			}
			before := k
			count := len(before)
			k, _ = before.see(list, now)
			if len(before) != count {
				t.Fatal("the old sightings were changed")
			}
			for id, was := range before {
				is, known := k[id]
				if known && !was.Alive() && is.Alive() {
					t.Fatalf("%s was %s and is %s", id, was.State, is.State)
				}
				if !known && (now.Sub(lastListed[id]) <= cloud.Settled || was.State == cloud.Terminated && now.Sub(lastListed[id]) <= endedFor) {
					t.Fatalf("%s is forgotten %v after it was listed", id, now.Sub(lastListed[id]))
				}
			}
		}
	})
}

func TestHostSightings(t *testing.T) {
	at := func(m int) time.Time { return noon().Add(time.Duration(m) * time.Minute) }
	host := func(state string) []cloud.Host {
		return []cloud.Host{{ID: "h-1", Type: "mac2.metal", State: state, AllocationTime: noon()}}
	}
	var k hostSightings
	k = k.see(host(cloud.HostAvailable), at(0))
	k = k.see(host(cloud.HostPending), at(60))
	k = k.see(host(cloud.HostPending), at(120))
	k = k.see(nil, at(121)) // the list lags
	k = k.see(host(cloud.HostPending), at(180))
	k = k.see(host(cloud.HostAvailable), at(181))
	if got := k["h-1"].Unpaid; got != 2*time.Hour {
		t.Errorf("unpaid = %v, want the two hours that were surely pending", got)
	}
	if usd, known := k["h-1"].Cost(price.Table{}, at(240)); usd != 2*0.65 || !known {
		t.Errorf("cost = %v, %v, want two paid hours", usd, known)
	}
	released := host(cloud.HostReleased)
	released[0].ReleaseTime = at(240)
	k = k.see(released, at(241))
	if usd, _ := k["h-1"].Cost(price.Table{}, at(6000)); usd != 2*0.65 {
		t.Errorf("cost = %v, want none after the release", usd)
	}
	k = k.see(nil, at(247))
	if len(k) != 0 {
		t.Errorf("%d hosts are known, want none", len(k))
	}
}
