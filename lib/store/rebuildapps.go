package store

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// removeStrays removes what is in a table without a live row, or without its
// application. The records of environments stay: they may be all that is known
// of one that runs.
func (r *rebuild) removeStrays() error {
	for _, v := range views() {
		if v.stray == "" {
			continue
		}
		if err := r.remove(v.name, v.stray); err != nil {
			return err
		}
	}
	for _, part := range [...]struct{ view, table string }{
		{viewStates, "application_states"}, {viewTasks, "application_tasks"}, {viewResources, "resources"},
	} {
		if err := r.remove(part.view, "DELETE FROM "+part.table+" AS t WHERE NOT EXISTS (SELECT 1 FROM applications a WHERE a.uid = t.application_uid)"); err != nil {
			return err
		}
	}
	return r.strayResources()
}

// strayResources removes those without a live row, and those that can not be
// read: what is to be shown comes back.
func (r *rebuild) strayResources() error {
	uids, err := r.uids("SELECT uid FROM resources")
	if err != nil {
		return err
	}
	for _, uid := range uids {
		row, err := r.findRow(replica.KindResource, uid)
		if err != nil {
			return err
		}
		sound := row != nil && !row.Deleted
		err = r.db().kept.Query("SELECT "+resourceColumns+" FROM resources r WHERE uid = ?", func(row scanner) error {
			_, err := scanResource(row)
			sound = sound && err == nil
			return nil
		}, uid)
		if err == nil && !sound {
			err = r.remove(viewResources, "DELETE FROM resources WHERE uid = ?", uid)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// uids reads the single column of a statement.
func (r *rebuild) uids(query string, args ...any) (uids [][]byte, err error) {
	err = r.db().kept.Query(query, func(row scanner) error {
		var uid []byte
		err := row.Scan(&uid)
		uids = append(uids, uid)
		return err
	}, args...)
	return uids, err
}

func (r *rebuild) remove(view, statement string, args ...any) error {
	n, err := r.db().exec(statement, args...)
	if err != nil {
		return r.fail(err)
	}
	r.removed(view, n)
	return nil
}

// rebuiltApplication is what the table says of one.
type rebuiltApplication struct {
	hlc    model.HLC
	uid    model.UID
	closed time.Time
}

// applications puts in order what follows from all rows of an application:
// which states and tasks it has, whether its Resource is shown, and its end.
func (r *rebuild) applications() error {
	const after = "(hlc, uid) > (?, ?) ORDER BY hlc, uid LIMIT ?"
	last := rebuiltApplication{hlc: -1}
	for {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		args := []any{int64(last.hlc), key(last.uid), rebuildPage}
		var page []rebuiltApplication
		err := r.db().kept.Query("SELECT hlc, uid, closed_at FROM applications WHERE "+after, func(row scanner) error {
			var a rebuiltApplication
			err := row.Scan(&a.hlc, &a.uid, nanos{&a.closed})
			page = append(page, a)
			return err
		}, args...)
		if err != nil || len(page) == 0 {
			return err
		}
		unshared := make(map[model.UID]bool)
		for _, a := range page {
			if unshared[a.uid], err = r.parts(a.uid); err != nil {
				return fmt.Errorf("application %s: %w", a.uid, err)
			}
		}
		entries, err := readEntries(r.ctx, r.db().writer, "a.uid IN (SELECT uid FROM applications WHERE "+after+")", args...)
		if err != nil {
			return err
		}
		for i, e := range entries { // in the order of the page
			if !unshared[e.Application.UID] {
				e.Sort(r.succession)
				if err := errors.Join(r.resource(e), r.closed(page[i], e)); err != nil {
					return fmt.Errorf("application %s: %w", e.Application.UID, err)
				}
			}
		}
		last = page[len(page)-1]
	}
}

// parts removes the states and tasks that have no live row, or one of another
// application, unless the application itself has none.
func (r *rebuild) parts(app model.UID) (unshared bool, err error) {
	row, err := r.findRow(replica.KindApplication, key(app))
	if err != nil || row == nil {
		r.report.Unshared++
		return true, err
	}
	for _, part := range [...]struct {
		view, table string
		kind        replica.Kind
	}{{viewStates, "application_states", replica.KindApplicationState}, {viewTasks, "application_tasks", replica.KindApplicationTask}} {
		stored, err := r.uids("SELECT uid FROM "+part.table+" WHERE application_uid = ?", key(app))
		if err != nil {
			return false, err
		}
		for _, uid := range stored {
			row, err := r.findRow(part.kind, uid)
			if err != nil {
				return false, err
			}
			if row != nil && !row.Deleted && r.mayBelong(row, app) {
				continue
			}
			if err := r.remove(part.view, "DELETE FROM "+part.table+" WHERE application_uid = ? AND uid = ?", key(app), uid); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

// mayBelong reports whether a row is of the application, as far as this version
// can read it.
func (r *rebuild) mayBelong(row *syncRow, app model.UID) bool {
	of := appOf(row)
	return of == app || of == model.NilUID
}

// resource puts the table in step with what the states and rows say is shown.
func (r *rebuild) resource(e *model.Entry) error {
	shown := e.Resource
	e.Resource = nil
	if e.Fold.Runs() {
		if err := r.findResource(e); err != nil {
			return err
		}
	}
	i := slices.IndexFunc(r.report.Kinds, func(k Rebuilt) bool { return k.Kind == viewResources })
	count := &r.report.Kinds[i]
	switch {
	case shown == nil && e.Resource == nil:
		return nil
	case shown == nil:
		count.Missing++
	case e.Resource == nil:
		count.Removed++
	default:
		before, err := replica.EncodeResource(*shown)
		now, err2 := replica.EncodeResource(*e.Resource)
		if err := errors.Join(err, err2); err != nil || bytes.Equal(before, now) {
			return err
		}
		count.Changed++
	}
	return r.replaceResource(e, shown)
}

// closed notes the end of the application as its states say. One that is noted
// stays: retention counts from it.
func (r *rebuild) closed(a rebuiltApplication, e *model.Entry) error {
	if e.Done() != a.closed.IsZero() {
		return nil
	}
	r.report.Closed++
	var at time.Time
	if e.Done() {
		end := slices.MaxFunc(e.States, func(a, b model.ApplicationState) int { return cmp.Compare(a.HLC, b.HLC) })
		at = time.Unix(0, int64(end.HLC)).UTC()
	}
	return r.run(func(w nounWriter) error { return w.putClosed(a.uid, at) })
}
