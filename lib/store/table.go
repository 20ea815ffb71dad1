package store

import (
	"maps"
	"slices"
)

// table is a small noun in memory, whole. Only the writer changes it, under
// the read model's lock; the writer itself reads without.
type table[K comparable, V any] struct {
	rows  map[K]V
	order func(a, b V) int // creation order
	list  []V              // rows in order; replaced, never changed
	// shown leaves out of the list, which is in order, what is not to be shown;
	// nil shows all. It may change the list.
	shown func(list []V) []V
}

func newTable[K comparable, V any](order func(a, b V) int) *table[K, V] {
	return &table[K, V]{rows: make(map[K]V), order: order}
}

// apply takes over what a batch changed; nil is a deleted row.
func (t *table[K, V]) apply(changed map[K]*V) {
	if len(changed) == 0 {
		return
	}
	for k, v := range changed {
		if v == nil {
			delete(t.rows, k)
		} else {
			t.rows[k] = *v
		}
	}
	list := make([]V, 0, len(t.rows))
	for _, v := range t.rows {
		list = append(list, v)
	}
	slices.SortFunc(list, t.order)
	if t.shown != nil {
		list = t.shown(list)
	}
	t.list = list
}

// overlay is a table as the writer sees it within a batch: what the batch
// changed so far, over what is committed.
type overlay[K comparable, V any] struct {
	base    *table[K, V]
	changed map[K]*V // nil is a deleted row
}

func newOverlay[K comparable, V any](base *table[K, V]) overlay[K, V] {
	return overlay[K, V]{base: base, changed: make(map[K]*V)}
}

func (o overlay[K, V]) clone() overlay[K, V] {
	return overlay[K, V]{base: o.base, changed: maps.Clone(o.changed)}
}

func (o overlay[K, V]) get(k K) (V, bool) {
	if v, ok := o.changed[k]; ok {
		if v == nil {
			var none V
			return none, false
		}
		return *v, true
	}
	v, ok := o.base.rows[k]
	return v, ok
}

// all returns all rows, in no order if the batch changed some.
func (o overlay[K, V]) all() []V {
	if len(o.changed) == 0 {
		return o.base.list
	}
	var list []V
	for k := range o.changed {
		if v, ok := o.get(k); ok {
			list = append(list, v)
		}
	}
	for k, v := range o.base.rows {
		if _, over := o.changed[k]; !over {
			list = append(list, v)
		}
	}
	return list
}

// find returns some row for which match holds.
func (o overlay[K, V]) find(match func(V) bool) (V, bool) {
	for k := range o.changed {
		if v, ok := o.get(k); ok && match(v) {
			return v, true
		}
	}
	for k, v := range o.base.rows {
		if _, over := o.changed[k]; !over && match(v) {
			return v, true
		}
	}
	var none V
	return none, false
}
