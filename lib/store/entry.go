package store

import (
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

// readParts fills in what belongs to the entries. A row without its entry came
// into being between two of the queries; its reader gets it by the next event.
func readParts(ctx context.Context, db querier, entries map[model.UID]*model.Entry, which string, args []any) error {
	states, err := parts(ctx, db, scanState, stateColumns, "application_states s", which, "s.id", args)
	if err != nil {
		return fmt.Errorf("read states: %w", err)
	}
	for _, s := range states {
		if e := entries[s.ApplicationUID]; e != nil {
			e.States = append(e.States, s)
		}
	}
	tasks, err := parts(ctx, db, scanTask, taskColumns, "application_tasks t", which, "t.hlc, t.uid", args)
	if err != nil {
		return fmt.Errorf("read tasks: %w", err)
	}
	for _, t := range tasks {
		if e := entries[t.ApplicationUID]; e != nil {
			e.Tasks = append(e.Tasks, t)
		}
	}
	allocations, err := parts(ctx, db, scanAllocation, allocationColumns, "allocations l", which, "l.epoch", args)
	if err != nil {
		return fmt.Errorf("read allocations: %w", err)
	}
	for _, a := range allocations {
		if e := entries[a.ApplicationUID]; e != nil {
			e.Allocations = append(e.Allocations, a)
		}
	}
	resources, err := parts(ctx, db, scanResource, resourceColumns, "resources r", which, "r.hlc, r.uid", args)
	if err != nil {
		return fmt.Errorf("read resources: %w", err)
	}
	for _, r := range resources {
		if e := entries[r.ApplicationUID]; e != nil {
			e.Resource = &r
		}
	}
	return nil
}

// parts reads one table of the chosen applications. table ends in its alias.
func parts[T any](ctx context.Context, db querier, scan func(scanner) (T, error), columns, table, which, order string, args []any) ([]T, error) {
	alias := table[len(table)-1:]
	return collect(ctx, db, scan, "SELECT "+columns+" FROM applications a CROSS JOIN "+table+" ON "+alias+
		".application_uid = a.uid WHERE "+which+" ORDER BY "+order, args...)
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
