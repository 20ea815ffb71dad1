package drivers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// fakeDriver is only told apart and closed here; the rest of the interface is
// of no interest to a registry.
type fakeDriver struct {
	Driver
	name  string
	close func() error
}

func (d *fakeDriver) Close() error {
	if d.close == nil {
		return nil
	}
	return d.close()
}

// always makes a driver at once.
func always(_ context.Context, cfg Config) (Driver, error) {
	return &fakeDriver{name: cfg.Instance}, nil
}

// failing fails the given number of times.
func failing(times int32) func(context.Context, Config) (Driver, error) {
	var calls atomic.Int32
	return func(ctx context.Context, cfg Config) (Driver, error) {
		if calls.Add(1) <= times {
			return nil, errors.New("engine is not running")
		}
		return always(ctx, cfg)
	}
}

type testRegistry struct {
	*Registry
	log *bytes.Buffer // only read while no goroutine of the registry runs
}

func newTestRegistry(t *testing.T, opts Options) testRegistry {
	t.Helper()
	log := new(bytes.Buffer)
	opts.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r, err := NewRegistry(opts)
	if err != nil {
		t.Fatal(err)
	}
	return testRegistry{r, log}
}

// run starts the retry loop and ends it when the test ends.
func (r testRegistry) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v, want nil on cancel", err)
		}
	})
}

func TestNewRegistryRefuses(t *testing.T) {
	factories := []Factory{{Name: "native", New: always}, {Name: "docker", New: always}}
	for _, tt := range []struct {
		name    string
		entries []Entry
		want    string
	}{
		{"unknown driver", []Entry{{Name: "podman", Line: 4}},
			`line 4: drivers[0].name: driver "podman" is not known; known: docker, native`},
		{"unknown driver of an instance", []Entry{{Name: "podman/dev"}},
			`drivers[0].name: driver "podman" is not known`},
		{"duplicate", []Entry{{Name: "docker/a", Line: 2}, {Name: "docker/a", Line: 9}},
			`line 9: drivers[1].name: "docker/a" is already used in line 2`},
		{"empty", []Entry{{Name: ""}}, "is no name"},
		{"empty instance", []Entry{{Name: "docker/"}}, "is no name"},
		{"two slashes", []Entry{{Name: "docker/a/b"}}, "is no name"},
		{"space", []Entry{{Name: "docker/a b"}}, "is no name"},
		{"newline at the end", []Entry{{Name: "docker/a\n"}}, "is no name"},
		{"parent directory", []Entry{{Name: "docker/.."}}, "is no name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewRegistry(Options{Factories: factories, Entries: tt.entries, Logger: slog.Default()})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewRegistry() error = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestNewRegistryReportsAllAtOnce(t *testing.T) {
	_, err := NewRegistry(Options{Factories: []Factory{{Name: "test", New: always}}, Logger: slog.Default(),
		Entries: []Entry{{Name: "a"}, {Name: "test"}, {Name: "b"}}})
	if err == nil || strings.Count(err.Error(), "is not known") != 2 {
		t.Errorf("NewRegistry() error = %v, want both unknown drivers", err)
	}
}

func TestInstancesAreMadeFromTheirEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan Config, 3)
		note := func(ctx context.Context, cfg Config) (Driver, error) {
			got <- cfg
			return always(ctx, cfg)
		}
		r := newTestRegistry(t, Options{
			Factories: []Factory{{Name: "test", New: note}}, Directory: "dir",
			Entries: []Entry{{"test/prod", []byte("a: 1"), 3}, {"test/dev", nil, 5}},
		})
		r.Start(t.Context())
		close(got)
		made := make(map[string]Config)
		for cfg := range got {
			if cfg.Owner("test/pool") != model.NilUID {
				t.Error("somebody owns what nobody was asked about")
			}
			if _, err := cfg.Ask(t.Context(), "test/pool", json.RawMessage(`{}`)); !AskUndone(err) {
				t.Errorf("a question without anybody to ask = %v, want an error after which nothing was done", err)
			}
			if cfg.Rooms != &r.rooms {
				t.Errorf("%s counts room for itself, want one count for all", cfg.Instance)
			}
			changed, stop := r.Subscribe()
			cfg.HasRoom()
			if len(changed) != 1 {
				t.Errorf("%s has room, and nobody is told", cfg.Instance)
			}
			stop()
			if names, whole := cfg.Wanted(); names != nil || whole {
				t.Errorf("Wanted() = %v, %v of a node that says nothing", names, whole)
			}
			if at, retired := cfg.Former.RetiredAt("11111111-2222-4333-8444-555555555555"); retired || !at.IsZero() || cfg.Former.Instance("test/dev") ||
				cfg.Former.Instance("") || !cfg.Former.Instance("test") {
				t.Errorf("of a node that says nothing, with the instances test/dev and test/prod, somebody else is former")
			}
			cfg.Former = Former{}
			cfg.Logger, cfg.Owner, cfg.Ask, cfg.Wanted, cfg.Rooms, cfg.HasRoom = nil, nil, nil, nil, nil, nil
			made[cfg.Instance] = cfg
		}
		want := map[string]Config{
			"test/prod": {Instance: "test/prod", Cfg: []byte("a: 1"), Line: 3, Directory: "dir"},
			"test/dev":  {Instance: "test/dev", Line: 5, Directory: "dir"},
		}
		if diff := cmp.Diff(want, made); diff != "" {
			t.Errorf("configs (-want +got):\n%s", diff)
		}
		d, ok := r.Get("test/dev")
		if !ok || d.(*fakeDriver).name != "test/dev" {
			t.Errorf("Get(test/dev) = %v, %v", d, ok)
		}
		if _, ok := r.Get("test"); ok {
			t.Error("Get(test) found an instance that nobody configured")
		}
		if got := r.Reason("test"); got != "is not configured on this node" {
			t.Errorf("Reason(test) = %q", got)
		}
	})
}

func TestDefaultListDropsQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRegistry(t, Options{Factories: []Factory{{Name: "native", New: always}, {Name: "docker", New: failing(3)}}})
		r.Start(t.Context())
		if strings.Count(r.log.String(), "level=INFO msg=\"driver is not available") != 1 {
			t.Errorf("log = %s, want one info line about docker", r.log)
		}
		r.run(t)
		time.Sleep(time.Hour)
		synctest.Wait()
		if strings.Contains(r.log.String(), "level=WARN") {
			t.Errorf("log = %s, want no warning for a driver that nobody listed", r.log)
		}
		if _, ok := r.Get("docker"); !ok {
			t.Errorf("docker did not come back: %s", r.Reason("docker"))
		}
	})
}

func TestRetryBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		r := newTestRegistry(t, Options{
			Entries: []Entry{{Name: "docker"}},
			Factories: []Factory{{Name: "docker", New: func(ctx context.Context, cfg Config) (Driver, error) {
				at = append(at, time.Since(start))
				if len(at) <= 9 {
					return nil, errors.New("engine is not running")
				}
				return always(ctx, cfg)
			}}},
		})
		r.Start(t.Context())
		r.run(t)
		time.Sleep(time.Hour)
		synctest.Wait()
		seconds := []int{0, 5, 15, 35, 75, 155, 315, 615, 915, 1215}
		var want []time.Duration
		for _, s := range seconds {
			want = append(want, time.Duration(s)*time.Second)
		}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		wantStatus := []InstanceStatus{{Name: "docker", Driver: "docker", State: InstanceReady, Ready: true,
			Since: start.Add(1215 * time.Second), Retries: 9, LastError: "engine is not running"}}
		if diff := cmp.Diff(wantStatus, r.Status()); diff != "" {
			t.Errorf("Status() (-want +got):\n%s", diff)
		}
		if n := strings.Count(r.log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings for one unchanged reason, want 1: %s", n, r.log)
		}
	})
}

// TestStatusOfAFailedInstance looks before the first attempt, after it failed,
// and while it waits for the next.
func TestStatusOfAFailedInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := newTestRegistry(t, Options{
			Entries: []Entry{{Name: "docker/dev"}}, Factories: []Factory{{Name: "docker", New: failing(99)}},
		})
		want := InstanceStatus{Name: "docker/dev", Driver: "docker", State: InstanceStarting, Reason: "is not started yet", Since: start}
		if diff := cmp.Diff([]InstanceStatus{want}, r.Status()); diff != "" {
			t.Errorf("Status() before the start (-want +got):\n%s", diff)
		}
		r.Start(t.Context())
		r.run(t)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		want.State, want.Reason, want.LastError = InstanceFailed, "engine is not running", "engine is not running"
		want.Retries, want.NextRetry = 1, start.Add(15*time.Second)
		if diff := cmp.Diff([]InstanceStatus{want}, r.Status()); diff != "" {
			t.Errorf("Status() after two attempts (-want +got):\n%s", diff)
		}
		if !r.Configured("docker/dev") || r.Configured("docker") {
			t.Errorf("Configured() = %v, %v, want true, false", r.Configured("docker/dev"), r.Configured("docker"))
		}
	})
}

func TestStartIsBounded(t *testing.T) {
	tests := []struct {
		name   string
		make   func(context.Context, Config) (Driver, error)
		reason string
		within time.Duration
	}{
		{"obeys its context", func(ctx context.Context, _ Config) (Driver, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, "context deadline exceeded", 10 * time.Second},
		{"ignores its context", func(context.Context, Config) (Driver, error) {
			time.Sleep(time.Minute)
			return nil, errors.New("late")
		}, "did not answer within 10s", 11 * time.Second},
		{"panics", func(context.Context, Config) (Driver, error) { panic("nil map") }, "panic in the driver: nil map", 0},
		{"answers nothing", func(context.Context, Config) (Driver, error) { return nil, nil },
			"returned neither an instance nor an error", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				r := newTestRegistry(t, Options{Factories: []Factory{{Name: "bad", New: tt.make}, {Name: "good", New: always}},
					Entries: []Entry{{Name: "bad"}, {Name: "good"}}})
				r.Start(t.Context())
				if took := time.Since(start); took > tt.within {
					t.Errorf("Start took %v, want at most %v", took, tt.within)
				}
				if _, ok := r.Get("good"); !ok {
					t.Error("the good instance is absent")
				}
				if got := r.Reason("bad"); got != tt.reason {
					t.Errorf("Reason(bad) = %q, want %q", got, tt.reason)
				}
				time.Sleep(2 * time.Minute) // let the late attempt end
			})
		})
	}
}

func TestHangingAttemptIsNotRepeatedAndMayEndLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		r := newTestRegistry(t, Options{
			Entries: []Entry{{Name: "slow"}},
			Factories: []Factory{{Name: "slow", New: func(ctx context.Context, cfg Config) (Driver, error) {
				calls.Add(1)
				time.Sleep(3 * time.Minute)
				return always(ctx, cfg)
			}}},
		})
		changed, stop := r.Subscribe()
		defer stop()
		r.Start(t.Context())
		r.run(t)
		<-changed
		if _, ok := r.Get("slow"); !ok {
			t.Errorf("Get(slow) found nothing: %s", r.Reason("slow"))
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("New was called %d times, want 1", n)
		}
	})
}

func TestSubscribersGetOneEventEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRegistry(t, Options{Factories: []Factory{{Name: "a", New: always}, {Name: "b", New: always}, {Name: "c", New: failing(1)}}})
		first, stopFirst := r.Subscribe()
		second, stopSecond := r.Subscribe()
		defer stopSecond()
		r.Start(t.Context()) // two become ready, nobody reads: one event
		<-first
		select {
		case <-first:
			t.Error("a second event for what happened before the first was read")
		default:
		}
		stopFirst()
		<-second
		r.run(t)
		<-second // c
		synctest.Wait()
		select {
		case <-first:
			t.Error("an event after the subscription was stopped")
		default:
		}
	})
}

func TestCloseIsBoundedAndNamesWhoHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closing := func(f func() error) func(context.Context, Config) (Driver, error) {
			return func(_ context.Context, cfg Config) (Driver, error) {
				return &fakeDriver{name: cfg.Instance, close: f}, nil
			}
		}
		r := newTestRegistry(t, Options{Factories: []Factory{
			{Name: "good", New: always},
			{Name: "error", New: closing(func() error { return errors.New("socket is gone") })},
			{Name: "panic", New: closing(func() error { panic("nil map") })},
			{Name: "hangs", New: closing(func() error { time.Sleep(time.Hour); return nil })},
		}})
		r.Start(t.Context())
		start := time.Now()
		err := r.Close()
		if took := time.Since(start); took != DefaultCloseTimeout {
			t.Errorf("Close took %v, want %v", took, DefaultCloseTimeout)
		}
		for _, want := range []string{"error: socket is gone", "panic: panic in the driver: nil map", "hangs: no answer within 5s"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Close() = %v, want %q in it", err, want)
			}
		}
		if _, ok := r.Get("good"); ok {
			t.Error("Get found an instance after Close")
		}
		if err := r.Close(); err != nil {
			t.Errorf("second Close() = %v, want nil", err)
		}
		time.Sleep(2 * time.Hour)
	})
}

func TestCloseClosesWhatArrivesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Bool
		r := newTestRegistry(t, Options{Factories: []Factory{{Name: "slow", New: func(context.Context, Config) (Driver, error) {
			time.Sleep(time.Minute)
			return &fakeDriver{close: func() error { closed.Store(true); return nil }}, nil
		}}}})
		r.Start(t.Context())
		if err := r.Close(); err == nil || !strings.Contains(err.Error(), "driver slow has not ended") {
			t.Errorf("Close() = %v, want the attempt in flight named", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !closed.Load() {
			t.Error("an instance that arrived after Close was left open")
		}
	})
}

func TestStoppingIsNoFaultOfADriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := newTestRegistry(t, Options{Factories: []Factory{{Name: "slow", New: func(context.Context, Config) (Driver, error) {
			time.Sleep(time.Minute)
			return nil, errors.New("no engine")
		}}}})
		go cancel()
		start := time.Now()
		r.Start(ctx)
		if took := time.Since(start); took != 0 {
			t.Errorf("Start took %v after its context was cancelled, want 0", took)
		}
		if got := r.Reason("slow"); got != "is not started yet" {
			t.Errorf("Reason(slow) = %q", got)
		}
		time.Sleep(time.Hour)
	})
}

// TestDriversThatTheBinaryLacks: a config may list them, their instances are
// absent for good and say so, and nobody gets them without asking.
func TestDriversThatTheBinaryLacks(t *testing.T) {
	factories := []Factory{{Name: "native", New: always}, {Name: "docker", Absent: "this build has no docker driver yet"}}
	synctest.Test(t, func(t *testing.T) {
		r := newTestRegistry(t, Options{Factories: factories, Entries: []Entry{{Name: "docker/a"}, {Name: "docker"}, {Name: "native"}}})
		r.Start(t.Context())
		r.run(t)
		time.Sleep(time.Hour)
		var got []InstanceStatus
		for _, s := range r.Status() {
			got = append(got, InstanceStatus{Name: s.Name, State: s.State, Reason: s.Reason, Retries: s.Retries, NextRetry: s.NextRetry})
		}
		const reason = "this build has no docker driver yet"
		want := []InstanceStatus{
			{Name: "docker", State: InstanceFailed, Reason: reason}, {Name: "docker/a", State: InstanceFailed, Reason: reason},
			{Name: "native", State: InstanceReady},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		if r.Configured("docker") || !r.Configured("native") {
			t.Error("Configured() does not tell a driver that will never be ready")
		}
		if _, ok := r.Get("docker"); ok || r.Reason("docker") != reason {
			t.Errorf("Get found it, or the reason is %q", r.Reason("docker"))
		}
	})
	r := newTestRegistry(t, Options{Factories: factories})
	if got := r.Status(); len(got) != 1 || got[0].Name != "native" {
		t.Errorf("the default list is %+v, want native alone", got)
	}
}
