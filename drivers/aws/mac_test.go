package aws

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// withMacs gives the site's instance a pool of two Macs. more is YAML of its own.
func (s *site) withMacs(more string) {
	s.cloud.SetQuota("L-5D8DADF5", 10)
	s.cfg = "dedicated_pool: {mac: {type: mac2.metal, zones: [eu-central-1a, eu-central-1b], max: 2" + more + "}}\n"
}

func onMac() model.LabelDefinition { return definition(`{"image": "ci-mac-*", "pool": "mac"}`) }

// hostIDs are the hosts that are paid for, or will be.
func (s *site) hostIDs() (ids []string) {
	for _, b := range s.cloud.Billable() {
		if b.Kind == "host" {
			ids = append(ids, b.ID)
		}
	}
	return ids
}

// TestMacs: an application on a Mac that nobody had, with the times of AWS; the
// next one gets the same Mac when it is wiped; an idle one is scrubbed, which
// costs nothing, and goes when it is a day old.
func TestMacs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		usual := fakeec2.AWSTiming()
		usual.Scrub = fakeec2.Range{Min: 40 * time.Minute, Max: 110 * time.Minute} // for what takes longer nobody waits
		s := newSiteOf(t, fakeec2.Options{Seed: 3, Timing: usual})
		s.withMacs(", scrubbing_delay: 10m, pending_to_available_delay: 2m, patience: 3h")
		d, began := s.start(t), time.Now()
		hosts := map[string]bool{}
		for i, name := range []string{"a", "b", "c"} {
			req := request(name, onMac())
			env, err := d.Allocate(within(t, 3*time.Hour), req)
			if err != nil {
				t.Fatalf("application %d: %v", i, err)
			}
			inst := s.machine(t, env.Identifier)
			hosts[inst.HostID] = true
			if env.IPAddr == "" || inst.Tags[cloud.TagPool] != "mac" {
				t.Errorf("environment %+v of %v", env, inst.Tags)
			}
			time.Sleep(30 * time.Minute)
			if err := d.Deallocate(within(t, time.Hour), refTo(req, env.Identifier)); err != nil {
				t.Fatalf("end of application %d: %v", i, err)
			}
			time.Sleep(10 * time.Minute) // until AWS begins to wipe it: nobody waits for a host in use
		}
		if len(hosts) != 1 {
			t.Errorf("they were on %v, want one host", hosts)
		}
		for end := began.Add(30 * time.Hour); len(s.hostIDs()) > 0 && time.Now().Before(end); {
			time.Sleep(10 * time.Minute)
		}
		for id := range hosts {
			if paid, age := s.cloud.Paid(id), time.Since(began); paid > 12*time.Hour || age < 24*time.Hour {
				t.Errorf("%v were paid of %v: it was not scrubbed, or gone too early", paid, age)
			}
		}
		s.wantNothing(t)
	})
}

// TestReservationRanOut: a launch without an answer is not repeated on its host
// when that was promised to another one meanwhile.
func TestReservationRanOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.withMacs("")
		d := s.open(t, "aws", node)
		s.cloud.Inject(fakeec2.Fault{Action: "RunInstances", Hang: true})
		if _, err := d.Allocate(within(t, 30*time.Second), request("a", onMac())); err == nil {
			t.Fatal("Allocate got a machine without an answer")
		}
		first := s.hostIDs()[0]
		time.Sleep(20 * time.Minute)
		theirs, _, err := d.hosts.Reserve(within(t, time.Minute), "mac", token("b"), nil)
		if err != nil || theirs != first {
			t.Fatalf("Reserve() = %s, %v, want the free %s", theirs, err, first)
		}
		_ = d.Close()
		d = s.start(t)
		env, err := d.Allocate(within(t, time.Hour), request("a", onMac()))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.machine(t, env.Identifier).HostID; got == theirs {
			t.Errorf("it is on %s, which is promised to another one", got)
		}
	})
}

// TestOwnerAwayAfterTheLaunch: a machine whose launch had no answer is found,
// though who gave the host can not be asked.
func TestOwnerAwayAfterTheLaunch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.withMacs("")
		d := s.open(t, "aws", node)
		s.cloud.Inject(fakeec2.Fault{Action: "RunInstances", Hang: true, Done: true})
		if _, err := d.Allocate(within(t, 30*time.Second), request("a", onMac())); err == nil {
			t.Fatal("Allocate got a machine without an answer")
		}
		_ = d.Close()
		s.owner = func(string) model.UID { return stranger }
		d = s.start(t)
		env, err := d.Allocate(within(t, 5*time.Minute), request("a", onMac()))
		if err != nil || s.machine(t, env.Identifier).HostID == "" {
			t.Fatalf("Allocate() = %v, %v", env, err)
		}
		if n, err := d.Capacity(onMac()); n != 0 || err == nil {
			t.Errorf("Capacity() = %d, %v without the pool's owner", n, err)
		}
		if _, err := d.Allocate(within(t, time.Minute), request("b", onMac())); err == nil || !strings.Contains(err.Error(), "can not be reached") {
			t.Errorf("Allocate() of another one = %v", err)
		}
		if n := len(s.hostIDs()); n != 1 {
			t.Errorf("there are %d hosts", n)
		}
		asks := new(drivers.AskError)
		if _, _, err := d.hosts.Reserve(within(t, time.Second), "mac", token("c"), nil); err == nil || errors.As(err, &asks) {
			t.Errorf("Reserve() = %v, want a time that was over", err)
		}
	})
}
