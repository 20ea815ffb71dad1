package aws

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

// scrubs are the machines that were started to have hosts scrubbed, and how many
// of them are not gone.
func (s *site) scrubs(t testing.TB) (made, alive int) {
	t.Helper()
	list, err := s.cloud.Instances(t.Context(), cloud.Where("tag:"+cloud.TagPurpose, cloud.PurposeScrub))
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range list {
		if !cloud.Gone(one.State) {
			alive++
		}
	}
	return len(list), alive
}

// TestLeakOfAScrub: the original was killed between the launch of a machine that
// it only wanted to terminate and its end, and left it, without a mark, on a Mac that
// was so in use for ever. Here the next process ends it, and so does one that
// knows nothing any more.
func TestLeakOfAScrub(t *testing.T) {
	t.Parallel()
	for name, directoryLost := range map[string]bool{"with the directory": false, "without it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, s *site) {
				s.cfg = "dedicated_pool: {mac: {type: mac2.metal, zone: eu-central-1a, max: 1, scrubbing_delay: 10m}}\n"
				s.sweeps = sweepPeriod
				s.cloud.SetQuota("L-5D8DADF5", 1)
				p := s.boot(t)
				req := request("a", definition(`{"image": "ci-mac-*", "pool": "mac"}`))
				env := allocate(t, p.driver, req)
				if err := p.driver.Deallocate(within(t, time.Hour), refTo(req, env.Identifier)); err != nil {
					t.Fatal(err)
				}
				then := t.TempDir()
				s.hookOf(func(_ context.Context, c fakeec2.Call) error {
					if c.Action == "RunInstances" && c.After {
						if !directoryLost {
							if err := os.CopyFS(then, os.DirFS(s.dir)); err != nil { // as it is at the kill
								t.Error(err)
							}
						}
						p.count(1, kill)
					}
					return p.point("after the launch of a scrub")
				})
				eventually(t, 12*time.Hour, "an idle host is scrubbed", func() bool { _, killed := p.reached(); return killed })
				p.end()
				s.hook.Store(nil)
				if made, alive := s.scrubs(t); made != 1 || alive != 1 {
					t.Fatalf("%d machines for a scrub, %d alive: this tests nothing", made, alive)
				}
				s.dir = then
				p = s.boot(t)
				defer p.end()
				eventually(t, time.Hour, "the machine is gone", func() bool { _, alive := s.scrubs(t); return alive == 0 })
				again := request("b", req.Definition)
				env = allocate(t, p.driver, again) // on the same host, which is of use again
				if inst := s.machine(t, env.Identifier); inst.HostID == "" {
					t.Errorf("it is on no host: %+v", inst)
				}
				if err := p.driver.Deallocate(within(t, time.Hour), drivers.Ref{Token: again.Token}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestLeakOfAScrubOfAFormerOwner: a node that ran the pool is gone for good, and
// its machine for a scrub is on a Mac. Who runs the pool now ends it, and has the
// Mac again; what belongs to a pool of others it leaves alone.
func TestLeakOfAScrubOfAFormerOwner(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		s.withMacs("")
		s.sweeps = sweepPeriod
		machines := map[string]string{}
		hosts := map[string]string{}
		for _, pool := range []string{"mac", "other"} {
			tags := cloud.Tags{
				cloud.TagNode: stranger.String(), cloud.TagInstance: "aws", cloud.TagPool: pool, cloud.TagPurpose: cloud.PurposePool,
			}
			host, err := s.cloud.AllocateHost(t.Context(), cloud.HostRequest{ClientToken: pool, Type: "mac2.metal", Zone: "eu-central-1a", Tags: tags})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			tags[cloud.TagPurpose], tags[cloud.TagLease] = cloud.PurposeScrub, time.Now().Add(30*time.Minute).UTC().Format(time.RFC3339)
			images, err := s.cloud.Images(t.Context(), []string{"self"}, cloud.Where("name", "ci-mac-2026"))
			if err != nil || len(images) != 1 {
				t.Fatalf("images: %v, %v", images, err)
			}
			subnets, err := s.cloud.Subnets(t.Context(), cloud.Where("availability-zone", "eu-central-1a"))
			if err != nil || len(subnets) == 0 {
				t.Fatalf("subnets: %v, %v", subnets, err)
			}
			inst, err := s.cloud.RunInstance(t.Context(), cloud.Launch{
				ClientToken: "scrub " + pool, ImageID: images[0].ID, Type: "mac2.metal", SubnetID: subnets[0].ID, HostID: host, Tags: tags,
			})
			if err != nil {
				t.Fatal(err)
			}
			machines[pool], hosts[pool] = inst.ID, host
		}
		s.start(t)
		eventually(t, 2*time.Hour, "the machine on the pool's Mac is gone", func() bool { return cloud.Gone(s.machine(t, machines["mac"]).State) })
		eventually(t, 30*time.Hour, "the Mac is given back when nobody wants it", func() bool {
			h, _ := s.cloud.Host(hosts["mac"])
			return h.Released()
		})
		if h, _ := s.cloud.Host(hosts["other"]); h.Released() || cloud.Gone(s.machine(t, machines["other"]).State) {
			t.Errorf("what is of a pool of others is removed: %+v", h)
		}
	})
}

// TestSweepWithoutAPermission: what may not be listed keeps nothing else from
// being removed, and that is told, once.
func TestSweepWithoutAPermission(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		s.sweeps = sweepPeriod
		id := s.foreign(t, "scrub", cloud.Tags{
			cloud.TagNode: node.String(), cloud.TagInstance: "aws", cloud.TagPurpose: cloud.PurposeScrub,
			cloud.TagLease: time.Now().Add(time.Minute).Format(time.RFC3339),
		})
		s.cloud.Inject(fakeec2.Fault{Action: "DescribeImages", Times: -1, Err: cloud.NewError("UnauthorizedOperation", "not allowed")})
		s.start(t)
		eventually(t, time.Hour, "the machine is gone", func() bool { return cloud.Gone(s.machine(t, id).State) })
		if n := strings.Count(s.log.String(), "it can not be looked for all that is left over"); n != 1 {
			t.Errorf("it is told %d times", n)
		}
	})
}
