package capacity

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestBookIsTheSumOfItsClaims adds and removes at random and compares with a
// sum made from scratch: nothing is lost, nothing underflows, and what is
// empty has forgotten its flags.
func TestBookIsTheSumOfItsClaims(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBook()
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			k := key{model.UID{rapid.Byte().Draw(t, "app") % 8}, rapid.Uint32Range(0, 2).Draw(t, "epoch")}
			switch rapid.IntRange(0, 2).Draw(t, "op") {
			case 0:
				b.add(k, Claim{
					Instance: rapid.SampledFrom([]string{"a", "b", "r"}).Draw(t, "instance"),
					CPU:      rapid.UintRange(0, 9).Draw(t, "cpu"), RAM: rapid.UintRange(0, 9).Draw(t, "ram"),
					Disk: rapid.UintRange(0, 9).Draw(t, "disk"), FileSystem: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "file system"),
				}, rapid.Bool().Draw(t, "pending"))
			case 1:
				b.remove(k)
			case 2:
				b.placed(k)
			}
			checkSum(t, b)
		}
	})
}

func checkSum(t *rapid.T, b *book) {
	t.Helper()
	var cpu, ram uint
	pending := map[string]int{}
	disks := map[string]uint{}
	for k, c := range b.claims {
		if c.Disk > 0 {
			disks[c.FileSystem] += c.Disk
		}
		cpu, ram = cpu+c.CPU, ram+c.RAM
		if _, ok := b.unknown[k]; ok {
			pending[c.Instance]++
		}
	}
	u := b.scopes[""]
	if u.cpu != cpu || u.ram != ram || u.entries != len(b.claims) {
		t.Fatalf("sum is %+v, claims amount to cpu %d ram %d of %d", u, cpu, ram, len(b.claims))
	}
	if diff := cmp.Diff(disks, b.disks); diff != "" {
		t.Fatalf("disks (-want +got):\n%s", diff)
	}
	for instance, n := range b.pending {
		if n != pending[instance] {
			t.Fatalf("pending[%s] = %d, want %d", instance, n, pending[instance])
		}
	}
}

// world is a ledger and what a second bookkeeper knows of it, who adds up from
// scratch each time.
type world struct {
	t      *rapid.T
	ledger *Ledger
	now    time.Time
	offers map[string]Offer // of each instance
	live   []entry          // in the order in which they came
	first  map[string]Claim // scope -> who set its flags
}

type entry struct {
	app   model.UID
	epoch uint32 // 0 while it is a hold
	until time.Time
	claim Claim
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, ledger: NewLedger(), now: time.Unix(1000, 0), offers: map[string]Offer{}, first: map[string]Claim{}}
	limit := rapid.SampledFrom([]uint{0, 3, 5, 6, 8, 9})
	for _, instance := range []string{"native", "docker", "docker/second", "cloud"} {
		w.offers[instance] = Offer{
			Limits: drivers.Limits{
				CPU: limit.Draw(t, "cpu limit"), RAM: limit.Draw(t, "ram limit"),
				CPUOverbook: rapid.UintRange(0, 4).Draw(t, "cpu overbook"), RAMOverbook: rapid.UintRange(0, 4).Draw(t, "ram overbook"),
				Remote: instance == "cloud",
			},
			Free: drivers.Unlimited, Disk: drivers.DiskRoom{Total: 40, Free: rapid.UintRange(0, 40).Draw(t, "disk")},
		}
	}
	return w
}

func (w *world) claim() Claim {
	flag := rapid.SampledFrom([]bool{true, true, true, false}) // what nobody denies is the rarest
	c := Claim{
		Instance: rapid.SampledFrom([]string{"native", "docker", "docker/second", "cloud"}).Draw(w.t, "instance"),
		CPU:      rapid.UintRange(1, 6).Draw(w.t, "cpu"), RAM: rapid.UintRange(1, 6).Draw(w.t, "ram"),
		Multitenancy: flag.Draw(w.t, "multitenancy"), CPUOverbook: flag.Draw(w.t, "overbooks cpu"), RAMOverbook: flag.Draw(w.t, "overbooks ram"),
		Disk: rapid.UintRange(0, 15).Draw(w.t, "disk"), FileSystem: rapid.SampledFrom([]string{"x", "y"}).Draw(w.t, "file system"),
		Exclusive: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"disk a", "disk b"}), 0, 1, rapid.ID[string]).Draw(w.t, "exclusive"),
	}
	c.Remote = c.Instance == "cloud"
	return c
}

// keep leaves those entries for which it is said so; what is empty then has
// forgotten its flags.
func (w *world) keep(stays func(entry) bool) {
	var left []entry
	scopes := map[string]bool{}
	for _, e := range w.live {
		if stays(e) {
			left = append(left, e)
			scopes[e.claim.Scope()] = true
		}
	}
	w.live = left
	for scope := range w.first {
		if !scopes[scope] {
			delete(w.first, scope)
		}
	}
}

func (w *world) add(e entry) {
	if _, ok := w.first[e.claim.Scope()]; !ok {
		w.first[e.claim.Scope()] = e.claim
	}
	w.live = append(w.live, e)
}

// expire lets time pass: holds run out.
func (w *world) expire(d time.Duration) {
	w.now = w.now.Add(d)
	w.ledger.Held(model.UID{}, w.now)
	w.keep(func(e entry) bool { return e.epoch > 0 || !w.now.After(e.until) })
}

func (w *world) find(app model.UID, epoch uint32) bool {
	for _, e := range w.live {
		if e.app == app && e.epoch == epoch {
			return true
		}
	}
	return false
}

// fits adds up whether there is room for one more.
func (w *world) fits(c Claim) bool {
	o := w.offers[c.Instance]
	cpu, ram, disk := c.CPU, c.RAM, c.Disk
	first, ok := w.first[c.Scope()]
	if !ok {
		first = c
	}
	for _, e := range w.live {
		if e.claim.FileSystem == c.FileSystem {
			disk += e.claim.Disk
		}
		if e.claim.Scope() != c.Scope() {
			continue
		}
		cpu, ram = cpu+e.claim.CPU, ram+e.claim.RAM
		for _, name := range e.claim.Exclusive {
			if slices.Contains(c.Exclusive, name) {
				return false
			}
		}
	}
	within := func(sum, limit, overbook uint, allowed bool) bool {
		if allowed && first.Multitenancy && c.Multitenancy {
			return limit == 0 || sum <= limit+overbook
		}
		return limit == 0 || sum <= limit
	}
	return within(cpu, o.Limits.CPU, o.Limits.CPUOverbook, first.CPUOverbook && c.CPUOverbook) &&
		within(ram, o.Limits.RAM, o.Limits.RAMOverbook, first.RAMOverbook && c.RAMOverbook) &&
		(c.Disk == 0 || disk <= o.Disk.Free)
}

// hold votes yes if there is room, and only then.
func (w *world) hold() {
	app := w.app()
	if w.find(app, 0) {
		return
	}
	c := w.claim()
	until := w.now.Add(time.Duration(rapid.IntRange(0, 10).Draw(w.t, "seconds")) * time.Second)
	want := w.fits(c)
	if err := w.ledger.Hold(app, c, w.offers[c.Instance], w.now, until); (err == nil) != want {
		w.t.Fatalf("Hold(%+v) = %v, want that it fits: %v", c, err, want)
	}
	if want {
		w.add(entry{app, 0, until, c})
	}
}

func (w *world) reserve() {
	app, epoch := w.app(), rapid.Uint32Range(1, 2).Draw(w.t, "epoch")
	if w.find(app, epoch) {
		return
	}
	held := w.find(app, 0)
	if got := w.ledger.Reserve(app, epoch, w.now); got != held {
		w.t.Fatalf("Reserve() = %v, want %v", got, held)
	}
	for i := range w.live {
		if w.live[i].app == app && w.live[i].epoch == 0 {
			e := w.live[i]
			e.epoch = epoch
			w.keep(func(other entry) bool { return other.app != app || other.epoch != 0 })
			w.add(e)
			return
		}
	}
}

func (w *world) release() {
	app, epoch := w.app(), rapid.Uint32Range(0, 2).Draw(w.t, "epoch")
	if epoch == 0 {
		w.ledger.Unhold(app)
	} else {
		w.ledger.Return(app, epoch)
	}
	w.keep(func(e entry) bool { return e.app != app || e.epoch != epoch })
}

// restore counts what an earlier process promised, which may be more than fits.
func (w *world) restore() {
	e := entry{w.app(), rapid.Uint32Range(1, 2).Draw(w.t, "epoch"), time.Time{}, w.claim()}
	w.ledger.Restore(e.app, e.epoch, e.claim, rapid.Bool().Draw(w.t, "placed"))
	w.keep(func(other entry) bool { return other.app != e.app || other.epoch != e.epoch })
	w.add(e)
}

func (w *world) app() model.UID { return model.UID{rapid.Byte().Draw(w.t, "app") % 6} }

// check compares the ledger with what adds up from scratch.
func (w *world) check(*rapid.T) {
	want := map[string]usage{}
	disks, taken := map[string]uint{}, map[exclusive]int{}
	for _, e := range w.live {
		scope := e.claim.Scope()
		first := w.first[scope]
		u := want[scope]
		u.entries, u.cpu, u.ram = u.entries+1, u.cpu+e.claim.CPU, u.ram+e.claim.RAM
		u.multitenancy, u.cpuOverbook, u.ramOverbook = first.Multitenancy, first.CPUOverbook, first.RAMOverbook
		want[scope] = u
		if e.claim.Disk > 0 {
			disks[e.claim.FileSystem] += e.claim.Disk
		}
		for _, name := range e.claim.Exclusive {
			taken[exclusive{scope, name}]++
		}
	}
	b := w.ledger.book
	if diff := cmp.Diff(want, b.scopes, cmp.AllowUnexported(usage{})); diff != "" {
		w.t.Fatalf("sums (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(disks, b.disks); diff != "" {
		w.t.Fatalf("disks (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(taken, b.taken, cmp.AllowUnexported(exclusive{})); diff != "" {
		w.t.Fatalf("exclusive names (-want +got):\n%s", diff)
	}
	if len(b.claims) != len(w.live) {
		w.t.Fatalf("%d entries, want %d", len(b.claims), len(w.live))
	}
}

// TestNothingIsPromisedBeyondTheLimits: whatever instances with whatever limits
// promise, reserve and return in whatever order, also beside what is beyond
// the limits since a restart.
func TestNothingIsPromisedBeyondTheLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"hold":    func(*rapid.T) { w.hold() },
			"vote":    func(*rapid.T) { w.hold() }, // more often than the rest
			"reserve": func(*rapid.T) { w.reserve() },
			"release": func(*rapid.T) { w.release() },
			"restore": func(*rapid.T) { w.restore() },
			"placed":  func(*rapid.T) { w.ledger.Placed(w.app(), rapid.Uint32Range(0, 2).Draw(w.t, "epoch")) },
			"wait":    func(*rapid.T) { w.expire(time.Duration(rapid.IntRange(1, 5).Draw(w.t, "wait")) * time.Second) },
			"":        w.check,
		})
	})
}
