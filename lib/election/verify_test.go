package election

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
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
		if diff := cmp.Diff(d, again); diff != "" {
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
			if v.Available < w.Available || v.Available == w.Available && v.Cached && !w.Cached {
				t.Fatalf("%+v wins over %+v", w, v)
			}
		}
	})
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
			v.Cached, v.Location, v.Load, v.CreatedAt = rapid.Bool().Draw(t, "cached"), location, rapid.Uint8Range(0, 100).Draw(t, "load"), t0.UTC()
			votes = append(votes, v)
		}
		var got []model.Vote
		for _, m := range ToWire(votes) {
			got = append(got, FromWire(m, t0)...)
		}
		if diff := cmp.Diff(votes, got); diff != "" {
			t.Fatalf("votes (-cast +heard):\n%s", diff)
		}
	})
}

func TestVotesThatDoNotFit(t *testing.T) {
	if got := ToWire([]model.Vote{sound(node(1), 3, 0, 128)})[0].Votes[0].Available; got != model.VoteNo {
		t.Errorf("definition 128 travels as %d, want no", got)
	}
	m := wire.Votes{Node: node(3), Load: 200, Votes: []wire.Vote{{Application: node(1), Available: -100}}}
	got := FromWire(m, t0)[0]
	if got.Available != model.VoteNo || got.Load != 100 || got.Rand != model.VoteRand(got.UID) {
		t.Errorf("FromWire() of nonsense = %+v", got)
	}
	if n := len(ToWire([]model.Vote{{NodeUID: node(1)}, {NodeUID: node(1), Load: 1}, {NodeUID: node(2)}})); n != 3 {
		t.Errorf("%d messages for what three different nodes and loads told, want 3", n)
	}
}
