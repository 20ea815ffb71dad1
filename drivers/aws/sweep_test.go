package aws

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// farmOfStrays is an instance with an environment that the node wants and one
// that nobody does, a host of a pool that was, and the same of another node.
type farmOfStrays struct {
	*site
	d                   *driver
	kept, lost, foreign string // machines
	host                string
	wanted              map[string]bool
	whole               bool
}

func inFarmOfStrays(t *testing.T, test func(t *testing.T, f *farmOfStrays)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.cloud.SetQuota("L-5D8DADF5", 2)
		f := &farmOfStrays{site: s, d: s.start(t), wanted: map[string]bool{token("a"): true}, whole: true}
		f.d.wanted = func() (map[string]bool, bool) { return f.wanted, f.whole }
		other := s.open(t, "aws", stranger)
		t.Cleanup(func() { _ = other.Close() })
		for _, one := range []struct {
			d  *driver
			c  string
			id *string
		}{{f.d, "a", &f.kept}, {f.d, "b", &f.lost}, {other, "c", &f.foreign}} {
			env, err := one.d.Allocate(within(t, time.Hour), request(one.c, plain()))
			if err != nil {
				t.Fatal(err)
			}
			*one.id = env.Identifier
		}
		var err error
		f.host, err = s.cloud.AllocateHost(t.Context(), cloud.HostRequest{ClientToken: "h", Type: "mac2.metal", Zone: "eu-central-1a", Tags: cloud.Tags{
			cloud.TagNode: node.String(), cloud.TagInstance: "aws", cloud.TagPool: "m2", cloud.TagPurpose: cloud.PurposePool,
		}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		test(t, f)
	})
}

// results are what became of strays, by their id.
func results(s view.Sweeping) map[string]string {
	all := map[string]string{}
	for _, one := range s.Strays {
		all[one.ID] = fmt.Sprintf("removed %v, held %q, error %q", one.Removed, one.Held, one.Error)
	}
	return all
}

func (f *farmOfStrays) state(t *testing.T, id string) string {
	t.Helper()
	list, err := f.cloud.Instances(t.Context(), cloud.Where("instance-id", id))
	if err != nil || len(list) != 1 {
		t.Fatalf("instance %s: %v, %v", id, list, err)
	}
	return list[0].State
}

// TestSweep: just what was in the plan, and is nobody's, ends.
func TestSweep(t *testing.T) {
	inFarmOfStrays(t, func(t *testing.T, f *farmOfStrays) {
		young := f.host
		plan := command[view.Sweeping](t, f.d, view.SweepPlan, `{}`)
		want := results(plan)
		if len(want) != 2 || want[f.lost] != `removed false, held "", error ""` || !strings.Contains(want[young], "AWS keeps it until") {
			t.Fatalf("the plan is %v", want)
		}
		if got := command[view.Sweeping](t, f.d, view.Sweep, `{"ids":["`+f.kept+`","`+f.foreign+`","`+young+`"]}`); results(got)[f.lost] != want[f.lost] || got.Strays[0].Removed {
			t.Errorf("what was not named, or is no stray, is swept: %v", results(got))
		}
		got := command[view.Sweeping](t, f.d, view.Sweep, `{"ids":["`+f.lost+`"]}`)
		if results(got)[f.lost] != `removed true, held "", error ""` {
			t.Errorf("swept: %v", results(got))
		}
		for id, state := range map[string]string{f.kept: cloud.Running, f.foreign: cloud.Running, f.lost: cloud.Terminated} {
			if got := f.state(t, id); got != state {
				t.Errorf("machine %s is %s, want %s", id, got, state)
			}
		}
		time.Sleep(24 * time.Hour)
		got = command[view.Sweeping](t, f.d, view.Sweep, `{"ids":["`+f.lost+`","`+f.host+`"]}`)
		if diff := cmp.Diff(map[string]string{f.host: `removed true, held "", error ""`}, results(got)); diff != "" {
			t.Errorf("a day later (-want +got):\n%s", diff)
		}
		time.Sleep(time.Hour)
		if plan := command[view.Sweeping](t, f.d, view.SweepPlan, `{}`); len(plan.Strays) != 0 {
			t.Errorf("in the end: %v", results(plan))
		}
		for args, want := range map[string]string{`{}`: "ids", `{"ids":[],"all":true}`: "all", `{"ids":"x"}`: "ids"} {
			if _, err := f.d.Do(t.Context(), view.Sweep, json.RawMessage(args)); !errors.Is(err, drivers.ErrCommandArgument) || !strings.Contains(err.Error(), want) {
				t.Errorf("sweep %s = %v", args, err)
			}
		}
	})
}

// TestSweepOfAPoolOfOthers: a host that this instance allocated for a pool which
// another node runs by now is in use there, though nothing may be on it just now.
func TestSweepOfAPoolOfOthers(t *testing.T) {
	for name, owner := range map[string]model.UID{"run by another node": stranger, "run by nobody": model.NilUID} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.cloud.SetQuota("L-5D8DADF5", 1)
				s.owner = func(string) model.UID { return owner }
				d := s.start(t)
				d.wanted = func() (map[string]bool, bool) { return map[string]bool{}, true }
				_, err := s.cloud.AllocateHost(t.Context(), cloud.HostRequest{ClientToken: "h", Type: "mac2.metal", Zone: "eu-central-1a", Tags: cloud.Tags{
					cloud.TagNode: node.String(), cloud.TagInstance: "aws", cloud.TagPool: "m2", cloud.TagPurpose: cloud.PurposePool,
				}})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(25 * time.Hour)
				plan := command[view.Sweeping](t, d, view.SweepPlan, `{}`)
				if stray := len(plan.Strays) == 1; stray != (owner == model.NilUID) {
					t.Errorf("the plan is %v", results(plan))
				}
			})
		})
	}
}

// TestSweepInTrouble: what is not known well is left alone; what is not removed
// is told, and removed when it is asked for again.
func TestSweepInTrouble(t *testing.T) {
	inFarmOfStrays(t, func(t *testing.T, f *farmOfStrays) {
		sweep := func(forgotten bool) (view.Sweeping, error) {
			time.Sleep(10 * time.Second) // past what one look serves
			data, err := f.d.Do(t.Context(), view.Sweep, fmt.Appendf(nil, `{"ids":[%q],"forgotten":%v}`, f.lost, forgotten))
			var s view.Sweeping
			if err == nil {
				err = json.Unmarshal(data, &s)
			}
			return s, err
		}
		f.wanted = nil
		if s, err := sweep(true); err != nil || slices.ContainsFunc(s.Strays, func(s view.Stray) bool { return s.Kind == view.Instance }) {
			t.Errorf("while nothing is known: %v, %v", results(s), err)
		}
		f.wanted, f.whole = map[string]bool{token("a"): true}, false
		if s, err := sweep(false); err != nil || results(s)[f.lost] != `removed false, held "", error ""` || f.state(t, f.lost) != cloud.Running {
			t.Errorf("on a restored database: %v, %v", results(s), err)
		}
		f.cloud.Outage(time.Hour)
		if _, err := sweep(true); !errors.Is(err, drivers.ErrCommandRefused) {
			t.Errorf("from memory = %v, want it refused", err)
		}
		time.Sleep(2 * time.Hour)
		f.cloud.Inject(fakeec2.Fault{Action: "TerminateInstances", Err: cloud.NewError("UnauthorizedOperation", "not allowed")})
		if s, err := sweep(true); err != nil || !strings.Contains(results(s)[f.lost], "not allowed") {
			t.Errorf("when it is not allowed: %v, %v", results(s), err)
		}
		f.cloud.Inject(fakeec2.Fault{Action: "TerminateInstances", Done: true}) // the answer is lost
		if s, err := sweep(true); err != nil || strings.Contains(results(s)[f.lost], "removed true") {
			t.Errorf("when the answer is lost: %v, %v", results(s), err)
		}
		if s, err := sweep(true); err != nil || f.state(t, f.lost) != cloud.Terminated || f.state(t, f.kept) != cloud.Running {
			t.Errorf("asked again: %v, %v", results(s), err)
		}
	})
}
