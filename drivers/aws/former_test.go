package aws

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// belief is what a node knows of others, and of its own past; a test may change it.
type belief struct {
	mu         sync.Mutex
	retired    map[model.UID]time.Time
	configured map[string]bool
	kept       map[string]bool // allocations of any instance
	whole      bool
	owner      model.UID
}

func (b *belief) change(what func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	what()
}

// believe gives the site's nodes a belief, and its things to look after.
func (s *site) believe(cfg string) *belief {
	b := &belief{retired: map[model.UID]time.Time{}, configured: map[string]bool{"aws": true}, kept: map[string]bool{}, whole: true}
	wanted := func() (map[string]bool, bool) { b.mu.Lock(); defer b.mu.Unlock(); return b.kept, b.whole }
	s.cfg, s.sweeps, s.wanted = cfg, sweepPeriod, wanted
	s.owner = func(string) model.UID { b.mu.Lock(); defer b.mu.Unlock(); return b.owner }
	s.former = drivers.Former{
		Retired: func(node model.UID) (time.Time, bool) {
			b.mu.Lock()
			defer b.mu.Unlock()
			at, retired := b.retired[node]
			return at, retired
		},
		Configured: func(instance string) bool { b.mu.Lock(); defer b.mu.Unlock(); return b.configured[instance] },
		Wanted:     func(string) (map[string]bool, bool) { return wanted() },
	}
	return b
}

// estateOf is one thing of each kind that a node's instance leaves behind.
type estateOf struct{ machine, scrub, step, result, host string }

// leave has a node's instance make its things, and end.
func (s *site) leave(t testing.TB, instance string, of model.UID, c string) estateOf {
	t.Helper()
	sweeps := s.sweeps
	s.sweeps = 0
	d := s.open(t, instance, of)
	s.sweeps = sweeps
	env := allocate(t, d, request(c, plain()))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	tags := func(purpose string) cloud.Tags {
		return cloud.Tags{
			cloud.TagNode: of.String(), cloud.TagInstance: instance, cloud.TagPurpose: purpose,
			cloud.TagLease: time.Now().Add(30 * time.Minute).UTC().Format(time.RFC3339),
		}
	}
	pooled := tags(cloud.PurposePool)
	pooled[cloud.TagPool] = "m2"
	return estateOf{
		machine: env.Identifier, scrub: s.foreign(t, "scrub"+c, tags(cloud.PurposeScrub)),
		step: s.cloud.AddSnapshot(fakeec2.SnapshotSpec{SizeGB: 1, Tags: tags(cloud.PurposeStep)}), result: s.cloud.AddSnapshot(fakeec2.SnapshotSpec{SizeGB: 1, Tags: tags(cloud.PurposeTask)}),
		host: s.cloud.AddHost(fakeec2.HostSpec{Type: "mac2.metal", Zone: "eu-central-1a", Age: 48 * time.Hour, Tags: pooled}),
	}
}

// left are the kinds of an estate that are there.
func (s *site) left(e estateOf) string {
	var left []string
	for _, one := range []struct{ what, id string }{{"machine", e.machine}, {"scrub", e.scrub}} {
		if inst, is := s.cloud.Instance(one.id); is && !cloud.Gone(inst.State) {
			left = append(left, one.what)
		}
	}
	for _, one := range []struct{ what, id string }{{"step", e.step}, {"result", e.result}} {
		if _, is := s.cloud.Snapshot(one.id); is {
			left = append(left, one.what)
		}
	}
	if h, is := s.cloud.Host(e.host); is && !h.Released() {
		left = append(left, "host")
	}
	return strings.Join(left, " ")
}

const (
	allOfIt = "machine scrub step result host"
	told    = "things of a retired node are paid for"
	toldRun = "a retired node runs"
)

func (s *site) wantLeft(t testing.TB, when string, e estateOf, want string) {
	t.Helper()
	if got := s.left(e); got != want {
		t.Errorf("%s there is %q, want %q", when, got, want)
	}
}

func (s *site) wantTold(t testing.TB, text string, want int) {
	t.Helper()
	if n := strings.Count(s.log.String(), text); n != want {
		t.Errorf("%q is told %d times, want %d", text, n, want)
	}
}

// TestLeakOfARetiredNode: a node is retired, which ends its applications, and
// what it had made stayed for ever, as it carries another node's mark. A node that
// is there takes it, after a while; results stay.
func TestLeakOfARetiredNode(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		b := s.believe("orphan_hosts: release\n")
		e := s.leave(t, "aws/eu", stranger, "b")
		d := s.start(t)
		b.change(func() { b.kept = map[string]bool{token("a"): true} })
		env := allocate(t, d, request("a", plain()))
		time.Sleep(3 * time.Hour)
		s.wantLeft(t, "while the node is only away", e, allOfIt)
		if plan := command[view.Sweeping](t, d, view.SweepPlan, `{}`); len(plan.Strays) > 0 {
			t.Errorf("of a node that is only away a sweep would take %v", results(plan))
		}
		b.change(func() { b.retired[stranger] = time.Now() })
		time.Sleep(retiredGrace - time.Minute)
		s.wantLeft(t, "soon after it was retired", e, allOfIt)
		for _, one := range command[view.Account](t, d, view.Status, `{}`).Things {
			if is := one.Node == stranger.String(); one.Retired != is || one.RetiredAt.IsZero() == is {
				t.Errorf("%s %s is shown as %+v", one.Kind, one.ID, one.Owner)
			}
		}
		eventually(t, retiredGrace+2*formerPeriod, "what the retired node left is gone", func() bool { return s.left(e) == "result" })
		s.wantTold(t, told, 1)
		if inst := s.machine(t, env.Identifier); inst.State != cloud.Running {
			t.Errorf("the machine of the node that is there is %s", inst.State)
		}
	})
}

// TestARetiredNodesThingsStay: what may be in use, or is not known well, is left to
// a person, who sees it.
func TestARetiredNodesThingsStay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, cfg string
		also      func(t *testing.T, s *site, b *belief) // after the retirement
		left      string                                 // after some hours
		run       int                                    // how often it is told that it runs
		swept     string                                 // what is left after `aws sweep --confirm`, and after --forgotten
		forgotten string
	}{
		{"hosts are reported only", "", func(*testing.T, *site, *belief) {}, "result host", 0, "result", "result"},
		{"it runs behind a partition, or in another cluster", "orphan_hosts: release\n", func(t *testing.T, s *site, _ *belief) {
			time.Sleep(20 * time.Minute)
			s.foreign(t, "later", cloud.Tags{cloud.TagNode: stranger.String(), cloud.TagInstance: "aws/eu", cloud.TagPurpose: cloud.PurposeWork})
		}, allOfIt, 1, allOfIt, "result"},
		{"it runs, though what showed it has ended", "orphan_hosts: release\n", func(t *testing.T, s *site, _ *belief) {
			time.Sleep(20 * time.Minute)
			later := s.foreign(t, "later", cloud.Tags{cloud.TagNode: stranger.String(), cloud.TagInstance: "aws/eu", cloud.TagPurpose: cloud.PurposeWork})
			time.Sleep(formerPeriod + sweepPeriod) // it is seen
			if err := s.cloud.TerminateInstances(t.Context(), []string{later}); err != nil {
				t.Fatal(err)
			}
		}, allOfIt, 1, allOfIt, "result"},
		{"the database of who looks was restored", "orphan_hosts: release\n", func(_ *testing.T, _ *site, b *belief) { b.change(func() { b.whole = false }) },
			allOfIt, 0, allOfIt, "result"},
		{"it is not known when it was retired", "orphan_hosts: release\n", func(_ *testing.T, _ *site, b *belief) {
			b.change(func() { b.retired[stranger] = time.Time{} })
		}, allOfIt, 0, allOfIt, "result"},
		{"its pool is run by another node", "orphan_hosts: release\n", func(_ *testing.T, _ *site, b *belief) { b.change(func() { b.owner = someNode }) },
			"result host", 0, "result host", "result host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, s *site) {
				b := s.believe(tt.cfg)
				e := s.leave(t, "aws/eu", stranger, "b")
				d := s.start(t)
				time.Sleep(time.Hour)
				b.change(func() { b.retired[stranger] = time.Now() })
				tt.also(t, s, b)
				time.Sleep(4 * time.Hour)
				s.wantLeft(t, "after some hours", e, tt.left)
				s.wantTold(t, toldRun, tt.run)
				sweep := func(forgotten string) {
					time.Sleep(time.Minute)
					command[view.Sweeping](t, d, view.Sweep, `{"ids":["`+e.machine+`","`+e.scrub+`","`+e.step+`","`+e.result+`","`+e.host+`"],"forgotten":`+forgotten+`}`)
				}
				sweep("false")
				s.wantLeft(t, "after a sweep", e, tt.swept)
				sweep("true")
				s.wantLeft(t, "after a sweep with --forgotten", e, tt.forgotten)
			})
		})
	}
}

// TestMoments: nodes and instances that are started together do not look at the
// same time.
func TestMoments(t *testing.T) {
	minutes := map[time.Duration]int{}
	for range 300 {
		d := &driver{node: uuid.New(), instance: "aws", began: time.Now()}
		after := d.moment().Sub(d.began)
		if after < 0 || after >= formerPeriod {
			t.Fatalf("it looks %v after its start", after)
		}
		minutes[after.Truncate(time.Minute)]++
	}
	for minute, n := range minutes {
		if n > 60 {
			t.Errorf("%d of 300 look %v after their start", n, minute)
		}
	}
}

// TestLeakOfAFormerInstance: an instance leaves the configuration, or is renamed,
// and nobody looked for what it had made. What an allocation is for stays.
func TestLeakOfAFormerInstance(t *testing.T) {
	t.Parallel()
	for cfg, last := range map[string]string{"": "result host", "orphan_hosts: release\n": "result"} {
		t.Run("cfg "+strings.TrimSpace(cfg), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, s *site) {
				b := s.believe(cfg)
				b.kept[token("b")], b.configured["aws/old"] = true, true
				e := s.leave(t, "aws/old", node, "b")
				d := s.start(t)
				time.Sleep(3 * time.Hour)
				s.wantLeft(t, "of an instance that is not ready", e, allOfIt)
				b.change(func() { b.configured["aws/old"] = false })
				time.Sleep(3 * time.Hour)
				s.wantLeft(t, "while an allocation is for the machine", e, "machine "+last)
				shown := false
				for _, one := range command[view.Account](t, d, view.Status, `{}`).Things {
					shown = shown || one.ID == e.machine && one.Former && !one.Mine
				}
				if !shown {
					t.Error("the machine is not shown as of an instance that is not configured")
				}
				b.change(func() { b.kept = nil }) // nothing is known for a moment
				time.Sleep(3 * time.Hour)
				b.change(func() { b.kept, b.whole = map[string]bool{}, false })
				time.Sleep(3 * time.Hour)
				s.wantLeft(t, "while it is not known what is kept", e, "machine "+last)
				b.change(func() { b.whole = true })
				eventually(t, 3*formerPeriod, "the machine is gone", func() bool { return s.left(e) == last })
				time.Sleep(3 * time.Hour)
				if n := strings.Count(s.log.String(), "things of an instance that is not configured any more are paid for"); n < 1 || n > 2 { // once more where something new came of it
					t.Errorf("it is told %d times in a day", n)
				}
				for _, one := range command[view.Sweeping](t, d, view.SweepPlan, `{}`).Strays {
					command[view.Sweeping](t, d, view.Sweep, `{"ids":["`+one.ID+`"]}`)
				}
				s.wantLeft(t, "after a sweep", e, "result")
			})
		})
	}
}

// TestLeakOfAnOldPool: hosts with v0.7's tags whose pool nobody is configured for
// were paid for without a word. They have no node's mark, so they are told of, once a day, and
// given back only to who configures the pool.
func TestLeakOfAnOldPool(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		const text = "hosts of a pool that is configured nowhere"
		b := s.believe("orphan_hosts: release\n")
		for _, tags := range []cloud.Tags{{cloud.TagOldPool: "mac"}, {cloud.TagOldPoolPrefix + "mac": ""}} {
			s.cloud.AddHost(fakeec2.HostSpec{Type: "mac2.metal", Zone: "eu-central-1a", Age: 48 * time.Hour, Tags: tags})
		}
		d := s.open(t, "aws", node)
		time.Sleep(d.moment().Sub(d.began) + sweepPeriod) // soon after a start it is not known who runs it
		b.change(func() { b.owner = stranger })
		time.Sleep(3 * time.Hour)
		s.wantTold(t, text, 0) // another node runs it
		b.change(func() { b.owner = model.NilUID })
		time.Sleep(2 * 24 * time.Hour)
		s.wantTold(t, text, 2)
		seen := 0
		for _, one := range command[view.Account](t, d, view.Status, `{}`).Things {
			if one.Kind == view.Host && strings.Contains(one.Why, "nobody is configured for pool mac") {
				seen++
			}
		}
		if got := s.hostIDs(); len(got) != 2 || seen != 2 {
			t.Errorf("the hosts are %v, and %d are shown as nobody's", got, seen)
		}
		if plan := command[view.Sweeping](t, d, view.SweepPlan, `{}`); len(plan.Strays) > 0 {
			t.Errorf("a sweep would take %v", results(plan))
		}
		_ = d.Close()
		b.change(func() { b.owner = node })
		s.v07 = true
		s.cfg = "dedicated_pool: {mac: {type: mac2.metal, zone: eu-central-1a, max: 0}}\n"
		s.start(t)
		eventually(t, 2*time.Hour, "who configures the pool has its hosts given back", func() bool { return len(s.hostIDs()) == 0 })
	})
}
