package aws

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
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
