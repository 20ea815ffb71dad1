package aws

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// inBubble runs a test in fake time, on an account that answers at once.
func inBubble(t *testing.T, test func(t *testing.T, s *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		time.Sleep(10 * time.Minute)
		test(t, s)
	})
}

// allocate makes an environment that has to come about.
func allocate(t testing.TB, d *driver, req drivers.Request) drivers.Environment {
	t.Helper()
	env, err := d.Allocate(within(t, time.Hour), req)
	if err != nil {
		t.Fatalf("Allocate() = %v", err)
	}
	return env
}

// machine is what the cloud has of an environment.
func (s *site) machine(t testing.TB, id string) cloud.Instance {
	t.Helper()
	inst, found := s.cloud.Instance(id)
	if !found {
		t.Fatalf("the cloud has no %s", id)
	}
	return inst
}

// launches are the zones of all launches that were asked for, in order; "!" is
// before those that were refused.
func (s *site) launches() (n int, refused int) {
	for _, e := range s.cloud.Journal() {
		if e.Action == "RunInstances" {
			n++
			if e.Err != nil {
				refused++
			}
		}
	}
	return n, refused
}

// TestMachine: what an environment's machine is like, from its first moment.
func TestMachine(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		s.cfg = "instance_tags: {Team: ci, Cost: shared}\n"
		key := s.cloud.AddKey("alias/ci")
		d := s.start(t)
		def := definition(`{"image": "ci-linux-*", "instance_type": "m5.large", "encrypt_key": "alias/ci", "userdata_format": "env",
			"userdata_prefix": "data", "tags": {"Cost": "mine"}, "security_group": "default"}`)
		def.Resources.Disks = map[string]model.Disk{"/dev/sdf": {Type: "gp3:4000:250", Size: 10, Label: "Kind:cache,X:"}}
		req := request("a", def)
		env := allocate(t, d, req)
		inst := s.machine(t, env.Identifier)
		if env.IPAddr != inst.PrivateIP || env.HWAddr != inst.MAC || env.Authentication.Username != "ci" || env.IPAddr == "" {
			t.Errorf("the environment is %+v, the machine %+v", env, inst)
		}
		want := cloud.Tags{
			"Team": "ci", "Cost": "mine", cloud.TagNode: node.String(), cloud.TagInstance: "aws", cloud.TagToken: req.Token,
			cloud.TagApplication: req.ApplicationUID.String(), cloud.TagPurpose: cloud.PurposeWork, cloud.TagCreated: inst.Tags[cloud.TagCreated],
		}
		if diff := cmp.Diff(want, inst.Tags); diff != "" {
			t.Errorf("tags (-want +got):\n%s", diff)
		}
		if _, err := time.Parse(time.RFC3339, inst.Tags[cloud.TagCreated]); err != nil {
			t.Errorf("it was created at %v", err)
		}
		guest, _ := s.cloud.Guest(env.Identifier)
		if got := string(guest.Launch.UserData); got != "data_JENKINS_AGENT_SECRET=hush-hush\ndata_JENKINS_URL=https://ci\n" {
			t.Errorf("userdata is %q", got)
		}
		if l := guest.Launch; !l.ShutdownTerminates || len(l.SecurityGroupIDs) != 1 || len(l.Disks) != 2 {
			t.Errorf("the launch is %+v", l)
		}
		for _, disk := range guest.Launch.Disks {
			if !disk.Encrypted || disk.KeyID != key {
				t.Errorf("disk %s is encrypted %v with %q, want %q", disk.Device, disk.Encrypted, disk.KeyID, key)
			}
		}
		volumes, err := s.cloud.Volumes(t.Context(), cloud.Where("tag:Kind", "cache"))
		if err != nil || len(volumes) != 1 || volumes[0].Tags[cloud.TagToken] != req.Token || volumes[0].SizeGB != 10 {
			t.Errorf("disks with the label's tags: %+v, %v", volumes, err)
		}
		s.wantNoSecrets(t)
	})
}

// wantNoSecrets looks at the log, and at who may read the intents.
func (s *site) wantNoSecrets(t testing.TB) {
	t.Helper()
	if strings.Contains(s.log.String(), "hush") {
		t.Errorf("a secret is in the log: %s", s.log)
	}
	files, _ := filepath.Glob(filepath.Join(s.dir, "fish_aws", "*", "*.json"))
	if len(files) == 0 {
		t.Error("there is no intent")
	}
	for _, path := range files {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v: want it for the node's user only", path, info.Mode(), err)
		}
	}
}

// TestNextZoneAndType: at once, and a zone that was dry comes last for a while.
func TestNextZoneAndType(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		zones := s.cloud.Zones()
		for _, zone := range zones {
			s.cloud.SetCapacity(zone, "m5.large", fakeec2.OnDemand, 0)
		}
		d := s.start(t)
		def := definition(`{"image": "ci-linux-*", "instance_types": ["m5.large", "c5.large"]}`)
		began := time.Now()
		env := allocate(t, d, request("a", def))
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		if got := s.machine(t, env.Identifier); got.Type != "c5.large" {
			t.Errorf("the type is %s", got.Type)
		}
		if n, refused := s.launches(); n != len(zones)+1 || refused != len(zones) {
			t.Errorf("%d launches, %d refused, want one for each zone of the first type", n, refused)
		}
		allocate(t, d, request("b", def))
		if n, refused := s.launches(); n != len(zones)+2 || refused != len(zones) {
			t.Errorf("%d launches, %d refused: the dry zones are asked again at once", n, refused)
		}
		time.Sleep(defaultDryPause + time.Minute)
		s.cloud.SetCapacity(zones[0], "m5.large", fakeec2.OnDemand, 5)
		if env := allocate(t, d, request("c", def)); s.machine(t, env.Identifier).Type != "m5.large" {
			t.Error("the first type is never tried again")
		}
	})
}

// TestNothingToBeHad: when all ways were tried there is an error that says so, and
// no room for more until zones are asked again.
func TestNothingToBeHad(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		for _, zone := range s.cloud.Zones() {
			s.cloud.SetCapacity(zone, "m5.large", fakeec2.OnDemand, 0)
		}
		d := s.settled(t)
		t.Cleanup(func() { _ = d.Close() })
		if n, err := d.Capacity(plain()); n < 1 || err != nil {
			t.Fatalf("Capacity() = %d, %v", n, err)
		}
		req := request("a", plain())
		_, err := d.Allocate(within(t, time.Hour), req)
		if err == nil || !strings.Contains(err.Error(), "no machine to be had in any of 3 ways") || cloud.KindOf(err) != cloud.NoCapacity {
			t.Errorf("Allocate() = %v", err)
		}
		if n, err := d.Capacity(plain()); n != 0 || err == nil || !strings.Contains(err.Error(), "no capacity") {
			t.Errorf("Capacity() = %d, %v, want 0 and why", n, err)
		}
		began := time.Now()
		if err := d.Deallocate(within(t, time.Hour), refTo(req, "")); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("Deallocate took %v, though EC2 said no to everything", took)
		}
	})
}

func TestQuotaIsAnError(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d := s.settled(t)
		t.Cleanup(func() { _ = d.Close() })
		s.cloud.SetQuota("L-1216C47A", 1)
		if _, err := d.Allocate(within(t, time.Hour), request("a", plain())); cloud.KindOf(err) != cloud.Quota {
			t.Errorf("Allocate() = %v, want that of the quota", err)
		}
		if n, err := d.Capacity(plain()); n != 0 || err == nil || !strings.Contains(err.Error(), "quota") {
			t.Errorf("Capacity() = %d, %v, want 0 and why", n, err)
		}
		if n, _ := s.launches(); n != 1 {
			t.Errorf("%d launches, want one: a quota is of the whole account", n)
		}
	})
}

// TestSpot: as often as the label allows, and then on demand, or not at all.
func TestSpot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, spot string
		dry        int // zones without spot capacity
		launches   int
		isSpot     bool
		fails      bool
	}{
		{"the first zone has some", `true`, 0, 1, true, false},
		{"the third zone has some", `true`, 2, 3, true, false},
		{"no zone has any", `true`, 3, 4, false, false},
		{"two attempts", `{"max_attempts": 2}`, 3, 3, false, false},
		{"never on demand", `{"max_attempts": 2, "on_demand": false}`, 3, 2, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *site) {
				for _, zone := range s.cloud.Zones()[:tt.dry] {
					s.cloud.SetCapacity(zone, "m5.large", fakeec2.Spot, 0)
				}
				env, err := s.start(t).Allocate(within(t, time.Hour), request("a",
					definition(`{"image": "ci-linux-*", "instance_type": "m5.large", "spot": `+tt.spot+`}`)))
				if (err != nil) != tt.fails {
					t.Fatalf("Allocate() = %v", err)
				}
				if n, _ := s.launches(); n != tt.launches {
					t.Errorf("%d launches, want %d", n, tt.launches)
				}
				if err == nil && s.machine(t, env.Identifier).Spot != tt.isSpot {
					t.Errorf("spot is %v", !tt.isSpot)
				}
			})
		})
	}
}

// TestSpotInterruption: the node hears of it in words, and nothing is left.
func TestSpotInterruption(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d := s.start(t)
		req := request("a", definition(`{"image": "ci-linux-*", "instance_type": "m5.large", "spot": true}`))
		env := allocate(t, d, req)
		time.AfterFunc(time.Minute, func() { s.cloud.Interrupt(env.Identifier, "no-capacity") })
		began := time.Now()
		ending, err := d.Watch(within(t, time.Hour), refTo(req, env.Identifier))
		if err != nil || !strings.Contains(ending, "took the spot instance back") {
			t.Errorf("Watch() = %q, %v", ending, err)
		}
		if took := time.Since(began); took > 4*time.Minute {
			t.Errorf("it was noticed after %v, two minutes after the notice and a look", took)
		}
		if err := d.Deallocate(within(t, time.Hour), refTo(req, env.Identifier)); err != nil {
			t.Error(err)
		}
		s.wantNothing(t)
	})
}

// TestDiesAtOnce: EC2 says yes, and changes its mind.
func TestDiesAtOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code  string
		fails bool
	}{{"Server.InsufficientInstanceCapacity", false}, {"Client.InvalidKMSKey.InvalidState", true}} {
		t.Run(tt.code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				timing := fakeec2.QuickTiming()
				timing.Address = fakeec2.Fixed(10 * time.Second)
				s := newSiteOf(t, fakeec2.Options{Timing: timing})
				s.cloud.FailNextLaunch(tt.code, "because")
				d, req := s.start(t), request("a", plain())
				_, err := d.Allocate(within(t, time.Hour), req)
				if (err != nil) != tt.fails || err != nil && !strings.Contains(err.Error(), "because") {
					t.Errorf("Allocate() = %v", err)
				}
				if err := d.Deallocate(within(t, time.Hour), refTo(req, "")); err != nil {
					t.Error(err)
				}
				s.wantNothing(t)
			})
		})
	}
}

// TestOutage: of half an hour, in the middle of an allocation and of a removal.
func TestOutage(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d := s.settled(t)
		t.Cleanup(func() { _ = d.Close() })
		const outage = 30 * time.Minute
		s.cloud.Outage(outage)
		time.Sleep(time.Minute)
		began := time.Now()
		req := request("a", plain())
		env := allocate(t, d, req)
		if took := time.Since(began); took < outage-2*time.Minute || took > outage+time.Minute {
			t.Errorf("Allocate() took %v, want at most a minute longer than the outage", took)
		}
		s.cloud.Outage(outage)
		err := d.Deallocate(within(t, time.Minute), refTo(req, env.Identifier))
		if err == nil {
			t.Error("Deallocate() in an outage is done")
		}
		time.Sleep(outage)
		eventually(t, time.Minute, "it is removed", func() bool {
			return d.Deallocate(within(t, time.Minute), refTo(req, env.Identifier)) == nil
		})
		s.wantNothing(t)
	})
}

// TestHost: on the host that the pool gives, and on another one where that
// takes none.
func TestHost(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		pool := s.addHosts(t, 2)
		zone := pool.zone
		pool.ids = append([]string{"h-0000000000000dead"}, pool.ids...)
		d := s.settled(t)
		t.Cleanup(func() { _ = d.Close() })
		def := definition(`{"image": "ci-mac-*", "pool": "mac"}`)
		_, _ = d.Capacity(def)
		time.Sleep(5 * time.Second) // until its type is looked up
		if n, err := d.Capacity(def); n != 3 || err != nil {
			t.Errorf("Capacity() = %d, %v, want the pool's 3", n, err)
		}
		req := request("a", def)
		env := allocate(t, d, req)
		inst := s.machine(t, env.Identifier)
		if inst.HostID != pool.ids[1] || inst.Zone != zone || inst.Tags[cloud.TagPool] != "mac" {
			t.Errorf("it is on %s in %s, want %s, as the first one took none", inst.HostID, inst.Zone, pool.ids[1])
		}
		if !pool.broken[pool.ids[0]] || pool.machines[inst.HostID] != inst.ID {
			t.Errorf("the pool was not told: %v, %v", pool.broken, pool.machines)
		}
		pool.machines = nil
		if again := allocate(t, d, req); again.Identifier != env.Identifier || pool.machines[inst.HostID] != inst.ID {
			t.Errorf("a second Allocate() = %+v, and the pool knows of %v", again, pool.machines)
		}
		if err := d.Deallocate(within(t, time.Hour), refTo(req, env.Identifier)); err != nil {
			t.Error(err)
		}
		if len(pool.reserved) != 0 {
			t.Errorf("hosts are still reserved: %v", pool.reserved)
		}
		for _, wrong := range []string{`{"image": "ci-mac-*", "pool": "none"}`, `{"image": "ci-mac-*", "pool": "mac", "instance_type": "mac1.metal"}`} {
			if n, err := d.Capacity(definition(wrong)); n != 0 || err == nil || !strings.Contains(err.Error(), "option ") {
				t.Errorf("Capacity(%s) = %d, %v, want 0 and why", wrong, n, err)
			}
		}
	})
}

// TestBadCredentials: the instance is not there, and the reason says what to do.
func TestBadCredentials(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		for cfg, want := range map[string]string{
			"": "set key_id and secret_key, or give this machine a role", "key_id: A\nsecret_key: hush\n": "correct key_id and secret_key",
		} {
			s.cfg = cfg
			s.cloud.Inject(fakeec2.Fault{Action: "GetCallerIdentity", Err: cloud.NewError("InvalidClientTokenId", "The token is invalid")})
			o := &opener{accounts: s.accounts, dial: func(context.Context, cloud.Settings) (cloud.API, error) { return s.cloud, nil }}
			if _, err := o.open(t.Context(), s.config("aws", node)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("open() = %v, want %q", err, want)
			}
		}
	})
}

// TestRefusedCredentialsFillNoLog: the reason why the instance is not there is
// told once for each try, by the node, and not by each topic that is asked.
func TestRefusedCredentialsFillNoLog(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		const told = "aws did not answer"
		heal := s.cloud.Inject(fakeec2.Fault{Times: -1, Err: cloud.NewError("InvalidClientTokenId", "The token is invalid")})
		s.hookOf(func(_ context.Context, c fakeec2.Call) error {
			if c.Action == "GetCallerIdentity" && !c.After {
				time.Sleep(time.Second) // all topics fail first
			}
			return nil
		})
		o := &opener{accounts: s.accounts, dial: func(context.Context, cloud.Settings) (cloud.API, error) { return s.cloud, nil }}
		if _, err := o.open(t.Context(), s.config("aws", node)); err == nil || strings.Contains(s.log.String(), told) {
			t.Errorf("open() = %v, and the log has\n%s", err, s.log)
		}
		heal()
		s.cloud.Inject(fakeec2.Fault{Action: "DescribeSubnets", Times: -1, Err: cloud.NewError("UnauthorizedOperation", "You are not authorized")})
		s.start(t)
		time.Sleep(time.Minute)
		if n := strings.Count(s.log.String(), told); n != 1 {
			t.Errorf("what is refused to good credentials is told %d times, want once", n)
		}
	})
}

// TestUnlimitedLifetimeIsTold once, at the start.
func TestUnlimitedLifetimeIsTold(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		s.cfg = "default_lifetime: -1s\n"
		s.start(t)
		if !strings.Contains(s.log.String(), "default_lifetime") {
			t.Errorf("the log does not tell of it: %s", s.log)
		}
	})
}

// TestCloseLeavesEnvironments: and ends everything else.
func TestCloseLeavesEnvironments(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d := s.open(t, "aws", node)
		req := request("a", plain())
		env := allocate(t, d, req)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if _, err := d.Inspect(within(t, time.Minute), refTo(req, "")); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Inspect() of a closed instance = %v, want an error at once", err)
		}
		if got := s.machine(t, env.Identifier); cloud.Gone(got.State) {
			t.Errorf("the machine is %s", got.State)
		}
	})
}
