package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

// TestOutage: half an hour without an answer, refused at once or never
// answered. Everything is answered from memory, nothing piles up, and within a
// minute of the end everything is known again.
func TestOutage(t *testing.T) {
	for _, hang := range []bool{false, true} {
		t.Run(fmt.Sprintf("hang=%v", hang), func(t *testing.T) {
			inWorld(t, Options{Brakes: Brakes{MaxInstances: 50}}, func(w *world) { w.outage(hang) })
		})
	}
}

func (w *world) outage(hang bool) {
	w.capacity(large)
	w.pass(time.Minute)
	w.mustLaunch("t-1", Need{Type: large})
	w.pass(time.Minute)
	w.sawRoom()
	before, began := runtime.NumGoroutine(), time.Now()
	heal := w.ec2.Inject(fakeec2.Fault{Times: -1, Hang: hang})

	w.pass(90 * time.Second)
	if a := w.capacity(large); a.N != 49 || a.Age < time.Minute {
		w.Errorf("after 90 s: %+v, want what was known, and its age", a)
	}
	err := w.m.Trouble()
	if trouble := new(Trouble); !errors.As(err, &trouble) || trouble.Since.Sub(began) > time.Minute || !strings.Contains(err.Error(), "eu-central-1") {
		w.Errorf("trouble = %v, want one since the beginning, and where", err)
	}
	var failed int
	for time.Since(began) < 30*time.Minute {
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		if w.m.Fresh(ctx, time.Now()) != nil {
			failed++
		}
		cancel()
		synctest.Wait()
		if n := runtime.NumGoroutine(); n > before+2 { // a timer's goroutine may just be ending
			w.Fatalf("%d goroutines %v after the beginning, %d before", n, time.Since(began), before)
		}
	}
	if failed < 30 {
		w.Errorf("%d who waited were told, want one a minute at least", failed)
	}
	if a := w.capacity(large); a.N != 49 || !a.Stale || a.Age < 29*time.Minute {
		w.Errorf("after half an hour: %+v, want what was known, stale", a)
	}
	if w.sawRoom() {
		w.Error("room was told of in the outage")
	}
	heal()
	healed := time.Now()
	if err := w.m.Fresh(w.Context(), healed); err != nil {
		w.Errorf("after the end: %v", err)
	}
	w.pass(time.Until(healed.Add(time.Minute)))
	if s := w.m.Snapshot(); slices.MinFunc([]time.Time{s.InstancesAsked, s.UseAsked, s.NetworksAsked}, time.Time.Compare).Before(healed) {
		w.Errorf("a minute after the end: %+v", s)
	}
	if a := w.capacity(large); a.Stale || a.N != 49 {
		w.Errorf("a minute after the end: %+v, want it new", a)
	}
	if err := w.m.Trouble(); err != nil {
		w.Errorf("trouble after the end: %v", err)
	}
	if !w.sawRoom() {
		w.Error("nobody was told that there may be room again")
	}
	if n := runtime.NumGoroutine(); n > before+2 {
		w.Errorf("%d goroutines after the end, %d before", n, before)
	}
}

// TestOutageIsToldOnce: neither the log nor the service is flooded.
func TestOutageIsToldOnce(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.pass(time.Minute)
		before := w.ec2.Counts()
		w.ec2.Inject(fakeec2.Fault{Times: -1, Done: true, Err: cloud.NewError("RequestLimitExceeded", "Request limit exceeded.")})
		w.pass(30 * time.Minute)
		for action, n := range w.ec2.Counts() {
			// Between half of the longest pause and all of it, plus the short ones at the start.
			if n -= before[action]; n > 30*60/7*2 {
				w.Errorf("%s was asked %d times while it was throttled", action, n)
			}
		}
	})
}

// TestDeadFromTheStart: nothing was ever answered.
func TestDeadFromTheStart(t *testing.T) {
	inEmptyWorld(t, func(w *world) {
		w.ec2.Outage(10 * time.Minute)
		w.m = w.join(Options{Brakes: Brakes{MaxInstances: 5}})
		w.capacity(large)
		w.pass(time.Minute)
		if a := w.capacity(large); a.N != 0 || !a.Stale || a.Why == "" {
			w.Errorf("answer = %+v, want none, stale, and why", a)
		}
		full := new(Full)
		if err := w.m.Reserve(Need{Token: "t-1", Type: large}); !errors.As(err, &full) {
			w.Errorf("Reserve before anything is known = %v, want it refused", err)
		}
		w.pass(10 * time.Minute)
		w.wantCapacity(5, "max_instances")
	})
}

// TestQuotasDenied: the permission to read quotas is missing. That bounds
// nothing, is no trouble, and is said.
func TestQuotasDenied(t *testing.T) {
	inEmptyWorld(t, func(w *world) {
		w.ec2.Inject(fakeec2.Fault{Action: "ListServiceQuotas", Times: -1, Err: cloud.NewError("AccessDeniedException", "not authorized")})
		w.ec2.SetQuota(stdOnDemand, 0)
		w.m = w.join(Options{})
		w.capacity(large)
		w.pass(time.Minute)
		w.wantCapacity(3*4091, "addresses")
		if a := w.capacity(large); len(a.Unknown) != 1 || !strings.Contains(a.Unknown[0], stdOnDemand) {
			w.Errorf("unknown = %q, want the quota", a.Unknown)
		}
		if err := w.m.Trouble(); err != nil {
			w.Errorf("trouble = %v, want none", err)
		}
		if _, err := w.launch(w.m, "t-1", Need{Type: large}); !cloud.IsKind(err, cloud.Quota) {
			w.Fatalf("launch = %v, want it over the quota", err)
		}
		w.wantCapacity(0, "used up")
		w.pass(exhaustedFor + usePace)
		w.wantCapacity(3*4091, "addresses")
	})
}

// TestQuotaUsedUpByOthers: EC2 refuses before the list of the account shows
// why. Then the list does.
func TestQuotaUsedUpByOthers(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.capacity(large)
		w.pass(5 * time.Second)
		w.ec2.SetQuota(stdOnDemand, 0)
		if _, err := w.launch(w.m, "t-1", Need{Type: large}); !cloud.IsKind(err, cloud.Quota) {
			w.Fatalf("launch = %v, want it over the quota", err)
		}
		w.wantCapacity(0, "used up")
		if a := w.m.Capacity(Question{Types: []string{large}, Spot: true, Hosts: NoHosts}); a.N != 320 {
			w.Errorf("capacity of spot = %+v, want it untouched", a)
		}
		if n := len(w.m.facts.holds); n != 0 {
			w.Errorf("%d holds after a refusal", n)
		}
		w.pass(2 * time.Minute)
		w.wantCapacity(0, "0 of 0 vCPUs")
		w.ec2.SetQuota(stdOnDemand, 10)
		w.sawRoom()
		w.pass(quotasPace)
		w.wantCapacity(5, stdOnDemand)
		if !w.sawRoom() {
			w.Error("nobody was told of the higher quota")
		}
	})
}

func TestDryZone(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.capacity(large)
		w.pass(5 * time.Second)
		first := w.places(w.m, large)[0]
		w.ec2.SetCapacity(first.Zone, large, fakeec2.OnDemand, 0)
		if _, err := w.launch(w.m, "t-1", Need{Type: large}); !cloud.IsKind(err, cloud.NoCapacity) {
			w.Fatalf("launch = %v, want no capacity", err)
		}
		if left := w.places(w.m, large); len(left) != 2 || left[0].Zone == first.Zone || left[1].Zone == first.Zone {
			w.Errorf("candidates = %v, want the other zones", left)
		}
		got := w.mustLaunch("t-2", Need{Type: large})
		if got.Zone == first.Zone {
			w.Errorf("launched in %s, which has no capacity", got.Zone)
		}
		w.sawRoom()
		w.pass(dryPause + networksPace)
		if n := len(w.places(w.m, large)); n != 3 {
			w.Errorf("%d candidates after the pause, want 3", n)
		}
		if !w.sawRoom() {
			w.Error("nobody was told of the zone")
		}
	})
}

// TestTypes: what does not exist hides nothing of what does, and all is asked
// for once.
func TestTypes(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.pass(5 * time.Second)
		names := []string{"c5.large", "c5.lagre", "m5.large", "q1.q", "mac2.metal", "im4gn.large", "nonsense"}
		types, err := w.m.Types(w.Context(), names...)
		if err != nil || len(types) != 4 || types["im4gn.large"].VCPUs != 2 {
			w.Fatalf("types = %v, %v, want the four that exist", types, err)
		}
		before := w.ec2.Counts()["DescribeInstanceTypes"]
		for range 100 {
			w.capacity(names...)
			w.pass(time.Second)
		}
		if _, err := w.m.Types(w.Context(), names...); err != nil {
			w.Error(err)
		}
		if n := w.ec2.Counts()["DescribeInstanceTypes"] - before; n != 0 {
			w.Errorf("%d questions about types that are known", n)
		}
		if a := w.capacity("c5.lagre"); !strings.Contains(a.Why, "no instance type") {
			w.Errorf("answer = %+v, want that there is no such type", a)
		}
		heal := w.ec2.Inject(fakeec2.Fault{Action: "DescribeInstanceTypes", Times: -1})
		if _, err := w.m.Types(w.Context(), "t3.micro"); !errors.Is(err, fakeec2.ErrUnreachable) {
			w.Errorf("Types = %v, want why it was not looked up", err)
		}
		heal()
		w.pass(time.Minute)
		w.ec2.AddType(cloud.InstanceType{Name: "c5.lagre", VCPUs: 2, Architectures: []string{"x86_64"}})
		w.pass(2 * offersPace)
		w.capacity("c5.lagre")
		w.pass(time.Minute)
		if a := w.capacity("c5.lagre"); a.N == 0 {
			w.Errorf("answer = %+v, want that the type exists by now", a)
		}
	})
}

// TestPanic: a client that panics is one that failed.
func TestPanic(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.pass(time.Minute)
		w.api.breakDown(true)
		if err := w.m.Fresh(w.Context(), time.Now()); err == nil || !strings.Contains(err.Error(), "panic") {
			w.Errorf("Fresh = %v, want the panic as an error", err)
		}
		w.api.breakDown(false)
		w.pass(time.Minute)
		if err := w.m.Fresh(w.Context(), time.Now()); err != nil {
			w.Errorf("Fresh = %v after it healed", err)
		}
	})
}

// stuck is an API that answers until it is broken, and never after.
type stuck struct {
	cloud.API
	mu     sync.Mutex
	broken bool
	seen   []cloud.Instance
}

func (s *stuck) Instances(ctx context.Context, _ cloud.Query) ([]cloud.Instance, error) {
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	if broken {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.seen, nil
}

// TestCapacityIsQuick measures in real time: with an API that never answers,
// thousands of instances, and launches that come and go.
func TestCapacityIsQuick(t *testing.T) {
	api := &stuck{API: fakeec2.New(fakeec2.Options{Seed: 1})}
	for i := range 2000 {
		api.seen = append(api.seen, cloud.Instance{ID: fmt.Sprint("i-", i), Type: large, State: cloud.Running,
			Tags: cloud.Tags{cloud.TagNode: node, cloud.TagInstance: inst}})
	}
	var all Accounts
	m, err := all.Join(t.Context(), Options{Settings: cloud.Settings{Region: "eu-central-1"}, NodeUID: node, Instance: inst, Logger: slog.New(slog.DiscardHandler),
		Brakes: Brakes{MaxInstances: 10000, MaxHourlyCost: 10000},
		Dial:   func(context.Context, cloud.Settings) (cloud.API, error) { return api, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Types(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Fresh(t.Context(), time.Now()), m.Networks(t.Context(), time.Now())); err != nil {
		t.Fatal(err)
	}
	api.mu.Lock()
	api.broken = true
	api.mu.Unlock()

	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // launches
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			token := fmt.Sprint("t-", n%5)
			if err := m.Reserve(Need{Token: token, Type: large}); err != nil {
				t.Error(err)
			}
			m.Release(token)
		}
	})
	took := make([]time.Duration, 0, 20000)
	for range cap(took) {
		began := time.Now()
		a := m.Capacity(onDemand(large, "m5.large"))
		took = append(took, time.Since(began))
		if a.Why == "" {
			t.Fatal("no answer")
		}
	}
	close(stop)
	wg.Wait()
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	t.Logf("capacity: p50 %v, p99 %v, max %v", took[len(took)/2], p99, took[len(took)-1])
	most := 5 * time.Millisecond
	if testing.Short() { // with the race detector all is many times slower
		most *= 20
	}
	if p99 >= most {
		t.Errorf("p99 of capacity is %v, want under %v", p99, most)
	}
}
