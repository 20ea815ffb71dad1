package aws

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestConformance is on an account that answers at once and tells no lies.
func TestConformance(t *testing.T) {
	t.Parallel()
	drivertest.RunInBubbles(t, func(t testing.TB) drivertest.Harness { return newSite(t).harness() })
}

// TestConformanceOfASlowCloud is with the times of AWS, lists that lag behind,
// disks, spot instances, and another node as the neighbour.
func TestConformanceOfASlowCloud(t *testing.T) {
	t.Parallel()
	drivertest.RunInBubbles(t, func(t testing.TB) drivertest.Harness {
		s := newSiteOf(t, fakeec2.Options{Seed: 7})
		time.Sleep(time.Minute) // the account is older than lists lag behind
		s.cloud.SetLag(fakeec2.Range{Max: 20 * time.Second})
		s.cloud.SetLatency(fakeec2.Range{Min: 10 * time.Millisecond, Max: 500 * time.Millisecond})
		h := s.harness()
		open := h.New
		h.New = func(t testing.TB) drivers.Driver { return withoutSleep(open(t).(*driver)) }
		h.Neighbour = func(t testing.TB) drivers.Driver { return s.open(t, "aws", stranger) }
		h.Definition.Options = json.RawMessage(`{"image": "ci-linux-*", "instance_type": "m5.large", "spot": true, "userdata_format": "env"}`)
		h.Definition.Resources.Disks = map[string]model.Disk{"/dev/sdf": {Type: "gp3", Size: 10, Label: "Kind:cache"}}
		h.Patience = 10 * time.Minute
		return h
	})
}

// spotDriver is one of labels with spot, which go without hibernation.
type spotDriver struct {
	drivers.Driver
	drivers.Watcher
}

func withoutSleep(d *driver) spotDriver { return spotDriver{d, d} }

func (s *site) harness() drivertest.Harness {
	options := func(text string) json.RawMessage { return json.RawMessage(text) }
	return drivertest.Harness{
		New:        func(t testing.TB) drivers.Driver { return s.settled(t) },
		Neighbour:  func(t testing.TB) drivers.Driver { return s.open(t, "aws/other", node) },
		Definition: definition(`{"image": "ci-linux-*", "instance_type": "m5.large", "hibernate": true}`),
		Task:       "snapshot", TaskOptions: json.RawMessage(`{"full": true}`),
		Stands: func(t testing.TB, env drivers.Environment) bool {
			return s.machine(t, env.Identifier).State == cloud.Stopped
		},
		Malformed: map[string]json.RawMessage{
			"no image":          options(`{"instance_type": "m5.large"}`),
			"no type":           options(`{"image": "x"}`),
			"spot of a pool":    options(`{"image": "x", "instance_type": "m5.large", "pool": "mac", "spot": true}`),
			"an unknown format": options(`{"image": "x", "instance_type": "m5.large", "userdata_format": "xml"}`),
		},
		Count: func(testing.TB) int {
			return len(slices.DeleteFunc(s.billable(), func(b fakeec2.Bill) bool { return b.Tags[cloud.TagPurpose] == cloud.PurposeTask }))
		},
		End: func(t testing.TB, env drivers.Environment) {
			s.awaitState(t, env.Identifier, cloud.Running)
			s.cloud.ShutDown(env.Identifier)
			time.Sleep(2 * time.Minute) // until it is down, and lists tell
		},
		Timeout: time.Hour,
	}
}

// settled opens the driver and lets it find out what it has room for.
func (s *site) settled(t testing.TB) *driver {
	d := s.open(t, "aws", node)
	time.Sleep(3 * time.Second)
	_, _ = d.Capacity(plain())
	time.Sleep(3 * time.Second)
	return d
}
