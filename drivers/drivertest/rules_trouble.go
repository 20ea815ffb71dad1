package drivertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// interrupted looks at each half-made environment in the two ways a restarted
// node may take: throw it away, or go on with it.
func interrupted(b *bench) {
	if len(b.h.Interrupt) == 0 {
		b.Skip("the harness can not leave half-made environments")
	}
	for when, interrupt := range b.h.Interrupt {
		thrown := b.request()
		b.interrupt(interrupt, thrown)
		if p := b.inspect(reference(thrown, "")).Presence; p != drivers.Absent {
			if _, ok := b.listed(thrown.Token); !ok {
				b.Errorf("killed %s: Inspect says %s, but List() does not name it", when, presence(p))
			}
		}
		b.remove(reference(thrown, ""))

		reaped := b.request()
		b.interrupt(interrupt, reaped)
		for _, ref := range b.list() {
			if err := b.deallocate(ref); err != nil {
				b.Errorf("killed %s: Deallocate() of what List() gave = %v, want nil", when, err)
			}
		}
		b.wantAbsent(reference(reaped, ""))

		completed := b.request()
		b.interrupt(interrupt, completed)
		env := b.allocate(completed)
		b.wantRunning(reference(completed, env.Identifier), env)
		b.wantListedOnce(completed.Token)
		b.remove(reference(completed, env.Identifier))
	}
}

// interrupt leaves a half-made environment while no driver is open.
func (b *bench) interrupt(leave func(testing.TB, drivers.Request), req drivers.Request) {
	if err := b.driver.Close(); err != nil {
		b.Errorf("Close() = %v", err)
	}
	b.driver = nil
	leave(b, req)
	b.open()
}

// cancelledAllocate cancels at moments spread over what an allocation takes.
func cancelledAllocate(b *bench) {
	start := time.Now()
	ref, _ := b.allocateNew()
	takes := time.Since(start)
	b.remove(ref)
	const moments = 6
	var gone []drivers.Ref
	for i := range moments {
		req := b.request()
		b.cancelAllocate(req, takes*time.Duration(i)/(moments-1))
		b.remove(reference(req, ""))
		gone = append(gone, reference(req, ""))

		again := b.request()
		b.cancelAllocate(again, takes*time.Duration(i)/(moments-1))
		env := b.allocate(again)
		b.wantRunning(reference(again, env.Identifier), env)
		b.wantListedOnce(again.Token)
		b.remove(reference(again, env.Identifier))
	}
	for _, ref := range gone { // whole allocations later: did anything come back?
		b.wantAbsent(ref)
	}
}

// cancelAllocate starts an allocation and cancels it after a while. Whether it
// was quicker than that is of no interest.
func (b *bench) cancelAllocate(req drivers.Request, after time.Duration) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if after == 0 {
		cancel()
	}
	timer := time.AfterFunc(after, cancel)
	defer timer.Stop()
	defer cancel()
	b.within(fmt.Sprintf("Allocate cancelled after %v", after), func() {
		_, _ = b.driver.Allocate(ctx, req)
	})
}

func cancelledCalls(b *bench) {
	req := b.request()
	env := b.allocate(req)
	ref := reference(req, env.Identifier)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	b.within("Inspect", func() {
		if r, err := b.driver.Inspect(cancelled, ref); err == nil && r.Presence != drivers.Running {
			b.Errorf("Inspect with a cancelled context says %s, want an error or Running", presence(r.Presence))
		}
	})
	b.within("List", func() {
		if refs, err := b.driver.List(cancelled); err == nil && len(refs) != 1 {
			b.Errorf("List with a cancelled context names %d environments, want an error or 1", len(refs))
		}
	})
	b.within("RunTask", func() {
		_, _ = b.driver.RunTask(cancelled, task(ref, b.h.Task, b.h.TaskOptions))
	})
	b.wantRunning(ref, env)
	removed := false
	b.within("Deallocate", func() { removed = b.driver.Deallocate(cancelled, ref) == nil })
	if removed {
		b.wantAbsent(ref)
	}
	b.remove(ref)
}

func neighbourIsLeftAlone(b *bench) {
	if b.h.Neighbour == nil {
		b.Skip("the harness has no neighbour")
	}
	neighbour := b.h.Neighbour(b)
	b.Cleanup(func() {
		if err := neighbour.Close(); err != nil {
			b.Errorf("Close() of the neighbour = %v", err)
		}
	})
	ref, env := b.allocateNew()
	if refs := b.listOf(neighbour); len(refs) != 0 {
		b.Errorf("List() of the neighbour = %v, want nothing", refs)
	}
	ctx, cancel := b.call()
	defer cancel()
	for _, r := range []drivers.Ref{ref, {Token: ref.Token}, {Identifier: ref.Identifier}} {
		if report, err := neighbour.Inspect(ctx, r); err == nil && report.Presence != drivers.Absent {
			b.Errorf("Inspect(%s) by the neighbour says %s, want Absent", name(r), presence(report.Presence))
		}
		if err := neighbour.Deallocate(ctx, r); err != nil {
			b.Errorf("Deallocate(%s) by the neighbour = %v, want nil: nothing of its own exists", name(r), err)
		}
		b.wantRunning(ref, env)
	}
}

func task(ref drivers.Ref, name string, options json.RawMessage) drivers.TaskRequest {
	if len(options) == 0 {
		options = json.RawMessage(`{}`)
	}
	return drivers.TaskRequest{UID: ref.ApplicationUID, Task: name, When: model.StatusAllocated, Options: options, Ref: ref}
}

func unknownTask(b *bench) {
	ref, env := b.allocateNew()
	ctx, cancel := b.call()
	defer cancel()
	requests := []drivers.TaskRequest{task(ref, "no such task", nil), task(ref, "", nil)}
	if b.h.Task != "" {
		requests = append(requests, task(ref, b.h.Task, json.RawMessage(`["not", "an", "object"]`)))
	}
	for _, req := range requests {
		if result, err := b.driver.RunTask(ctx, req); !errors.Is(err, drivers.ErrTaskUnknown) {
			b.Errorf("RunTask(%q, %s) = %s, %v, want ErrTaskUnknown", req.Task, req.Options, result, err)
		}
	}
	b.wantRunning(ref, env)
}

func taskResult(b *bench) {
	if b.h.Task == "" {
		b.Skip("the harness names no task")
	}
	ref, _ := b.allocateNew()
	ctx, cancel := b.call()
	defer cancel()
	for range 2 { // the same task again, as after a crash
		result, err := b.driver.RunTask(ctx, task(ref, b.h.Task, b.h.TaskOptions))
		if err != nil {
			b.Fatalf("RunTask(%q) = %v", b.h.Task, err)
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(result, &object); err != nil || object == nil {
			b.Errorf("RunTask(%q) = %s, want a JSON object", b.h.Task, result)
		}
	}
}

func watch(b *bench) {
	watcher, ok := b.driver.(drivers.Watcher)
	if !ok {
		b.Skip("the driver is no Watcher")
	}
	ref, env := b.allocateNew()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	b.within("Watch with a cancelled context", func() {
		if ending, err := watcher.Watch(ctx, ref); err == nil {
			b.Errorf("Watch() of a running environment = %q, nil, want an error", ending)
		}
	})
	b.wantRunning(ref, env)
	if b.h.End == nil {
		b.Fatalf("the driver is a Watcher, but the harness can not end an environment")
	}
	b.h.End(b, env)
	ctx, cancel = b.call()
	defer cancel()
	ending, err := watcher.Watch(ctx, ref)
	if err != nil || ending == "" {
		b.Errorf("Watch() of an ended environment = %q, %v, want how it ended", ending, err)
	}
	if report := b.inspect(ref); report.Presence != drivers.Ended || report.Ending != ending {
		b.Errorf("Inspect() after the end says %s, %q, want Ended, %q", presence(report.Presence), report.Ending, ending)
	}
	if _, ok := b.listed(ref.Token); !ok {
		b.Errorf("List() does not name the remains of an ended environment")
	}
	b.remove(ref)
}

func optionalMethods(b *bench) {
	excluder, isExcluder := b.driver.(drivers.Excluder)
	networks, isNetworks := b.driver.(drivers.MetadataNetworks)
	if !isExcluder && !isNetworks {
		b.Skip("the driver has no optional methods")
	}
	if isExcluder {
		first := excluder.Exclusive(b.h.Definition)
		b.allocateNew()
		if diff := cmp.Diff(first, excluder.Exclusive(b.h.Definition)); diff != "" {
			b.Errorf("Exclusive() changed with an allocation (-before +after):\n%s", diff)
		}
	}
	if isNetworks {
		for _, p := range networks.MetadataNetworks() {
			if !p.IsValid() || p.Bits() == 0 {
				b.Errorf("MetadataNetworks() holds %v, want networks smaller than everything", p)
			}
		}
	}
}

// allAtOnce is for the race detector and for deadlocks; each goroutine also
// checks its own story.
func allAtOnce(b *bench) {
	const goroutines, rounds = 4, 3
	stop := make(chan struct{})
	var observers, workers sync.WaitGroup
	observers.Go(func() {
		ctx, cancel := b.call()
		defer cancel()
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond): // leave the workers some of the processor
			}
			if _, err := b.driver.List(ctx); err != nil {
				b.Errorf("List() beside other calls = %v", err)
			}
			_, _ = b.driver.Capacity(b.h.Definition)
		}
	})
	for range goroutines {
		workers.Go(func() {
			for range rounds {
				b.lifeAmongOthers(b.request())
			}
		})
	}
	workers.Wait()
	close(stop)
	observers.Wait()
}

// lifeAmongOthers inspects while it allocates and deallocates twice at once.
// Only Errorf here: it runs beside the test's goroutine.
func (b *bench) lifeAmongOthers(req drivers.Request) {
	ctx, cancel := b.call()
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := b.driver.Inspect(ctx, reference(req, "")); err != nil {
			b.Errorf("Inspect() beside other calls = %v", err)
		}
	})
	env, err := b.driver.Allocate(ctx, req)
	wg.Wait()
	if err != nil {
		b.Errorf("Allocate() beside other calls = %v", err)
		return
	}
	ref := reference(req, env.Identifier)
	for range 2 {
		wg.Go(func() {
			if err := b.driver.Deallocate(ctx, ref); err != nil {
				b.Errorf("Deallocate() beside another = %v, want nil", err)
			}
		})
	}
	wg.Wait()
	if report, err := b.driver.Inspect(ctx, ref); err != nil || report.Presence != drivers.Absent {
		b.Errorf("Inspect() after Deallocate says %s, %v, want Absent", presence(report.Presence), err)
	}
}
