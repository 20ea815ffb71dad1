package fakeec2_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

func TestABillIsExact(t *testing.T) {
	timing := fakeec2.AWSTiming()
	timing.Launch, timing.Stop, timing.Terminate = fakeec2.Fixed(10*time.Second), fakeec2.Fixed(20*time.Second), fakeec2.Fixed(30*time.Second)
	inBubble(t, fakeec2.Options{Timing: timing, Prices: map[string]float64{"m5.large": 3600}}, func(b bench) { // a dollar a second
		i := b.run(b.linux("one"))
		time.Sleep(10*time.Second + time.Minute)
		b.StopInstance(b.Context(), i.ID, cloud.Stop{})
		time.Sleep(time.Hour)
		b.StartInstance(b.Context(), i.ID)
		time.Sleep(10*time.Second + 2*time.Minute)
		b.terminate(i.ID)
		time.Sleep(time.Minute)
		for _, bill := range b.Bills() {
			switch bill.Kind {
			case "instance": // not pending, not stopping, not stopped
				if bill.Paid != 3*time.Minute || math.Abs(bill.Cost-180) > 1e-9 || bill.Tags["owner"] != "me" {
					b.Errorf("the instance's bill is %+v", bill)
				}
			case "volume": // until the end of the instance
				if bill.Paid != 10*time.Second+time.Minute+time.Hour+10*time.Second+2*time.Minute+30*time.Second {
					b.Errorf("the volume's bill is %+v", bill)
				}
			}
		}
		if b.Cost() < 180 {
			b.Errorf("all cost %v", b.Cost())
		}
	})
}

func TestASpotInstanceIsCheaper(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		l := b.linux("one")
		l.Spot = true
		i := b.run(l)
		for _, bill := range b.Bills() {
			if bill.ID == i.ID && (bill.Rate <= 0 || bill.Rate >= 0.096) {
				b.Errorf("its rate is %v", bill.Rate)
			}
		}
	})
}

// TestWhateverIsDone does things at random, on a bad day, and checks what holds always.
func TestWhateverIsDone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		clock := &turned{now: time.Date(2028, 2, 28, 12, 0, 0, 0, time.UTC)}
		ec2 := fakeec2.New(fakeec2.Options{Seed: seed, Now: clock.Now, Sleep: clock.Sleep, Unthrottled: true})
		ec2.SetQuota(macQuota, 3)
		ec2.SetLag(fakeec2.Range{Max: 30 * time.Second})
		ec2.SetStorm(fakeec2.Storm{Unreachable: 0.02, Lost: 0.05, Internal: 0.02})
		a := actor{T: t, Cloud: ec2, clock: clock}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			a.step()
			a.check()
		}
		a.end()
	})
}

// turned is a clock that somebody turns.
type turned struct{ now time.Time }

func (c *turned) Now() time.Time { return c.now }

// Sleep turns the clock: nobody else waits.
func (c *turned) Sleep(ctx context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return ctx.Err()
}

// actor does things at random.
type actor struct {
	*rapid.T
	*fakeec2.Cloud
	clock *turned
}

func (a actor) step() {
	ctx := a.Context()
	ids := func(kind string) string { // one of them
		var all []string
		for _, bill := range a.Billable() {
			if bill.Kind == kind {
				all = append(all, bill.ID)
			}
		}
		if len(all) == 0 {
			return "none"
		}
		return rapid.SampledFrom(all).Draw(a.T, kind)
	}
	image := func(arch string) string {
		found, err := a.Images(ctx, []string{"self"}, cloud.Where("architecture", arch))
		if err != nil || len(found) == 0 {
			return "ami-none"
		}
		return found[0].ID
	}
	token := fmt.Sprint(rapid.IntRange(0, 9).Draw(a.T, "token"))
	switch rapid.IntRange(0, 9).Draw(a.T, "what") {
	case 0:
		a.AllocateHost(ctx, cloud.HostRequest{ClientToken: token, Type: "mac2.metal", Zone: "eu-central-1a"})
	case 1, 2:
		a.RunInstance(ctx, cloud.Launch{ClientToken: token, ImageID: image("arm64_mac"), Type: "mac2.metal", HostID: ids("host")})
	case 3:
		a.RunInstance(ctx, cloud.Launch{ClientToken: "l" + token, ImageID: image("x86_64"), Type: "m5.large", Spot: token > "5"})
	case 4:
		a.TerminateInstances(ctx, []string{ids("instance")})
	case 5:
		a.StopInstance(ctx, ids("instance"), cloud.Stop{})
	case 6:
		a.StartInstance(ctx, ids("instance"))
	case 7:
		a.ReleaseHosts(ctx, []string{ids("host")})
	case 8:
		a.CreateImage(ctx, cloud.ImageRequest{InstanceID: ids("instance"), Name: "image " + token})
	default:
		a.DeregisterImage(ctx, ids("image"))
	}
	a.clock.now = a.clock.now.Add(rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, time.Hour, 13 * time.Hour}).Draw(a.T, "pause"))
}

// check is what holds at every moment.
func (a actor) check() {
	on := map[string]int{}
	hosts := 0
	for _, bill := range a.Bills() {
		all := a.clock.now.Sub(bill.Since)
		if !bill.Until.IsZero() {
			all = bill.Until.Sub(bill.Since)
		}
		if bill.Paid < 0 || bill.Paid > all {
			a.Fatalf("of %v paid: %+v", all, bill)
		}
		switch {
		case bill.Kind == "host" && bill.Until.IsZero():
			hosts++
		case bill.Kind == "host" && all < 24*time.Hour:
			a.Fatalf("a host was released after %v", all)
		case bill.Kind == "instance" && bill.Until.IsZero():
			if i, _ := a.Instance(bill.ID); i.State != cloud.Stopped && i.HostID != "" {
				on[i.HostID]++
			}
		}
	}
	for id, n := range on {
		if n > 1 {
			a.Fatalf("%d instances on host %s", n, id)
		}
	}
	if hosts > 3 {
		a.Fatalf("%d hosts of at most 3", hosts)
	}
}

// end takes all away on a good day; nothing may be left, and nothing refuse.
func (a actor) end() {
	a.SetStorm(fakeec2.Storm{})
	a.SetLag(fakeec2.Range{})
	ctx := a.Context()
	for _, bill := range a.Billable() {
		var err error
		switch bill.Kind {
		case "instance":
			err = a.TerminateInstances(ctx, []string{bill.ID})
		case "image":
			err = a.DeregisterImage(ctx, bill.ID)
		}
		if err != nil {
			a.Fatal(err)
		}
	}
	a.clock.now = a.clock.now.Add(27 * time.Hour)
	for _, bill := range a.Billable() {
		if bill.Kind != "host" {
			a.Fatalf("%+v is left", bill)
		}
		if done, refused, err := a.ReleaseHosts(ctx, []string{bill.ID}); err != nil || len(done) != 1 {
			a.Fatalf("ReleaseHosts = %v, %v, %v", done, refused, err)
		}
	}
	if left := a.Billable(); len(left) > 0 {
		a.Fatalf("%+v is left", left)
	}
	a.conserve()
}

// conserve compares what hosts were paid for with what the journal says of them.
func (a actor) conserve() {
	pending, since := map[string]time.Duration{}, map[string]time.Time{}
	for _, e := range a.Journal() {
		if len(e.IDs) != 1 || e.Who != "aws" {
			continue
		}
		id := e.IDs[0]
		switch e.Action {
		case "host pending":
			since[id] = e.At
		case "host available":
			if !since[id].IsZero() {
				pending[id] += e.At.Sub(since[id])
			}
		}
	}
	for _, bill := range a.Bills() {
		if bill.Kind != "host" {
			continue
		}
		if all := bill.Until.Sub(bill.Since); bill.Paid+pending[bill.ID] != all {
			a.Fatalf("host %s was there for %v, paid for %v, and pending for %v", bill.ID, all, bill.Paid, pending[bill.ID])
		}
	}
}

func TestTheSameSeedGivesTheSame(t *testing.T) {
	one := func(seed uint64) (journal string) {
		synctest.Test(t, func(t *testing.T) {
			b := bench{t, fakeec2.New(fakeec2.Options{Seed: seed})}
			for n := range 5 {
				l := b.linux(fmt.Sprint(n))
				l.Type = "t3.micro"
				if i, err := b.RunInstance(t.Context(), l); err == nil && n%2 == 0 {
					b.terminate(i.ID)
				}
				time.Sleep(time.Minute)
			}
			journal = fmt.Sprint(b.Journal())
		})
		return journal
	}
	first, again, other := one(1), one(1), one(2)
	if first != again {
		t.Error("two runs of one seed differ")
	}
	if first == other {
		t.Error("two seeds give one run")
	}
}

// TestAYearIsFlat lets a host be used through a year that has a 29 February, and
// counts what is remembered of it.
func TestAYearIsFlat(t *testing.T) {
	clock := &turned{now: time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)}
	all := fakeec2.New(fakeec2.Options{Now: clock.Now, Sleep: clock.Sleep})
	few := fakeec2.New(fakeec2.Options{Now: clock.Now, Sleep: clock.Sleep, Keep: 24 * time.Hour})
	for clock.now.Year() == 2028 {
		for _, ec2 := range []*fakeec2.Cloud{all, few} {
			b := bench{t, ec2}
			l := b.linux(clock.now.String())
			b.terminate(b.run(l).ID)
		}
		clock.now = clock.now.Add(6 * time.Hour)
	}
	if a, f := len(all.Bills()), len(few.Bills()); a != 366*4*2 || f > 1100 {
		t.Errorf("%d bills, and %d of the last days", a, f)
	}
	if a, f := len(all.Journal()), len(few.Journal()); a != 366*4*4 || f > 1100 { // launch, shutting-down, end, terminated
		t.Errorf("%d entries, and %d of the last days", a, f)
	}
	if a, f := all.Cost(), few.Cost(); math.Abs(a-f) > 1e-9 || f == 0 {
		t.Errorf("all cost %v, or %v where old bills are dropped", a, f)
	}
}
