package aws

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// process is a node's process that may be killed: from then on nothing that it
// does has any effect.
type process struct {
	driver *driver
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	counts bool     // points are counted
	points int      // how many there were
	at     int      // which one something happens at; 0: none, or that of its name
	named  moment   // which one it is by its name
	do     damage   // what happens there
	where  string   // what the point was
	names  []string // of all points
	dead   bool
}

// damage is what happens at a point.
type damage string

const (
	kill   damage = "killed"
	lose   damage = "reply lost" // of calls; the process lives
	recall damage = "recalled"   // the context ends; the process lives
)

var errKilled = errors.New("the process is dead")

// point is a moment at which something may happen. An error says that what
// follows does not take place.
func (p *process) point(format string, args ...any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return errKilled
	}
	if !p.counts {
		return nil
	}
	p.points++
	name := fmt.Sprintf(format, args...)
	p.names = append(p.names, name)
	if p.points != p.at && (p.named.name != name || p.named.nth != occurrences(p.names, name)) {
		return nil
	}
	p.where = name
	switch p.do {
	case kill:
		p.dead = true
		p.cancel()
		return errKilled
	case lose:
		return fakeec2.ErrLost
	case recall:
		p.cancel()
	}
	return nil
}

// reached reports whether there was a point of the number.
func (p *process) reached() (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.where, p.where != ""
}

// moment is a point by its name, of which there may be several.
type moment struct {
	name string
	nth  int // from 1
}

func occurrences(names []string, name string) (n int) {
	for _, one := range names {
		if one == name {
			n++
		}
	}
	return n
}

// count lets points count from here on.
func (p *process) count(at int, do damage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts, p.points, p.at, p.do, p.named = true, 0, at, do, moment{}
}

// countTo is count to a point by its name.
func (p *process) countTo(m moment, do damage) {
	p.count(0, do)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.named = m
}

// passed are the names of the points there were, in their order.
func (p *process) passed() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.names)
}

// boot starts a process at the site. The one before is dead.
func (s *site) boot(t testing.TB) *process {
	p := &process{}
	p.ctx, p.cancel = context.WithTimeout(context.Background(), 2*time.Hour)
	s.hookOf(func(_ context.Context, c fakeec2.Call) error {
		when := "before"
		if c.After {
			when = "after"
		}
		return p.point("%s %s", when, c.Action)
	})
	p.driver = s.open(t, "aws", node)
	p.driver.ledger.write = func(path string, data []byte, mode fs.FileMode) error {
		return errors.Join(p.point("before an intent is written"), p.alive(func() error { return replace(path, data, mode) }),
			p.point("after an intent was written"))
	}
	p.driver.ledger.remove = func(path string) error {
		return errors.Join(p.point("before an intent is removed"), p.alive(func() error { return os.Remove(path) }),
			p.point("after an intent was removed"))
	}
	return p
}

// replace is durable.WriteFile without waiting for the disk, and without a copy:
// what is killed here is a process, and not a machine, thousands of times, and
// before or after it writes.
func replace(path string, data []byte, mode fs.FileMode) error {
	err := os.WriteFile(path, data, mode)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = os.WriteFile(path, data, mode)
		}
	}
	return err
}

// alive does something unless the process is dead.
func (p *process) alive(do func() error) error {
	p.mu.Lock()
	dead := p.dead
	p.mu.Unlock()
	if dead {
		return errKilled
	}
	return do()
}

// end ends a process in the way of a test: its goroutines have to go.
func (p *process) end() {
	p.cancel()
	_ = p.driver.Close()
}

// story is one way to a machine.
type story struct {
	name    string
	def     func() model.LabelDefinition
	prepare func(t testing.TB, s *site)
}

func stories() []story {
	return []story{
		{"plain", plain, func(testing.TB, *site) {}},
		{"with a marked disk in the third zone", func() model.LabelDefinition {
			def := plain()
			def.Resources.Disks = map[string]model.Disk{"/dev/sdf": {Size: 5, Label: "Kind:cache"}}
			return def
		}, func(_ testing.TB, s *site) {
			for _, zone := range s.cloud.Zones()[:2] {
				s.cloud.SetCapacity(zone, "m5.large", fakeec2.OnDemand, 0)
			}
		}},
		{"spot, then on demand", func() model.LabelDefinition {
			return definition(`{"image": "ci-linux-*", "instance_type": "m5.large", "spot": {"max_attempts": 2}, "userdata_format": "env"}`)
		}, func(_ testing.TB, s *site) { s.cloud.SetQuota("L-34B43A08", 0) }},
		{"spot", func() model.LabelDefinition {
			return definition(`{"image": "ci-linux-*", "instance_type": "m5.large", "spot": true}`)
		}, func(testing.TB, *site) {}},
		{"on a host", func() model.LabelDefinition { return definition(`{"image": "ci-mac-*", "pool": "mac"}`) }, func(t testing.TB, s *site) {
			s.addHosts(t, 2)
		}},
	}
}

// crash is one case of the matrix.
type crash struct {
	story
	what     string // "allocate" or "deallocate"
	do       damage
	point    int // 0: that of its name, if it has one
	named    moment
	seed     uint64
	lost     bool // the node's directory too
	then     string
	sluggish bool // lists lag behind
}

func (c crash) String() string {
	return fmt.Sprintf("%s, %s, %s at %d%v, lost %v, then %s, sluggish %v", c.name, c.what, c.do, c.point, c.named, c.lost, c.then, c.sluggish)
}

// run does one case, and returns what its point was, nothing if there was none,
// and what points there were until then, or until the end.
func (c crash) run(t *testing.T) (where string, passed []string) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteOf(t, fakeec2.Options{Seed: c.seed, Unthrottled: true})
		time.Sleep(3 * time.Minute) // the account itself is known everywhere
		c.prepare(t, s)
		if c.sluggish {
			s.cloud.SetLag(fakeec2.Range{Min: 30 * time.Second, Max: 2 * time.Minute})
		}
		req := request("a", c.def())
		first := s.boot(t)
		where = c.damage(t, first, req)
		passed = first.passed()
		if c.do == kill {
			first.end()
			if c.lost {
				s.dir = t.TempDir()
			}
			time.Sleep(3 * time.Second)
			first = s.boot(t)
		}
		c.mend(t, s, first, req)
		first.end()
		if t.Failed() {
			t.Logf("%s: it was %s", c, where)
		}
	})
	return where, passed
}

// damage does what is to be damaged, and says where that was; nowhere, if it
// was done before.
func (c crash) damage(t testing.TB, p *process, req drivers.Request) (where string) {
	if c.what == "allocate" {
		ctx, cancel := context.WithCancel(p.ctx)
		defer cancel()
		if c.do == recall {
			p.cancel = cancel
		}
		c.arm(p)
		_, err := p.driver.Allocate(ctx, req)
		where, _ = p.reached()
		if err != nil && where == "" {
			t.Errorf("Allocate() without any damage = %v", err)
		}
	} else {
		env, err := p.driver.Allocate(p.ctx, req)
		if err != nil {
			t.Fatalf("Allocate() = %v", err)
		}
		c.arm(p)
		err = p.driver.Deallocate(p.ctx, refTo(req, env.Identifier))
		where, _ = p.reached()
		if err != nil && where == "" {
			t.Errorf("Deallocate() without any damage = %v", err)
		}
	}
	p.count(0, "")
	return where
}

// arm lets the case's point come.
func (c crash) arm(p *process) {
	if c.point > 0 {
		p.count(c.point, c.do)
	} else {
		p.countTo(c.named, c.do)
	}
}

// mend goes on as a node does, and looks at what is left.
func (c crash) mend(t testing.TB, s *site, p *process, req drivers.Request) {
	ctx := within(t, time.Hour)
	switch c.then {
	case "allocate":
		env, err := p.driver.Allocate(ctx, req)
		if err != nil {
			t.Errorf("the next Allocate() = %v", err)
			break
		}
		s.useFor(t, p.driver, refTo(req, env.Identifier), 12*time.Minute)
	case "reap":
		s.reap(t, p.driver)
	}
	if c.then != "reap" {
		if err := p.driver.Deallocate(ctx, drivers.Ref{Token: req.Token}); err != nil {
			t.Errorf("the next Deallocate() = %v", err)
		}
	}
	if n := s.everMade(); n > 1 && !c.lost {
		t.Errorf("%d machines were made of one token", n)
	}
	time.Sleep(6 * time.Minute) // what shuts down is down, Macs too, and what might have come has
	s.wantNothing(t)
	time.Sleep(10 * time.Minute)
	s.wantNothing(t)
	if refs, err := p.driver.List(ctx); err != nil || len(refs) > 0 {
		t.Errorf("List() at the end = %v, %v, want nothing", refs, err)
	}
}

// everMade is how many machines there ever were.
func (s *site) everMade() (n int) {
	for _, b := range s.cloud.Bills() {
		if b.Kind == "instance" {
			n++
		}
	}
	return n
}

// useFor lets an environment be used for a while, watched by its node. There is
// one machine of it at the end, which is the one that was promised.
func (s *site) useFor(t testing.TB, d *driver, ref drivers.Ref, long time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	if ending, err := d.Watch(ctx, ref); err == nil {
		t.Errorf("Watch() = %q: the environment ended", ending)
	}
	var machines []string
	for _, b := range s.billable() {
		if b.Kind == "instance" {
			machines = append(machines, b.ID)
		}
	}
	if len(machines) != 1 || machines[0] != ref.Identifier {
		t.Errorf("machines are %v, want %s alone", machines, ref.Identifier)
	}
}

// reap removes, as the reaper of a node that knows nothing, what is listed twice.
func (s *site) reap(t testing.TB, d *driver) {
	t.Helper()
	seen := map[string]bool{}
	for range 20 {
		ctx := within(t, 15*time.Minute)
		refs, err := d.List(ctx)
		if err != nil {
			t.Errorf("List() = %v", err)
		}
		for _, ref := range refs {
			if name := ref.Token + ref.Identifier; !seen[name] {
				seen[name] = true
			} else if err := d.Deallocate(ctx, ref); err != nil {
				t.Errorf("Deallocate(%v) = %v", ref, err)
			}
		}
		time.Sleep(time.Minute)
	}
}
