package pools

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

// scrubbing is a pool whose idle hosts are scrubbed after a minute.
func scrubbing(change ...func(*Pool)) Pool {
	p := macPool(change...)
	p.Max, p.ScrubbingDelay = 1, time.Minute
	return p
}

// idle gives the pool a host that nobody uses.
func (s *site) idle(p *Pools) (host string) {
	s.Helper()
	host, _ = s.reserve(p, token(1), time.Minute)
	p.Failed(s.Context(), "mac", token(1), cloud.NewError("InvalidAMIID.Malformed", "the label is wrong"))
	return host
}

// scrubMachine waits for the first machine that had a host scrubbed.
func (s *site) scrubMachine() (b fakeec2.Bill) {
	s.Helper()
	s.eventually(10*time.Minute, "a scrub is started", func() bool {
		all := s.cloud.Bills()
		i := slices.IndexFunc(all, func(b fakeec2.Bill) bool {
			return b.Kind == "instance" && b.Tags[cloud.TagPurpose] == cloud.PurposeScrub
		})
		if i >= 0 {
			b = all[i]
		}
		return i >= 0
	})
	return b
}

// TestScrubImages: the machine is started from what the host can start without
// new firmware, the smallest; or from what is configured.
func TestScrubImages(t *testing.T) {
	for _, c := range []struct {
		name, configured, want string
		prepare                func(c *fakeec2.Cloud)
	}{
		{"the one that fits the processor", "", "amzn-ec2-macos-14.5-20240528-114204-arm64", func(*fakeec2.Cloud) {}},
		{"the smallest", "", "amzn-ec2-macos-13.6.1-1-arm64", func(c *fakeec2.Cloud) {
			c.AddImage(fakeec2.ImageSpec{Name: "amzn-ec2-macos-13.6.1-1-arm64", Owner: fakeec2.Amazon, Public: true, Architecture: "arm64_mac", SizeGB: 60})
		}},
		{"not too new", "", "amzn-ec2-macos-14.5-20240528-114204-arm64", func(c *fakeec2.Cloud) {
			c.AddImage(fakeec2.ImageSpec{Name: "amzn-ec2-macos-15.1-1-arm64", Owner: fakeec2.Amazon, Public: true, Architecture: "arm64_mac", SizeGB: 60})
			c.AddImage(fakeec2.ImageSpec{Name: "amzn-ec2-macos-13.6.10-1-arm64", Owner: fakeec2.Amazon, Public: true, Architecture: "arm64_mac", SizeGB: 60})
		}},
		{"not a stranger's", "", "amzn-ec2-macos-14.5-20240528-114204-arm64", func(c *fakeec2.Cloud) {
			c.AddImage(fakeec2.ImageSpec{Name: "amzn-ec2-macos-13.1-1-arm64", Owner: "999999999999", Public: true, Architecture: "arm64_mac", SizeGB: 10})
		}},
		{"by its name", "ci-mac-*", "ci-mac-2026", func(*fakeec2.Cloud) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, quick())
				c.prepare(s.cloud)
				p := s.start(alpha, scrubbing(func(p *Pool) { p.ScrubImage = c.configured }))
				host := s.idle(p)
				inst, _ := s.cloud.Instance(s.scrubMachine().ID)
				image, _ := s.cloud.Image(inst.ImageID)
				if image.Name != c.want {
					t.Errorf("started from %s, want %s", image.Name, c.want)
				}
				if inst.HostID != host || inst.Tags[cloud.TagLease] == "" || inst.Tags[cloud.TagNode] != alpha.String() {
					t.Errorf("on %s with %v", inst.HostID, inst.Tags)
				}
				s.eventually(3*time.Minute, "it is scrubbed, and nothing is left", func() bool {
					return s.phase(p, host) == "scrubbing" && len(s.machines("")) == 0
				})
			})
		})
	}
}

// TestScrubSubnets: the machine is in the pool's subnet, in that of its zone of
// the same network, or in the default one.
func TestScrubSubnets(t *testing.T) {
	for _, c := range []struct{ name, zone, want string }{
		{"", "eu-central-1a", ""}, {"subnet-own-a", "eu-central-1a", "subnet-own-a"}, {"subnet-own-a", "eu-central-1b", "subnet-own-b"},
	} {
		t.Run(c.name+" "+c.zone, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, quick())
				vpc := s.cloud.AddVPC(cloud.VPC{})
				s.cloud.AddSubnet(fakeec2.SubnetSpec{ID: "subnet-own-a", VPCID: vpc, Zone: "eu-central-1a"})
				s.cloud.AddSubnet(fakeec2.SubnetSpec{ID: "subnet-own-b", VPCID: vpc, Zone: "eu-central-1b"})
				s.cloud.AddSecurityGroup(cloud.SecurityGroup{Name: "closed", VPCID: vpc})
				p := s.start(alpha, scrubbing(func(p *Pool) {
					p.Zones, p.Subnet = []string{c.zone}, c.name
					if c.name != "" {
						p.SecurityGroup = "closed"
					}
				}))
				s.cloud.Inject(fakeec2.Fault{Action: "TerminateInstances", Times: 2, Err: cloud.NewError("RequestLimitExceeded", "slow down")})
				s.idle(p)
				inst, _ := s.cloud.Instance(s.scrubMachine().ID)
				if c.want != "" && inst.SubnetID != c.want || inst.Zone != c.zone {
					t.Errorf("in %s of %s, want %s", inst.SubnetID, inst.Zone, c.want)
				}
			})
		})
	}
}

// TestScrubMisconfigured: what is wrong is said, with what to do, and the host
// serves on.
func TestScrubMisconfigured(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(p *Pool)
	}{
		{"no such image", "scrub_image: no image", func(p *Pool) { p.ScrubImage = "nothing-*" }},
		{"no such id", "ami-0123", func(p *Pool) { p.ScrubImage = "ami-0123" }},
		{"no such subnet", "correct it", func(p *Pool) { p.Subnet = "subnet-none" }},
		{"no such group", "security_group: 0 groups", func(p *Pool) { p.SecurityGroup = "none" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, quick())
				p := s.start(alpha, scrubbing(c.change))
				host := s.idle(p)
				s.eventually(6*time.Hour, "somebody is told", func() bool { return strings.Contains(s.log.String(), "it can not be scrubbed") })
				s.wantLog(c.want)
				s.eventually(time.Hour, "it serves", func() bool { return s.phase(p, host) == "available" })
				if got, _ := s.reserve(p, token(2), time.Minute); got != host || len(s.machines("")) > 0 {
					t.Errorf("reserved %s with machines %v", got, s.machines(""))
				}
			})
		})
	}
}

// TestScrubNotFoundYet: a machine that was started a moment ago and is not known
// everywhere yet is no machine that has ended.
func TestScrubNotFoundYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		p := s.start(alpha, scrubbing())
		s.cloud.Inject(fakeec2.Fault{Action: "TerminateInstances", Times: 3, Err: cloud.NewError("InvalidInstanceID.NotFound", "not there")})
		s.idle(p)
		s.scrubMachine()
		s.eventually(3*time.Minute, "it has ended", func() bool { return len(s.machines("")) == 0 })
	})
}

// TestScrubAfterRestart: the process that comes next finds the machine that the
// one before started, whatever has changed, and while nothing can be looked up.
func TestScrubAfterRestart(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(s *site)
	}{
		{"same", func(*site) {}},
		{"another image", func(s *site) {
			s.cloud.AddImage(fakeec2.ImageSpec{Name: "amzn-ec2-macos-13.6.1-1-arm64", Owner: fakeec2.Amazon, Public: true, Architecture: "arm64_mac", SizeGB: 60})
		}},
		{"subnets can not be listed", func(s *site) {
			s.cloud.Inject(fakeec2.Fault{Action: "DescribeSubnets", Times: 5, Err: cloud.NewError("UnauthorizedOperation", "no")})
		}},
		{"nothing can be listed", func(s *site) {
			s.cloud.Inject(fakeec2.Fault{Action: "Describe*", Times: 12, Err: cloud.NewError("RequestLimitExceeded", "slow down")})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, quick())
				s.cloud.SetLag(fakeec2.Range{Min: 20 * time.Second, Max: 40 * time.Second})
				time.Sleep(time.Minute)
				p := s.start(alpha, scrubbing())
				host := s.idle(p)
				s.cloud.Inject(fakeec2.Fault{Action: "RunInstances", Done: true, Hang: true})
				s.eventually(5*time.Minute, "it was started", func() bool { return len(s.machines(cloud.PurposeScrub)) == 1 })
				p.Close()
				c.change(s)
				p = s.start(alpha, scrubbing())
				s.eventually(15*time.Minute, "it has ended", func() bool { return len(s.machines("")) == 0 })
				s.eventually(15*time.Minute, "it is scrubbed", func() bool { return s.phase(p, host) == "scrubbing" })
				s.never(20*time.Minute, "another one is started", func() bool { return len(s.machines("")) > 0 })
			})
		})
	}
}

// TestRefusedScrubIsForgotten: pools have other Macs each day, and what was to be
// started on them is not remembered for ever.
func TestRefusedScrubIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		p := s.start(alpha, scrubbing())
		s.cloud.Inject(fakeec2.Fault{Action: "RunInstances", Err: cloud.NewError("InsufficientCapacityOnHost", "not yet")})
		host := s.idle(p)
		s.eventually(20*time.Minute, "the scrub is refused", func() bool { return s.phase(p, host) == "resting" })
		scrubs := &p.named["mac"].scrub
		scrubs.mu.Lock()
		defer scrubs.mu.Unlock()
		if len(scrubs.launches) > 0 {
			t.Errorf("it remembers %+v", scrubs.launches)
		}
	})
}
