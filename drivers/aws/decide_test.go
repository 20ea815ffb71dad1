package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func TestJudge(t *testing.T) {
	unsure := cloud.NewError("InsufficientInstanceCapacity", "none")
	unsure.Unsure = true
	for _, tt := range []struct {
		name   string
		err    error
		onHost bool
		want   verdict
	}{
		{"done", nil, false, isMade},
		{"no capacity", cloud.NewError("InsufficientInstanceCapacity", ""), false, nextPlace},
		{"not in the zone", cloud.NewError("Unsupported", ""), false, nextPlace},
		{"no address", cloud.NewError("InsufficientFreeAddressesInSubnet", ""), false, nextPlace},
		{"no spot", cloud.NewError("SpotMaxPriceTooLow", ""), false, nextPlace},
		{"the host takes none", cloud.NewError("InsufficientCapacityOnHost", ""), true, nextHost},
		{"the host is gone", cloud.NewError("InvalidHostID.NotFound", ""), true, nextHost},
		{"the quota", cloud.NewError("VcpuLimitExceeded", ""), false, noQuota},
		{"the spot quota", cloud.NewError("MaxSpotInstanceCountExceeded", ""), false, noQuota},
		{"the image is new, or gone", cloud.NewError("InvalidAMIID.NotFound", ""), false, notKnown},
		{"a wrong parameter", cloud.NewError("InvalidParameterValue", ""), false, hopeless},
		{"not allowed", cloud.NewError("UnauthorizedOperation", ""), false, hopeless},
		{"throttled", cloud.NewError("RequestLimitExceeded", ""), false, again},
		{"failed inside", cloud.NewError("InternalError", ""), false, again},
		{"perhaps done", unsure, false, again},
		{"the network", errors.New("reset"), false, again},
		{"no answer in time", context.DeadlineExceeded, false, again},
		{"a code that is new", cloud.NewError("NoSuchCodeYet", ""), false, again},
		{"the token was used", cloud.NewError("IdempotentParameterMismatch", ""), false, lookItUp},
		{"the token's machine is gone", cloud.NewError("IdempotentInstanceTerminated", ""), false, isGone},
	} {
		if got := judge(tt.err, tt.onHost); got != tt.want {
			t.Errorf("%s: judge(%v) = %v, want %v", tt.name, tt.err, got, tt.want)
		}
	}
}

func TestTransient(t *testing.T) {
	for err, want := range map[error]bool{
		nil: false, context.Canceled: false, labelError{errors.New("x")}: false, cloud.NewError("AuthFailure", ""): false,
		cloud.NewError("InvalidParameterValue", ""): false, context.DeadlineExceeded: true, errors.New("reset"): true,
		cloud.NewError("RequestLimitExceeded", ""): true, cloud.NewError("InternalError", ""): true,
		fmt.Errorf("look: %w", labelError{errors.New("x")}): false,
	} {
		if got := transient(err); got != want {
			t.Errorf("transient(%v) = %v, want %v", err, got, want)
		}
	}
}

func TestEndings(t *testing.T) {
	for _, tt := range []struct{ state, code, message, want string }{
		{cloud.Terminated, "Server.SpotInstanceTermination", "Spot", "EC2 took the spot instance back: Spot"},
		{cloud.Terminated, "Client.InstanceInitiatedShutdown", "Shutdown", "the machine shut itself down"},
		{cloud.Stopped, "Client.UserInitiatedShutdown", "by user", "the machine was stopped: by user"},
		{cloud.ShuttingDown, "Client.UserInitiatedShutdown", "by user", "the machine was terminated through AWS by somebody else: by user"},
		{cloud.Terminated, "Server.InternalError", "failed", "EC2 ended the machine: failed"},
		{cloud.Terminated, "Server.ScheduledStop", "", "EC2 ended the machine: Server.ScheduledStop"},
		{cloud.Terminated, "", "", "the machine is terminated, and EC2 does not say why"},
	} {
		if got := endingOf(cloud.Instance{State: tt.state, Reason: cloud.StateReason{Code: tt.code, Message: tt.message}}); got != tt.want {
			t.Errorf("endingOf(%s, %s) = %q, want %q", tt.state, tt.code, got, tt.want)
		}
	}
}

// TestReport is what an inspection says of all that it may find.
func TestReport(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	running := account.Sighting{Instance: cloud.Instance{
		ID: "i-1", State: cloud.Running, PrivateIP: "10.0.0.1", Tags: cloud.Tags{cloud.TagToken: token("a")},
	}}
	as := func(change func(*account.Sighting)) account.Sighting {
		s := running
		change(&s)
		return s
	}
	made := func(change func(*intent)) *intent {
		in := &intent{Token: token("a"), Attempts: []attempt{{Answer: answerMade, InstanceID: "i-1", Sent: now.Add(-time.Hour)}}}
		change(in)
		return in
	}
	nothing := func(*intent) {}
	for _, tt := range []struct {
		name    string
		in      *intent
		seen    []account.Sighting
		missing time.Duration
		doubt   time.Time
		want    drivers.Presence
		unsure  bool
	}{
		{name: "runs", in: made(nothing), seen: []account.Sighting{running}, want: drivers.Running},
		{name: "runs, and is being removed", in: made(func(in *intent) { in.Ending = true }), seen: []account.Sighting{running}, want: drivers.Partial},
		{name: "without an address", in: made(nothing), seen: []account.Sighting{as(func(s *account.Sighting) { s.PrivateIP = "" })}, want: drivers.Partial},
		{name: "without marks on its disks", in: made(func(in *intent) { in.DiskTags = map[string]cloud.Tags{"a": nil} }), seen: []account.Sighting{running}, want: drivers.Partial},
		{name: "is gone", in: made(nothing), seen: []account.Sighting{as(func(s *account.Sighting) { s.State = cloud.Terminated })}, want: drivers.Ended},
		{name: "is stopped", in: made(nothing), seen: []account.Sighting{as(func(s *account.Sighting) { s.State = cloud.Stopped })}, want: drivers.Ended},
		{name: "missing for a moment", in: made(nothing), seen: []account.Sighting{as(func(s *account.Sighting) { s.Missing = now })}, unsure: true},
		{name: "not listed", in: made(nothing), missing: time.Minute, unsure: true},
		{name: "not listed for long", in: made(nothing), missing: time.Hour, want: drivers.Ended},
		{name: "not listed, and new", in: made(func(in *intent) { in.Attempts[0].Sent = now }), missing: time.Hour, unsure: true},
		{name: "was never sent", in: &intent{Token: token("a")}, want: drivers.Partial},
		{name: "has no answer", in: made(func(in *intent) { in.Attempts[0].Answer = answerNone }), want: drivers.Partial},
		{name: "can not be read", in: &intent{Token: token("a"), unread: now}, seen: []account.Sighting{running}, want: drivers.Partial},
		{name: "lost its intent", seen: []account.Sighting{running}, want: drivers.Running},
		{name: "lost its intent, and is stopped", seen: []account.Sighting{as(func(s *account.Sighting) { s.State = cloud.Stopped })}, want: drivers.Partial},
		{name: "was removed", seen: []account.Sighting{as(func(s *account.Sighting) { s.State = cloud.Terminated })}, want: drivers.Absent},
		{name: "never was", want: drivers.Absent},
		{name: "never was, as far as is known", doubt: now.Add(time.Minute), unsure: true},
	} {
		f := findings{in: tt.in, token: token("a"), missing: tt.missing, doubt: tt.doubt, seen: sight{asked: now, byID: map[string]account.Sighting{}}}
		for _, one := range tt.seen {
			f.seen.byID[one.ID] = one
		}
		got, certain := f.report()
		if certain == tt.unsure || certain && got.Presence != tt.want {
			t.Errorf("%s: report() = %v, certain %v, want %v, %v", tt.name, got.Presence, certain, tt.want, !tt.unsure)
		}
		if certain && (got.Presence == drivers.Ended) != (got.Ending != "") {
			t.Errorf("%s: the ending is %q", tt.name, got.Ending)
		}
	}
}

// TestChoose: whatever there is, candidates are offered, allowed, each once, by
// the label's order, and the same for the same input.
func TestChoose(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		zones := []string{"za", "zb", "zc"}
		kinds := []string{"m5.large", "c5.large", "r5.large"}
		some := func(name string, of []string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, len(of), func(s string) string { return s }).Draw(rt, name)
		}
		c := chooser{zones: map[string][]string{}, taken: map[string]int{}, groups: map[string]string{"v": "sg-1"}}
		for i := range rapid.IntRange(0, 6).Draw(rt, "subnets") {
			c.subnets = append(c.subnets, cloud.Subnet{
				ID: fmt.Sprintf("subnet-%d", i), VPCID: "v", Zone: rapid.SampledFrom(zones).Draw(rt, "zone"), FreeAddresses: rapid.IntRange(0, 9).Draw(rt, "free"),
			})
			c.taken[c.subnets[i].ID] = rapid.IntRange(0, 5).Draw(rt, "taken")
		}
		types := map[string]cloud.InstanceType{}
		for _, kind := range kinds {
			c.zones[kind] = some("offered", zones)
			types[kind] = cloud.InstanceType{Name: kind}
		}
		dry := some("dry", zones)
		c.dry = func(p account.Place) bool { return slices.Contains(dry, p.Zone) }
		o := options{types: some("types", kinds), zones: some("allowed", zones), spot: spotOptions{rapid.IntRange(0, 4).Draw(rt, "attempts"), rapid.Bool().Draw(rt, "fallback")}}
		got := c.choose(o, types)
		seen := map[string]bool{}
		spots := 0
		for i, one := range got {
			name := fmt.Sprint(one)
			if seen[name] {
				rt.Fatalf("%v is there twice", one)
			}
			seen[name] = true
			if !slices.Contains(c.zones[one.Type], one.Zone) || !slices.Contains(o.types, one.Type) || len(o.zones) > 0 && !slices.Contains(o.zones, one.Zone) {
				rt.Fatalf("%v is not allowed", one)
			}
			if one.Spot {
				spots++
			}
			if i > 0 {
				before := got[i-1]
				if one.Spot && !before.Spot {
					rt.Fatal("spot after on demand")
				}
				if one.Spot == before.Spot && !slices.Contains(dry, one.Zone) && slices.Contains(dry, before.Zone) {
					rt.Fatal("a dry zone comes before one that is not")
				}
			}
			for _, sub := range c.subnets {
				if sub.Zone == one.Zone && c.free(sub) > c.freeOf(one.Subnet) {
					rt.Fatalf("%v has fewer free addresses than %s", one, sub.ID)
				}
			}
		}
		if spots > o.spot.attempts || o.spot.attempts > 0 && !o.spot.onDemand && spots != len(got) {
			rt.Fatalf("%d of %d are spot, with %+v", spots, len(got), o.spot)
		}
		slices.Reverse(c.subnets)
		if again := c.choose(o, types); !slices.EqualFunc(got, again, func(a, b candidate) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
			rt.Fatalf("%v, and %v from the same subnets in another order", got, again)
		}
	})
}

func (c chooser) freeOf(id string) int {
	for _, s := range c.subnets {
		if s.ID == id {
			return c.free(s)
		}
	}
	return -1 << 30
}

// TestClientTokens: EC2's bound, the same for the same, and never the same for
// what differs.
func TestClientTokens(t *testing.T) {
	seen := map[string]string{}
	for _, tok := range []string{token("a"), token("b")} {
		for n := range 3 {
			for _, c := range []candidate{{Type: "m5.large", Zone: "za"}, {Type: "m5.large", Zone: "zb"}, {Type: "c5.large", Zone: "za"},
				{Type: "m5.large", Zone: "za", Spot: true}, {Type: "m5.large", Zone: "za", Host: "h-1"}} {
				name := fmt.Sprint(tok, n, c)
				got := clientToken(tok, n, c)
				if was, is := seen[got]; is {
					t.Errorf("%s and %s have one client token", was, name)
				}
				seen[got] = name
				if got != clientToken(tok, n, c) || len(got) != 64 {
					t.Errorf("the client token of %s is %q", name, got)
				}
			}
		}
	}
}

// TestPlansAreEqual: two plans of one label differ in nothing but their time, as
// what a lost intent had asked for is asked for again.
func TestPlansAreEqual(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		s.cfg = "instance_tags: {A: a, B: b, C: c, D: d}\n"
		d := s.start(t)
		def := definition(`{"image": "ci-linux-*", "instance_types": ["m5.large", "c5.large"], "tags": {"E": "e", "F": "f"}, "userdata_format": "env"}`)
		var first string
		for range 20 {
			in, err := d.plan(within(t, time.Minute), request("a", def))
			if err != nil {
				t.Fatal(err)
			}
			delete(in.Launch.Tags, cloud.TagCreated)
			text := fmt.Sprintf("%+v %+v", in.Launch, in.Candidates)
			if first == "" {
				first = text
			}
			if text != first {
				t.Fatalf("two plans: %s, and %s", first, text)
			}
		}
	})
}
