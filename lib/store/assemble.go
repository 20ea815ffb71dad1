package store

import (
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Rows of one application come from several nodes, in any order. While it is
// not here, or has no state to show, its rows wait: they are stored as rows, and
// nobody sees anything of it. When there is enough, all of them become its entry.

// takePart makes a row part of its application's entry, or lets it wait.
func (t *tx) takePart(row *syncRow, change func(*model.Entry) error) error {
	old, err := t.find(row.app)
	if err != nil {
		return err
	}
	if old == nil {
		return t.assemble(row)
	}
	e := *old
	if err := change(&e); err != nil {
		return err
	}
	return t.settle(old, &e)
}

// settle finishes an entry that rows of other nodes changed.
func (t *tx) settle(old, e *model.Entry) error {
	t.store.present(e, t.succession)
	if err := t.showResource(e); err != nil {
		return err
	}
	if err := t.writeClosed(old, e); err != nil {
		return err
	}
	uid := e.Application.UID
	t.then(Key{Kind: KindApplication, UID: uid}, func() { t.entries[uid] = e })
	return nil
}

func (t *tx) takeApplication(e *model.Entry, a model.Application) error {
	e.Application = a
	return t.run(func(w nounWriter) error { return w.putApplication(a) })
}

func (t *tx) takeState(e *model.Entry, s model.ApplicationState) error {
	t.store.clock.Observe(s.HLC)
	e.States = put(slices.Clone(e.AllStates()), s, func(o model.ApplicationState) bool { return o.UID == s.UID }) // settle sorts them
	e.Void = nil
	return t.run(func(w nounWriter) error { return w.putState(s) })
}

func (t *tx) takeTask(e *model.Entry, task model.ApplicationTask) error {
	e.Tasks = put(slices.Clone(e.Tasks), task, func(o model.ApplicationTask) bool { return o.UID == task.UID })
	slices.SortFunc(e.Tasks, taskOrder)
	return t.run(func(w nounWriter) error { return w.putTask(task) })
}

func taskOrder(a, b model.ApplicationTask) int {
	return byCreation(func(t model.ApplicationTask) (int64, string) { return int64(t.HLC), string(t.UID[:]) })(a, b)
}

// assemble makes an entry of a row and of those that wait with it, if there is
// enough of them; else the row waits too.
func (t *tx) assemble(row *syncRow) error {
	t.wait(row)
	rows, err := t.rowsOf(row.app)
	if err != nil {
		return err
	}
	e := &model.Entry{}
	for _, r := range rows {
		t.addTo(e, r)
	}
	if e.Application.UID == model.NilUID || !t.store.present(e, t.succession) {
		return nil
	}
	if err := t.putEntry(e); err != nil {
		return err
	}
	for _, r := range rows {
		came := *r // it waits no more
		came.since = time.Time{}
		t.rows.put(&came)
	}
	delete(t.absent, row.app)
	t.assembled[row.app] = true
	slices.SortFunc(e.Tasks, taskOrder)
	return t.settle(&model.Entry{}, e)
}

// wait has a row wait for its application.
func (t *tx) wait(row *syncRow) {
	row.since = t.now
	if !t.mayWait(row.app) {
		t.began[row.app] = true
	}
	t.store.waiting[row.app] = struct{}{}
	delete(t.assembled, row.app) // it was removed in between
}

// addTo puts what a waiting row holds into an entry.
func (t *tx) addTo(e *model.Entry, r *syncRow) {
	var err error
	switch r.Kind {
	case replica.KindApplication:
		e.Application, err = storedNoun(r, replica.DecodeApplication)
	case replica.KindApplicationState:
		var s model.ApplicationState
		s, err = storedNoun(r, replica.DecodeApplicationState)
		e.States = append(e.States, s)
	case replica.KindApplicationTask:
		var task model.ApplicationTask
		task, err = storedNoun(r, replica.DecodeApplicationTask)
		e.Tasks = append(e.Tasks, task)
	}
	if err != nil { // it was read before it was stored
		t.store.log.Error("a stored row can not be read any more", "kind", r.Kind, "error", err)
	}
}

func (t *tx) putEntry(e *model.Entry) error {
	if err := t.run(func(w nounWriter) error { return w.putApplication(e.Application) }); err != nil {
		return err
	}
	for _, s := range e.AllStates() {
		t.store.clock.Observe(s.HLC)
		if err := t.run(func(w nounWriter) error { return w.putState(s) }); err != nil {
			return err
		}
	}
	for _, task := range e.Tasks {
		if err := t.run(func(w nounWriter) error { return w.putTask(task) }); err != nil {
			return err
		}
	}
	return nil
}

// showResource puts the Resource in step with the states: the one of the node
// whose grant is ALLOCATED, once the label is known too; else none. Its row
// stays either way, and goes with the application.
func (t *tx) showResource(e *model.Entry) error {
	shown := e.Resource
	e.Resource = nil
	if e.Fold.Runs() {
		if err := t.findResource(e); err != nil {
			return err
		}
	}
	if shown != nil && e.Resource != nil && sameResource(*shown, *e.Resource) {
		e.Resource = shown
	}
	t.store.present(e, t.succession)
	return t.replaceResource(e, shown)
}

// sameResource reports whether two are the same version of one Resource.
func sameResource(a, b model.Resource) bool {
	return a.UID == b.UID && a.HLC == b.HLC && a.UpdatedAt.Equal(b.UpdatedAt)
}

// findResource looks for the Resource to show among the rows.
func (t *tx) findResource(e *model.Entry) error {
	if known, err := t.labelKnown(e.Application.LabelUID); err != nil || !known {
		return err
	}
	rows, err := t.rowsOf(e.Application.UID)
	if err != nil {
		return err
	}
	var best *syncRow
	for _, r := range rows {
		if r.Kind != replica.KindResource || r.Deleted || r.Version.Origin.Node != e.Fold.Allocated.NodeUID {
			continue
		}
		if best == nil || r.Version.Compare(best.Version) > 0 {
			best = r
		}
	}
	if best == nil {
		return nil
	}
	resource, err := storedNoun(best, replica.DecodeResource)
	if err != nil {
		return fmt.Errorf("read resource: %w", err)
	}
	e.Resource = &resource
	return nil
}

// labelKnown reports whether a label is here, or is known to be deleted.
func (t *tx) labelKnown(uid model.UID) (bool, error) {
	if _, ok := t.labels.get(uid); ok {
		return true, nil
	}
	row, err := t.findRow(replica.KindLabel, uid[:])
	return row != nil, err
}

// takeLabel stores a label of another node.
func (t *tx) takeLabel(l model.Label) error {
	if err := t.putLabel(l); err != nil {
		return err
	}
	return t.labelCame(l.UID)
}

// labelCame shows what waited for its label alone.
func (t *tx) labelCame(label model.UID) error {
	t.flush()
	apps := make(map[model.UID]*model.Entry)
	for uid, e := range t.store.memory.open {
		apps[uid] = e
	}
	for uid, e := range t.entries {
		apps[uid] = e
	}
	for _, old := range apps {
		if old == nil || old.Application.LabelUID != label || !t.store.hidden(old) {
			continue
		}
		e := *old
		if err := t.settle(old, &e); err != nil {
			return err
		}
	}
	return nil
}
