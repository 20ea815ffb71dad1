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
}

// play runs the history in a farm that was started: so many applications, one
// each few moments.
func (f *farm) play(p plan, apps int, every time.Duration) *history {
	h := &history{farm: f, plan: p, ledger: newLedger(), over: make(chan struct{})}
	f.net.Disturb(p.loss*f.share(), 1+time.Duration(float64(p.jitter)*f.share()), f.seed)
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
	for _, m := range h.nodes {
		m.wake()
		m.skew.Store(0)
		if m.disk != nil {
			m.disk.Fail(nil)
		}
	}
	if err := h.tellLater(context.Background(), h.nodes[0].p); err != nil {
		h.t.Errorf("seed %d: node 0 takes no rows of a later version: %v", h.seed, err)
	}
	if _, ok := h.until(40*time.Minute, 10*time.Second, h.done); !ok {
		h.tell()
	}
	time.Sleep(10 * time.Second)
}

// done reports whether nothing is left to do on any node.
func (h *history) done() bool {
	for _, m := range h.nodes {
		if len(m.p.store.Open()) > 0 {
			return false
		}
	}
	if !h.agree() {
		return false
	}
	equal, _ := h.same()
	return equal
}

// tell fails with what is not over.
func (h *history) tell() {
	told := 0
	for _, m := range h.nodes {
		for _, e := range m.p.store.Open() {
			if told++; told > 3 {
				break
			}
			h.t.Errorf("seed %d: node %d: %s", h.seed, m.index, describe(e))
		}
	}
	if equal, diff := h.same(); !equal {
		h.t.Errorf("seed %d: after quiet %s", h.seed, diff)
	}
	if !h.agree() {
		for _, m := range h.nodes {
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
	for _, m := range h.nodes {
		if got := m.p.store.Vector()[future()]; got != uint64(len(h.ledger.later)) {
			h.t.Errorf("seed %d: node %d has %d of the %d rows of a later version", h.seed, m.index, got, len(h.ledger.later))
		}
		for uid, gone := range h.ledger.labels {
			if _, known := m.p.store.Label(uid); !known && !gone {
				h.t.Errorf("seed %d: node %d lost label %s", h.seed, m.index, uid)
			}
		}
	}
	h.linear("owners", lockModel(), h.world.owners)
	h.linear("users", registerModel(), h.ledger.reads)
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
	for _, m := range h.nodes {
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
		for _, m := range h.nodes {
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
			if m.index == 0 {
				h.verifyApplication(e)
			}
		}
	}
	for task, app := range h.ledger.tasks {
		for _, m := range h.nodes {
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
	for _, s := range e.States {
		if s.Status != model.StatusElected {
			continue
		}
		if s.NodeUID != app.Arbiter && h.safety == election.Strict {
			h.t.Errorf("seed %d: node %s granted %s, of which %s is the arbiter", h.seed, s.NodeUID, app.UID, app.Arbiter)
		}
		if err := election.Verify(app.UID, *s.Decision); err != nil {
			h.t.Errorf("seed %d: grant %d of %s: %v", h.seed, s.Epoch, app.UID, err)
		}
	}
}

// verifyUsers: each user is as the newest write left it.
func (h *history) verifyUsers() {
	for name, puts := range h.ledger.users {
		var newest put
		var want string
		for value, p := range puts {
			if p.version > newest.version || p.version == newest.version && string(p.node[:]) > string(newest.node[:]) {
				newest, want = p, value
			}
		}
		u, known := h.nodes[0].p.store.UserByName(name)
		is := puts[u.Hash.Algo]
		if newest.version > 0 && (!known || u.Hash.Algo != want && (is.version != 0 || u.HLC < newest.version)) {
			h.t.Errorf("seed %d: %s is %q of %v, want %q of %v", h.seed, name, u.Hash.Algo, u.HLC, want, newest.version)
		}
	}
}

func campaign(t *testing.T, seed uint64, p plan, size, apps int, every time.Duration) {
	play(t, size, seed, func(f *farm) {
		began, at := time.Now(), clock()
		h := f.play(p, apps, every)
		t.Logf("seed %d: %d nodes, %d applications, %d refused, %v simulated, %v", seed, size, len(h.ledger.apps), h.ledger.errs, time.Since(began).Round(time.Second), clock()-at)
	})
}
