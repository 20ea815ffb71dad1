package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// oldPage is how many rows of v0.7 are in memory at a time.
const oldPage = 500

// oldRow is a row with its place in its table.
type oldRow[T any] struct {
	id int64
	v  T
}

// each reads a table of v0.7 in insertion order, and closes the cursor before
// the rows are written elsewhere.
func each[T any](ctx context.Context, a *adoption, table, columns string, scan func(scanner) (oldRow[T], error), use func(T) error) error {
	query := fmt.Sprintf("SELECT rowid, %s FROM %s WHERE rowid > ? ORDER BY rowid LIMIT %d", columns, oldPrefix+table, oldPage)
	for after := int64(-1 << 62); ; {
		page, err := collect(ctx, a.db, scan, query, after)
		if err != nil {
			return err
		}
		for _, row := range page {
			if err := use(row.v); err != nil {
				return err
			}
		}
		if len(page) < oldPage {
			return nil
		}
		after = page[len(page)-1].id
	}
}

// or is the time, or the adoption's where v0.7 had none.
func (a *adoption) or(t time.Time) time.Time {
	if t.IsZero() {
		return a.now
	}
	return t
}

func (a *adoption) users(ctx context.Context) error {
	return each(ctx, a, "users", "name, algo, prop_memory, prop_iterations, prop_threads, salt, hash, created_at, updated_at",
		func(row scanner) (o oldRow[model.User], err error) {
			u, h := &o.v, &o.v.Hash
			err = row.Scan(&o.id, &u.Name, oldText{&h.Algo}, &h.Memory, &h.Iterations, &h.Threads, &h.Salt, &h.Hash,
				oldTime{&u.CreatedAt}, oldTime{&u.UpdatedAt})
			return o, err
		},
		func(u model.User) error {
			u.CreatedAt, u.UpdatedAt = a.or(u.CreatedAt), a.or(u.UpdatedAt)
			u.HLC = a.clock(u.UpdatedAt)
			return a.exec.insertUser(u)
		})
}

func (a *adoption) nodes(ctx context.Context) error {
	return each(ctx, a, "nodes", "uid, name, address, location_name, pubkey, definition, created_at, updated_at",
		func(row scanner) (o oldRow[model.Node], err error) {
			n, definition := &o.v, ""
			err = row.Scan(&o.id, oldUID{&n.UID}, oldText{&n.Name}, oldText{&n.Address}, oldText{&n.LocationName}, &n.Pubkey,
				oldText{&definition}, oldTime{&n.CreatedAt}, oldTime{&n.UpdatedAt})
			n.Definition = json.RawMessage(definition)
			return o, err
		},
		func(n model.Node) error {
			n.CreatedAt, n.UpdatedAt = a.or(n.CreatedAt), a.or(n.UpdatedAt)
			n.HLC = a.clock(n.UpdatedAt)
			return a.exec.insertNode(n)
		})
}

// oldLabel keeps the definitions as they were written beside what they mean.
type oldLabel struct {
	model.Label
	definitions string
}

func (a *adoption) labelRows(ctx context.Context) error {
	return each(ctx, a, "labels", "uid, name, version, definitions, metadata, created_at",
		func(row scanner) (o oldRow[oldLabel], err error) {
			l, metadata := &o.v, ""
			err = row.Scan(&o.id, oldUID{&l.UID}, oldText{&l.Name}, &l.Version, oldText{&l.definitions}, oldText{&metadata},
				oldTime{&l.CreatedAt})
			l.Metadata = json.RawMessage(metadata)
			return o, err
		},
		func(l oldLabel) error {
			l.definitions = cmp.Or(l.definitions, "[]")
			if err := json.Unmarshal([]byte(l.definitions), &l.Definitions); err != nil {
				return fmt.Errorf("definitions of label %s: %w", l.UID, err)
			}
			l.CreatedAt = a.or(l.CreatedAt)
			l.HLC = a.clock(l.CreatedAt)
			a.labels[l.UID] = l.Label
			return a.exec.insertLabelText(l.Label, l.definitions)
		})
}

func (a *adoption) locations(ctx context.Context) error {
	return each(ctx, a, "locations", "name, description, created_at",
		func(row scanner) (o oldRow[model.Location], err error) {
			err = row.Scan(&o.id, oldText{&o.v.Name}, oldText{&o.v.Description}, oldTime{&o.v.CreatedAt})
			return o, err
		},
		func(l model.Location) error {
			l.CreatedAt = a.or(l.CreatedAt)
			l.HLC = a.clock(l.CreatedAt)
			return a.exec.insertLocation(l)
		})
}

func (a *adoption) mappings(ctx context.Context) error {
	return each(ctx, a, "service_mappings", "uid, application_uid, location_name, service, redirect, created_at",
		func(row scanner) (o oldRow[model.ServiceMapping], err error) {
			m := &o.v
			err = row.Scan(&o.id, oldUID{&m.UID}, oldUID{&m.ApplicationUID}, oldText{&m.LocationName}, oldText{&m.Service},
				oldText{&m.Redirect}, oldTime{&m.CreatedAt})
			return o, err
		},
		func(m model.ServiceMapping) error {
			m.CreatedAt = a.or(m.CreatedAt)
			m.HLC = a.clock(m.CreatedAt)
			return a.exec.insertMapping(m)
		})
}

// applications adopts whole lives, one by one.
func (a *adoption) applications(ctx context.Context) error {
	for _, table := range [...]string{"application_states", "application_tasks", "resources"} { // v0.7 had no such index
		if _, err := a.db.ExecContext(ctx, "CREATE INDEX v07_index_"+table+" ON "+oldPrefix+table+" (application_uid)"); err != nil {
			return err
		}
	}
	before, err := a.countParts(ctx)
	if err != nil {
		return err
	}
	adopted := 0
	err = each(ctx, a, "applications", "uid, label_uid, owner_name, metadata, created_at",
		func(row scanner) (o oldRow[oldApplication], err error) {
			app, metadata := &o.v, ""
			err = row.Scan(&o.id, oldText{&app.text}, oldUID{&app.LabelUID}, oldText{&app.OwnerName}, oldText{&metadata},
				oldTime{&app.CreatedAt})
			app.Metadata = json.RawMessage(metadata)
			return o, err
		},
		func(app oldApplication) error {
			n, err := a.application(ctx, app)
			adopted += n
			return err
		})
	a.dropped += before - adopted
	return err
}

func (a *adoption) countParts(ctx context.Context) (int, error) {
	n, err := column[int](ctx, a.db, "SELECT (SELECT count(*) FROM v07_application_states) + "+
		"(SELECT count(*) FROM v07_application_tasks) + (SELECT count(*) FROM v07_resources)")
	if err != nil {
		return 0, err
	}
	return n[0], nil
}

// oldApplication has its UID as it is stored, by which its parts are found.
type oldApplication struct {
	model.Application
	text string
}

// application adopts one life, and returns how many of its parts it took.
func (a *adoption) application(ctx context.Context, app oldApplication) (parts int, err error) {
	if err := (oldUID{&app.UID}).Scan(app.text); err != nil {
		return 0, err
	}
	app.CreatedAt = a.or(app.CreatedAt)
	app.HLC, app.Arbiter = a.clock(app.CreatedAt), a.store.opts.Node
	life := oldLife{
		entry: model.Entry{Application: app.Application}, executor: a.store.opts.Node, now: a.now,
		uids: func() model.UID { return a.store.uids.New(a.now) },
	}
	e := &life.entry
	if e.States, err = a.states(ctx, app); err != nil {
		return 0, fmt.Errorf("states of %s: %w", app.text, err)
	}
	if e.Tasks, err = a.tasks(ctx, app); err != nil {
		return 0, fmt.Errorf("tasks of %s: %w", app.text, err)
	}
	resources, err := a.resources(ctx, app)
	if err != nil {
		return 0, fmt.Errorf("resource of %s: %w", app.text, err)
	}
	parts = len(e.States) + len(e.Tasks)
	if n := len(resources); n > 0 { // the newest, as v0.7 did
		e.Resource, parts = &resources[n-1], parts+1
		life.label = a.labels[e.Resource.LabelUID]
		e.Resource.NodeUID = life.executor // whoever ran it then: this node has its database now
	}
	return parts, a.insert(life.adopt())
}

func (a *adoption) insert(e model.Entry) error {
	if err := a.exec.insertApplication(e.Application); err != nil {
		return err
	}
	for _, s := range e.States {
		a.last = max(a.last, s.HLC)
		if err := a.exec.insertState(s); err != nil {
			return err
		}
	}
	for _, t := range e.Tasks {
		if err := a.exec.putTask(t); err != nil {
			return err
		}
	}
	for _, l := range e.Allocations {
		if err := a.exec.putAllocation(l); err != nil {
			return err
		}
	}
	if e.Resource != nil {
		if err := a.exec.putResource(*e.Resource); err != nil {
			return err
		}
	}
	if !e.Done() {
		return nil
	}
	return a.exec.putClosed(e.Application.UID, a.now) // retention counts from here: nothing vanishes right away
}

// states are oldest first, with clock readings in that order.
func (a *adoption) states(ctx context.Context, app oldApplication) ([]model.ApplicationState, error) {
	rows, err := collect(ctx, a.db, func(row scanner) (s model.ApplicationState, err error) {
		err = row.Scan(oldUID{&s.UID}, &s.Status, oldText{&s.Description}, oldTime{&s.CreatedAt})
		return s, err
	}, "SELECT uid, status, description, created_at FROM v07_application_states WHERE application_uid = ? ORDER BY rowid", app.text)
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(s model.ApplicationState) bool { return !knownStatus(s.Status) })
	slices.SortStableFunc(rows, func(x, y model.ApplicationState) int { return x.CreatedAt.Compare(y.CreatedAt) })
	for i := range rows {
		s := &rows[i]
		s.ApplicationUID, s.CreatedAt = app.UID, a.or(s.CreatedAt)
		s.HLC = a.clock(s.CreatedAt)
		if i > 0 {
			s.HLC = max(s.HLC, rows[i-1].HLC+1)
		}
	}
	return rows, nil
}

// knownStatus reports whether v0.7 had the status (contract 7).
func knownStatus(s model.Status) bool {
	switch s {
	case model.StatusNew, model.StatusElected, model.StatusAllocated, model.StatusDeallocate, model.StatusRecalled,
		model.StatusDeallocated, model.StatusError:
		return true
	}
	return false
}

func (a *adoption) tasks(ctx context.Context, app oldApplication) ([]model.ApplicationTask, error) {
	tasks, err := collect(ctx, a.db, func(row scanner) (t model.ApplicationTask, err error) {
		var options, result string
		err = row.Scan(oldUID{&t.UID}, oldText{&t.Task}, oldText{&t.When}, oldText{&options}, oldText{&result},
			oldTime{&t.CreatedAt}, oldTime{&t.UpdatedAt})
		t.Options, t.Result = json.RawMessage(options), json.RawMessage(result)
		return t, err
	}, `SELECT uid, task, "when", options, result, created_at, updated_at FROM v07_application_tasks WHERE application_uid = ? ORDER BY rowid`, app.text)
	for i := range tasks {
		t := &tasks[i]
		t.ApplicationUID, t.CreatedAt, t.UpdatedAt = app.UID, a.or(t.CreatedAt), a.or(t.UpdatedAt)
		t.HLC = a.clock(t.CreatedAt)
	}
	return tasks, err
}

func (a *adoption) resources(ctx context.Context, app oldApplication) ([]model.Resource, error) {
	resources, err := collect(ctx, a.db, func(row scanner) (r model.Resource, err error) {
		var authentication, metadata string
		err = row.Scan(oldUID{&r.UID}, oldUID{&r.LabelUID}, oldUID{&r.NodeUID}, &r.DefinitionIndex, oldText{&r.Identifier},
			oldText{&r.IPAddr}, oldText{&r.HWAddr}, oldText{&authentication}, oldText{&metadata}, oldTime{&r.CreatedAt}, oldTime{&r.UpdatedAt})
		r.Metadata = json.RawMessage(metadata)
		if err == nil && authentication != "" {
			err = json.Unmarshal([]byte(authentication), &r.Authentication)
		}
		return r, err
	}, "SELECT uid, label_uid, node_uid, definition_index, identifier, ip_addr, hw_addr, authentication, metadata, created_at, updated_at "+
		"FROM v07_resources WHERE application_uid = ? ORDER BY rowid", app.text)
	for i := range resources {
		r := &resources[i]
		r.ApplicationUID, r.CreatedAt, r.UpdatedAt = app.UID, a.or(r.CreatedAt), a.or(r.UpdatedAt)
		r.HLC = a.clock(r.CreatedAt)
	}
	return resources, err
}
