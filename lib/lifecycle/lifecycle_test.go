package lifecycle_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// inBubble runs a test of a farm in fake time.
func inBubble(t *testing.T, test func(t *testing.T, f *farm)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t)
		defer func() { f.stop() }() // the newest one
		test(t, f)
	})
}

// TestTellsOfTheProxy: a driver is told where the proxy listens when it makes an
// environment, and what the environment is to say there.
func TestTellsOfTheProxy(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		var address netip.AddrPort
		f.options = func(o *lifecycle.Options, _ *election.Options) {
			o.Proxy = func() (netip.AddrPort, bool) { return address, address.IsValid() }
		}
		f.start()
		label := f.label()
		told := func() (metadata.Proxy, model.Allocation) {
			app := f.apply(label)
			f.wantDescription(app, model.StatusAllocated, "Driver allocated the resource")
			a := f.entry(app).Allocations[0]
			f.recall(app)
			f.wantDescription(app, model.StatusDeallocated, "Driver deallocated the resource")
			f.world.mu.Lock()
			defer f.world.mu.Unlock()
			return f.world.proxies[a.Token], a
		}
		if got, _ := told(); got != (metadata.Proxy{}) {
			t.Errorf("the driver was told of a proxy that does not listen: %v", got.Listener)
		}
		address = netip.MustParseAddrPort("[::]:1080")
		got, a := told()
		user, password, _ := a.ProxyCredential()
		if want := (metadata.Proxy{Listener: address, User: user, Password: password}); got != want || user == "" {
			t.Errorf("the driver was told %+v, want %+v", got, want)
		}
	})
}

// TestReservedKeys: the Resource has nothing of what is written in the node's
// name, and the allocation all of it, as the node reads there what a label wants.
func TestReservedKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		label, err := f.store.CreateLabel(t.Context(), model.Label{
			Name: "recorded", Definitions: []model.LabelDefinition{definition(1, 1, "")},
			Metadata: json.RawMessage(`{"AQUARIUM_FISH_SSH_RECORD":true,"B":2}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		e, err := f.store.CreateApplication(t.Context(), model.Application{
			LabelUID: label.UID, OwnerName: "u", Metadata: json.RawMessage(`{"AQUARIUM_FISH_SSH_RECORD":false,"AQUARIUM_FISH_SOCKS_PROXY":"evil","A":1}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		f.wantDescription(e.Application.UID, model.StatusAllocated, "Driver allocated the resource")
		e = f.entry(e.Application.UID)
		if got, want := string(e.Resource.Metadata), `{"A":1,"B":2}`; got != want {
			t.Errorf("the resource has %s, want %s", got, want)
		}
		if !metadata.SSHRecord(e.Allocations[0].LabelMetadata) {
			t.Errorf("the allocation does not say that sessions are recorded: %s", e.Allocations[0].LabelMetadata)
		}
	})
}

func TestWholeLife(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		before := time.Now()
		app := f.apply(f.label())
		f.wantDescription(app, model.StatusAllocated, "Driver allocated the resource")
		if took := time.Since(before); took != 0 {
			t.Errorf("it took %v although nothing had to be waited for", took)
		}
		r := f.entry(app).Resource
		if r == nil || r.NodeUID != self || string(r.Metadata) != `{"A":1,"B":2}` || !strings.HasPrefix(r.Identifier, "env-") {
			t.Errorf("resource is %+v", r)
		}
		f.recall(app)
		f.wantDescription(app, model.StatusDeallocated, "Driver deallocated the resource")
		if f.entry(app).Resource != nil {
			t.Error("the resource outlives its application")
		}
		f.wantNothingLeft()
	})
}

func TestRecallBeforeAnythingFits(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.script(func() { f.driver.capacity = 0 })
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusNew)
		f.recall(app)
		f.want(app, model.StatusRecalled)
		if !f.entry(app).Fold.Closed {
			t.Error("a recalled application without a grant must be closed")
		}
		f.wantNothingLeft()
	})
}

func TestRecallDuringAllocationIsNeverLost(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.script(func() { f.driver.after = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() } })
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusElected)
		f.recall(app)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

func TestRecallThatTheDriverDoesNotNotice(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		// The driver finishes although it was told to stop: the resource must
		// not come alive behind the user's back (contract 27.3).
		f.script(func() { f.driver.after = func(context.Context) error { time.Sleep(time.Minute); return nil } })
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusElected)
		f.recall(app)
		f.want(app, model.StatusRecalled)
		time.Sleep(time.Minute)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

func TestDriverError(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.driver.after = func(context.Context) error { return errors.New("no luck") } // made, but said no
		f.start()
		app := f.apply(f.label())
		f.wantDescription(app, model.StatusError, "Driver allocate resource error:no luck")
		f.wantNothingLeft()
	})
}

func TestAllocateTimeout(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.script(func() { f.driver.after = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() } })
		f.start()
		app := f.apply(f.label())
		time.Sleep(9 * time.Minute)
		f.want(app, model.StatusElected)
		time.Sleep(2 * time.Minute)
		f.wantDescription(app, model.StatusError, "Driver allocate resource error:not done within allocate_timeout 10m0s")
		f.wantNothingLeft()
	})
}

func TestDeallocationIsRetriedUntilItIsConfirmed(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.script(func() {
			f.driver.before = func(_ context.Context, call string) error {
				if call == "deallocate" {
					return errors.New("still there")
				}
				return nil
			}
		})
		f.recall(app)
		time.Sleep(24 * time.Hour)
		f.want(app, model.StatusDeallocate)
		if err := f.ledger.Fits(f.claim(1), capacity.Offer{Limits: drivers.Limits{CPU: 1}, Free: 1}); err == nil {
			t.Error("room was given back before the driver confirmed")
		}
		f.script(func() { f.driver.before = nil })
		time.Sleep(time.Minute)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

func TestMetadataThatIsNoObject(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		label := f.label()
		e, err := f.store.CreateApplication(context.Background(), model.Application{
			LabelUID: label.UID, Metadata: json.RawMessage(`[1]`),
		})
		if err != nil {
			t.Fatal(err)
		}
		app := e.Application.UID
		f.want(app, model.StatusError)
		n := 0
		for _, s := range f.entry(app).States {
			if strings.HasPrefix(s.Description, "Unable to parse the app metadata:") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d states say what is wrong, want 1", n)
		}
		f.wantNothingLeft()
	})
}

func TestLifetime(t *testing.T) {
	tests := []struct {
		name     string
		lifetime string
		fallback time.Duration
		instance time.Duration // the instance's default; 0: none, negative: for ever
		want     time.Duration // 0 = lives on
	}{
		{"the label's", "8s", time.Hour, 0, 8 * time.Second},
		{"the node's default", "", time.Hour, 0, time.Hour},
		{"zero is the default", "0", time.Hour, 0, time.Hour},
		{"negative is unlimited", "-1s", time.Hour, time.Hour, 0},
		{"no default is unlimited", "", 0, 0, 0},
		{"the instance's default", "", 0, 2 * time.Hour, 2 * time.Hour},
		{"the instance's before the node's", "0", time.Hour, 2 * time.Hour, 2 * time.Hour},
		{"the label's before the instance's", "8s", time.Hour, 2 * time.Hour, 8 * time.Second},
		{"the instance says for ever", "", time.Hour, -1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(_ *testing.T, f *farm) {
				f.options = func(o *lifecycle.Options, _ *election.Options) {
					o.DefaultLifetime = tt.fallback
					o.InstanceLifetime = func(string) (time.Duration, bool) { return max(tt.instance, 0), tt.instance != 0 }
				}
				f.start()
				app := f.apply(f.label(definition(1, 1, tt.lifetime)))
				f.want(app, model.StatusAllocated)
				if tt.want == 0 {
					time.Sleep(50 * time.Hour)
					f.want(app, model.StatusAllocated)
					return
				}
				time.Sleep(tt.want - time.Millisecond)
				f.want(app, model.StatusAllocated)
				time.Sleep(time.Millisecond)
				f.wantDescription(app, model.StatusDeallocated, "Resource lifetime timeout reached:"+tt.want.String())
				f.wantNothingLeft()
			})
		})
	}
}

func TestLifetimeCountsAcrossRestarts(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label(definition(1, 1, "1h")))
		f.want(app, model.StatusAllocated)
		f.stop()
		time.Sleep(50 * time.Minute)
		f.start()
		f.want(app, model.StatusAllocated)
		time.Sleep(10 * time.Minute)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

func TestLifetimeCountsSleepOfTheMachine(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		var slept atomic.Int64
		start := time.Now()
		f.boot = func() time.Duration { return time.Since(start) + time.Duration(slept.Load()) }
		f.start()
		app := f.apply(f.label(definition(1, 1, "1h")))
		f.want(app, model.StatusAllocated)
		slept.Store(int64(2 * time.Hour)) // the lid was closed: timers stood still
		time.Sleep(30 * time.Second)
		f.want(app, model.StatusDeallocated)
	})
}

func TestEnvironmentThatEndsByItself(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.world.end(f.entry(app).Resource.Identifier, "exit code 3")
		f.wantDescription(app, model.StatusDeallocated, "Environment ended by itself: exit code 3")
		f.wantNothingLeft()
	})
}

func TestTasks(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		now := f.task(app, "snapshot", model.StatusAllocated)
		last := f.task(app, "snapshot", model.StatusDeallocate)
		unknown := f.task(app, "dance", model.StatusAllocated)
		odd := f.task(app, "snapshot", "SOMETIME")
		synctest.Wait()
		if got := f.result(app, now); got != `{"when":"ALLOCATED"}` {
			t.Errorf("ALLOCATED task yielded %s", got)
		}
		if got := f.result(app, unknown); got != `{"error":"task not available in driver"}` {
			t.Errorf("unknown task yielded %s", got)
		}
		if got := f.result(app, last); got != `{}` {
			t.Errorf("DEALLOCATE task yielded %s before its time", got)
		}
		f.recall(app)
		f.want(app, model.StatusDeallocated)
		if got := f.result(app, last); got != `{"when":"DEALLOCATE"}` {
			t.Errorf("DEALLOCATE task yielded %s", got)
		}
		if got := f.result(app, odd); !strings.HasPrefix(got, `{"error":`) {
			t.Errorf("a task whose time never comes yielded %s", got)
		}
		if got := f.world.done(); len(got) != 2 || got[1] != "snapshot at DEALLOCATE with 1" {
			t.Errorf("tasks done: %q, want the second before the environment goes", got)
		}
		f.wantNothingLeft()
	})
}

func TestTaskThatFailsEndsWithTheTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.script(func() {
			f.driver.before = func(_ context.Context, call string) error {
				if call == "task" {
					return errors.New("disk is on fire")
				}
				return nil
			}
		})
		task := f.task(app, "snapshot", model.StatusDeallocate)
		f.recall(app)
		time.Sleep(50 * time.Minute)
		f.want(app, model.StatusDeallocate)
		time.Sleep(11 * time.Minute)
		f.want(app, model.StatusDeallocated)
		if got := f.result(app, task); !strings.HasPrefix(got, `{"error":`) {
			t.Errorf("task yielded %s", got)
		}
		f.wantNothingLeft()
	})
}

func TestTaskOfAnEndedApplicationEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.recall(app)
		f.want(app, model.StatusDeallocated)
		task := f.task(app, "snapshot", model.StatusAllocated)
		synctest.Wait()
		if got := f.result(app, task); !strings.HasPrefix(got, `{"error":`) {
			t.Errorf("task yielded %s", got)
		}
	})
}

func (f *farm) claim(cpu uint) capacity.Claim {
	return capacity.Claim{Instance: "test", CPU: cpu, RAM: 1}
}
