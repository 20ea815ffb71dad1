package store

import (
	"bytes"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// outcome is what a row found in its table.
type outcome int

const (
	rowSound outcome = iota
	rowMissing
	rowChanged
	rowUnreadable // by this version
	rowWaits      // for an application that is not here
)

// view is a kind of rows with its table.
type view struct {
	kind replica.Kind
	name string
	// mend makes the table say what the row says; nil if there is no table, or if
	// what is in it does not follow from the row alone.
	mend func(*rebuild, *syncRow) (outcome, error)
	// stray removes from the table what has no live row; "" if that is not all
	// that decides.
	stray string
}

// The kinds whose names others use here.
const (
	viewApplications = "applications"
	viewStates       = "application states"
	viewTasks        = "application tasks"
	viewResources    = "resources"
)

// views are the kinds that have a table, applications before what belongs to
// them, and those that are known and have none. A node without a row of its own
// is an old one; it stays.
func views() []view {
	return []view{
		{replica.KindUser, "users", mend(tableOf[model.User]{
			"SELECT " + userColumns + " FROM users WHERE name = ?", scanUser, replica.DecodeUser, replica.EncodeUser,
			execFunc.insertUser, func(u model.User) []any { return []any{u.Name} },
		}), withoutRow("users", "CAST(t.name AS BLOB)", replica.KindUser)},
		{replica.KindLabel, "labels", mend(tableOf[model.Label]{
			"SELECT " + labelColumns + " FROM labels WHERE uid = ?", scanLabel, replica.DecodeLabel, replica.EncodeLabel,
			execFunc.insertLabel, func(l model.Label) []any { return []any{key(l.UID)} },
		}), withoutRow("labels", "t.uid", replica.KindLabel)},
		{replica.KindNode, "nodes", mend(tableOf[model.Node]{
			"SELECT " + nodeColumns + " FROM nodes WHERE uid = ?", scanNode, replica.DecodeNode, replica.EncodeNode,
			execFunc.insertNode, func(n model.Node) []any { return []any{key(n.UID)} },
		}), ""},
		{replica.KindLocation, "locations", mend(tableOf[model.Location]{
			"SELECT " + locationColumns + " FROM locations WHERE name = ?", scanLocation, replica.DecodeLocation, replica.EncodeLocation,
			execFunc.insertLocation, func(l model.Location) []any { return []any{l.Name} },
		}), withoutRow("locations", "CAST(t.name AS BLOB)", replica.KindLocation)},
		{replica.KindApplication, viewApplications, mend(tableOf[model.Application]{
			"SELECT " + applicationColumns + " FROM applications a WHERE uid = ?", scanApplication, replica.DecodeApplication, replica.EncodeApplication,
			execFunc.putApplication, func(a model.Application) []any { return []any{key(a.UID)} },
		}), ""},
		{replica.KindServiceMapping, "service mappings", mend(tableOf[model.ServiceMapping]{
			"SELECT " + mappingColumns + " FROM service_mappings WHERE uid = ?", scanMapping, replica.DecodeServiceMapping, replica.EncodeServiceMapping,
			execFunc.insertMapping, func(m model.ServiceMapping) []any { return []any{key(m.UID)} },
		}), withoutRow("service_mappings", "t.uid", replica.KindServiceMapping)},
		{replica.KindApplicationState, viewStates, part(tableOf[model.ApplicationState]{
			"SELECT " + stateColumns + " FROM application_states s WHERE application_uid = ? AND uid = ?", scanState,
			replica.DecodeApplicationState, replica.EncodeApplicationState, execFunc.putState,
			func(s model.ApplicationState) []any { return []any{key(s.ApplicationUID), key(s.UID)} },
		}), ""},
		{replica.KindApplicationTask, viewTasks, part(tableOf[model.ApplicationTask]{
			"SELECT " + taskColumns + " FROM application_tasks t WHERE uid = ?", scanTask,
			replica.DecodeApplicationTask, replica.EncodeApplicationTask, putWholeTask,
			func(t model.ApplicationTask) []any { return []any{key(t.UID)} },
		}), ""},
		{replica.KindResource, viewResources, nil, ""}, // the application decides whether it is shown
		{replica.KindRetirement, "retirements", nil, ""},
		{replica.KindHandover, "handovers", nil, ""},
		{replica.KindOwnership, "ownerships", nil, ""},
		{replica.KindResourceAccess, "resource accesses", nil, ""},
		{replica.KindAccessUse, "access uses", nil, ""},
	}
}

// withoutRow removes what has no live row.
func withoutRow(table, key string, kind replica.Kind) string {
	return fmt.Sprintf("DELETE FROM %s AS t WHERE NOT EXISTS (SELECT 1 FROM sync_rows r WHERE r.kind = %d AND r.key = %s AND r.body IS NOT NULL)",
		table, kind, key)
}

// tableOf is how a noun is found in its table.
type tableOf[T replica.Noun] struct {
	query  string // of the one that the key names
	scan   func(scanner) (T, error)
	decode func([]byte) (T, error)
	encode func(T) ([]byte, error)
	put    func(execFunc, T) error
	key    func(T) []any
}

// mend makes the table say what the row says.
func mend[T replica.Noun](of tableOf[T]) func(*rebuild, *syncRow) (outcome, error) {
	return func(r *rebuild, row *syncRow) (outcome, error) {
		want, err := decodeRow(arrived{Row: row.Row}, of.decode)
		if err != nil {
			return rowUnreadable, nil //nolint:nilerr // it is kept, and passed on
		}
		return of.mend(r, want)
	}
}

// part is mend for what belongs to an application: without that it waits.
func part[T model.ApplicationState | model.ApplicationTask](of tableOf[T]) func(*rebuild, *syncRow) (outcome, error) {
	return func(r *rebuild, row *syncRow) (outcome, error) {
		want, err := decodeRow(arrived{Row: row.Row}, of.decode)
		if err != nil {
			return rowUnreadable, nil //nolint:nilerr // it is kept, and passed on
		}
		here, err := r.here(partUID(want))
		if err != nil || !here {
			return rowWaits, err
		}
		return of.mend(r, want)
	}
}

// partUID is the application that a part belongs to.
func partUID(noun any) model.UID {
	switch n := noun.(type) {
	case model.ApplicationState:
		return n.ApplicationUID
	case model.ApplicationTask:
		return n.ApplicationUID
	}
	return model.NilUID
}

func (of tableOf[T]) mend(r *rebuild, want T) (outcome, error) {
	body, err := of.encode(want)
	if err != nil {
		return rowUnreadable, nil //nolint:nilerr // as above
	}
	found := rowMissing
	err = r.db().kept.Query(of.query, func(row scanner) error {
		found = rowChanged // also what can not be read
		if noun, err := of.scan(row); err == nil {
			if stored, err := of.encode(noun); err == nil && bytes.Equal(stored, body) {
				found = rowSound
			}
		}
		return nil
	}, of.key(want)...)
	if err != nil || found == rowSound {
		return found, err
	}
	return found, r.fail(of.put(r.db().execFunc, want))
}

// here reports whether the application is in its table.
func (r *rebuild) here(app model.UID) (here bool, err error) {
	err = r.db().kept.Query("SELECT 1 FROM applications WHERE uid = ?", func(scanner) error { here = true; return nil }, key(app))
	return here, err
}

// putWholeTask replaces all of a task, where putTask takes for granted what never
// changes.
func putWholeTask(exec execFunc, t model.ApplicationTask) error {
	if err := exec.step("drop task", "DELETE FROM application_tasks WHERE uid = ?", key(t.UID)); err != nil {
		return err
	}
	return exec.putTask(t)
}
