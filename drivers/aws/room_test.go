package aws

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// openWithRoom is start, with a count of how often the node was told of room.
func (s *site) openWithRoom(t *testing.T) (*driver, *atomic.Int32) {
	t.Helper()
	var told atomic.Int32
	cfg := s.config("aws", node)
	cfg.HasRoom = func() { told.Add(1) }
	o := &opener{accounts: s.accounts, dial: func(context.Context, cloud.Settings) (cloud.API, error) { return s.cloud, nil }}
	d, err := o.open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d.(*driver), &told
}

func wantRoom(t *testing.T, d *driver, def model.LabelDefinition, want int, why string) {
	t.Helper()
	n, err := d.Capacity(def)
	if n != want || (err == nil) != (why == "") || err != nil && !strings.Contains(err.Error(), why) {
		t.Errorf("Capacity = %d, %v, want %d (%s)", n, err, want, why)
	}
}

// TestRoomIsToldOf: a label that nobody has heard of is looked up, and the node
// is told when there is room for it.
func TestRoomIsToldOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		d, told := s.openWithRoom(t)
		time.Sleep(time.Minute)
		told.Store(0)
		wantRoom(t, d, plain(), 0, "m5.large is not looked up yet")
		time.Sleep(5 * time.Second)
		if told.Load() == 0 {
			t.Error("the node was not told that there is room")
		}
		wantRoom(t, d, plain(), 500, "")
		wantRoom(t, d, definition(`{"image": "x", "instance_type": "m5.metal", "zones": ["eu-central-1b"]}`), 0, "not looked up")
		time.Sleep(5 * time.Second)
		wantRoom(t, d, definition(`{"image": "x", "instance_type": "m5.metal", "zones": ["eu-central-1b"]}`), 10, "")
		wantRoom(t, d, definition(`{"image": "x", "instance_type": "mac2.metal", "pool": "mac"}`), 0, "dedicated_pool")
	})
}

// TestNoRoomWhileAWSIsAway: the answer comes from memory, says since when, and
// the node is told when AWS is back. What runs goes on.
func TestNoRoomWhileAWSIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		d, told := s.openWithRoom(t)
		_, _ = d.Capacity(plain())
		time.Sleep(time.Minute)
		env, err := d.Allocate(within(t, time.Minute), request("a", plain()))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s.cloud.Outage(30 * time.Minute)
		began := time.Now()
		time.Sleep(2 * time.Minute)
		told.Store(0)
		wantRoom(t, d, plain(), 0, "does not answer since")
		wantRoom(t, d, plain(), 0, "ago there was room for 499")
		if err := d.Trouble(); err == nil || !strings.Contains(err.Error(), began.UTC().Format("2006-01-02T15")) {
			t.Errorf("Trouble = %v, want since when", err)
		}
		if _, err := d.Inspect(within(t, time.Minute), refTo(request("a", plain()), env.Identifier)); err == nil {
			t.Error("Inspect knows what runs although AWS does not answer")
		}
		time.Sleep(27 * time.Minute)
		if told.Load() > 0 {
			t.Error("the node was told of room while AWS was away")
		}
		time.Sleep(time.Until(began.Add(31 * time.Minute)))
		if told.Load() == 0 {
			t.Error("the node was not told that AWS is back")
		}
		wantRoom(t, d, plain(), 499, "")
		if err := d.Trouble(); err != nil {
			t.Errorf("Trouble = %v after the end", err)
		}
	})
}

// lateHosts is EC2 that does not say what hosts the account has until it may. Those
// of a pool alone, which the pools ask for, it says at once.
type lateHosts struct {
	cloud.API
	may <-chan struct{}
}

func (l lateHosts) Hosts(ctx context.Context, q cloud.Query) ([]cloud.Host, error) {
	if len(q.Filters) == 0 {
		select {
		case <-l.may:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return l.API.Hosts(ctx, q)
}

// TestBrakesBeforeAnythingIsCounted: a launch that goes on in a new process waits
// for what the brakes count, and is not refused for it; nor does a pool take it for a
// limit that was met, which makes a long pause.
func TestBrakesBeforeAnythingIsCounted(t *testing.T) {
	t.Parallel()
	allocate := func(def model.LabelDefinition) func(context.Context, *driver) error {
		return func(ctx context.Context, d *driver) error {
			_, err := d.Allocate(ctx, request("a", def))
			return err
		}
	}
	for name, get := range map[string]func(context.Context, *driver) error{
		"machine": allocate(plain()),
		"mac":     allocate(onMac()),
		"host": func(ctx context.Context, d *driver) error {
			_, _, err := d.hosts.Reserve(ctx, "mac", token("a"), nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				may := make(chan struct{})
				s := newSite(t)
				s.withMacs("")
				s.cfg += "max_hourly_cost: 10\n"
				s.wrap = func(api cloud.API) cloud.API { return lateHosts{api, may} }
				d := s.start(t)
				got := make(chan error, 1)
				go func() { got <- get(within(t, 20*time.Minute), d) }()
				time.Sleep(15 * time.Second)
				synctest.Wait()
				select {
				case err := <-got:
					t.Fatalf("it did not wait for what the brakes count: %v", err)
				default:
				}
				if bills := s.cloud.Billable(); len(bills) > 0 {
					t.Errorf("%v was made before the brakes knew of anything", bills)
				}
				close(may)
				began := time.Now()
				if err := <-got; err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > 5*time.Minute {
					t.Errorf("it took %v after all was counted", took)
				}
			})
		})
	}
}

// TestBrakesOfTheDriver: of many that are allocated at once as many are made as
// the brakes allow, the others fail with the reason, and nothing of them is left.
func TestBrakesOfTheDriver(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, cfg, why string }{
		{"max_instances", "max_instances: 3", "max_instances is 3"},
		{"max_hourly_cost", "max_hourly_cost: 0.3", "max_hourly_cost is 0.30"}, // of 0.096
		{"prices", "max_hourly_cost: 3\nprices: {m5.large: 1}", "max_hourly_cost is 3.00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.cfg = test.cfg
				s.cloud.SetLatency(fakeec2.Range{Max: time.Second})
				d, told := s.openWithRoom(t)
				_, _ = d.Capacity(plain())
				time.Sleep(time.Minute)
				wantRoom(t, d, plain(), 3, "")
				var made, refused atomic.Int32
				var wg sync.WaitGroup
				for i := range 10 {
					wg.Go(func() {
						_, err := d.Allocate(within(t, 5*time.Minute), request(fmt.Sprintf("%x", i), plain()))
						full := new(account.Full)
						switch {
						case err == nil:
							made.Add(1)
						case errors.As(err, &full) && strings.Contains(err.Error(), test.why):
							refused.Add(1)
						default:
							t.Errorf("Allocate = %v, want the brake's reason", err)
						}
					})
				}
				wg.Wait()
				if made.Load() != 3 || refused.Load() != 7 {
					t.Errorf("%d made and %d refused, want 3 and 7", made.Load(), refused.Load())
				}
				wantRoom(t, d, plain(), 0, test.why)
				told.Store(0)
				for i := range 10 {
					if err := d.Deallocate(within(t, time.Hour), refTo(request(fmt.Sprintf("%x", i), plain()), "")); err != nil {
						t.Error(err)
					}
				}
				s.wantNothing(t)
				if told.Load() == 0 {
					t.Error("the node was not told that there is room again")
				}
				wantRoom(t, d, plain(), 3, "")
			})
		})
	}
}

// TestUnknownPrice: the brake is on, and nobody knows what a type costs.
func TestUnknownPrice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.cfg = "max_hourly_cost: 100"
		d, _ := s.openWithRoom(t)
		def := definition(`{"image": "ci-linux-*", "instance_type": "m5.metal"}`)
		_, _ = d.Capacity(def)
		time.Sleep(time.Minute)
		wantRoom(t, d, def, 0, "the price of m5.metal is not known: add it to prices")
		if _, err := d.Allocate(within(t, time.Minute), request("a", def)); err == nil || !strings.Contains(err.Error(), "price of m5.metal") {
			t.Errorf("Allocate = %v, want that the price is not known", err)
		}
		s.wantNothing(t)
	})
}

// TestBrakesAfterARestart: what an earlier process launched counts before any
// list shows it.
func TestBrakesAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.cfg = "max_instances: 1"
		first := s.open(t, "aws", node)
		_, _ = first.Capacity(plain())
		time.Sleep(5 * time.Minute)
		s.cloud.SetLag(fakeec2.Fixed(3 * time.Minute))
		_, err := first.Allocate(within(t, 10*time.Second), request("a", plain()))
		_ = first.Close()
		if err != nil {
			t.Fatal(err)
		}
		d, _ := s.openWithRoom(t)
		_, _ = d.Capacity(plain())
		time.Sleep(10 * time.Second)
		wantRoom(t, d, plain(), 0, "max_instances is 1, and there are 1")
		if _, err := d.Allocate(within(t, time.Minute), request("b", plain())); err == nil || !strings.Contains(err.Error(), "max_instances") {
			t.Errorf("Allocate = %v, want it refused", err)
		}
	})
}

// TestNothingCameOfIt: a launch that never reached EC2 holds its place until
// it is certain that nothing came of it, and no longer.
func TestNothingCameOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.cfg = "max_instances: 1"
		d, told := s.openWithRoom(t)
		_, _ = d.Capacity(plain())
		time.Sleep(time.Minute)
		heal := s.cloud.Inject(fakeec2.Fault{Action: "RunInstances", Times: -1})
		req := request("a", plain())
		if _, err := d.Allocate(within(t, 50*time.Second), req); err == nil {
			t.Fatal("Allocate got a machine from nowhere")
		}
		heal()
		wantRoom(t, d, plain(), 0, "max_instances is 1, and there are 1")
		told.Store(0)
		if err := d.Deallocate(within(t, time.Hour), refTo(req, "")); err != nil {
			t.Fatal(err)
		}
		wantRoom(t, d, plain(), 1, "")
		if told.Load() == 0 {
			t.Error("the node was not told that there is room again")
		}
	})
}

// TestDryZoneIsLeftAlone: the second launch does not begin with the zone in
// which the first one was refused.
func TestDryZoneIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.cfg = "dry_zone_pause: 10m"
		d, _ := s.openWithRoom(t)
		_, _ = d.Capacity(plain())
		time.Sleep(time.Minute)
		s.cloud.SetCapacity("eu-central-1a", "m5.large", fakeec2.OnDemand, 0)
		launch := func(c string) (requests int) {
			before := s.cloud.Counts()["RunInstances"]
			if _, err := d.Allocate(within(t, time.Minute), request(c, plain())); err != nil {
				t.Fatal(err)
			}
			return s.cloud.Counts()["RunInstances"] - before
		}
		if n := launch("a"); n != 2 {
			t.Errorf("%d requests for the first, want one in the dry zone and one elsewhere", n)
		}
		if n := launch("b"); n != 1 {
			t.Errorf("%d requests for the second, want none in the dry zone", n)
		}
		time.Sleep(11 * time.Minute)
		if n := launch("c"); n != 2 {
			t.Errorf("%d requests after the pause, want the zone tried again", n)
		}
	})
}

// TestEndedLongAgo: an environment whose machine ended by itself is gone at
// once, also after EC2's lists are full of others, or do not show it any more.
func TestEndedLongAgo(t *testing.T) {
	t.Parallel()
	for _, later := range []time.Duration{time.Minute, 30 * time.Minute, 90 * time.Minute, 5 * time.Hour} {
		t.Run(later.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				d, _ := s.openWithRoom(t)
				env, err := d.Allocate(within(t, time.Minute), request("a", plain()))
				if err != nil {
					t.Fatal(err)
				}
				s.cloud.ShutDown(env.Identifier)
				time.Sleep(later)
				ref := refTo(request("a", plain()), env.Identifier)
				if later < 2*time.Hour {
					report, err := d.Inspect(within(t, time.Minute), ref)
					if err != nil || report.Ending != "the machine shut itself down" {
						t.Errorf("Inspect = %+v, %v, want how it ended", report, err)
					}
				}
				began := time.Now()
				if err := d.Deallocate(within(t, time.Hour), ref); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("its end took %v to confirm", took)
				}
				s.wantNothing(t)
			})
		})
	}
}

// TestNextQuota: what the quota of one type does not allow, that of the next
// one may: capacity counts on it.
func TestNextQuota(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, types, got string
		requests         int
	}{
		{"of another class", `["p3.2xlarge", "m5.large"]`, "m5.large", 2},
		{"as spot, and then on demand", `["p3.2xlarge", "m5.large"], "spot": true`, "m5.large", 2},
		{"of the same class once", `["p3.2xlarge", "p5.48xlarge", "m5.large"]`, "m5.large", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				d, _ := s.openWithRoom(t)
				def := definition(`{"image": "ci-linux-*", "instance_types": ` + test.types + `}`)
				_, _ = d.Capacity(def)
				time.Sleep(time.Minute)
				if n, err := d.Capacity(def); n < 1 {
					t.Fatalf("Capacity = %d, %v, want room by the last type", n, err)
				}
				before := s.cloud.Counts()["RunInstances"]
				env, err := d.Allocate(within(t, time.Minute), request("a", def))
				if err != nil {
					t.Fatal(err)
				}
				if inst, _ := s.cloud.Instance(env.Identifier); inst.Type != test.got {
					t.Errorf("it is a %s, want %s", inst.Type, test.got)
				}
				if n := s.cloud.Counts()["RunInstances"] - before; n != test.requests {
					t.Errorf("%d requests, want %d: a quota that is used up is asked for once", n, test.requests)
				}
			})
		})
	}
}

// TestNoQuotaAtAll: the error is EC2's own.
func TestNoQuotaAtAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		d, _ := s.openWithRoom(t)
		def := definition(`{"image": "ci-linux-*", "instance_type": "p3.2xlarge"}`)
		if _, err := d.Allocate(within(t, time.Minute), request("a", def)); !cloud.IsKind(err, cloud.Quota) {
			t.Errorf("Allocate = %v, want that there is no quota", err)
		}
		if n := s.cloud.Counts()["RunInstances"]; n != 1 {
			t.Errorf("%d requests, want one for all zones", n)
		}
	})
}

// TestCheaperType: the first type costs too much under the brake, the next one
// does not: capacity counts on it.
func TestCheaperType(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.cfg = "max_hourly_cost: 0.2"
		d, _ := s.openWithRoom(t)
		def := definition(`{"image": "ci-linux-*", "instance_types": ["m5.4xlarge", "m5.metal", "m5.large"]}`)
		_, _ = d.Capacity(def)
		time.Sleep(time.Minute)
		wantRoom(t, d, def, 2, "")
		for _, c := range []string{"a", "b"} {
			env, err := d.Allocate(within(t, time.Minute), request(c, def))
			if err != nil {
				t.Fatal(err)
			}
			if inst, _ := s.cloud.Instance(env.Identifier); inst.Type != "m5.large" {
				t.Errorf("it is a %s, want what is not too much", inst.Type)
			}
		}
		full := new(account.Full)
		if _, err := d.Allocate(within(t, time.Minute), request("c", def)); !errors.As(err, &full) {
			t.Errorf("Allocate = %v, want the brake's reason", err)
		}
		if n := s.cloud.Counts()["RunInstances"]; n != 2 {
			t.Errorf("%d requests, want none that the brake forbids", n)
		}
	})
}

// TestRoomOfAPoolNowhere: a pool whose zones do not offer its type is told of at
// the start, and who asks for a host of it waits with the reason.
func TestRoomOfAPoolNowhere(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		s.cfg = "dedicated_pool: {mac: {type: mac2.metal, zones: [eu-central-1x], max: 1}}\n"
		s.cloud.SetQuota("L-5D8DADF5", 1)
		d := s.start(t)
		time.Sleep(time.Minute)
		wantRoom(t, d, definition(`{"image": "x", "pool": "mac"}`), 0, "eu-central-1x")
		if !strings.Contains(s.log.String(), "a pool has zones that do not offer its type") {
			t.Errorf("the log does not tell: %s", s.log)
		}
	})
}
