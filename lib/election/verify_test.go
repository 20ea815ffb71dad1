package election

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// sound is a vote as a node casts it.
func sound(app model.UID, n byte, round uint16, available int) model.Vote {
	uid := model.VoteUID(app, node(n), 0, round)
	return model.Vote{
		UID: uid, ApplicationUID: app, NodeUID: node(n), Round: round, Available: available, Rand: model.VoteRand(uid),
	}
}

// drawPoll draws what an arbiter may know, all that decides included.
func drawPoll(t *rapid.T, app model.UID) Poll {
	p := Poll{OpenedAt: t0, Timeout: time.Second, Location: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "origin")}
	for n := range byte(rapid.IntRange(1, 8).Draw(t, "nodes")) {
		p.Active = append(p.Active, node(n))
		if !rapid.Bool().Draw(t, "voted") {
			continue
		}
		v := sound(app, n, rapid.Uint16Range(0, 3).Draw(t, "round"), rapid.IntRange(model.VoteAway, 2).Draw(t, "available"))
		v.Cached = rapid.Bool().Draw(t, "cached")
		v.Coming = !v.Cached && rapid.Bool().Draw(t, "coming")
		v.Location = rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "location")
		v.Load = rapid.Uint8Range(0, 2).Draw(t, "load")
		p.Votes = append(p.Votes, v)
	}
	return p
}

// TestEveryNodeComesToTheSameWinner: from the same votes, in whatever order
// they and the nodes are named, follows one decision, which holds when it is
// checked.
func TestEveryNodeComesToTheSameWinner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		app := node(77)
		p := drawPoll(t, app)
		now := t0.Add(2 * time.Second)
		d, _ := Decide(p, now)
		elsewhere := p
		if len(p.Votes) > 0 {
			elsewhere.Votes = rapid.Permutation(p.Votes).Draw(t, "votes")
		}
		elsewhere.Active = rapid.Permutation(p.Active).Draw(t, "active")
		again, _ := Decide(elsewhere, now)
		if diff := gocmp.Diff(d, again); diff != "" {
			t.Fatalf("the order decides:\n%s", diff)
		}
		if d == nil {
			if slices.ContainsFunc(p.Votes, model.Vote.Yes) {
				t.Fatal("a yes was not taken")
			}
			return
		}
		if err := Verify(app, *d); err != nil {
			t.Fatalf("Verify() = %v", err)
		}
		for _, v := range d.Yes { // nobody is better in what counts first
			w := d.Yes[0]
			if v.Available < w.Available || v.Available == w.Available && stage(v) > stage(w) {
				t.Fatalf("%+v wins over %+v", w, v)
			}
		}
	})
}

// stage is how far a vote's image is.
func stage(v model.Vote) int {
	switch {
	case v.Cached:
		return 2
	case v.Coming:
		return 1
	}
	return 0
}

// TestOrderOfTheWinner: each thing outweighs all that come after it.
func TestOrderOfTheWinner(t *testing.T) {
	app := node(77)
	vote := func(n byte, change func(v *model.Vote)) model.Vote {
		v := sound(app, n, 0, 1)
		v.Load = 50
		change(&v)
		return v
	}
	near := func(v *model.Vote) { v.Location = "x" }
	votes := []model.Vote{
		vote(1, func(v *model.Vote) { v.Available, v.Load = 0, 100 }),
		vote(2, func(v *model.Vote) { v.Cached, v.Load = true, 99 }),
		vote(3, func(v *model.Vote) { near(v); v.Coming, v.Load = true, 98 }),
		vote(4, func(v *model.Vote) { v.Coming, v.Load = true, 10 }),
		vote(5, func(v *model.Vote) { near(v); v.Load = 97 }),
		vote(6, func(v *model.Vote) { v.Load = 0 }),
		vote(7, func(v *model.Vote) { v.Load = 1 }),
	}
	for first := range votes {
		p := Poll{OpenedAt: t0, Location: "x", Votes: votes[first:]}
		for _, v := range p.Votes {
			p.Active = append(p.Active, v.NodeUID)
		}
		if d, _ := Decide(p, t0); d == nil || d.Winner != votes[first].NodeUID {
			t.Errorf("of nodes %d to 7 wins %+v", first+1, d)
		}
	}
}

// earlierOrder is that of programs which know nothing of images on their way.
func earlierOrder(location string) func(a, b model.Vote) int {
	far := func(v model.Vote) bool { return location == "" || v.Location != location }
	return func(a, b model.Vote) int {
		return cmp.Or(
			cmp.Compare(a.Available, b.Available), falseFirst(!a.Cached, !b.Cached), falseFirst(far(a), far(b)),
			cmp.Compare(a.Load, b.Load), cmp.Compare(a.Rand, b.Rand), slices.Compare(a.NodeUID[:], b.NodeUID[:]),
		)
	}
}

// TestEarlierVersionsFindTheSameWinner: what they read of a grant, and what they
// do not, leads them to the winner that it names. Those of today read all.
func TestEarlierVersionsFindTheSameWinner(t *testing.T) {
	comingWon := false
	rapid.Check(t, func(t *rapid.T) {
		app := node(77)
		p := drawPoll(t, app)
		packed, coming := rapid.Bool().Draw(t, "packed"), rapid.SampledFrom([]bool{false, true, true, true}).Draw(t, "all on their way")
		for i := range p.Votes {
			if packed {
				p.Votes[i].CreatedAt = t0.UTC()
			}
			if coming { // often enough for short runs
				p.Votes[i].Cached, p.Votes[i].Coming = false, true
			}
		}
		d, _ := Decide(p, t0.Add(2*time.Second))
		if d == nil {
			return
		}
		comingWon = comingWon || d.Yes[0].Coming
		body, err := replica.EncodeApplicationState(model.ApplicationState{
			UID: node(1), ApplicationUID: app, Status: model.StatusElected, CreatedAt: t0, Epoch: 1, NodeUID: node(2), Decision: d,
		})
		if err != nil {
			t.Fatal(err)
		}
		now, err := replica.DecodeApplicationState(body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(d, now.Decision); diff != "" {
			t.Fatalf("read today (-decided +read):\n%s", diff)
		}
		if err := Verify(app, *now.Decision); err != nil {
			t.Fatalf("Verify() of what is read today = %v", err)
		}
		unknown := regexp.MustCompile(`,"coming":\[[0-9,]+\]`) // to them
		if d.Yes[0].Coming && !unknown.Match(body) {
			t.Fatalf("the key has another name: %s", body)
		}
		then, err := replica.DecodeApplicationState(unknown.ReplaceAll(body, nil))
		if err != nil {
			t.Fatal(err)
		}
		best := slices.MinFunc(then.Decision.Yes, earlierOrder(then.Decision.Location))
		if best.NodeUID != d.Winner || best.Available != d.Definition {
			t.Fatalf("an earlier version finds %+v, the grant names %s with %d", best, d.Winner, d.Definition)
		}
	})
	if !comingWon {
		t.Error("no winner's image was on its way")
	}
}

// TestVerifyFindsWhatDoesNotFollow changes one thing of a sound decision.
func TestVerifyFindsWhatDoesNotFollow(t *testing.T) {
	app := node(77)
	make3 := func() model.Decision {
		p := Poll{OpenedAt: t0, Active: []model.UID{node(1), node(2), node(3)}}
		for n := byte(1); n <= 3; n++ {
			v := sound(app, n, 0, 1)
			v.Load = 10 * n
			p.Votes = append(p.Votes, v)
		}
		d, _ := Decide(p, t0)
		return *d
	}
	tests := []struct {
		name   string
		change func(d *model.Decision)
		want   string
	}{
		{"nothing", func(*model.Decision) {}, ""},
		{"another winner", func(d *model.Decision) { d.Winner = node(2) }, "wins with definition 1"},
		{"another definition", func(d *model.Decision) { d.Definition = 0 }, "wins with definition 1"},
		{"a load", func(d *model.Decision) { d.Yes[2].Load = 0 }, "wins with definition 1"},
		{"an image", func(d *model.Decision) { d.Yes[1].Cached = true }, "wins with definition 1"},
		{"an image on its way", func(d *model.Decision) { d.Yes[1].Coming = true }, "wins with definition 1"},
		{"the origin's location", func(d *model.Decision) { d.Location, d.Yes[1].Location = "x", "x" }, "wins with definition 1"},
		{"a random part", func(d *model.Decision) { d.Yes[1].Rand++ }, "was chosen"},
		{"a vote for another", func(d *model.Decision) { d.Yes[1].ApplicationUID = node(9) }, "another application"},
		{"a no", func(d *model.Decision) { d.Yes[1].Available = model.VoteNo }, "is a no"},
		{"a second vote", func(d *model.Decision) { d.Yes[1] = d.Yes[0] }, "voted twice"},
		{"no votes", func(d *model.Decision) { d.Yes = nil }, "records no yes"},
		{"a count", func(d *model.Decision) { d.No = -1 }, "can not be"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := make3()
			tt.change(&d)
			err := Verify(app, d)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Verify() = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestVotesTravelWhole draws votes of one node: what comes out at the other
// end is what was cast.
func TestVotesTravelWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		location := rapid.String().Draw(t, "location")
		var votes []model.Vote
		for range rapid.IntRange(0, 5).Draw(t, "votes") {
			v := sound(node(rapid.Byte().Draw(t, "app")), 3, rapid.Uint16().Draw(t, "round"), rapid.IntRange(model.VoteAway, 127).Draw(t, "available"))
			v.Coming = rapid.Bool().Draw(t, "coming")
			v.Cached, v.Location, v.Load, v.CreatedAt = !v.Coming && rapid.Bool().Draw(t, "cached"), location, rapid.Uint8Range(0, 100).Draw(t, "load"), t0.UTC()
			votes = append(votes, v)
		}
		var got []model.Vote
		for _, m := range ToWire(votes) {
			got = append(got, FromWire(m, t0)...)
		}
		if diff := gocmp.Diff(votes, got); diff != "" {
			t.Fatalf("votes (-cast +heard):\n%s", diff)
		}
	})
}

func TestVotesThatDoNotFit(t *testing.T) {
	if got := ToWire([]model.Vote{sound(node(1), 3, 0, 128)})[0].Votes[0].Available; got != model.VoteNo {
		t.Errorf("definition 128 travels as %d, want no", got)
	}
	m := wire.Votes{Node: node(3), Load: 200, Votes: []wire.Vote{{Application: node(1), Available: -100, Cached: true, Coming: true}}}
	got := FromWire(m, t0)[0]
	if got.Available != model.VoteNo || got.Load != 100 || got.Rand != model.VoteRand(got.UID) || got.Coming {
		t.Errorf("FromWire() of nonsense = %+v", got)
	}
	if n := len(ToWire([]model.Vote{{NodeUID: node(1)}, {NodeUID: node(1), Load: 1}, {NodeUID: node(2)}})); n != 3 {
		t.Errorf("%d messages for what three different nodes and loads told, want 3", n)
	}
}
