package election_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// row is one fact as it travels between databases; one of the pointers is set.
type row struct {
	app        *model.Application
	state      *model.ApplicationState
	resource   *model.Resource // of its NodeUID; nil Identifier: it is gone
	label      *model.Label
	retirement *model.Retirement
	handover   *model.Handover
}

// database is what one node knows, in memory, and survives its crashes. It
// merges rows of others by the rules of the real one: facts are written once,
// of two with one key the older stays, a Resource is its node's.
type database struct {
	node  model.UID
	feed  store.Feed
	pause func() // returns when the node does not stand still

	intended func() // called once an intent is stored

	mu        sync.Mutex
	clock     *model.Clock
	entries   map[model.UID]*model.Entry
	open      map[model.UID]*model.Entry             // those that are not done
	early     map[model.UID][]model.ApplicationState // of applications that have not come
	resources map[model.UID]map[model.UID]model.Resource
	labels    map[model.UID]model.Label
	retired   []model.Retirement
	handed    []model.Handover
	journal   []row         // all that was ever news here, for the others
	accepting model.UID     // the application that a user asked for last
	grown     chan struct{} // closed and replaced when it grows, or cursors are set back

	lapseMu sync.Mutex // taken after mu
	lapse   lapse      // guarded by lapseMu
}

func newDatabase(node model.UID) *database {
	return &database{
		node: node, feed: store.NewFeed(), pause: func() {}, clock: model.NewClock(0),
		entries: map[model.UID]*model.Entry{}, open: map[model.UID]*model.Entry{}, early: map[model.UID][]model.ApplicationState{},
		resources: map[model.UID]map[model.UID]model.Resource{}, labels: map[model.UID]model.Label{},
		grown: make(chan struct{}),
	}
}

// note adds to the journal. Caller holds mu.
func (d *database) note(r row) {
	d.journal = append(d.journal, r)
	d.lookAgain()
}

// lookAgain wakes who waits for the journal to grow. Caller holds mu.
func (d *database) lookAgain() {
	close(d.grown)
	d.grown = make(chan struct{})
}

// growth is closed when the journal grows, or cursors of it are set back.
func (d *database) growth() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.grown
}

func (d *database) Subscribe(kinds ...store.Kind) *store.Subscription {
	return d.feed.Subscribe(kinds...)
}
func (d *database) Writable() error                     { return nil }
func (d *database) Doubt(model.Application) store.Doubt { return store.Certain }
func (d *database) Restored() (time.Time, bool)         { return time.Time{}, false }

func (d *database) Open() []*model.Entry {
	d.pause()
	d.mu.Lock()
	defer d.mu.Unlock()
	open := make([]*model.Entry, 0, len(d.open))
	for _, e := range d.open {
		open = append(open, e)
	}
	slices.SortFunc(open, func(a, b *model.Entry) int {
		return cmp.Or(cmp.Compare(a.Application.HLC, b.Application.HLC), slices.Compare(a.Application.UID[:], b.Application.UID[:]))
	})
	return open
}

func (d *database) Application(_ context.Context, uid model.UID) (*model.Entry, error) {
	d.pause()
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.entries[uid]; e != nil {
		return e, nil
	}
	return nil, store.ErrNotFound
}

func (d *database) Label(uid model.UID) (model.Label, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l, ok := d.labels[uid]
	return l, ok
}

func (d *database) Succession() ([]model.Retirement, []model.Handover) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.retired), slices.Clone(d.handed)
}

func (d *database) CreateHandover(_ context.Context, h model.Handover) (model.Handover, error) {
	d.mu.Lock()
	h.UID, h.NodeUID, h.HLC = uuid.New(), d.node, d.clock.Next(time.Now())
	d.mu.Unlock()
	d.take([]row{{handover: &h}})
	return h, nil
}

// Update is as that of the real store, and durable when it returns.
func (d *database) Update(_ context.Context, app model.UID, decide func(*model.Entry) (model.Change, error)) (*model.Entry, error) {
	d.pause()
	d.mu.Lock()
	e := d.entries[app]
	if e == nil {
		d.mu.Unlock()
		return nil, store.ErrNotFound
	}
	change, err := decide(e)
	if err == nil && !change.Empty() {
		err = d.write(e, change)
	}
	e = d.entries[app]
	intended := d.intended
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if intended != nil && len(change.Allocations) > 0 && change.Allocations[0].Open() && change.Allocations[0].Identifier == "" {
		intended()
	}
	d.feed.Publish(store.Key{Kind: store.KindApplication, UID: app})
	return e, nil
}

// onIntent calls f after the first intent that is stored; the answer tells
// whether there was one.
func (d *database) onIntent(f func()) (stored func() bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	done := false
	d.intended = func() {
		d.mu.Lock()
		first := !done
		done = true
		d.mu.Unlock()
		if first {
			f()
		}
	}
	return func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return done
	}
}

// write applies a change. Caller holds mu.
func (d *database) write(old *model.Entry, c model.Change) error {
	e := *old
	for _, s := range c.States {
		if s.UID == model.NilUID {
			s.UID = uuid.New()
		}
		if slices.ContainsFunc(e.States, func(o model.ApplicationState) bool { return o.UID == s.UID }) {
			return fmt.Errorf("state %s: %w", s.UID, store.ErrExists)
		}
		s.ApplicationUID, s.NodeUID, s.HLC, s.CreatedAt = e.Application.UID, d.node, d.clock.Next(time.Now()), time.Now()
		e.States = append(slices.Clone(e.States), s)
		d.note(row{state: &s})
	}
	for _, a := range c.Allocations {
		if a.CreatedAt.IsZero() {
			a.CreatedAt = time.Now()
		}
		e.Allocations = slices.DeleteFunc(slices.Clone(e.Allocations), func(o model.Allocation) bool { return o.Epoch == a.Epoch })
		e.Allocations = append(e.Allocations, a)
	}
	if c.Resource != nil || c.DropResource {
		r := model.Resource{ApplicationUID: e.Application.UID, NodeUID: d.node}
		if c.Resource != nil {
			r = *c.Resource
			r.UID, r.ApplicationUID, r.CreatedAt = uuid.New(), e.Application.UID, time.Now()
		}
		r.HLC = d.clock.Next(time.Now())
		d.keepResource(r)
		d.note(row{resource: &r})
	}
	d.replace(&e)
	return nil
}

func (d *database) keepResource(r model.Resource) bool {
	of := d.resources[r.ApplicationUID]
	if of == nil {
		of = map[model.UID]model.Resource{}
		d.resources[r.ApplicationUID] = of
	}
	if of[r.NodeUID].HLC >= r.HLC {
		return false
	}
	of[r.NodeUID] = r
	return true
}

// replace makes e the newest entry. Caller holds mu.
func (d *database) replace(e *model.Entry) {
	e.Sort(func() ([]model.Retirement, []model.Handover) { return d.retired, d.handed })
	e.Resource = nil
	if a := e.Fold.Allocated; a != nil && e.Fold.Status() == model.StatusAllocated {
		if r, ok := d.resources[e.Application.UID][a.NodeUID]; ok && r.Identifier != "" {
			e.Resource = &r
		}
	}
	d.entries[e.Application.UID] = e
	if delete(d.open, e.Application.UID); !e.Done() {
		d.open[e.Application.UID] = e
	}
}

// create accepts an application from a user.
func (d *database) create(label model.UID) model.UID {
	d.mu.Lock()
	now := time.Now()
	app := model.Application{UID: uuid.New(), LabelUID: label, OwnerName: "u", Metadata: []byte("{}"), CreatedAt: now, HLC: d.clock.Next(now), Arbiter: d.node}
	copy(app.UID[:6], d.node[:6])
	state := model.ApplicationState{UID: uuid.New(), ApplicationUID: app.UID, Status: model.StatusNew, NodeUID: d.node, CreatedAt: now, HLC: d.clock.Next(now)}
	d.accepting = app.UID
	d.mu.Unlock()
	d.take([]row{{app: &app}, {state: &state}})
	return app.UID
}

// take merges rows, of others or new ones of this node.
func (d *database) take(rows []row) {
	var keys []store.Key
	d.mu.Lock()
	for _, r := range rows {
		if key, news := d.merge(r); news {
			d.note(r)
			keys = append(keys, key)
		}
	}
	d.mu.Unlock()
	d.feed.Publish(keys...)
}

// merge takes one row in. Caller holds mu.
func (d *database) merge(r row) (key store.Key, news bool) {
	switch {
	case r.app != nil:
		return d.mergeApplication(*r.app)
	case r.state != nil:
		return d.mergeState(*r.state)
	case r.resource != nil:
		app := r.resource.ApplicationUID
		news = d.keepResource(*r.resource)
		if e := d.entries[app]; e != nil && news {
			next := *e
			d.replace(&next)
		}
		return store.Key{Kind: store.KindApplication, UID: app}, news
	case r.label != nil:
		_, known := d.labels[r.label.UID]
		d.labels[r.label.UID] = *r.label
		return store.Key{Kind: store.KindLabel, UID: r.label.UID}, !known
	case r.retirement != nil:
		known := slices.ContainsFunc(d.retired, func(o model.Retirement) bool {
			return o.NodeUID == r.retirement.NodeUID && o.Successor == r.retirement.Successor
		})
		if !known {
			d.retired = append(slices.Clip(d.retired), *r.retirement)
			d.sortAgain()
		}
		return store.Key{Kind: store.KindRetirement, UID: r.retirement.NodeUID}, !known
	}
	known := slices.ContainsFunc(d.handed, func(h model.Handover) bool { return h.UID == r.handover.UID })
	if !known {
		d.handed = append(slices.Clip(d.handed), *r.handover)
		d.sortAgain()
	}
	return store.Key{Kind: store.KindHandover, UID: r.handover.UID}, !known
}

// sortAgain looks again at what was not believed. Caller holds mu.
func (d *database) sortAgain() {
	for _, e := range d.entries {
		if len(e.Void) > 0 {
			next := *e
			d.replace(&next)
		}
	}
}

func (d *database) mergeApplication(app model.Application) (store.Key, bool) {
	key := store.Key{Kind: store.KindApplication, UID: app.UID}
	if d.entries[app.UID] != nil {
		return key, false
	}
	d.clock.Observe(app.HLC)
	d.learnOwn(app)
	early := d.early[app.UID]
	delete(d.early, app.UID)
	d.replace(&model.Entry{Application: app})
	for _, s := range early { // a row may have come from two members
		d.mergeState(s)
	}
	return key, true
}

func (d *database) mergeState(s model.ApplicationState) (store.Key, bool) {
	key := store.Key{Kind: store.KindApplication, UID: s.ApplicationUID}
	d.clock.Observe(s.HLC)
	e := d.entries[s.ApplicationUID]
	if e == nil {
		d.early[s.ApplicationUID] = append(d.early[s.ApplicationUID], s)
		return key, true
	}
	next := *e
	next.States, next.Void = slices.Clone(e.AllStates()), nil
	i := slices.IndexFunc(next.States, func(o model.ApplicationState) bool { return o.UID == s.UID })
	switch {
	case i < 0:
		next.States = append(next.States, s)
	case cmp.Or(cmp.Compare(s.HLC, next.States[i].HLC), slices.Compare(s.NodeUID[:], next.States[i].NodeUID[:])) < 0:
		next.States[i] = s
	default:
		return key, false
	}
	d.replace(&next)
	return key, true
}

// since are the rows that were news here after that many.
func (d *database) since(cursor int) []row {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.journal[min(cursor, len(d.journal)):])
}

// rows is how many were ever news here.
func (d *database) rows() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.journal)
}

// digest is all that is known, for comparison.
func (d *database) digest() map[model.UID]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[model.UID]string{}
	for uid, e := range d.entries {
		states := slices.Clone(e.AllStates())
		slices.SortFunc(states, func(a, b model.ApplicationState) int { return slices.Compare(a.UID[:], b.UID[:]) })
		text := ""
		for _, s := range states {
			text += fmt.Sprintf("%s %s %d %s; ", s.UID, s.Status, s.Epoch, s.NodeUID)
		}
		all[uid] = text
	}
	return maps.Clone(all)
}
