package store

import (
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// add sets what must not be there.
func add[K comparable, V any](d *Disk, what string, rows map[K]V, key K, value V) error {
	if _, taken := rows[key]; taken {
		return fmt.Errorf("insert %s: %w", what, ErrExists)
	}
	set(d, rows, key, value)
	return nil
}

func (m *memoryEngine) insertUser(u model.User) error {
	set(m.disk, m.disk.rows.users, u.Name, u)
	return nil
}

func (m *memoryEngine) deleteUser(name string) error {
	unset(m.disk, m.disk.rows.users, name)
	return nil
}

func (m *memoryEngine) insertNode(n model.Node) error {
	set(m.disk, m.disk.rows.nodes, n.UID, n)
	return nil
}

func (m *memoryEngine) insertLabel(l model.Label) error {
	set(m.disk, m.disk.rows.labels, l.UID, l)
	return nil
}

func (m *memoryEngine) deleteLabel(uid model.UID) error {
	unset(m.disk, m.disk.rows.labels, uid)
	return nil
}

func (m *memoryEngine) insertLocation(l model.Location) error {
	set(m.disk, m.disk.rows.locations, l.Name, l)
	return nil
}

func (m *memoryEngine) deleteLocation(name string) error {
	unset(m.disk, m.disk.rows.locations, name)
	return nil
}

func (m *memoryEngine) insertMapping(p model.ServiceMapping) error {
	set(m.disk, m.disk.rows.mappings, p.UID, p)
	return nil
}

func (m *memoryEngine) deleteMapping(uid model.UID) error {
	unset(m.disk, m.disk.rows.mappings, uid)
	return nil
}

func (m *memoryEngine) insertApplication(a model.Application) error {
	return add(m.disk, "application", m.disk.rows.applications, a.UID, diskApplication{entry: model.Entry{Application: a}})
}

// putApplication replaces the application's own part.
func (m *memoryEngine) putApplication(a model.Application) error {
	app := m.disk.rows.applications[a.UID]
	app.entry.Application = a
	set(m.disk, m.disk.rows.applications, a.UID, app)
	return nil
}

// change replaces an application's value. Without the application there is
// nothing to change: the writer never asks for it.
func (m *memoryEngine) change(app model.UID, change func(*diskApplication) error) error {
	a, ok := m.disk.rows.applications[app]
	if !ok {
		return fmt.Errorf("application %s: %w", app, ErrNotFound)
	}
	if err := change(&a); err != nil {
		return err
	}
	set(m.disk, m.disk.rows.applications, app, a)
	return nil
}

func (m *memoryEngine) putClosed(app model.UID, at time.Time) error {
	if !at.IsZero() && at.Before(m.oldest) {
		m.oldest = at
	}
	return m.change(app, func(a *diskApplication) error {
		a.closed = at
		return nil
	})
}

func (m *memoryEngine) removeApplication(app model.UID) error {
	a, ok := m.disk.rows.applications[app]
	if !ok {
		return nil
	}
	m.dropRowsOf(&a.entry)
	for _, t := range a.entry.Tasks {
		unset(m.disk, m.disk.rows.tasks, t.UID)
	}
	for uid, p := range m.disk.rows.mappings {
		if p.ApplicationUID == app {
			unset(m.disk, m.disk.rows.mappings, uid)
			_ = m.dropRow(rowKey{replica.KindServiceMapping, string(uid[:])}) // it has no way to fail
		}
	}
	unset(m.disk, m.disk.rows.applications, app)
	return nil
}

func (m *memoryEngine) insertState(s model.ApplicationState) error {
	return m.change(s.ApplicationUID, func(a *diskApplication) error {
		if slices.ContainsFunc(a.entry.States, func(o model.ApplicationState) bool { return o.UID == s.UID }) {
			return fmt.Errorf("insert state %s: %w", s.Status, ErrExists)
		}
		a.entry.States = append(slices.Clip(a.entry.States), s)
		return nil
	})
}

func (m *memoryEngine) putState(s model.ApplicationState) error {
	return m.change(s.ApplicationUID, func(a *diskApplication) error {
		a.entry.States = put(slices.Clone(a.entry.States), s, func(o model.ApplicationState) bool { return o.UID == s.UID })
		return nil
	})
}

func (m *memoryEngine) putAllocation(l model.Allocation) error {
	return m.change(l.ApplicationUID, func(a *diskApplication) error {
		a.entry.Allocations = put(slices.Clone(a.entry.Allocations), l, func(o model.Allocation) bool { return o.Epoch == l.Epoch })
		slices.SortFunc(a.entry.Allocations, byEpoch)
		return nil
	})
}

func (m *memoryEngine) putTask(t model.ApplicationTask) error {
	set(m.disk, m.disk.rows.tasks, t.UID, t.ApplicationUID)
	return m.change(t.ApplicationUID, func(a *diskApplication) error {
		a.entry.Tasks = put(slices.Clone(a.entry.Tasks), t, func(o model.ApplicationTask) bool { return o.UID == t.UID })
		return nil
	})
}

func (m *memoryEngine) putResource(r model.Resource) error {
	return m.change(r.ApplicationUID, func(a *diskApplication) error {
		a.entry.Resource = &r
		return nil
	})
}

func (m *memoryEngine) deleteResource(r model.Resource) error {
	return m.change(r.ApplicationUID, func(a *diskApplication) error {
		a.entry.Resource = nil
		return nil
	})
}
