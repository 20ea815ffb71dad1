package kill

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// plan is one round: how the node runs in it and how it dies.
type plan struct {
	round int
	point string // one of points, with its count
	env   []string
	cfg   string // what the drivers' cfg has beside the limits
	// aborts are how long starts live that are killed before the real one.
	aborts []time.Duration
	// again is how often a start that kills itself is made once more as it is.
	again int
	// load is how long clients work before the node is killed from outside.
	load time.Duration
	// rest says that the round waits for rest before the load.
	rest bool
}

func (p plan) String() string {
	return fmt.Sprintf("round %d: %s (again %d), killed at start after %v, load %v, rest %v, cfg {%s}",
		p.round, p.point, p.again, p.aborts, p.load, p.rest, p.cfg)
}

// calm is the plan without what kills the node.
func (p plan) calm() plan {
	p.point, p.env, p.aborts = "calm", nil, nil
	kept := strings.Split(p.cfg, ", ")
	for i, key := range kept {
		if strings.HasPrefix(key, "crash_") {
			kept = append(kept[:i], kept[i+1:]...)
			break
		}
	}
	p.cfg = strings.Join(kept, ", ")
	return p
}

// limits is what each instance may hand out. Both are local, so each counts
// what both have handed out (contract 13).
func limits() map[string]need {
	return map[string]need{"test/a": {"test/a", 10, 20}, "test/b": {"test/b", 6, 12}}
}

// config is the node's config file for the round.
func (p plan) config() string {
	var b strings.Builder
	b.WriteString("starvation_after: 0s\ndrivers:\n") // a head would hold others back, which rest could not tell from a fault
	for _, name := range []string{"test/a", "test/b"} {
		limit := limits()[name]
		fmt.Fprintf(&b, "  - {name: %s, cfg: {cpu_limit: %d, ram_limit: %d, allow_crash: true, %s}}\n",
			name, limit.cpu, limit.ram, p.cfg)
	}
	return b.String()
}

// points are all places where the node can be made to kill itself, "outside"
// for a kill at no special place, and "stopping" for one after a SIGTERM.
func points() []string {
	all := []string{"outside", "outside", "outside", "outside", "stopping", "stopping"}
	for _, p := range []string{"savepoint.before", "savepoint.after", "commit.before", "commit.after", "feed.before", "answer.before"} {
		all = append(all, "store "+p)
	}
	for _, of := range []string{
		"allocate before claimed created after any", "deallocate before removed after any", "task before after any",
	} {
		method, at, _ := strings.Cut(of, " ")
		for p := range strings.FieldsSeq(at) {
			all = append(all, method+" "+p)
		}
	}
	return all
}

// longLoad is the longest that clients work in a round that is killed from
// outside: most of what they start takes some ten milliseconds.
const longLoad = 800 * time.Millisecond

// aimed reports whether the node kills itself at the point.
func aimed(point string) bool { return strings.Contains(point, " ") }

// planner draws the rounds. It goes through all points before any comes again.
type planner struct {
	rng  *rand.Rand
	only string // points that hold this
	deck []string
	next int
}

func (d *planner) draw() plan {
	if len(d.deck) == 0 {
		d.deck = slices.DeleteFunc(points(), func(p string) bool { return !strings.Contains(p, d.only) })
		d.rng.Shuffle(len(d.deck), func(i, j int) { d.deck[i], d.deck[j] = d.deck[j], d.deck[i] })
	}
	p := plan{round: d.next, load: upTo(d.rng, 1200*time.Millisecond), rest: d.rng.IntN(3) == 0}
	p.point, d.deck = d.deck[0], d.deck[1:]
	d.next++
	p.again = max(0, d.rng.IntN(5)-2)
	p.cfg = fmt.Sprintf("delay_allocate: %v, delay_deallocate: %v, delay_task: %v",
		upTo(d.rng, 40*time.Millisecond), upTo(d.rng, 30*time.Millisecond), upTo(d.rng, 10*time.Millisecond))
	if d.rng.IntN(5) == 0 {
		p.cfg += ", fail_deallocate: 25"
	}
	if method, at, aimed := strings.Cut(p.point, " "); aimed {
		d.aim(&p, method, at)
	}
	if d.rng.IntN(4) == 0 {
		for range 1 + d.rng.IntN(3) {
			p.aborts = append(p.aborts, upTo(d.rng, 200*time.Millisecond))
		}
	}
	return p
}

// aim makes the node kill itself at the n-th pass of a point. Small n are as
// likely as large ones together, for those are passed while the node starts.
func (d *planner) aim(p *plan, method, at string) {
	p.load = 1500 * time.Millisecond
	most := 4 // doublings
	if method == "store" {
		most = 7
	}
	n := 1 + d.rng.IntN(1<<d.rng.IntN(most))
	p.point = fmt.Sprintf("%s %s:%d", method, at, n)
	if method == "store" {
		p.env = []string{fmt.Sprintf("FISH_CRASH_STORE=%s:%d", at, n)}
		return
	}
	p.cfg += fmt.Sprintf(", crash_%s: %q", method, fmt.Sprintf("%s:%d", at, n))
}

// upTo is a random time in whole milliseconds.
func upTo(rng *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(most/time.Millisecond))) * time.Millisecond
}
