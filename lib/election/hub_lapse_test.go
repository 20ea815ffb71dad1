package election_test

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// lapse is what a database that was put back knows of that, as that of the real
// store, and what its node was told since by the others, as lib/recall. A part
// of the database that survives crashes, but for heard.
type lapse struct {
	on    bool
	until model.HLC
	since time.Time
	heard map[int]*target // by the index of the node
}

// target is how many rows a node had when it was asked.
type target struct {
	rows    int
	covered bool
}

// copied is a copy of a database.
type copied struct {
	entries, open map[model.UID]*model.Entry
	early         map[model.UID][]model.ApplicationState
	resources     map[model.UID]map[model.UID]model.Resource
	labels        map[model.UID]model.Label
	retired       []model.Retirement
	handed        []model.Handover
	journal       []row
	clock         model.HLC
	lapse         lapse
}

func (d *database) copy() *copied {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lapseMu.Lock()
	defer d.lapseMu.Unlock()
	c := &copied{
		entries: maps.Clone(d.entries), open: maps.Clone(d.open), early: map[model.UID][]model.ApplicationState{},
		resources: map[model.UID]map[model.UID]model.Resource{}, labels: maps.Clone(d.labels),
		retired: slices.Clone(d.retired), handed: slices.Clone(d.handed), journal: slices.Clone(d.journal), clock: d.clock.Last(), lapse: d.lapse,
	}
	for app, list := range d.early {
		c.early[app] = slices.Clone(list)
	}
	for app, of := range d.resources {
		c.resources[app] = maps.Clone(of)
	}
	return c
}

// putBack puts a copy in place of what the node has. Nothing runs on it.
func (d *database) putBack(c *copied) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lapseMu.Lock()
	defer d.lapseMu.Unlock()
	d.entries, d.open, d.early, d.resources, d.labels = c.entries, c.open, c.early, c.resources, c.labels
	d.retired, d.handed, d.journal, d.clock = c.retired, c.handed, c.journal, model.NewClock(c.clock)
	d.lapse = lapse{on: true, until: max(c.lapse.until, d.clock.Next(time.Now())), since: time.Now()}
}

// Lapsed implements what lifecycle asks of the store.
func (d *database) Lapsed() (time.Time, bool) {
	d.lapseMu.Lock()
	defer d.lapseMu.Unlock()
	return d.lapse.since, d.lapse.on
}

// learnOwn raises the lapse to an application that others bring back. Caller
// holds mu.
func (d *database) learnOwn(app model.Application) {
	d.lapseMu.Lock()
	defer d.lapseMu.Unlock()
	if d.lapse.on && app.Arbiter == d.node && app.UID != d.accepting {
		d.lapse.until = max(d.lapse.until, app.HLC)
	}
}

// memory is a node's recall.
type memory struct{ n *node }

func (m memory) Lapsed() bool {
	_, on := m.n.db.Lapsed()
	return on
}

func (m memory) Forgot(app model.Application) bool {
	d := m.n.db
	d.lapseMu.Lock()
	defer d.lapseMu.Unlock()
	return d.lapse.on && (app.Arbiter != d.node || app.HLC <= d.lapse.until)
}

func (m memory) Heard(uid model.UID) bool {
	d := m.n.db
	d.lapseMu.Lock()
	defer d.lapseMu.Unlock()
	for i, o := range m.n.hub.nodes {
		if o.uid == uid {
			t := d.lapse.heard[i]
			return t != nil && t.covered
		}
	}
	return false
}

// remembering is how a node that may be put back is started.
func (n *node) remembering(e *election.Options, l *lifecycle.Options) {
	n.db.lapseMu.Lock()
	n.db.lapse.heard, n.db.lapse.since = nil, time.Now()
	n.db.lapseMu.Unlock()
	e.Recall, l.Lapsed = memory{n}, n.db.Lapsed
}

// remember asks who can be reached, and ends the lapse when all were heard.
func (n *node) remember(reach []int) {
	if !n.running() {
		return
	}
	h, d := n.hub, n.db
	retired, _ := d.Succession()
	news, all := false, true
	for i, o := range h.nodes {
		if _, gone := model.Retired(o.uid, retired); gone || o == n {
			continue
		}
		if n.hear(i, slices.Contains(reach, i)) {
			news = true
		}
		all = all && memory{n}.Heard(o.uid)
	}
	d.lapseMu.Lock()
	ends := d.lapse.on && all
	if ends {
		d.lapse = lapse{}
	}
	d.lapseMu.Unlock()
	if news || ends {
		n.ring()
	}
}

// hear asks one node, and looks whether its answer is here.
func (n *node) hear(i int, reachable bool) (news bool) {
	total, d := n.hub.nodes[i].db.rows(), n.db
	n.hub.mu.Lock()
	here := n.hub.keep[[2]int{i, n.index}]
	n.hub.mu.Unlock()
	d.lapseMu.Lock()
	defer d.lapseMu.Unlock()
	if !d.lapse.on {
		return false
	}
	t := d.lapse.heard[i]
	if t == nil && reachable {
		if d.lapse.heard == nil {
			d.lapse.heard = map[int]*target{}
		}
		t = &target{rows: total}
		d.lapse.heard[i] = t
	}
	if t == nil || t.covered || here < t.rows {
		return false
	}
	t.covered = true
	return true
}

// toldAll reports whether some other node has all that this one has.
func (n *node) toldAll() bool {
	for j := range n.hub.nodes {
		if j != n.index && n.hub.has(n.index, j) {
			return true
		}
	}
	return false
}

// restore puts an older database in place of the one of a node that does not
// run: the others have to send it all anew, and it them.
func (n *node) restore(c *copied) {
	h := n.hub
	n.db.putBack(c)
	h.mu.Lock()
	h.back++
	for i := range h.nodes {
		h.keep[[2]int{i, n.index}], h.keep[[2]int{n.index, i}] = 0, 0
	}
	h.mu.Unlock()
	for _, o := range h.nodes {
		o.db.mu.Lock()
		o.db.lookAgain()
		o.db.mu.Unlock()
		o.db.lapseMu.Lock()
		if t := o.db.lapse.heard[n.index]; t != nil && !t.covered { // what it had is now with others, who are asked too
			delete(o.db.lapse.heard, n.index)
		}
		o.db.lapseMu.Unlock()
	}
}

// List names what runs on the host.
func (h *host) List(context.Context) ([]drivers.Ref, error) {
	h.node.stand()
	w := h.node.hub.world
	w.mu.Lock()
	defer w.mu.Unlock()
	var refs []drivers.Ref
	for app, envs := range w.envs {
		for token, of := range envs {
			if of == h {
				refs = append(refs, drivers.Ref{Token: token, Identifier: "env-" + token, ApplicationUID: app})
			}
		}
	}
	return refs, nil
}
