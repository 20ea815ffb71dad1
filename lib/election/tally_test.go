package election

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestTally(t *testing.T) {
	a, b := node(1), node(2)
	tl := newTally()
	tl.note(sound(a, 1, 0, 0), t0)
	tl.note(sound(a, 2, 0, model.VoteNo), t0)
	tl.note(sound(a, 3, 0, model.VoteNever), t0)
	tl.note(sound(a, 1, 0, 1), t0.Add(time.Second)) // again, and better known
	count := func(now time.Time) (yes, all int) {
		for _, v := range tl.votes(a, now, 5*time.Second) {
			all++
			if v.Yes() {
				yes++
			}
		}
		return yes, all
	}
	if yes, all := count(t0.Add(6 * time.Second)); yes != 1 || all != 3 {
		t.Errorf("%d yes of %d while it stands, want 1 of 3", yes, all)
	}
	if yes, all := count(t0.Add(6*time.Second + 1)); yes != 0 || all != 2 {
		t.Errorf("%d yes of %d once it lapsed, want 0 of 2", yes, all)
	}
	if diff := cmp.Diff([]model.UID{node(1), node(2), node(4)}, tl.capable(a, []model.UID{node(1), node(2), node(3), node(4)})); diff != "" {
		t.Errorf("capable (-want +got):\n%s", diff)
	}
	tl.demote(a, node(1))
	if yes, all := count(t0.Add(time.Second)); yes != 0 || all != 3 {
		t.Errorf("%d yes of %d after a decline, want 0 of 3", yes, all)
	}
	tl.note(sound(b, 1, 0, 0), t0.Add(time.Minute))
	tl.sweep(t0.Add(time.Minute), func(model.UID) bool { return false })
	if tl.polls[a] != nil || tl.polls[b] == nil {
		t.Error("old votes for what is not known stay, or new ones go")
	}
}

// TestTallyCounts: what is known of a poll without looking at its votes is what
// they say, whatever was heard, taken back and forgotten.
func TestTallyCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tl := newTally()
		app := node(1)
		voter := rapid.Map(rapid.ByteRange(2, 5), node)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			by := voter.Draw(t, "by")
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				tl.forget(app, by)
			case 1:
				tl.demote(app, by)
			default:
				tl.note(model.Vote{ApplicationUID: app, NodeUID: by, Available: rapid.IntRange(-2, 1).Draw(t, "available")}, time.Now())
			}
			yeses, capable := 0, 4
			for n := byte(2); n <= 5; n++ {
				if h, ok := tl.last(app, node(n)); ok && h.vote.Yes() {
					yeses++
				} else if ok && (h.vote.Available == model.VoteNever || h.vote.Available == model.VoteAway) {
					capable--
				}
			}
			got := len(tl.capable(app, []model.UID{node(2), node(3), node(4), node(5)}))
			if tl.hopeful(app) != (yeses > 0) || got != capable {
				t.Fatalf("hopeful %v, %d capable; want %d yeses, %d capable", tl.hopeful(app), got, yeses, capable)
			}
		}
	})
}

// TestPollsAreBounded: who tells of ever new applications fills no memory. What waits here is not counted out by that, nor by
// how much else waits: its votes are kept, those of this node before all.
func TestPollsAreBounded(t *testing.T) {
	e := newShelved(1)
	e.opts.Driver = func(string) (drivers.Driver, string) { return plain{free: 1}, "" }
	flood := func(n int) {
		votes := make([]model.Vote, 0, n)
		for i := range n {
			votes = append(votes, model.Vote{ApplicationUID: model.UID{9, byte(i >> 16), byte(i >> 8), byte(i)}, NodeUID: node(2)})
		}
		e.hear(votes)
	}
	flood(mostPolls + 10)
	if len(e.tally.polls) != mostPolls {
		t.Errorf("%d polls, want %d", len(e.tally.polls), mostPolls)
	}
	app := e.enqueue(1, 0)
	e.hear([]model.Vote{{ApplicationUID: app.UID, NodeUID: node(2), Available: model.VoteNo}})
	if _, heard := e.tally.last(app.UID, node(2)); !heard {
		t.Error("a vote for what waits here is dropped")
	}
	e.tally.drop(app.UID)
	_, _, _ = e.poll(time.Now())
	if list, _ := e.verdicts(e.standpoint(), time.Now()); len(list) != 1 || list[0].decision.Winner != e.opts.Node {
		t.Errorf("with votes for many others the one that can be granted has the verdicts %+v, want one for this node", list)
	}
}

func TestPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slept time.Duration
		began := time.Now()
		p := NewPromises(func() time.Duration { return time.Since(began) + slept })
		app, first, second := node(1), node(2), node(3)
		if _, ok := p.Age(app, first); ok {
			t.Error("promised before it voted")
		}
		p.Give(app, first)
		time.Sleep(20 * time.Second)
		p.Give(app, second)
		time.Sleep(5 * time.Second)
		if age, ok := p.Age(app, first); !ok || age != 25*time.Second {
			t.Errorf("Age(first) = %v, %v, want 25s", age, ok)
		}
		p.Give(app, first) // cast again
		slept = time.Hour
		if age, ok := p.Age(app, first); !ok || age != time.Hour {
			t.Errorf("Age(first) after a sleep = %v, %v, want 1h", age, ok)
		}
		p.TakeBack(app)
		if _, ok := p.Age(app, second); ok {
			t.Error("promised although it was taken back")
		}
		for i := range byte(2 * mostPromises) {
			p.Give(app, node(100+i))
		}
		if n := len(p.given[app]); n != mostPromises {
			t.Errorf("%d promises are kept, want %d", n, mostPromises)
		}
		open := map[model.UID]bool{app: true}
		time.Sleep(promiseKept)
		p.Give(node(4), first)
		if p.sweep(open); len(p.given) != 2 {
			t.Errorf("%d applications have promises, want one that is open and a new one", len(p.given))
		}
		time.Sleep(promiseOver + 1)
		if p.sweep(open); len(p.given) != 0 {
			t.Error("old promises stay")
		}
	})
}

// TestPromisesOfWhatIsOver do not add up: a busy node votes for hundreds of
// applications a second.
func TestPromisesOfWhatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newShelved(1) // of which nothing is open
		for i := range 100 {
			e.opts.Promises.Give(node(byte(i)), node(200))
			time.Sleep(time.Second)
			e.resync(t.Context())
		}
		if n := len(e.opts.Promises.given); n > 11 {
			t.Errorf("%d promises are kept, want those of the last %v", n, promiseOver)
		}
	})
}
