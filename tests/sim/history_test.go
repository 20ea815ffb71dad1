package sim

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// history is one play: clients, trouble, then quiet.
type history struct {
	*farm
	plan   plan
	ledger *ledger
	over   chan struct{}
	begun  time.Time

	backups []*backup // the plan's own
}

// play runs the history in a farm that was started: so many applications, one
// each few moments.
func (f *farm) play(p plan, apps int, every time.Duration) *history {
	h := &history{farm: f, plan: p, ledger: newLedger(), over: make(chan struct{}), begun: time.Now()}
	f.net.Disturb(p.loss*f.share(), 1+time.Duration(float64(p.jitter)*f.share()), f.seed)
	if p.safety != "" {
		f.safety = p.safety
	}
	if p.newer {
		f.nodes[len(f.nodes)-1].newer = true
	}
	f.start()
	looked := make(chan struct{})
	f.work.Go(func() { f.watch(looked) })
	f.until(30*time.Second, 100*time.Millisecond, f.agree)
	l := f.label(f.nodes[0], "first", definition(1, 1, "6s"), definition(2, 2, "4s"))
	h.ledger.labels[l.UID] = false
	planned := make(chan struct{})
	f.work.Go(func() { defer close(planned); h.trouble() })
	h.clients(apps, every)
	close(h.over)
	<-planned
	h.settle()
	close(looked)
	h.verify()
	return h
}

func (f *farm) share() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dice.Float64()
}

// settle ends all trouble and waits until everything is over.
func (h *history) settle() {
	time.Sleep(time.Second) // faults that were waited for have been undone
	h.net.Disturb(0, 0, 0)
	h.start()
	for _, m := range h.living() {
		m.wake()
		m.undrain()
		m.skew.Store(0)
		if m.disk != nil {
			m.disk.Fail(nil)
		}
	}
	h.retireForgotten()
	if err := h.tellLater(context.Background(), h.living()[0].p); err != nil {
		h.t.Errorf("seed %d: a node takes no rows of a later version: %v", h.seed, err)
	}
	if _, ok := h.until(h.patience(), 10*time.Second, h.done); !ok {
		h.tell()
	}
	h.compare()
}

// patience is how long it may take until everything is over. What a node wrote
// by a clock that was ahead gets the right time; where several were, that knew of
// each other, some of it is taken in when the others reach that time.
func (h *history) patience() time.Duration {
	if h.plan.one {
		return 40 * time.Minute
	}
	return 40*time.Minute + h.plan.ahead
}

// compare has all neighbours compare once more: they have to, and find nothing.
func (h *history) compare() {
	time.Sleep(10 * time.Second)
	was := map[*member]uint64{}
	for _, m := range h.living() {
		was[m] = m.p.engine.Stats().Compared
		m.p.engine.Compare()
	}
	time.Sleep(15 * time.Second)
	for _, m := range h.living() {
		if len(m.p.cluster.Status().Links) > 0 && m.p.engine.Stats().Compared == was[m] {
			h.t.Errorf("seed %d: node %d compared nothing", h.seed, m.index)
		}
	}
}

// done reports whether nothing is left to do on any node.
func (h *history) done() bool {
	for _, m := range h.living() {
		if len(m.p.store.Open()) > 0 {
			return false
		}
	}
	if !h.agree() || h.world.running() > 0 { // strays of a disk that was put back are seen twice before they go
		return false
	}
	equal, _ := h.same()
	return equal
}

// tell fails with what is not over.
func (h *history) tell() {
	told := 0
	for _, m := range h.living() {
		for _, e := range m.p.store.Open() {
			if told++; told > 3 && len(e.OpenAllocations()) == 0 {
				continue
			}
			h.t.Errorf("seed %d: node %d: %s\n  its label was deleted: %t", h.seed, m.index, describe(e), m.p.store.LabelDeleted(e.Application.LabelUID))
		}
	}
	if equal, diff := h.same(); !equal {
		h.t.Errorf("seed %d: after quiet %s", h.seed, diff)
	}
	if !h.agree() {
		for _, m := range h.living() {
			h.t.Errorf("seed %d: after quiet node %d counts %d as active, links %d", h.seed, m.index, len(m.p.cluster.Active()), len(m.p.cluster.Status().Links))
		}
	}
}

func describe(e *model.Entry) string {
	var text strings.Builder
	fmt.Fprintf(&text, "application %s is not over: allocations %+v", e.Application.UID, e.Allocations)
	for _, s := range e.States {
		winner := byte(0)
		if s.Decision != nil {
			winner = s.Decision.Winner[0]
		}
		fmt.Fprintf(&text, "\n  %s %d by %d for %d at %v %q", s.Status, s.Epoch, s.NodeUID[0], winner, s.CreatedAt.Sub(epoch), s.Description)
	}
	for _, task := range e.Tasks {
		fmt.Fprintf(&text, "\n  task %s %s %s", task.Task, task.When, task.Result)
	}
	return text.String()
}

// verify checks what is left in the end, and the whole history.
func (h *history) verify() {
	h.t.Helper()
	if n := h.world.running(); n > 0 {
		h.t.Errorf("seed %d: %d environments are left", h.seed, n)
	}
	h.look()
	if equal, diff := h.same(); !equal {
		h.t.Errorf("seed %d: after quiet %s", h.seed, diff)
	}
	h.verifyGraph()
	h.verifyApplications()
	h.verifyUsers()
	for _, m := range h.living() {
		if got := m.p.store.Vector()[future()]; got != uint64(len(h.ledger.later)) {
			h.t.Errorf("seed %d: node %d has %d of the %d rows of a later version", h.seed, m.index, got, len(h.ledger.later))
		}
		for uid, gone := range h.ledger.labels {
			if _, known := m.p.store.Label(uid); !known && !gone {
				h.t.Errorf("seed %d: node %d lost label %s", h.seed, m.index, uid)
			} else if known && h.ledger.deleted[uid] {
				h.t.Errorf("seed %d: node %d has label %s, which was deleted", h.seed, m.index, uid)
			}
		}
	}
	if h.safety == election.Strict || !h.silent {
		h.linear("owners", lockModel(), h.world.owned())
	}
	h.linear("users", registerModel(h.ledger.writers()), h.ledger.reads)
}

// linear checks a history, and writes it as a page to look at if it is wrong.
func (h *history) linear(name string, m porcupine.Model, ops []porcupine.Operation) {
	result, info := porcupine.CheckOperationsVerbose(m, ops, 0)
	if result == porcupine.Ok {
		return
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("sim-%s-%d.html", name, h.seed))
	if err := porcupine.VisualizePath(m, info, path); err != nil {
		path = err.Error()
	}
	h.t.Errorf("seed %d: the history of %s is %v; see %s", h.seed, name, result, path)
}

// verifyGraph: all see each other, over at most as many links as allowed.
func (h *history) verifyGraph() {
	if !h.agree() {
		h.t.Errorf("seed %d: the nodes do not all see each other after quiet", h.seed)
	}
	for _, m := range h.living() {
		if n := len(m.p.cluster.Status().Links); n > 8 {
			h.t.Errorf("seed %d: node %d has %d links after quiet", h.seed, m.index, n)
		}
	}
}

// verifyApplications: what was acknowledged is on every node, looks the same
// there, was granted by who may, and ended as it should.
func (h *history) verifyApplications() {
	for _, app := range h.ledger.apps {
		var shown string
		for i, m := range h.living() {
			e, err := m.p.store.Application(context.Background(), app)
			if err != nil {
				h.t.Errorf("seed %d: node %d lost application %s: %v", h.seed, m.index, app, err)
				continue
			}
			is := fmt.Sprint(e.Fold.Status(), e.Fold.Closed, e.Resource != nil, len(e.Tasks))
			if shown != "" && is != shown {
				h.t.Errorf("seed %d: node %d shows %s as %s, another one as %s", h.seed, m.index, app, is, shown)
			}
			shown = is
			if i == 0 {
				h.verifyApplication(e)
			}
		}
	}
	for task, app := range h.ledger.tasks {
		for _, m := range h.living() {
			if got, _, err := m.p.store.Task(context.Background(), task); err != nil || !got.Ended() {
				h.t.Errorf("seed %d: node %d: task %s of %s is lost or has not ended: %v", h.seed, m.index, task, app, err)
			}
		}
	}
}

func (h *history) verifyApplication(e *model.Entry) {
	app := e.Application
	if !e.Fold.Closed || e.Resource != nil {
		h.t.Errorf("seed %d: %s", h.seed, describe(e))
	}
	if gone := h.ledger.labels[app.LabelUID]; !h.world.ran(app.UID) && !h.ledger.given[app.UID] && !gone {
		h.t.Errorf("seed %d: it never ran: %s", h.seed, describe(e))
	}
	h.verifyGrants(e)
	deciders := h.deciders(app)
	for _, s := range e.States {
		if s.Status != model.StatusElected {
			continue
		}
		if h.safety == election.Strict && !deciders[s.NodeUID] {
			h.t.Errorf("seed %d: node %s granted %s, of which %s is the arbiter", h.seed, s.NodeUID, app.UID, app.Arbiter)
		}
		if err := election.Verify(app.UID, *s.Decision); err != nil {
			h.t.Errorf("seed %d: grant %d of %s: %v", h.seed, s.Epoch, app.UID, err)
		}
	}
}

func campaign(t *testing.T, seed uint64, p plan, size, apps int, every time.Duration) {
	play(t, size, seed, func(f *farm) {
		began, at := time.Now(), clock()
		h := f.play(p, apps, every)
		t.Logf("seed %d: %d nodes, %d applications, %d refused, %d rows stamped anew, %v, %v simulated, %v", seed, size, len(h.ledger.apps), h.ledger.errs, f.restamped.Load(), h.ledger.happened, time.Since(began).Round(time.Second), clock()-at)
	})
}
