package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// execFunc runs a statement that writes, and reports how many rows it changed.
// Its methods write the nouns.
type execFunc func(query string, args ...any) (changed int64, err error)

// step runs a statement that only has to succeed.
func (exec execFunc) step(what, query string, args ...any) error {
	if _, err := exec(query, args...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func emptyObject() json.RawMessage { return json.RawMessage("{}") }

// orNow is the given time as it will read back, or now if it is not given.
func (t *tx) orNow(given time.Time) time.Time {
	if given.IsZero() {
		return t.now
	}
	return stamp(given)
}

// orNext is the given clock reading, or the next one. A given one may come
// from elsewhere: nothing made later may be older than it.
func (t *tx) orNext(given model.HLC) model.HLC {
	if given == 0 {
		return t.store.clock.Next(t.now)
	}
	t.store.clock.Observe(given)
	return given
}

// exists names the failed step, as ErrExists if it broke a unique key.
func exists(err error, step string) error {
	switch {
	case err == nil:
		return nil
	case code(err) == codeConstraint:
		return fmt.Errorf("%s: %w: %w", step, ErrExists, err)
	}
	return fmt.Errorf("%s: %w", step, err)
}

func (t *tx) writeAllocations(e *model.Entry, allocations []model.Allocation) error {
	if len(allocations) == 0 {
		return nil
	}
	all := slices.Clone(e.Allocations)
	for _, a := range allocations {
		a.ApplicationUID = e.Application.UID
		if a.NodeUID == model.NilUID {
			a.NodeUID = t.store.opts.Node
		}
		a.CreatedAt = t.orNow(a.CreatedAt)
		if !a.ReleasedAt.IsZero() {
			a.ReleasedAt = stamp(a.ReleasedAt)
		}
		a.Metadata, a.LabelMetadata = orEmpty(a.Metadata), orEmpty(a.LabelMetadata)
		if err := t.run(func(w nounWriter) error { return w.putAllocation(a) }); err != nil {
			return err
		}
		all = put(all, a, func(b model.Allocation) bool { return b.Epoch == a.Epoch })
	}
	slices.SortFunc(all, byEpoch) // as they read back
	e.Allocations = all
	return nil
}

func byEpoch(a, b model.Allocation) int { return cmp.Compare(a.Epoch, b.Epoch) }

// put replaces the element that matches, or appends.
func put[T any](list []T, v T, match func(T) bool) []T {
	if i := slices.IndexFunc(list, match); i >= 0 {
		list[i] = v
		return list
	}
	return append(list, v)
}

func orEmpty(m json.RawMessage) json.RawMessage {
	if len(m) == 0 {
		return emptyObject()
	}
	return m
}

func (exec execFunc) putAllocation(a model.Allocation) error {
	definition, err := toJSON(a.Definition)
	if err != nil {
		return err
	}
	_, err = exec("INSERT OR REPLACE INTO allocations (application_uid, epoch, node_uid, token, meta_token, label_uid, "+
		"definition_index, definition, metadata, label_metadata, identifier, failure, created_at, released_at) "+
		"VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
		key(a.ApplicationUID), a.Epoch, key(a.NodeUID), a.Token, a.MetaToken, key(a.LabelUID), a.DefinitionIndex, definition,
		rawText(a.Metadata), rawText(a.LabelMetadata), a.Identifier, a.Failure, toNanos(a.CreatedAt), toNanos(a.ReleasedAt))
	if err != nil {
		return fmt.Errorf("put allocation: %w", err)
	}
	return nil
}

func (t *tx) writeTasks(e *model.Entry, tasks []model.ApplicationTask) error {
	if len(tasks) == 0 {
		return nil
	}
	all := slices.Clone(e.Tasks)
	for _, task := range tasks {
		i := slices.IndexFunc(all, func(o model.ApplicationTask) bool { return o.UID == task.UID })
		if i >= 0 { // creation stays what it was
			task.CreatedAt, task.HLC = all[i].CreatedAt, all[i].HLC
		}
		t.stampTask(&task, e.Application.UID)
		if err := t.recordTask(task, i >= 0); err != nil {
			return err
		}
		if err := t.run(func(w nounWriter) error { return w.putTask(task) }); err != nil {
			return err
		}
		if i >= 0 {
			all[i] = task
		} else {
			all = append(all, task)
		}
	}
	e.Tasks = all
	return nil
}

func (t *tx) recordTask(task model.ApplicationTask, changed bool) error {
	if changed {
		return recordChange(t, task, replica.EncodeApplicationTask, task.ApplicationUID)
	}
	return record(t, task, replica.EncodeApplicationTask, task.ApplicationUID)
}

func (t *tx) stampTask(task *model.ApplicationTask, app model.UID) {
	task.ApplicationUID = app
	if task.UID == model.NilUID {
		task.UID = t.store.uids.New(t.now)
	}
	task.CreatedAt, task.UpdatedAt, task.HLC = t.orNow(task.CreatedAt), t.now, t.orNext(task.HLC)
	task.Options, task.Result = orEmpty(task.Options), orEmpty(task.Result)
}

func (exec execFunc) putTask(task model.ApplicationTask) error {
	_, err := exec(`INSERT INTO application_tasks (uid, application_uid, task, "when", options, result, created_at, updated_at, hlc) `+
		"VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (uid) DO UPDATE SET "+
		`task = excluded.task, "when" = excluded."when", options = excluded.options, result = excluded.result, updated_at = excluded.updated_at, hlc = excluded.hlc`,
		key(task.UID), key(task.ApplicationUID), task.Task, task.When, rawText(task.Options), rawText(task.Result),
		toNanos(task.CreatedAt), toNanos(task.UpdatedAt), int64(task.HLC))
	if err != nil {
		return fmt.Errorf("put task: %w", err)
	}
	return nil
}

// writeResource comes after the states: a Resource is there only while the
// application is ALLOCATED by its node, whatever the change says.
func (t *tx) writeResource(e *model.Entry, c model.Change) error {
	if c.Resource == nil && !c.DropResource && len(c.States) == 0 {
		return nil
	}
	shown := e.Resource
	if c.Resource != nil {
		r, fresh := *c.Resource, c.Resource.UID == model.NilUID
		t.stampResource(&r, e)
		if err := t.recordResource(r, fresh); err != nil {
			return err
		}
		e.Resource = &r
	}
	if c.DropResource || e.Resource != nil && !runs(e, e.Resource.NodeUID) {
		e.Resource = nil
	}
	if e.Resource == nil && e.Fold.Runs() && !c.DropResource {
		if err := t.findResource(e); err != nil {
			return err
		}
	}
	t.store.present(e, t.succession)
	return t.replaceResource(e, shown)
}

// runs reports whether the application is ALLOCATED by the node, shown or not.
func runs(e *model.Entry, node model.UID) bool {
	return e.Fold.Runs() && e.Fold.Allocated.NodeUID == node
}

// replaceResource brings the table in step with the entry.
func (t *tx) replaceResource(e *model.Entry, shown *model.Resource) error {
	if shown != nil && (e.Resource == nil || e.Resource.UID != shown.UID) {
		old := *shown
		if err := t.run(func(w nounWriter) error { return w.deleteResource(old) }); err != nil {
			return err
		}
	}
	if e.Resource == nil || e.Resource == shown {
		return nil
	}
	if shown == nil || shown.UID != e.Resource.UID {
		if err := t.showAccesses(e); err != nil {
			return err
		}
	}
	return t.run(func(w nounWriter) error { return w.putResource(*e.Resource) })
}

func (exec execFunc) deleteResource(r model.Resource) error {
	return exec.step("drop resource", "DELETE FROM resources WHERE uid = ?", key(r.UID))
}

// recordResource notes the row of this node's Resource; those of others are theirs.
func (t *tx) recordResource(r model.Resource, fresh bool) error {
	switch {
	case r.NodeUID != t.store.opts.Node:
		return nil
	case fresh:
		return record(t, r, replica.EncodeResource, r.ApplicationUID)
	}
	return recordChange(t, r, replica.EncodeResource, r.ApplicationUID)
}

func (t *tx) stampResource(r *model.Resource, e *model.Entry) {
	r.ApplicationUID = e.Application.UID
	if r.UID == model.NilUID {
		r.UID = t.store.uids.New(t.now)
	}
	if r.NodeUID == model.NilUID {
		r.NodeUID = t.store.opts.Node
	}
	if r.LabelUID == model.NilUID {
		r.LabelUID = e.Application.LabelUID
	}
	r.Metadata = orEmpty(r.Metadata)
	r.CreatedAt, r.UpdatedAt, r.HLC = t.orNow(r.CreatedAt), t.now, t.orNext(r.HLC)
}

func (exec execFunc) putResource(r model.Resource) error {
	var authentication any
	if r.Authentication != nil {
		text, err := toJSON(r.Authentication)
		if err != nil {
			return err
		}
		authentication = text
	}
	_, err := exec("INSERT OR REPLACE INTO resources (uid, application_uid, label_uid, node_uid, definition_index, identifier, "+
		"ip_addr, hw_addr, authentication, metadata, created_at, updated_at, hlc) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
		key(r.UID), key(r.ApplicationUID), key(r.LabelUID), key(r.NodeUID), r.DefinitionIndex, r.Identifier, r.IPAddr, r.HWAddr,
		authentication, rawText(r.Metadata), toNanos(r.CreatedAt), toNanos(r.UpdatedAt), int64(r.HLC))
	if err != nil {
		return fmt.Errorf("put resource: %w", err)
	}
	return nil
}
