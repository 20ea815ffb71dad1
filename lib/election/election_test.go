package election

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var t0 = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func node(n byte) model.UID { return model.UID{n} }

func vote(n byte, available int, rand uint32) model.Vote {
	return model.Vote{NodeUID: node(n), Available: available, Rand: rand}
}

func TestDecide(t *testing.T) {
	tests := []struct {
		name   string
		active []byte
		votes  []model.Vote
		after  time.Duration
		winner byte // 0 = none
		again  time.Duration
	}{
		{"alone and able", []byte{1}, []model.Vote{vote(1, 0, 5)}, 0, 1, 0},
		{"alone and not able", []byte{1}, []model.Vote{vote(1, -1, 5)}, 0, 0, 0},
		{"nobody is active", nil, []model.Vote{vote(1, 0, 5)}, 0, 0, 0},
		{"waits for the others", []byte{1, 2}, []model.Vote{vote(1, 0, 5)}, time.Second, 0, 3 * time.Second},
		{"does not wait for ever", []byte{1, 2}, []model.Vote{vote(1, 0, 5)}, 3 * time.Second, 1, 0},
		{"the better definition wins", []byte{1, 2}, []model.Vote{vote(1, 1, 1), vote(2, 0, 9)}, 0, 2, 0},
		{"then the lower rand", []byte{1, 2}, []model.Vote{vote(1, 0, 9), vote(2, 0, 1)}, 0, 2, 0},
		{"then the lower node", []byte{2, 1}, []model.Vote{vote(2, 0, 1), vote(1, 0, 1)}, 0, 1, 0},
		{"votes of the inactive do not count", []byte{1}, []model.Vote{vote(1, 1, 1), vote(2, 0, 0)}, 0, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Poll{OpenedAt: t0, Votes: tt.votes, Timeout: 3 * time.Second}
			for _, n := range tt.active {
				p.Active = append(p.Active, node(n))
			}
			d, again := Decide(p, t0.Add(tt.after))
			var winner byte
			if d != nil {
				winner = d.Winner[0]
			}
			if winner != tt.winner || tt.again != 0 && !again.Equal(t0.Add(tt.again)) {
				t.Errorf("Decide() = winner %d, again %v, want %d, %v", winner, again, tt.winner, tt.again)
			}
		})
	}
}

// TestDecideIsCheckable draws polls and checks that the decision follows from
// what it records, in whatever order the votes came.
func TestDecideIsCheckable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Poll{OpenedAt: t0, Timeout: time.Second}
		for n := range byte(rapid.IntRange(1, 6).Draw(t, "nodes")) {
			p.Active = append(p.Active, node(n))
			if rapid.Bool().Draw(t, "voted") {
				p.Votes = append(p.Votes, vote(n, rapid.IntRange(-1, 2).Draw(t, "available"), rapid.Uint32Range(0, 2).Draw(t, "rand")))
			}
		}
		now := t0.Add(2 * time.Second)
		d, _ := Decide(p, now)
		if len(p.Votes) > 0 {
			p.Votes = rapid.Permutation(p.Votes).Draw(t, "order")
		}
		again, _ := Decide(p, now)
		if diff := cmp.Diff(d, again); diff != "" {
			t.Fatalf("the order of votes decides:\n%s", diff)
		}
		if d == nil {
			if slices.ContainsFunc(p.Votes, model.Vote.Yes) {
				t.Fatal("a yes was not taken")
			}
			return
		}
		if len(d.Yes)+d.No+d.Missing != len(p.Active) {
			t.Fatalf("decision accounts for %d+%d+%d of %d nodes", len(d.Yes), d.No, d.Missing, len(p.Active))
		}
		for _, v := range d.Yes {
			if betterAt("")(v, d.Yes[0]) < 0 || d.Winner != d.Yes[0].NodeUID || d.Definition != d.Yes[0].Available {
				t.Fatalf("winner %v does not follow from %+v", d.Winner, d.Yes)
			}
		}
	})
}

func TestRoundAt(t *testing.T) {
	tests := []struct {
		after  time.Duration
		round  uint16
		opened time.Duration
	}{
		{0, 0, 0},
		{5*time.Second - 1, 0, 0},
		{5 * time.Second, 1, 5 * time.Second},
		{15 * time.Second, 2, 15 * time.Second},
		{35 * time.Second, 3, 35 * time.Second},
		{65 * time.Second, 4, 65 * time.Second},
		{time.Hour, 121, 3575 * time.Second},
		{-time.Second, 0, 0},
	}
	for _, tt := range tests {
		round, opened := RoundAt(t0, t0.Add(tt.after))
		if round != tt.round || !opened.Equal(t0.Add(tt.opened)) {
			t.Errorf("RoundAt(%v) = %d opened after %v, want %d, %v", tt.after, round, opened.Sub(t0), tt.round, tt.opened)
		}
	}
}

// plain is a driver that accepts everything but what its error says.
type plain struct {
	drivers.Driver // the methods that a vote never calls
	limits         drivers.Limits
	free           int
	refuses        error
}

func (p plain) Limits() drivers.Limits                            { return p.limits }
func (p plain) Validate(model.LabelDefinition) error              { return p.refuses }
func (p plain) Capacity(model.LabelDefinition) (n int, err error) { return p.free, nil }

// diskful is a plain one with disks: 100 GB, of which 40 are free.
type diskful struct {
	plain
	hangs error
}

func (diskful) DiskNeed(d model.LabelDefinition) (uint, string) {
	return drivers.SizeOf(d.Resources.Disks), "x"
}

func (d diskful) DiskRoom() (drivers.DiskRoom, error) {
	if d.hangs != nil {
		return drivers.DiskRoom{}, d.hangs
	}
	return drivers.DiskRoom{Total: 100, Free: 40}, nil
}

func def(driver string, filter ...string) model.LabelDefinition {
	return model.LabelDefinition{
		Driver: driver, Options: json.RawMessage(`{}`),
		Resources: model.Resources{CPU: 1, RAM: 1, NodeFilter: filter},
	}
}

// hosted is a node with a driver for each outcome.
func hosted() Host {
	return Host{
		Identifiers: []string{"OS:linux"},
		Driver: func(name string) (drivers.Driver, string) {
			switch name {
			case "good":
				return plain{free: 3, limits: drivers.Limits{CPU: 4, RAM: 8}}, ""
			case "diskful":
				return diskful{plain: plain{free: 3}}, ""
			case "hung":
				return diskful{plain: plain{free: 3}, hangs: errors.New("no answer")}, ""
			case "full":
				return plain{}, ""
			case "picky":
				return plain{free: 3, refuses: errors.New("image is missing")}, ""
			case "broken":
				return nil, "no socket"
			}
			return nil, "is not configured"
		},
		Configured: func(name string) bool { return name != "absent" },
	}
}

func TestSort(t *testing.T) {
	host := hosted()
	large := def("good")
	large.Resources.CPU = 5
	label := model.Label{Definitions: []model.LabelDefinition{
		def("absent"), def("good", "OS:mac*"), def("picky"), def("good", "OS:*"), def("broken"), large,
	}}
	got := Sort(label, host)
	want := []Refusal{
		{0, CauseDriverUnknown, true, "driver absent is not configured"},
		{1, CauseNodeFilter, true, `node filter "OS:mac*" matches no identifier of the node`},
		{2, CauseOptions, true, "driver refuses the definition: image is missing"},
		{4, CauseDriverAbsent, false, "driver broken is not ready: no socket"},
		{5, CauseTooLarge, true, "does not fit on an empty node: cpu short: needs 5, free 4 of 4"},
	}
	if diff := cmp.Diff(want, got.Refusals); diff != "" {
		t.Errorf("refusals (-want +got):\n%s", diff)
	}
	if len(got.Options) != 1 || got.Options[0].Definition != 3 || got.Options[0].Free != 3 {
		t.Errorf("options = %+v, want definition 3", got.Options)
	}
	host.Maintenance = true
	if got := Sort(label, host); len(got.Options) != 0 {
		t.Errorf("options in maintenance = %+v", got.Options)
	}
}

func waiting(n int, label byte) *Waiting {
	return &Waiting{
		Application: model.Application{
			UID: model.UID{byte(n >> 8), byte(n)}, LabelUID: node(label), HLC: model.HLC(n), CreatedAt: t0,
		},
		Since: t0,
	}
}

// lines is a queue as the election keeps it.
func lines(waiting []*Waiting) []Line {
	q := newQueue()
	for _, w := range waiting {
		q.put(*w)
	}
	return q.due(t0)
}

func option(definition int, instance string, cpu uint, limit uint) Option {
	return Option{
		Definition: definition,
		Claim:      capacity.Claim{Instance: instance, CPU: cpu},
		Offer:      capacity.Offer{Limits: drivers.Limits{CPU: limit}, Free: 9},
	}
}

func TestHeads(t *testing.T) {
	sorted := map[model.UID]Candidates{
		node(1): {Options: []Option{option(0, "a", 2, 4)}},
		node(2): {}, // can not run here
		node(3): {Options: []Option{{Claim: capacity.Claim{Instance: "r", Remote: true, CPU: 1}, Offer: capacity.Offer{Limits: drivers.Limits{CPU: 1}, Free: 1}}}},
		node(4): {Options: []Option{{Claim: capacity.Claim{Instance: "a", CPU: 1}, Offer: capacity.Offer{Limits: drivers.Limits{CPU: 4}, Free: 0}}}},
	}
	queue := []*Waiting{waiting(1, 2), waiting(2, 4), waiting(3, 1), waiting(4, 1), waiting(5, 3)}
	got := Heads(lines(queue), sorted, 10*time.Minute, t0.Add(11*time.Minute))
	want := map[string]model.UID{"": queue[2].Application.UID, "r": queue[4].Application.UID}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("heads (-want +got):\n%s", diff)
	}
	if got := Heads(lines(queue), sorted, 10*time.Minute, t0.Add(9*time.Minute)); len(got) != 0 {
		t.Errorf("heads before anybody starves: %v", got)
	}
	crowded := option(0, "a", 1, 4)
	crowded.Claim.Disk, crowded.Disk = 50, drivers.DiskRoom{Total: 100, Free: 40}
	sorted[node(1)], sorted[node(4)] = Candidates{Options: []Option{crowded}}, Candidates{}
	if got := Heads(lines(queue), sorted, 10*time.Minute, t0.Add(time.Hour)); got[""] != (model.UID{}) {
		t.Errorf("who waits for a disk that others have filled holds everybody back: %v", got)
	}
	if got := Heads(lines(queue), sorted, 0, t0.Add(time.Hour)); len(got) != 0 {
		t.Errorf("heads although switched off: %v", got)
	}
}

// TestBallotIsFair draws queues over one limit and checks that nobody is
// passed over by a younger one of the same label, that the limit holds, and
// that a head is never passed in its scope.
func TestBallotIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 8
		sorted := map[model.UID]Candidates{}
		for l := range byte(4) {
			sorted[node(l)] = Candidates{Options: []Option{option(0, "a", rapid.UintRange(1, limit).Draw(t, "cpu"), limit)}}
		}
		var queue []*Waiting
		for i := range rapid.IntRange(0, 30).Draw(t, "queue") {
			queue = append(queue, waiting(i, rapid.Byte().Draw(t, "label")%4))
		}
		heads := map[string]model.UID{}
		if len(queue) > 0 && rapid.Bool().Draw(t, "head") {
			heads[""] = queue[0].Application.UID
		}
		ledger := capacity.NewLedger()
		hold := func(app model.UID, o Option) error {
			return ledger.Hold(app, o.Claim, o.Offer, t0, t0.Add(time.Minute))
		}
		yeses, more := Ballot(lines(queue), sorted, heads, hold, 100)
		if more {
			t.Fatal("stopped although nothing bounded it")
		}
		taken := map[model.UID]bool{}
		var cpu uint
		for _, y := range yeses {
			taken[y.Waiting.Application.UID] = true
			cpu += sorted[y.Waiting.Application.LabelUID].Options[0].Claim.CPU
			if head, ok := heads[""]; ok && y.Waiting.Application.UID != head {
				t.Fatal("somebody passed the head")
			}
		}
		if cpu > limit {
			t.Fatalf("%d cpu promised of %d", cpu, limit)
		}
		passed := map[model.UID]bool{}
		for _, w := range queue {
			if !taken[w.Application.UID] {
				passed[w.Application.LabelUID] = true
			} else if passed[w.Application.LabelUID] {
				t.Fatal("a younger application of the same label was served first")
			}
		}
	})
}

func TestBallotStopsAtItsBound(t *testing.T) {
	sorted := map[model.UID]Candidates{node(1): {Options: []Option{option(0, "a", 1, 0)}}}
	queue := []*Waiting{waiting(1, 1), waiting(2, 1), waiting(3, 1)}
	yeses, more := Ballot(lines(queue), sorted, nil, func(model.UID, Option) error { return nil }, 2)
	if len(yeses) != 2 || !more {
		t.Errorf("Ballot() = %d yeses, more %v, want 2, true", len(yeses), more)
	}
}

func TestQueueKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue()
		in := map[int]bool{}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			n := rapid.IntRange(0, 20).Draw(t, "n")
			if rapid.Bool().Draw(t, "put") {
				q.put(*waiting(n, 1))
				in[n] = true
			} else {
				q.remove(waiting(n, 1).Application)
				delete(in, n)
			}
		}
		var got, want []string
		for _, line := range q.due(t0) { // one, or none
			for _, w := range line {
				got = append(got, fmt.Sprint(w.Application.HLC))
			}
		}
		for n := range 21 {
			if in[n] {
				want = append(want, fmt.Sprint(n))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("queue (-want +got):\n%s", diff)
		}
	})
}

func TestDeclineBackoff(t *testing.T) {
	var last time.Duration
	for n := range 100 {
		d := declineBackoff(n)
		if d < last || d > 30*time.Second {
			t.Fatalf("declineBackoff(%d) = %v after %v", n, d, last)
		}
		last = d
	}
	if declineBackoff(1) != 0 || last != 30*time.Second {
		t.Errorf("first pause %v, last %v, want none and 30s", declineBackoff(1), last)
	}
}

// asked counts what a vote asks of a driver.
type asked struct {
	plain
	times *int
}

func (a asked) Validate(model.LabelDefinition) error { *a.times++; return nil }

// TestNoDriverIsAskedForNothing: of a thousand labels for other machines, and
// in maintenance, a pass asks no driver what it thinks of them.
func TestNoDriverIsAskedForNothing(t *testing.T) {
	times := 0
	host := hosted()
	host.Driver = func(string) (drivers.Driver, string) { return asked{plain{free: 1}, &times}, "" }
	label := model.Label{Definitions: []model.LabelDefinition{def("good", "OS:mac"), def("good", "OS:linux")}}
	if got := Sort(label, host); times != 1 || len(got.Options) != 1 {
		t.Errorf("Sort() asked %d times for %+v, want once", times, got)
	}
	host.Maintenance = true
	if got := Sort(label, host); times != 1 || len(got.Refusals) != 2 {
		t.Errorf("Sort() in maintenance asked %d times more for %+v", times-1, got)
	}
}

// broken is a driver that panics on what it is asked about.
type broken struct{ plain }

func (broken) Validate(model.LabelDefinition) error { panic("no options") }

// TestPanicOfADriverIsAReason: the label that makes a driver panic waits, and
// says why; the node goes on.
func TestPanicOfADriverIsAReason(t *testing.T) {
	host := hosted()
	host.Driver = func(string) (drivers.Driver, string) { return broken{}, "" }
	got := Sort(model.Label{Definitions: []model.LabelDefinition{def("any")}}, host)
	want := Candidates{Refusals: []Refusal{{
		Cause: CauseOptions, Reason: "driver fails on the definition, which is a bug of the driver: panic: no options",
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Sort (-want +got):\n%s", diff)
	}
}
