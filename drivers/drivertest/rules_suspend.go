package drivertest

import (
	"context"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// suspend takes one environment through everything that may happen to it while
// it stands still. To the node it runs all the while.
func suspend(b *bench) {
	if _, ok := b.driver.(drivers.Suspender); !ok {
		b.Skip("the driver is no Suspender")
	}
	b.wantNothingToSuspend()
	ref, env := b.allocateNew()
	b.wantStanding(env, false)
	for range 2 { // the second is that of a node which was killed before it had the answer
		b.stand(ref, true)
		b.wantStanding(env, true)
	}
	b.wantRunning(ref, env)
	b.wantListedOnce(ref.Token)
	b.wantNoEnd(ref)

	b.restart()
	b.wantStanding(env, true)
	b.wantRunning(ref, env)
	b.stand(drivers.Ref{Token: ref.Token}, true)
	b.wantStanding(env, true)
	for range 2 {
		b.stand(ref, false)
		b.wantStanding(env, false)
	}
	b.wantRunning(ref, env)
	b.standCancelled(ref)

	b.stand(ref, true)
	b.remove(ref)
}

// stand suspends, or resumes.
func (b *bench) stand(ref drivers.Ref, still bool) {
	b.Helper()
	ctx, cancel := b.call()
	defer cancel()
	if err := change(ctx, b.driver, ref, still); err != nil {
		b.Fatalf("%s(%s) = %v, want nil", changeName(still), name(ref), err)
	}
}

func change(ctx context.Context, d drivers.Driver, ref drivers.Ref, still bool) error {
	suspender, _ := d.(drivers.Suspender)
	if still {
		return suspender.Suspend(ctx, ref)
	}
	return suspender.Resume(ctx, ref)
}

func changeName(still bool) string {
	if still {
		return "Suspend"
	}
	return "Resume"
}

// wantStanding looks outside whether the environment stands still.
func (b *bench) wantStanding(env drivers.Environment, still bool) {
	b.Helper()
	if b.h.Stands == nil {
		return
	}
	if got := b.h.Stands(b, env); got != still {
		b.Errorf("the environment stands still: %v, want %v", got, still)
	}
}

// wantNothingToSuspend: nil says that it stands still, and so that it exists.
func (b *bench) wantNothingToSuspend() {
	b.Helper()
	ctx, cancel := b.call()
	defer cancel()
	absent := reference(b.request(), "")
	for _, still := range []bool{true, false} {
		if err := change(ctx, b.driver, absent, still); err == nil {
			b.Errorf("%s() of what never existed = nil, want an error", changeName(still))
		}
	}
}

// wantNoEnd watches for a moment.
func (b *bench) wantNoEnd(ref drivers.Ref) {
	b.Helper()
	watcher, ok := b.driver.(drivers.Watcher)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	b.within("Watch of what stands still", func() {
		if ending, err := watcher.Watch(ctx, ref); err == nil {
			b.Errorf("Watch() of what stands still = %q, nil, want an error: it did not end", ending)
		}
	})
}

// standCancelled: what a cancelled call has done, if anything, the next ones
// find.
func (b *bench) standCancelled(ref drivers.Ref) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, still := range []bool{true, false} {
		b.within(changeName(still)+" with a cancelled context", func() { _ = change(cancelled, b.driver, ref, still) })
	}
}
