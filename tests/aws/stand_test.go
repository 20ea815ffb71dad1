//go:build linux

package aws

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wiretest"
	"github.com/aquarium-fish/aquarium-fish/tests/farm"
)

// zones are those of the fake's region.
func zones() []string { return []string{"eu-central-1a", "eu-central-1b", "eu-central-1c"} }

// mostHosts is how many hosts a pool of these tests may have.
const mostHosts = 2

// stand is an account whose machines outlive the nodes that are killed, and one
// clock for it and for them.
type stand struct {
	ec2   *fakeec2.Cloud
	front *wiretest.Server
	skew  *farm.Skew
	ahead atomic.Int64
}

// newStand makes an account in which things take a moment and lists lag.
func newStand(t *testing.T, seed uint64) *stand {
	t.Helper()
	s := &stand{skew: farm.NewSkew(t)}
	timing := fakeec2.QuickTiming()
	timing.Launch, timing.Terminate = upTo(500*time.Millisecond), upTo(500*time.Millisecond)
	timing.Address = upTo(300 * time.Millisecond)
	timing.HostStart, timing.MacTerminate = upTo(500*time.Millisecond), upTo(500*time.Millisecond)
	timing.Scrub, timing.Settle = upTo(2*time.Second), upTo(500*time.Millisecond)
	timing.Vacated, timing.Notice = upTo(time.Second), fakeec2.Fixed(time.Second)
	s.ec2 = fakeec2.New(fakeec2.Options{Now: s.now, Seed: seed, Timing: timing})
	for _, code := range []string{"L-1216C47A", "L-34B43A08"} {
		s.ec2.SetQuota(code, 100)
	}
	s.ec2.SetQuota("L-5D8DADF5", 2*mostHosts) // of mac2, so that the pool keeps to its own limit
	s.ec2.SetLag(upTo(time.Second))
	s.front = wiretest.Serve(t, s.ec2, wire.Options{Keys: map[string]string{keyID: secretKey}, Now: s.now})
	return s
}

func upTo(d time.Duration) fakeec2.Range { return fakeec2.Range{Max: d} }

func (s *stand) now() time.Time { return time.Now().Round(0).Add(time.Duration(s.ahead.Load())) }

// turn turns the clock of the account and of the nodes forward. A node that
// runs has timers of its own, which this does not reach.
func (s *stand) turn(by time.Duration) { s.skew.Set(time.Duration(s.ahead.Add(int64(by)))) }

// driver is the entry of a config's drivers.
func (s *stand) driver() string {
	return fmt.Sprintf("- name: aws\n  cfg:\n    {region: eu-central-1, key_id: %q, secret_key: %q, endpoint: %q, watch_period: 1s, dry_zone_pause: 1s,\n"+
		"     dedicated_pool: {mac: {type: mac2.metal, zones: [%s], max: %d, scrubbing_delay: 10m, pending_to_available_delay: 1s, patience: 10s}}}\n",
		keyID, secretKey, s.front.URL, strings.Join(zones()[:2], ", "), mostHosts)
}

// label is of one definition for the driver.
func label(name, options, resources string) string {
	return fmt.Sprintf(`{"name":%q,"version":1,"definitions":[{"driver":"aws","options":%s,"resources":{"cpu":1,"ram":1%s}}]}`, name, options, resources)
}

// alive are the machines that run, or soon will, by their id.
func (s *stand) alive() map[string]cloud.Instance {
	machines := map[string]cloud.Instance{}
	for _, b := range s.ec2.Billable() {
		if i, found := s.ec2.Instance(b.ID); found && b.Kind == "instance" && !cloud.Gone(i.State) {
			machines[b.ID] = i
		}
	}
	return machines
}

// hosts are the ids of hosts that are paid for, or are being scrubbed.
func (s *stand) hosts() (ids []string) {
	for _, b := range s.ec2.Billable() {
		if b.Kind == "host" {
			ids = append(ids, b.ID)
		}
	}
	return ids
}

// rest says what there is that costs and belongs to none of the machines: ""
// is nothing, but for hosts, of which there may be as many as the pool has.
func (s *stand) rest(machines map[string]bool) string {
	tokens, hosts := map[string]bool{}, 0
	for id := range machines {
		i, _ := s.ec2.Instance(id)
		tokens[i.Tags[cloud.TagToken]] = true
	}
	for _, b := range s.ec2.Billable() {
		switch {
		case b.Kind == "host" && b.Tags[cloud.TagPurpose] == cloud.PurposePool:
			hosts++
		case b.Tags[cloud.TagPurpose] != cloud.PurposeWork, !tokens[b.Tags[cloud.TagToken]], b.Kind == "instance" && !machines[b.ID]:
			return fmt.Sprintf("nobody's %s %s, tags %v", b.Kind, b.ID, b.Tags)
		}
	}
	if hosts > mostHosts {
		return fmt.Sprintf("the pool has %d hosts, at most %d are allowed", hosts, mostHosts)
	}
	return ""
}

// broken says what must never have been: two machines of one token at a time,
// two on one host, or one host too many.
func (s *stand) broken() string {
	last := map[string]fakeec2.Bill{}
	for _, b := range s.ec2.Bills() {
		if b.Kind != "instance" {
			continue
		}
		token := b.Tags[cloud.TagToken]
		if before, is := last[token]; is && token != "" && (before.Until.IsZero() || before.Until.After(b.Since)) {
			return fmt.Sprintf("token %s had %s until %v, and %s since %v", token, before.ID, before.Until, b.ID, b.Since)
		}
		last[token] = b
	}
	busy := map[string]string{}
	for id, i := range s.alive() {
		if other := busy[i.HostID]; i.HostID != "" && other != "" {
			return fmt.Sprintf("host %s has %s and %s", i.HostID, id, other)
		}
		busy[i.HostID] = id
	}
	return ""
}

// setting is a number from the environment, or what it is otherwise.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// by is a random time below the bound.
func by(rng *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(most)))
}
