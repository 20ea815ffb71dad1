package aws

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

// TestLeakOfAMachineWithoutAddress: the original gave up on a machine that had
// no address in a minute, forgot it, and launched another one. Here it is the
// same machine that goes on, and goes.
func TestLeakOfAMachineWithoutAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		timing := fakeec2.QuickTiming()
		timing.Address = fakeec2.Fixed(3 * time.Minute)
		s := newSiteOf(t, fakeec2.Options{Timing: timing})
		s.cfg = "address_wait: 1m\n"
		time.Sleep(10 * time.Minute)
		d, req := s.start(t), request("a", plain())
		_, err := d.Allocate(within(t, time.Hour), req)
		if err == nil || !strings.Contains(err.Error(), "no address 1m0s after its launch") {
			t.Fatalf("Allocate() = %v", err)
		}
		if refs, err := d.List(within(t, time.Minute)); err != nil || len(refs) != 1 || refs[0].Identifier == "" {
			t.Errorf("List() = %v, %v, want the machine", refs, err)
		}
		time.Sleep(3 * time.Minute)
		env := allocate(t, d, req)
		if n := s.everMade(); n != 1 || env.IPAddr == "" {
			t.Errorf("%d machines were made, the environment is %+v", n, env)
		}
		if err := d.Deallocate(within(t, time.Hour), drivers.Ref{Token: req.Token}); err != nil {
			t.Error(err)
		}
		s.wantNothing(t)
	})
}

// TestLeakOfACrashAfterTheLaunch: the original knew nothing of a machine whose
// launch was not answered, and had no mark on it. Here the next process finds
// the same machine, before any list shows it.
func TestLeakOfACrashAfterTheLaunch(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		p := s.boot(t)
		s.cloud.SetLag(fakeec2.Fixed(4 * time.Minute))
		s.hookOf(func(_ context.Context, c fakeec2.Call) error {
			if c.Action == "RunInstances" && c.After {
				p.count(1, kill)
			}
			return p.point("after the launch")
		})
		req := request("a", plain())
		if _, err := p.driver.Allocate(p.ctx, req); err == nil {
			t.Fatal("the process was not killed")
		}
		p.end()
		p = s.boot(t)
		defer p.end()
		report, err := p.driver.Inspect(within(t, time.Minute), refTo(req, ""))
		if err != nil || report.Presence != drivers.Partial {
			t.Errorf("Inspect() = %+v, %v, want Partial", report, err)
		}
		began := time.Now()
		env := allocate(t, p.driver, req)
		if n := s.everMade(); n != 1 || time.Since(began) > time.Minute {
			t.Errorf("%d machines were made in %v", n, time.Since(began))
		}
		if inst := s.machine(t, env.Identifier); inst.Tags[cloud.TagToken] != req.Token {
			t.Errorf("it has no mark: %v", inst.Tags)
		}
	})
}

// TestLeakOfARestartWhileItIsRemoved: the original forgot what was on its way
// out when it was started again. Here it is named until it is gone.
func TestLeakOfARestartWhileItIsRemoved(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		p := s.boot(t)
		req := request("a", plain())
		env := allocate(t, p.driver, req)
		s.hookOf(func(_ context.Context, c fakeec2.Call) error {
			if c.Action == "TerminateInstances" {
				p.count(1, kill)
			}
			return p.point("before the end")
		})
		if err := p.driver.Deallocate(p.ctx, refTo(req, env.Identifier)); err == nil {
			t.Fatal("the process was not killed")
		}
		p.end()
		p = s.boot(t)
		defer p.end()
		refs, err := p.driver.List(within(t, time.Minute))
		if err != nil || len(refs) != 1 || refs[0].Token != req.Token || refs[0].Identifier != env.Identifier || refs[0].ApplicationUID != req.ApplicationUID {
			t.Fatalf("List() = %v, %v, want what is to be removed", refs, err)
		}
		if _, err := p.driver.Allocate(within(t, time.Minute), req); err == nil {
			t.Error("Allocate() of what is being removed is no error")
		}
		if err := p.driver.Deallocate(within(t, time.Hour), refs[0]); err != nil {
			t.Error(err)
		}
		s.wantNothing(t)
	})
}

// TestLeakOfARemovalThatGivesUp: the original took "not found" for a failure, and
// forgot the machine after ten failures. Here what EC2 does not know any more
// is gone, and nothing else is.
func TestLeakOfARemovalThatGivesUp(t *testing.T) {
	t.Parallel()
	t.Run("not found is gone", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			timing := fakeec2.QuickTiming()
			timing.Listed = fakeec2.Fixed(time.Minute)
			s := newSiteOf(t, fakeec2.Options{Timing: timing})
			p := s.boot(t)
			req := request("a", plain())
			env := allocate(t, p.driver, req)
			p.end()
			s.cloud.ShutDown(env.Identifier)
			time.Sleep(2 * time.Hour)
			p = s.boot(t)
			defer p.end()
			began := time.Now()
			if err := p.driver.Deallocate(within(t, time.Hour), refTo(req, env.Identifier)); err != nil || time.Since(began) > time.Minute {
				t.Errorf("Deallocate() = %v after %v, want nil at once", err, time.Since(began))
			}
		})
	})
	t.Run("nothing else is", func(t *testing.T) {
		t.Parallel()
		inBubble(t, func(t *testing.T, s *site) {
			d, req := s.start(t), request("a", plain())
			env := allocate(t, d, req)
			heal := s.cloud.Inject(fakeec2.Fault{Action: "TerminateInstances", Times: -1, Err: cloud.NewError("UnauthorizedOperation", "no")})
			for range 20 {
				if err := d.Deallocate(within(t, time.Minute), refTo(req, env.Identifier)); err == nil {
					t.Fatal("Deallocate() is done, and the machine runs")
				}
				time.Sleep(10 * time.Second)
			}
			heal()
			if err := d.Deallocate(within(t, time.Hour), refTo(req, env.Identifier)); err != nil {
				t.Error(err)
			}
			s.wantNothing(t)
		})
	})
}

// TestNewestAnswerMayBeLate: right after a launch lists do not show the machine;
// that is neither its absence nor its end.
func TestNewestAnswerMayBeLate(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d, req := s.start(t), request("a", plain())
		s.cloud.SetLag(fakeec2.Fixed(4 * time.Minute))
		env := allocate(t, d, req)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		if ending, err := d.Watch(ctx, refTo(req, env.Identifier)); err == nil {
			t.Errorf("Watch() = %q", ending)
		}
		if report, err := d.Inspect(within(t, 10*time.Minute), refTo(req, "")); err != nil || report.Presence != drivers.Running {
			t.Errorf("Inspect() = %+v, %v", report, err)
		}
	})
}

// TestVanished: what is not even listed any more has ended, and not before lists
// had time to settle.
func TestVanished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		timing := fakeec2.QuickTiming()
		timing.Listed = fakeec2.Fixed(time.Second)
		s := newSiteOf(t, fakeec2.Options{Timing: timing})
		p := s.boot(t)
		req := request("a", plain())
		env := allocate(t, p.driver, req)
		time.Sleep(time.Hour)
		p.end()
		s.cloud.ShutDown(env.Identifier)
		time.Sleep(20 * time.Minute)
		p = s.boot(t) // which never saw it end
		defer p.end()
		began := time.Now()
		ending, err := p.driver.Watch(within(t, time.Hour), refTo(req, env.Identifier))
		if err != nil || ending != notThere || time.Since(began) < cloud.Settled || time.Since(began) > cloud.Settled+time.Minute {
			t.Errorf("Watch() = %q, %v after %v", ending, err, time.Since(began))
		}
	})
}

// TestAdopted: a machine of v0.7, which carries no mark, is removed by its id
// alone; one that carries somebody's mark is not.
func TestAdopted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		s.v07 = true
		old := s.foreign(t, "old", nil)
		theirs := s.foreign(t, "theirs", cloud.Tags{cloud.TagNode: stranger.String(), cloud.TagInstance: "aws", cloud.TagToken: token("f")})
		d := s.start(t)
		ref := drivers.Ref{Identifier: old, Definition: plain()}
		report, err := d.Inspect(within(t, time.Minute), ref)
		if err != nil || report.Presence != drivers.Running || report.Environment.Identifier != old || report.Environment.IPAddr == "" {
			t.Errorf("Inspect() = %+v, %v", report, err)
		}
		if refs, err := d.List(within(t, time.Minute)); err != nil || len(refs) != 0 {
			t.Errorf("List() = %v, %v: it is nobody's to the reaper", refs, err)
		}
		for _, ref := range []drivers.Ref{{Identifier: theirs}, {Token: token("f")}, {Token: token("f"), Identifier: theirs}, {Token: token("e"), Identifier: old}} {
			if err := d.Deallocate(within(t, time.Hour), ref); err != nil {
				t.Errorf("Deallocate(%v) = %v", ref, err)
			}
		}
		for _, id := range []string{old, theirs} {
			if got := s.machine(t, id); cloud.Gone(got.State) {
				t.Errorf("%s is %s: it was not to be touched", id, got.State)
			}
		}
		for range 2 {
			if err := d.Deallocate(within(t, time.Hour), ref); err != nil {
				t.Error(err)
			}
		}
		if got := s.machine(t, old); !cloud.Gone(got.State) {
			t.Errorf("%s is %s", old, got.State)
		}
		if report, err := d.Inspect(within(t, time.Minute), ref); err != nil || report.Presence != drivers.Absent {
			t.Errorf("Inspect() of what is gone = %+v, %v", report, err)
		}
	})
}

// foreign launches a machine that no driver of the test made.
func (s *site) foreign(t testing.TB, clientToken string, tags cloud.Tags) string {
	t.Helper()
	images, err := s.cloud.Images(t.Context(), []string{"self"}, cloud.Where("name", "ci-linux-*"))
	if err != nil || len(images) == 0 {
		t.Fatal(images, err)
	}
	subnets, err := s.cloud.Subnets(t.Context(), cloud.Query{})
	if err != nil {
		t.Fatal(err)
	}
	inst, err := s.cloud.RunInstance(t.Context(), cloud.Launch{
		ClientToken: clientToken, ImageID: images[0].ID, Type: "m5.large", SubnetID: subnets[0].ID, Tags: tags,
	})
	if err != nil {
		t.Fatal(err)
	}
	return inst.ID
}

// TestSurplus: the intents are lost in the middle of a launch, and the next
// process launches in another zone. The environment keeps one machine.
func TestSurplus(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		s.cloud.SetLag(fakeec2.Fixed(4 * time.Minute))
		p := s.boot(t)
		req := request("a", plain())
		first := allocate(t, p.driver, req)
		p.end()
		s.dir = t.TempDir()
		s.cloud.SetOffered("m5.large", s.machine(t, first.Identifier).Zone, false)
		p = s.boot(t)
		defer p.end()
		env := allocate(t, p.driver, req)
		if n := s.everMade(); n != 2 {
			t.Fatalf("%d machines were made, want a second one", n)
		}
		s.useFor(t, p.driver, refTo(req, env.Identifier), 10*time.Minute)
	})
}

// TestLostIntentIsTakenUp: where lists show the machine, it is taken up.
func TestLostIntentIsTakenUp(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		p := s.boot(t)
		req := request("a", plain())
		first := allocate(t, p.driver, req)
		p.end()
		s.dir = t.TempDir()
		p = s.boot(t)
		defer p.end()
		if report, err := p.driver.Inspect(within(t, time.Hour), refTo(req, "")); err != nil || report.Presence != drivers.Running {
			t.Errorf("Inspect() = %+v, %v", report, err)
		}
		if env := allocate(t, p.driver, req); env.Identifier != first.Identifier {
			t.Errorf("it is another machine: %s, and was %s", env.Identifier, first.Identifier)
		}
	})
}

// TestUnreadableIntent: a file that the disk has spoilt, or a later version has
// written, is an intent all the same, and is removed with what the tags tell of.
func TestUnreadableIntent(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"spoilt": "{\x00", "of a later version": `{"version": 99}`} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *site) {
				d, req := s.start(t), request("a", plain())
				env := allocate(t, d, req)
				if err := os.WriteFile(d.ledger.path(req.Token), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				old := time.Now()
				if err := os.Chtimes(d.ledger.path(req.Token), old, old); err != nil { // in the time of the bubble
					t.Fatal(err)
				}
				if refs, err := d.List(within(t, time.Minute)); err != nil || len(refs) != 1 || refs[0].Token != req.Token || refs[0].Identifier != env.Identifier {
					t.Errorf("List() = %v, %v", refs, err)
				}
				if err := d.Deallocate(within(t, time.Hour), refTo(req, "")); err != nil {
					t.Error(err)
				}
				s.wantNothing(t)
				if refs, err := d.List(within(t, time.Minute)); err != nil || len(refs) != 0 {
					t.Errorf("List() = %v, %v", refs, err)
				}
			})
		})
	}
}

// TestAnotherAccount: what was made with other credentials, or in another
// region, is not taken for gone because these do not see it, however long they look.
func TestAnotherAccount(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]struct{ account, region string }{
		"account": {"222222222222", "eu-central-1"}, "region": {"123456789012", "eu-west-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, s *site) {
				p := s.boot(t)
				req := request("a", plain())
				env := allocate(t, p.driver, req)
				p.end()
				there := newSiteOf(t, fakeec2.Options{Timing: fakeec2.QuickTiming(), Account: other.account, Seed: 2})
				there.dir, there.cfg = s.dir, "region: "+other.region+"\n"
				d, ref := there.start(t), refTo(req, env.Identifier)
				began := time.Now()
				_, inspected := d.Inspect(within(t, time.Hour), ref)
				ending, watched := d.Watch(within(t, time.Hour), ref)
				_, again := d.Allocate(within(t, time.Hour), req)
				for what, err := range map[string]error{
					"Inspect": inspected, "Watch": watched, "Allocate": again, "Deallocate": d.Deallocate(within(t, time.Hour), ref),
				} {
					if err == nil || !strings.Contains(err.Error(), "it was made in account 123456789012, region eu-central-1") {
						t.Errorf("%s() = %v (ending %q)", what, err, ending)
					}
				}
				if took := time.Since(began); took > time.Minute {
					t.Errorf("it took %v to say so", took)
				}
				if refs, err := d.List(within(t, time.Minute)); err != nil || len(refs) != 1 {
					t.Errorf("List() = %v, %v, want it named still", refs, err)
				}
				if n := there.everMade(); n != 0 {
					t.Errorf("%d machines were made there", n)
				}
			})
		})
	}
}

// TestFullDisk: nothing is launched that could not be written down, and what
// runs is removed all the same.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d, req := s.start(t), request("a", plain())
		env := allocate(t, d, req)
		d.ledger.write = func(string, []byte, os.FileMode) error { return os.ErrPermission }
		if _, err := d.Allocate(within(t, time.Minute), request("b", plain())); err == nil {
			t.Error("Allocate() without an intent is no error")
		}
		if n := s.everMade(); n != 1 {
			t.Errorf("%d machines were made, want 1", n)
		}
		if err := d.Deallocate(within(t, time.Hour), refTo(req, env.Identifier)); err != nil {
			t.Error(err)
		}
		s.wantNothing(t)
	})
}

// TestRemainingDisk: one that the end of its machine did not remove goes too,
// and is listed until then.
func TestRemainingDisk(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d, req := s.start(t), request("a", plain())
		env := allocate(t, d, req)
		tags := cloud.Tags{cloud.TagNode: node.String(), cloud.TagInstance: "aws", cloud.TagToken: req.Token}
		s.cloud.AddImage(fakeec2.ImageSpec{Name: "leaky", Remains: []string{"/dev/sda1"}})
		images, _ := s.cloud.Images(t.Context(), []string{"self"}, cloud.Where("name", "leaky"))
		subnets, _ := s.cloud.Subnets(t.Context(), cloud.Query{})
		other, err := s.cloud.RunInstance(t.Context(), cloud.Launch{ClientToken: "x", ImageID: images[0].ID, Type: "m5.large", SubnetID: subnets[0].ID, Tags: tags})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Deallocate(within(t, time.Hour), refTo(req, env.Identifier)); err != nil {
			t.Error(err)
		}
		if got := s.machine(t, other.ID); !cloud.Gone(got.State) {
			t.Errorf("the other machine of the token is %s", got.State)
		}
		s.wantNothing(t)
	})
}

// TestTagsTakenAway: somebody removed the marks of a machine that an intent
// names. It goes all the same, and that is seen.
func TestTagsTakenAway(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d, req := s.start(t), request("a", plain())
		env := allocate(t, d, req)
		time.Sleep(10 * time.Minute)
		nothing := cloud.Tags{cloud.TagNode: "", cloud.TagInstance: "", cloud.TagToken: ""}
		ids := []string{env.Identifier}
		for _, id := range s.machine(t, env.Identifier).Volumes {
			ids = append(ids, id)
		}
		if err := s.cloud.CreateTags(t.Context(), ids, nothing); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := d.Deallocate(within(t, time.Hour), refTo(req, env.Identifier)); err != nil || time.Since(began) > time.Minute {
			t.Errorf("Deallocate() = %v after %v", err, time.Since(began))
		}
		s.wantNothing(t)
	})
}

// TestPurposes: what pools and tasks make beside environments is not listed, and
// not removed with one.
func TestPurposes(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d := s.start(t)
		scrub := s.foreign(t, "scrub", cloud.Tags{
			cloud.TagNode: node.String(), cloud.TagInstance: "aws", cloud.TagPurpose: cloud.PurposeScrub, cloud.TagToken: token("a"),
		})
		if refs, err := d.List(within(t, time.Minute)); err != nil || len(refs) != 0 {
			t.Errorf("List() = %v, %v", refs, err)
		}
		for _, ref := range []drivers.Ref{{Token: token("a")}, {Identifier: scrub}} {
			if err := d.Deallocate(within(t, time.Hour), ref); err != nil {
				t.Error(err)
			}
		}
		if got := s.machine(t, scrub); cloud.Gone(got.State) {
			t.Errorf("it is %s", got.State)
		}
	})
}
