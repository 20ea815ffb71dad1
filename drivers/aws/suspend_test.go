package aws

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// inSleep is on an account with the times of AWS, and lists that lag behind,
// with an environment that may hibernate.
func inSleep(t *testing.T, test func(t *testing.T, b *taskBed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &taskBed{site: newSiteOf(t, fakeec2.Options{Seed: 5, Unthrottled: true})}
		time.Sleep(10 * time.Minute)
		b.cloud.SetLag(fakeec2.Range{Max: 30 * time.Second})
		b.d = b.start(t)
		b.req = request("a", definition(`{"image": "ci-linux-*", "instance_type": "m5.large", "hibernate": true}`))
		b.env = allocate(t, b.d, b.req)
		test(t, b)
	})
}

func (b *taskBed) ref() drivers.Ref { return refTo(b.req, b.env.Identifier) }

// wantNoEnd watches for a while.
func (b *taskBed) wantNoEnd(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	if ending, err := b.d.Watch(ctx, b.ref()); err == nil {
		t.Errorf("Watch() = %q, want no end", ending)
	}
	if report, err := b.d.Inspect(within(t, time.Hour), b.ref()); err != nil || report.Presence != drivers.Running {
		t.Errorf("Inspect() = %v, %v, want it running", report, err)
	}
}

// TestSuspend: right after its start, when it is not ready yet; over a restart;
// and on with its memory. What somebody stops afterwards has ended.
func TestSuspend(t *testing.T) {
	t.Parallel()
	inSleep(t, func(t *testing.T, b *taskBed) {
		if err := b.d.Suspend(within(t, time.Hour), b.ref()); err != nil {
			t.Fatalf("Suspend() = %v", err)
		}
		if inst := b.machine(t, b.env.Identifier); inst.State != cloud.Stopped || !hibernated(inst.Reason) {
			t.Errorf("machine is %s for %v", inst.State, inst.Reason)
		}
		b.wantNoEnd(t)
		_ = b.d.Close()
		b.d = b.start(t)
		b.wantNoEnd(t)
		if err := b.d.Resume(within(t, time.Hour), b.ref()); err != nil {
			t.Fatalf("Resume() = %v", err)
		}
		guest, _ := b.cloud.Guest(b.env.Identifier)
		if inst := b.machine(t, b.env.Identifier); inst.State != cloud.Running || guest.Resumes != 1 || guest.Boots != 1 {
			t.Errorf("machine is %s after %d boots, %d resumes", inst.State, guest.Boots, guest.Resumes)
		}
		b.wantNoEnd(t)
		if err := b.cloud.StopInstance(t.Context(), b.env.Identifier, cloud.Stop{}); err != nil {
			t.Fatal(err)
		}
		ending, err := b.d.Watch(within(t, time.Hour), b.ref())
		if err != nil || !strings.Contains(ending, "was stopped") {
			t.Errorf("Watch() = %q, %v, want that somebody stopped it", ending, err)
		}
		time.Sleep(time.Minute) // until all lists tell
		if err := b.d.Resume(within(t, time.Hour), b.ref()); !errors.Is(err, errNotRunning) {
			t.Errorf("Resume() of what ended = %v", err)
		}
	})
}

// TestResumeWithoutCapacity: it goes on standing still, says why, and runs when
// there is room.
func TestResumeWithoutCapacity(t *testing.T) {
	t.Parallel()
	inSleep(t, func(t *testing.T, b *taskBed) {
		if err := b.d.Suspend(within(t, time.Hour), b.ref()); err != nil {
			t.Fatalf("Suspend() = %v", err)
		}
		zone := b.machine(t, b.env.Identifier).Zone
		b.cloud.SetCapacity(zone, "m5.large", fakeec2.OnDemand, 0)
		began := time.Now()
		err := b.d.Resume(within(t, time.Hour), b.ref())
		if err == nil || !strings.Contains(err.Error(), "InsufficientInstanceCapacity") || time.Since(began) > 2*time.Minute {
			t.Errorf("Resume() = %v after %v, want the reason", err, time.Since(began))
		}
		b.wantNoEnd(t)
		b.cloud.SetCapacity(zone, "m5.large", fakeec2.OnDemand, 100)
		if err := b.d.Resume(within(t, time.Hour), b.ref()); err != nil {
			t.Errorf("Resume() = %v", err)
		}
		b.wantNoEnd(t)
	})
}

// TestMemoryLost: where EC2 shut the machine down instead the task says so, and the
// environment is still there.
func TestMemoryLost(t *testing.T) {
	t.Parallel()
	inSleep(t, func(t *testing.T, b *taskBed) {
		b.cloud.FailHibernations(1)
		for range 2 {
			err := b.d.Suspend(within(t, time.Hour), b.ref())
			if !errors.Is(err, drivers.ErrTaskUnknown) || !strings.Contains(err.Error(), "could not keep the machine's memory") {
				t.Errorf("Suspend() = %v", err)
			}
		}
		if !strings.Contains(b.log.String(), "EC2 shut it down") {
			t.Error("the log does not tell")
		}
		b.wantNoEnd(t)
		if err := b.d.Resume(within(t, time.Hour), b.ref()); err != nil {
			t.Errorf("Resume() = %v", err)
		}
	})
}

// TestNoHibernation: without the option there is no suspending, and nothing is stopped.
func TestNoHibernation(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d := s.start(t)
		req := request("a", plain())
		env := allocate(t, d, req)
		err := d.Suspend(within(t, time.Hour), refTo(req, env.Identifier))
		if !errors.Is(err, drivers.ErrTaskUnknown) || !strings.Contains(err.Error(), "hibernate") {
			t.Errorf("Suspend() = %v", err)
		}
		if err := d.Resume(within(t, time.Hour), refTo(req, env.Identifier)); err != nil {
			t.Errorf("Resume() of what runs = %v", err)
		}
		s.awaitState(t, env.Identifier, cloud.Running)
	})
}

// TestSuspendDenied: a machine that goes on running is no one that stands still
// when somebody else stops it.
func TestSuspendDenied(t *testing.T) {
	t.Parallel()
	inSleep(t, func(t *testing.T, b *taskBed) {
		b.site.awaitState(t, b.env.Identifier, cloud.Running)
		b.cloud.Inject(fakeec2.Fault{Action: "StopInstances", Err: cloud.NewError("UnauthorizedOperation", "not allowed")})
		if err := b.d.Suspend(within(t, time.Hour), b.ref()); !cloud.IsKind(err, cloud.Denied) {
			t.Errorf("Suspend() = %v", err)
		}
		time.Sleep(cloud.Settled)
		if err := b.cloud.StopInstance(t.Context(), b.env.Identifier, cloud.Stop{}); err != nil {
			t.Fatal(err)
		}
		if ending, err := b.d.Watch(within(t, time.Hour), b.ref()); err != nil || !strings.Contains(ending, "was stopped") {
			t.Errorf("Watch() = %q, %v, want that somebody stopped it", ending, err)
		}
	})
}

// TestSuspendCrashMatrix kills the node at every point of Suspend and of Resume, or
// loses a reply. To the next process the environment has not ended, whatever
// lists show; the task is done again, or the environment is removed.
func TestSuspendCrashMatrix(t *testing.T) {
	t.Parallel()
	for _, still := range []bool{true, false} {
		for _, do := range []damage{kill, lose} {
			t.Run(fmt.Sprint(still, " ", do), func(t *testing.T) {
				t.Parallel()
				points := standCrash(t, still, "nothing", 0)
				for n, name := range points {
					if !needs.Long() && (strings.Contains(name, "Describe") && n%10 > 0 || testing.Short() && n%3 > 0) {
						continue
					}
					standCrash(t, still, do, n+1)
				}
				t.Logf("%d points", len(points))
			})
		}
	}
}

// standCrash is one case. It returns the points there were.
func standCrash(t *testing.T, still bool, do damage, point int) (points []string) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteOf(t, fakeec2.Options{Seed: uint64(point), Unthrottled: true})
		time.Sleep(3 * time.Minute)
		p := s.boot(t)
		defer func() { p.end() }()
		req := request("a", definition(`{"image": "ci-linux-*", "instance_type": "m5.large", "hibernate": true}`))
		env, err := p.driver.Allocate(p.ctx, req)
		if err != nil {
			t.Fatalf("Allocate() = %v", err)
		}
		time.Sleep(10 * time.Minute)
		s.cloud.SetLag(fakeec2.Range{Max: time.Minute})
		if !still {
			if err := p.driver.Suspend(p.ctx, refTo(req, env.Identifier)); err != nil {
				t.Fatalf("Suspend() = %v", err)
			}
			time.Sleep(2 * time.Minute)
		}
		change := func(d *driver, ctx context.Context) error {
			if still {
				return d.Suspend(ctx, refTo(req, env.Identifier))
			}
			return d.Resume(ctx, refTo(req, env.Identifier))
		}
		p.count(point, do)
		_ = change(p.driver, p.ctx)
		points = p.passed()
		p.count(0, "")
		if do == kill {
			p.end()
			p = s.boot(t)
		}
		ctx := within(t, 5*time.Hour)
		if report, err := p.driver.Inspect(ctx, refTo(req, env.Identifier)); err != nil || report.Presence != drivers.Running {
			t.Errorf("after %s at %d: Inspect() = %v, %v", do, point, report, err)
		}
		if point%2 == 0 {
			b := &taskBed{site: s, d: p.driver, req: req, env: env}
			for tries := 0; ; tries++ {
				if err := change(p.driver, ctx); err == nil {
					break
				} else if tries > 20 {
					t.Fatalf("after %s at %d: %v", do, point, err)
				}
			}
			want := cloud.Running
			if still {
				want = cloud.Stopped
			}
			s.awaitState(t, env.Identifier, want)
			b.wantNoEnd(t)
		}
		if err := p.driver.Deallocate(ctx, refTo(req, env.Identifier)); err != nil {
			t.Errorf("Deallocate() = %v", err)
		}
		time.Sleep(2 * time.Minute)
		s.wantNothing(t)
	})
	return points
}

// TestRootHoldsMemory: a label that can not hibernate is refused before anything
// is launched.
func TestRootHoldsMemory(t *testing.T) {
	t.Parallel()
	large := cloud.InstanceType{Name: "x.large", MemoryMB: 32 << 10, Hibernation: true}
	image := cloud.Image{ID: "ami-1", RootDevice: "/dev/xvda", Disks: []cloud.ImageDisk{{Device: "/dev/xvda", SizeGB: 8}}}
	for _, tt := range []struct {
		name   string
		change func(kind *cloud.InstanceType, o *options)
		want   string
	}{
		{"small root", func(*cloud.InstanceType, *options) {}, "the root disk 8 GB: give the label a larger disk of the name /dev/xvda"},
		{"large root", func(_ *cloud.InstanceType, o *options) { o.disks = []diskOptions{{device: "/dev/xvda", sizeGB: 40}} }, ""},
		{"small memory", func(kind *cloud.InstanceType, _ *options) { kind.MemoryMB = 8 << 10 }, ""},
		{"not asked for", func(_ *cloud.InstanceType, o *options) { o.hibernate = false }, ""},
		{"bare metal", func(kind *cloud.InstanceType, _ *options) { kind.BareMetal = true }, "can not hibernate"},
		{"too much memory", func(kind *cloud.InstanceType, _ *options) { kind.MemoryMB = 150 << 10 }, "less than 150"},
	} {
		kind, o := large, options{hibernate: true}
		tt.change(&kind, &o)
		err := checkType(kind, o, image)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: checkType() = %v, want %q", tt.name, err, tt.want)
		}
	}
}
