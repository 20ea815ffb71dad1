package fakeec2

import (
	"slices"
	"time"
)

// table holds the things of one kind by their id, with what they were like
// until a while ago: a list that lags behind shows that.
type table[T any] struct {
	ids     []string // in the order of their making, so that a seed gives one result
	records map[string]*record[T]
	full    int // when so many are kept, what is gone for long is dropped
}

type record[T any] struct{ versions []version[T] } // oldest first, never empty

// version is what a thing was like from a time on. Its value is never changed
// in place.
type version[T any] struct {
	at    time.Time
	value T
	gone  bool
}

// remembered is how far lists can lag behind at most.
const remembered = 15 * time.Minute

// get is the thing as it is.
func (t *table[T]) get(id string) (T, bool) {
	r := t.records[id]
	if r == nil {
		var none T
		return none, false
	}
	last := r.versions[len(r.versions)-1]
	return last.value, !last.gone
}

// put makes or changes a thing.
func (t *table[T]) put(id string, now time.Time, value T) {
	t.add(id, version[T]{at: now, value: value})
}

// change changes a thing that is there, and reports whether it is.
func (t *table[T]) change(id string, now time.Time, change func(*T)) bool {
	value, found := t.get(id)
	if found {
		change(&value)
		t.put(id, now, value)
	}
	return found
}

// remove lets a thing be gone; its last state is still shown by lists that lag.
func (t *table[T]) remove(id string, now time.Time) {
	if value, found := t.get(id); found {
		t.add(id, version[T]{at: now, value: value, gone: true})
	}
}

func (t *table[T]) add(id string, v version[T]) {
	r := t.records[id]
	if r == nil {
		if t.records == nil {
			t.records = map[string]*record[T]{}
		}
		if len(t.ids) >= t.full {
			t.forget(v.at)
			t.full = 2*len(t.ids) + 100
		}
		r = &record[T]{}
		t.records[id] = r
		t.ids = append(t.ids, id)
	}
	r.versions = append(r.versions, v)
	old := 0 // of those that nobody can see any more, the last is still what it was like then
	for old+1 < len(r.versions) && r.versions[old+1].at.Before(v.at.Add(-remembered)) {
		old++
	}
	r.versions = slices.Delete(r.versions, 0, old)
}

// at is the thing as it was.
func (t *table[T]) at(id string, when time.Time) (T, bool) {
	if r := t.records[id]; r != nil {
		for _, v := range slices.Backward(r.versions) {
			if !v.at.After(when) {
				return v.value, !v.gone
			}
		}
	}
	var none T
	return none, false
}

// all are the things as they are.
func (t *table[T]) all() []T {
	var all []T
	for _, id := range t.ids {
		if value, found := t.get(id); found {
			all = append(all, value)
		}
	}
	return all
}

// seen are the things as somebody sees them to whom each is by its own lag late.
func (t *table[T]) seen(now time.Time, lag func() time.Duration) []T {
	t.forget(now)
	var all []T
	for _, id := range t.ids {
		if value, found := t.at(id, now.Add(-lag())); found {
			all = append(all, value)
		}
	}
	return all
}

// forget drops what is gone for so long that no list shows it.
func (t *table[T]) forget(now time.Time) {
	t.ids = slices.DeleteFunc(t.ids, func(id string) bool {
		versions := t.records[id].versions
		last := versions[len(versions)-1]
		if !last.gone || !last.at.Before(now.Add(-remembered)) {
			return false
		}
		delete(t.records, id)
		return true
	})
}

// had reports whether there was such a thing not long ago.
func (t *table[T]) had(id string) bool { return t.records[id] != nil }

// known reports whether a call that names a thing finds it. It does not if the
// thing is gone, or if the call comes too early for the part of the service that it met.
func (t *table[T]) known(a *account, id string) bool {
	_, seen := t.at(id, a.time.Add(-a.lagging()))
	_, there := t.get(id)
	return seen && there
}
