package store

import (
	"cmp"
	"context"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	applicationColumns = "a.uid, a.label_uid, a.owner_name, a.metadata, a.created_at, a.hlc, a.arbiter"
	stateColumns       = "s.uid, s.application_uid, s.status, s.description, s.created_at, s.hlc, s.epoch, s.node_uid, s.decision"
	taskColumns        = `t.uid, t.application_uid, t.task, t."when", t.options, t.result, t.created_at, t.updated_at, t.hlc`
	allocationColumns  = "l.application_uid, l.epoch, l.node_uid, l.token, l.meta_token, l.label_uid, l.definition_index, l.definition, " +
		"l.metadata, l.label_metadata, l.identifier, l.failure, l.created_at, l.released_at"
	resourceColumns = "r.uid, r.application_uid, r.label_uid, r.node_uid, r.definition_index, r.identifier, r.ip_addr, r.hw_addr, " +
		"r.authentication, r.metadata, r.created_at, r.updated_at, r.hlc"
)

func scanApplication(row scanner) (a model.Application, err error) {
	err = row.Scan(&a.UID, &a.LabelUID, &a.OwnerName, raw(&a.Metadata), nanos{&a.CreatedAt}, &a.HLC, &a.Arbiter)
	return a, err
}

func scanState(row scanner) (s model.ApplicationState, err error) {
	err = row.Scan(&s.UID, &s.ApplicationUID, &s.Status, &s.Description, nanos{&s.CreatedAt}, &s.HLC, &s.Epoch, &s.NodeUID,
		jsonOf{&s.Decision})
	return s, err
}

func scanTask(row scanner) (t model.ApplicationTask, err error) {
	err = row.Scan(&t.UID, &t.ApplicationUID, &t.Task, &t.When, raw(&t.Options), raw(&t.Result), nanos{&t.CreatedAt},
		nanos{&t.UpdatedAt}, &t.HLC)
	return t, err
}

func scanAllocation(row scanner) (a model.Allocation, err error) {
	err = row.Scan(&a.ApplicationUID, &a.Epoch, &a.NodeUID, &a.Token, &a.MetaToken, &a.LabelUID, &a.DefinitionIndex,
		jsonOf{&a.Definition}, raw(&a.Metadata), raw(&a.LabelMetadata), &a.Identifier, &a.Failure, nanos{&a.CreatedAt},
		nanos{&a.ReleasedAt})
	return a, err
}

func scanResource(row scanner) (r model.Resource, err error) {
	err = row.Scan(&r.UID, &r.ApplicationUID, &r.LabelUID, &r.NodeUID, &r.DefinitionIndex, &r.Identifier, &r.IPAddr, &r.HWAddr,
		jsonOf{&r.Authentication}, raw(&r.Metadata), nanos{&r.CreatedAt}, nanos{&r.UpdatedAt}, &r.HLC)
	return r, err
}

// which applications readEntries reads. Both are served by an index that
// leaves out finished history.
const (
	whichOpen = "a.closed_at IS NULL"
	whichOne  = "a.uid = ?"
)

// readEntries reads whole entries, in queue order.
func readEntries(ctx context.Context, db querier, which string, args ...any) ([]*model.Entry, error) {
	apps, err := collect(ctx, db, scanApplication,
		"SELECT "+applicationColumns+" FROM applications a WHERE "+which+" ORDER BY a.hlc, a.uid", args...)
	if err != nil {
		return nil, fmt.Errorf("read applications: %w", err)
	}
	if len(apps) == 0 {
		return nil, nil
	}
	entries := make([]*model.Entry, len(apps))
	byUID := make(map[model.UID]*model.Entry, len(apps))
	for i, a := range apps {
		entries[i] = &model.Entry{Application: a}
		byUID[a.UID] = entries[i]
	}
	if err := readParts(ctx, db, byUID, which, args); err != nil {
		return nil, err
	}
	for _, e := range entries {
		e.Fold = model.FoldStates(e.States)
	}
	return entries, nil
}

// selection is which applications to read the parts of.
type selection struct {
	db    querier
	which string
	args  []any
}

// readParts fills in what belongs to the entries. A row without its entry came
// into being between two of the queries; its reader gets it by the next event.
func readParts(ctx context.Context, db querier, entries map[model.UID]*model.Entry, which string, args []any) error {
	from := selection{db: db, which: which, args: args}
	return cmp.Or(
		parts(ctx, from, scanState, "SELECT "+stateColumns+joined("application_states", "s")+" ORDER BY s.id",
			func(s model.ApplicationState) {
				if e := entries[s.ApplicationUID]; e != nil {
					e.States = append(e.States, s)
				}
			}),
		parts(ctx, from, scanTask, "SELECT "+taskColumns+joined("application_tasks", "t")+" ORDER BY t.hlc, t.uid",
			func(t model.ApplicationTask) {
				if e := entries[t.ApplicationUID]; e != nil {
					e.Tasks = append(e.Tasks, t)
				}
			}),
		parts(ctx, from, scanAllocation, "SELECT "+allocationColumns+joined("allocations", "l")+" ORDER BY l.epoch",
			func(a model.Allocation) {
				if e := entries[a.ApplicationUID]; e != nil {
					e.Allocations = append(e.Allocations, a)
				}
			}),
		parts(ctx, from, scanResource, "SELECT "+resourceColumns+joined("resources", "r")+" ORDER BY r.hlc, r.uid",
			func(r model.Resource) {
				if e := entries[r.ApplicationUID]; e != nil {
					e.Resource = &r
				}
			}),
	)
}

// joined is the rest of a statement over a table of parts. CROSS JOIN makes
// SQLite begin with the applications, of which there are few.
func joined(table, alias string) string {
	return " FROM applications a CROSS JOIN " + table + " " + alias + " ON " + alias + ".application_uid = a.uid WHERE %s"
}

// parts reads one table of the selected applications; query has a place for
// the selection.
func parts[T any](ctx context.Context, from selection, scan func(scanner) (T, error), query string, use func(T)) error {
	rows, err := collect(ctx, from.db, scan, fmt.Sprintf(query, from.which), from.args...)
	if err != nil {
		return fmt.Errorf("read parts of applications: %w", err)
	}
	for _, row := range rows {
		use(row)
	}
	return nil
}

// readEntry reads one application, whole, in one snapshot.
func readEntry(ctx context.Context, db querier, uid model.UID) (*model.Entry, error) {
	entries, err := readEntries(ctx, db, whichOne, key(uid))
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("application %s: %w", uid, ErrNotFound)
	}
	return entries[0], nil
}
