package awssdk_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wiretest"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/policytest"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pools"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// rich pays for every host.
type rich struct{}

func (rich) Reserve(string, string) error         { return nil }
func (rich) Assume(string, string)                {}
func (rich) Left(string) (int, string)            { return 100, "" }
func (rich) Release(string)                       {}
func (rich) Failed(string, string, string, error) {}

// TestPoolOverHTTP: a pool allocates a host, has an idle one scrubbed and
// releases one that is a day old, by signed requests; and the example of a policy
// allows each of them.
func TestPoolOverHTTP(t *testing.T) {
	t.Parallel()
	const macs, zone = "mac2.metal", "eu-central-1a"
	fake := fakeec2.New(fakeec2.Options{Timing: fakeec2.QuickTiming()})
	fake.SetQuota("L-5D8DADF5", 10)
	server := wiretest.Serve(t, policytest.Guard(fake.Strict(), policytest.Read(t, "../../../examples/aws-policy.json"), fake, func(r policytest.Request) {
		t.Errorf("examples/aws-policy.json does not allow %s on %s with %v", r.Action, r.Resource, r.Keys)
	}), wire.Options{Region: region, Keys: map[string]string{keyID: secret}})
	node, dir := uuid.New(), t.TempDir()
	tags := cloud.Tags{cloud.TagNode: node.String(), cloud.TagInstance: "aws", cloud.TagPool: "mac"}
	old := fake.AddHost(fakeec2.HostSpec{Type: macs, Zone: zone, Age: 24*time.Hour - 3*time.Second, Tags: tags})
	young := fake.AddHost(fakeec2.HostSpec{Type: macs, Zone: zone, Age: time.Hour, Tags: tags})
	owned(t, dir, node)
	p, err := pools.New(pools.Options{
		API: dial(t, server.URL), Purse: rich{}, Node: node, Instance: "aws", Directory: dir,
		Pools: []pools.Pool{{Thing: "aws/eu-central-1/mac", Config: pool.Config{
			Name: "mac", Origin: node.String(), Type: macs, Zones: []string{zone}, Max: 4, MinAge: pool.MacMinAge,
			ScrubbingDelay: 2 * time.Second, LookEvery: 200 * time.Millisecond, LookIdle: 200 * time.Millisecond, Settled: time.Second,
		}}},
		Owner: func(string) model.UID { return node }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got := map[string]bool{}
	for _, token := range []string{"1", "2", "3"} {
		host, _, err := p.Reserve(ctx, "mac", token, nil)
		if err != nil {
			t.Fatalf("Reserve() = %v", err)
		}
		got[host] = true
	}
	if len(got) != 3 || !got[old] || !got[young] {
		t.Errorf("reserved %v, want %s, %s and a new one", got, old, young)
	}
	for _, token := range []string{"1", "2", "3"} {
		p.Released(ctx, "mac", token) // nothing was launched
	}
	ended := func(id string) bool { h, there := fake.Host(id); return !there || h.Released() }
	scrubbed := func() bool {
		return slices.ContainsFunc(fake.Journal(), func(e fakeec2.Entry) bool { return e.Action == "TerminateInstances" && e.Err == nil })
	}
	for !ended(old) || !scrubbed() {
		select {
		case <-ctx.Done():
			t.Fatalf("released %v, scrubbed %v; the pool is %+v", ended(old), scrubbed(), p.Pools(t.Context()))
		case <-time.After(50 * time.Millisecond):
		}
	}
	for _, e := range fake.Journal() {
		if e.Err != nil && e.Who != "aws" {
			t.Errorf("%s of %v: %v", e.Action, e.IDs, e.Err)
		}
	}
}

// owned writes what a pool keeps that its node had before.
func owned(t *testing.T, dir string, node model.UID) {
	t.Helper()
	text, err := json.Marshal(struct {
		Node string `json:"node"`
		Pool string `json:"pool"`
		pool.Saved
	}{node.String(), "mac", pool.Saved{Owned: true}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mac.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}
