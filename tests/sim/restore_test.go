package sim

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// backup is what a disk held at a time.
type backup struct {
	of    *member
	whole bool // with the marker, so that the node can not tell
	disk  *store.Disk
	at    time.Time
}

// back puts a disk back to what it held a while ago, or keeps that for later.
func (h *history) back() {
	i := h.pick(len(h.backups) + 1)
	if i == len(h.backups) || h.backups[i].of.retired.Load() {
		h.keep(h.any())
		return
	}
	b := h.backups[i]
	h.backups = append(h.backups[:i], h.backups[i+1:]...)
	h.restore(b)
}

// keep makes a backup.
func (h *history) keep(m *member) {
	b := &backup{of: m, whole: h.chance(0.5) && h.plan.volumes, at: time.Now()}
	switch {
	case m.disk == nil:
		return
	case b.whole:
		b.disk = m.disk.Snapshot()
	default:
		b.disk = m.disk.Copy()
	}
	h.backups = append(h.backups, b)
}

// restore puts a backup back. What only this node knew is lost.
func (h *history) restore(b *backup) {
	m := b.of
	wrote := m.last.vector
	if m.p != nil {
		wrote = m.p.store.Vector()
	}
	m.kill(h.chance(0.5))
	spread := h.spread(m, wrote)
	if b.whole {
		for _, app := range h.halfTold(m) {
			h.world.pardon(app, "a volume was put back whole, and not all others knew what its node had done")
		}
		m.disk.Rewind(b.disk)
		h.count("rewound")
	} else {
		m.disk.Restore(b.disk)
		h.count("restored")
	}
	h.forget(m, b.at)
	m.last, m.lost = sight{}, m.lost || b.whole
	h.wait(h.upTo(20 * time.Second))
	m.start()
	if b.whole { // it goes on where the copy ends until it hears of the others
		for _, e := range m.p.store.Open() {
			h.world.pardon(e.Application.UID, "a volume was put back whole, on which it was open")
		}
	}
	if !spread {
		h.pardon("rows were lost with a disk")
	}
}

// spread reports whether others know all that the node wrote, and all that it had
// of those who were retired, durable, as they would a while later. The node does
// not run.
func (h *history) spread(m *member, wrote replica.Vector) bool {
	all, own := false, maps.Clone(wrote)
	maps.DeleteFunc(own, func(o replica.Origin, _ uint64) bool {
		n := h.byUID(o.Node)
		return n != m && (n == nil || !n.retired.Load())
	})
	for _, other := range h.living() {
		if other.p == nil {
			continue
		}
		if vector := other.p.store.Vector(); vector.Covers(own) {
			all = true
		}
		_ = other.p.flush(context.Background()) // on a full disk nothing more is lost than before
	}
	return all
}

// halfTold are the applications of which some others know that the node decided
// or ran them, and some do not. It does not run.
func (h *history) halfTold(m *member) (apps []model.UID) {
	h.ledger.mu.Lock()
	all := slices.Clone(h.ledger.apps)
	h.ledger.mu.Unlock()
	for _, app := range all {
		least, most := math.MaxInt, 0
		for _, other := range h.living() {
			if other != m {
				n := other.statesBy(m, app)
				least, most = min(least, n), max(most, n)
			}
		}
		if least != most {
			apps = append(apps, app)
		}
	}
	return apps
}

// statesBy is how many states of the application a node knows that another one
// wrote.
func (m *member) statesBy(by *member, app model.UID) (n int) {
	if m.p == nil {
		return 0
	}
	e, err := m.p.store.Application(context.Background(), app)
	if err != nil {
		return 0
	}
	for _, s := range e.States {
		if s.NodeUID == by.uid {
			n++
		}
	}
	return n
}

// forget takes back what clients were told by a node since, which is lost with
// its disk.
func (h *history) forget(m *member, since time.Time) {
	l := h.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	for uid, was := range l.told {
		if was.by != m || was.at.Before(since) || h.known(uid) {
			continue
		}
		l.drop(uid)
	}
	for _, puts := range l.users {
		for value, p := range puts {
			if p.node == m.uid && !p.at.Before(since) {
				p.version = 0
				puts[value] = p
			}
		}
	}
}

// known reports whether an application is durable on some node.
func (h *history) known(app model.UID) bool {
	for _, m := range h.living() {
		if m.p == nil {
			continue
		}
		if _, err := m.p.store.Application(context.Background(), app); err == nil && m.p.flush(context.Background()) == nil {
			return true
		}
	}
	return false
}

// told is who told a client of something, and when.
type told struct {
	by *member
	at time.Time
}

// drop forgets an application, a task, or that a label is or is not there.
func (l *ledger) drop(uid model.UID) {
	for i, app := range l.apps {
		if app == uid {
			l.apps = append(l.apps[:i], l.apps[i+1:]...)
			break
		}
	}
	delete(l.tasks, uid)
	delete(l.deleted, uid)
	if _, label := l.labels[uid]; label {
		l.labels[uid] = true
	}
	for task, app := range l.tasks {
		if app == uid {
			delete(l.tasks, task)
		}
	}
}
