package election_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var (
	seeds = flag.Uint64("elect.seeds", 6, "how many hostile histories are played")
	first = flag.Uint64("elect.seed", 1, "the first one's seed")
	load  = flag.Int("elect.apps", 350, "applications of each")
)

// histories is how many are played. A short run is one with the race detector,
// for which a third tells nothing new.
func histories() uint64 {
	if testing.Short() {
		return min(*seeds, 2)
	}
	return *seeds
}

// TestStrictRunsNothingTwice plays hostile histories over real elections and
// lifecycles: cuts of 5 s to 905 s, one-way ones too, crashes, pauses at any
// step, slow drivers and up to 20 % loss. No application ever has two
// environments, and in the end all are over, nothing is left and all nodes know
// the same.
func TestStrictRunsNothingTwice(t *testing.T) {
	for seed := *first; seed < *first+histories(); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playHostile(t, seed, election.Strict) })
		})
	}
}

// TestStrictRunsNothingTwiceOnOldDatabases plays the same with databases that
// are put back to what they were some time ago, of nodes whose rows another
// member has.
func TestStrictRunsNothingTwiceOnOldDatabases(t *testing.T) {
	back := 0
	for seed := *first; seed < *first+histories(); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHistory(t, seed)
				h.restores = true
				h.play(election.Strict)
				back += h.back
			})
		})
	}
	if t.Logf("%d databases were put back", back); back == 0 {
		t.Error("no database was put back")
	}
}

// TestAvailableEndsEverything plays the same in an available cluster: what
// runs twice after a long cut is settled once it heals.
func TestAvailableEndsEverything(t *testing.T) {
	twice, apps := 0, 0
	for seed := *first; seed < *first+max(1, histories()/3); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				twice += playHostile(t, seed, election.Available)
				apps += *load
			})
		})
	}
	t.Logf("%d of %d applications ran on two nodes at once for a while", twice, apps)
}

// history is one play.
type history struct {
	*hub
	apps  []model.UID
	given map[model.UID]bool // those that a user gives up, perhaps before they run
	over  chan struct{}
	seed  uint64

	restores bool            // databases are put back
	copies   map[int]*copied // by the index of the node
}

func newHistory(t *testing.T, seed uint64) *history {
	dice := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // a simulation
	h := &history{
		hub: newHub(t, 3+dice.IntN(5), seed), over: make(chan struct{}), given: map[model.UID]bool{}, seed: seed, copies: map[int]*copied{},
	}
	h.delay, h.loss = time.Duration(1+dice.IntN(300))*time.Millisecond, 0.2*dice.Float64()
	return h
}

func playHostile(t *testing.T, seed uint64, safety election.Safety) (twice int) {
	t.Helper()
	return newHistory(t, seed).play(safety)
}

func (h *history) play(safety election.Safety) (twice int) {
	t, began := h.t, time.Now()
	t.Helper()
	defer h.close()
	for _, n := range h.nodes {
		n.host.slow = func() time.Duration { return h.upTo(3 * time.Second) }
		n.change = func(e *election.Options, l *lifecycle.Options) {
			e.Safety = safety
			n.remembering(e, l)
			if safety == election.Available {
				l.Settled = n.settled
			}
		}
		n.start()
	}
	label := h.label(definition(1, 1, "30s"), definition(2, 2, "20s"))
	h.wg.Go(h.trouble)
	h.work(label)
	close(h.over)
	h.settle()
	twice = len(h.world.twice)
	if safety == election.Strict && twice > 0 {
		t.Errorf("seed %d: %d of %d applications ran twice at once", h.seed, twice, len(h.apps))
	}
	h.verify(safety)
	t.Logf("seed %d: %d nodes, %d applications in %v, %d twice", h.seed, len(h.nodes), len(h.apps), time.Since(began).Round(time.Second), twice)
	return twice
}

// work asks for applications all over the farm, about one a second.
func (h *history) work(label model.UID) {
	for len(h.apps) < *load {
		time.Sleep(h.upTo(2 * time.Second))
		n := h.nodes[h.pick(len(h.nodes))]
		if !n.running() {
			continue
		}
		app := n.db.create(label)
		h.apps = append(h.apps, app)
		if h.chance(0.2) {
			h.given[app] = true
			giver := h.nodes[h.pick(len(h.nodes))]
			h.wg.Go(func() { time.Sleep(h.upTo(20 * time.Second)); giver.recall(app) })
		}
	}
}

// kind is what happens next; where databases are put back that is half of it.
func (h *history) kind() int {
	if h.restores && h.chance(0.5) {
		return 2
	}
	return h.pick(6)
}

// trouble does something to the farm again and again.
func (h *history) trouble() {
	for {
		select {
		case <-h.over:
			return
		case <-time.After(h.upTo(40 * time.Second)):
		}
		h.backUp()
		switch i, length := h.pick(len(h.nodes)), 5*time.Second+h.upTo(time.Minute); h.kind() {
		case 0: // two sides
			if h.chance(0.2) {
				length += h.upTo(840 * time.Second)
			}
			border := 1 + h.pick(len(h.nodes)-1)
			h.split(func(n int) bool { return n < border })
			h.wg.Go(func() { time.Sleep(length); h.heal() })
		case 1: // one direction of one link
			j := h.pick(len(h.nodes))
			h.setCut(i, j, true)
			h.wg.Go(func() { time.Sleep(length); h.setCut(i, j, false) })
		case 2, 3:
			h.nodes[i].resume()
			h.nodes[i].crash()
			h.putBack(i)
			time.Sleep(h.upTo(20 * time.Second))
			h.nodes[i].start()
		case 4:
			if h.chance(0.1) {
				length += h.upTo(600 * time.Second)
			}
			h.nodes[i].pause()
			h.wg.Go(func() { time.Sleep(length); h.nodes[i].resume() })
		case 5: // nothing for a while
			time.Sleep(length)
		}
	}
}

// putBack puts a copy in place of the database of a node that is down, if that
// is what is played. What nobody else knows can not be known again, so that is
// left alone.
func (h *history) putBack(i int) {
	if !h.restores {
		return
	}
	n := h.nodes[i]
	if c := h.copies[i]; c != nil && n.toldAll() {
		n.restore(c)
		delete(h.copies, i)
	}
}

// backUp makes a copy of a database, if that is what is played.
func (h *history) backUp() {
	i := h.pick(len(h.nodes))
	if h.restores && (h.copies[i] == nil || h.chance(0.2)) {
		h.copies[i] = h.nodes[i].db.copy()
	}
}

// settle ends all trouble and waits until everything is over and known everywhere.
func (h *history) settle() {
	time.Sleep(16 * time.Minute) // the longest trouble is over
	h.heal()
	h.mu.Lock()
	h.loss = 0
	h.mu.Unlock()
	deadline := time.Now().Add(3 * time.Hour)
	for !h.done() || h.differing() != "" {
		time.Sleep(10 * time.Second)
		if time.Now().After(deadline) {
			h.tell()
			return
		}
	}
}

func (h *history) done() bool {
	for _, n := range h.nodes {
		if len(n.db.Open()) > 0 {
			return false
		}
	}
	return true
}

// differing is in what two nodes know different things; empty if all know the same.
func (h *history) differing() string {
	want := h.nodes[0].db.digest()
	for _, n := range h.nodes[1:] {
		if diff := cmp.Diff(want, n.db.digest()); diff != "" {
			return fmt.Sprintf("nodes 0 and %d know different things:\n%s", n.index, diff)
		}
	}
	return ""
}

// tell fails with what is not over.
func (h *history) tell() {
	told := 0
	for _, n := range h.nodes {
		for _, e := range n.db.Open() {
			if told++; told > 3 {
				return
			}
			text := ""
			for _, s := range e.States {
				winner := byte(0)
				if s.Decision != nil {
					winner = s.Decision.Winner[0]
				}
				text += fmt.Sprintf("\n  %s %d by %d for %d at %v %q", s.Status, s.Epoch, s.NodeUID[0], winner, s.HLC, s.Description)
			}
			h.t.Errorf("node %d: %s is not over: %+v%s", n.uid[0], e.Application.UID, e.Allocations, text)
		}
	}
}

// verify checks what is left in the end, and the whole history.
func (h *history) verify(safety election.Safety) {
	h.t.Helper()
	if n := h.world.running(); n > 0 {
		h.t.Errorf("%d environments are left", n)
	}
	if diff := h.differing(); diff != "" {
		h.t.Error(diff)
	}
	if safety == election.Strict {
		if result, _ := porcupine.CheckOperationsVerbose(lockModel(), h.world.owners, 0); result != porcupine.Ok {
			h.t.Errorf("applications were not owned by one at a time: %v", result)
		}
	}
	for _, app := range h.apps {
		if n := h.world.made[app]; safety == election.Strict && n > 1 {
			h.t.Errorf("%s was run %d times: %+v", app, n, h.nodes[0].entry(app).States)
		}
		if h.nodes[0].entry(app).Fold.Request == nil || h.world.made[app] == 0 && !h.given[app] {
			h.t.Errorf("%s was never run: %+v", app, h.nodes[0].entry(app).States)
		}
		for _, s := range h.nodes[0].entry(app).States {
			if s.Decision == nil {
				continue
			}
			if err := election.Verify(app, *s.Decision); err != nil {
				h.t.Errorf("grant %d: %v", s.Epoch, err)
			}
		}
	}
}
