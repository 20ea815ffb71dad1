package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/filter"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// pageSize is how many rows one statement of a list reads. No cursor is open
// while a slow client takes them, so a list holds up neither checkpoints nor
// other readers.
const pageSize = 500

// Caller is who asks for a list.
type Caller struct {
	Name  string
	Admin bool
}

// Query says what to list. Lists are in creation order. A Filter that is
// rejected (contract 9) gives an empty list and a warning in the log; one that
// can not be resolved gives its error first.
type Query struct {
	Filter *string // nil: everything
	Caller Caller
	// Application is whose tasks to list; the other lists ignore it.
	Application model.UID
}

// listing is how one noun is listed through SQL.
type listing[T any] struct {
	table   string
	columns string
	scan    func(scanner) (T, error)
	allowed filter.Columns
	// order and key are the columns of the creation order; at reads them.
	order, key string
	at         func(T) (int64, any)
	// where restricts what the caller may see; "" for nothing.
	where string
	args  []any
	grows bool // rows are added at its end all the time: it ends with the last one that is there when it begins
}

// pages lists a noun through SQL, page by page.
func pages[T any](ctx context.Context, s *Store, l listing[T], q Query) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		if s.db == nil {
			yield(none, errNoSQL)
			return
		}
		cond, args, err := s.condition(l.table, l.allowed, q)
		if errors.Is(err, filter.ErrRejected) {
			return
		}
		var until int64
		if err == nil {
			until, err = lastPlace(ctx, s, l)
		}
		after := []any{int64(math.MinInt64), any("")}
		for err == nil {
			var page []T
			if page, err = readPage(ctx, s, l, span{after, until}, cond, args); err != nil {
				break
			}
			for _, row := range page {
				if !yield(row, nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			place, key := l.at(page[len(page)-1])
			after = []any{place, key}
		}
		yield(none, err)
	}
}

// condition turns the filter into SQL; "" without a filter.
func (s *Store) condition(table string, allowed filter.Columns, q Query) (cond string, args []any, err error) {
	if q.Filter == nil {
		return "", nil, nil
	}
	expr, err := filter.Parse(*q.Filter)
	if err == nil {
		cond, args, err = expr.SQL(allowed.WithTable(strings.Fields(table)[0])) // without its alias
	}
	if errors.Is(err, filter.ErrRejected) {
		s.log.Warn("filter rejected", "list", table, "user", q.Caller.Name, "error", err)
	}
	if err != nil {
		return "", nil, fmt.Errorf("filter %s: %w", table, err)
	}
	return cond, args, nil
}

// span is what is left to list: after a place and its key, up to a place.
type span struct {
	after []any
	until int64
}

// lastPlace is where a list ends. The table says so, and not the clock: what
// others wrote by a clock that was ahead is in it too.
func lastPlace[T any](ctx context.Context, s *Store, l listing[T]) (int64, error) {
	if !l.grows {
		return math.MaxInt64, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	last, err := column[int64](ctx, s.db.readers, l.last(), l.args...)
	if err != nil {
		return 0, fmt.Errorf("find the end of %s: %w", l.table, err)
	}
	return last[0], nil
}

// last is the statement that finds the last place; its arguments are args.
func (l listing[T]) last() string {
	query := "SELECT coalesce(max(" + l.order + "), 0) FROM " + l.table
	if l.where != "" {
		query += " WHERE " + l.where
	}
	return query
}

func readPage[T any](ctx context.Context, s *Store, l listing[T], left span, cond string, args []any) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	query, args := l.page(left, cond, args)
	page, err := collect(ctx, s.db.readers, l.scan, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", l.table, err)
	}
	return page, nil
}

// page is the statement that reads the rows that follow a place, and its
// arguments. Each condition is in parentheses: a filter may have an OR.
func (l listing[T]) page(left span, cond string, condArgs []any) (query string, args []any) {
	place := l.order + ", " + l.key
	query = "SELECT " + l.columns + " FROM " + l.table + " WHERE (" + place + ") > (?, ?) AND " + l.order + " <= ?"
	args = append(slices.Clone(left.after), left.until)
	if l.where != "" {
		query += " AND (" + l.where + ")"
		args = append(args, l.args...)
	}
	if cond != "" {
		query += " AND (" + cond + ")"
		args = append(args, condArgs...)
	}
	return fmt.Sprintf("%s ORDER BY %s LIMIT %d", query, place, pageSize), args
}

// values lists rows that are in memory.
func values[T any](rows []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// listTable lists a small noun: from memory if there is no filter.
func listTable[K comparable, V any](ctx context.Context, s *Store, t *table[K, V], l listing[V], q Query) iter.Seq2[V, error] {
	if q.Filter != nil || l.where != "" {
		return pages(ctx, s, l, q)
	}
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return values(t.list)
}

// ListUsers lists all users to an admin, else the caller alone.
func (s *Store) ListUsers(ctx context.Context, q Query) iter.Seq2[model.User, error] {
	l := listing[model.User]{
		table: "users", columns: userColumns, scan: scanUser, allowed: userFilter(q.Caller), order: "created_at", key: "name",
		at: func(u model.User) (int64, any) { return u.CreatedAt.UnixNano(), u.Name },
	}
	if !q.Caller.Admin {
		l.where, l.args = "name = ?", []any{q.Caller.Name}
	}
	return listTable(ctx, s, s.memory.users, l, q)
}

// ListLabels lists all labels.
func (s *Store) ListLabels(ctx context.Context, q Query) iter.Seq2[model.Label, error] {
	all := listTable(ctx, s, s.memory.labels, listing[model.Label]{
		table: "labels", columns: labelColumns, scan: scanLabel, allowed: labelFilter(q.Caller), order: "hlc", key: "uid",
		at: func(l model.Label) (int64, any) { return int64(l.HLC), key(l.UID) },
	}, q)
	return func(yield func(model.Label, error) bool) {
		for l, err := range all {
			if err == nil && s.shadowed(l) {
				continue
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

// ListNodes lists all nodes.
func (s *Store) ListNodes(ctx context.Context, q Query) iter.Seq2[model.Node, error] {
	return listTable(ctx, s, s.memory.nodes, listing[model.Node]{
		table: "nodes", columns: nodeColumns, scan: scanNode, allowed: nodeFilter(), order: "created_at", key: "uid",
		at: func(n model.Node) (int64, any) { return n.CreatedAt.UnixNano(), key(n.UID) },
	}, q)
}

// ListLocations lists all locations.
func (s *Store) ListLocations(ctx context.Context, q Query) iter.Seq2[model.Location, error] {
	return listTable(ctx, s, s.memory.locations, listing[model.Location]{
		table: "locations", columns: locationColumns, scan: scanLocation, allowed: locationFilter(), order: "created_at", key: "name",
		at: func(l model.Location) (int64, any) { return l.CreatedAt.UnixNano(), l.Name },
	}, q)
}

// ListServiceMappings lists all service mappings.
func (s *Store) ListServiceMappings(ctx context.Context, q Query) iter.Seq2[model.ServiceMapping, error] {
	return listTable(ctx, s, s.memory.mappings, listing[model.ServiceMapping]{
		table: "service_mappings", columns: mappingColumns, scan: scanMapping, allowed: mappingFilter(), order: "created_at", key: "uid",
		at: func(m model.ServiceMapping) (int64, any) { return m.CreatedAt.UnixNano(), key(m.UID) },
	}, q)
}

// ListApplications lists all applications to an admin, else the caller's own,
// finished ones included.
func (s *Store) ListApplications(ctx context.Context, q Query) iter.Seq2[model.Application, error] {
	l := listing[model.Application]{
		table: "applications a", columns: applicationColumns, scan: scanApplication, allowed: applicationFilter(),
		order: "a.hlc", key: "a.uid", at: func(a model.Application) (int64, any) { return int64(a.HLC), key(a.UID) },
		grows: true,
	}
	if !q.Caller.Admin {
		l.where, l.args = "a.owner_name = ?", []any{q.Caller.Name}
	}
	return pages(ctx, s, l, q)
}

// ListTasks lists the tasks of q.Application; none if there is no such
// application.
func (s *Store) ListTasks(ctx context.Context, q Query) iter.Seq2[model.ApplicationTask, error] {
	if q.Filter == nil {
		e, err := s.Application(ctx, q.Application)
		switch {
		case err == nil:
			return values(e.Tasks)
		case errors.Is(err, ErrNotFound):
			return values[model.ApplicationTask](nil)
		}
		return func(yield func(model.ApplicationTask, error) bool) { yield(model.ApplicationTask{}, err) }
	}
	return pages(ctx, s, listing[model.ApplicationTask]{
		table: "application_tasks t", columns: taskColumns, scan: scanTask, allowed: taskFilter(), order: "t.hlc", key: "t.uid",
		at:    func(t model.ApplicationTask) (int64, any) { return int64(t.HLC), key(t.UID) },
		where: "t.application_uid = ?", args: []any{key(q.Application)}, grows: true,
	}, q)
}

// ListResources lists the Resources of all ALLOCATED applications to an admin,
// else those of the caller's own.
func (s *Store) ListResources(ctx context.Context, q Query) iter.Seq2[model.Resource, error] {
	if q.Filter == nil {
		var rows []model.Resource
		for _, e := range s.Resources() {
			if q.Caller.Admin || e.Application.OwnerName == q.Caller.Name {
				rows = append(rows, *e.Resource)
			}
		}
		slices.SortFunc(rows, byCreation(func(r model.Resource) (int64, string) { return int64(r.HLC), string(r.UID[:]) }))
		return values(rows)
	}
	l := listing[model.Resource]{
		table: "resources r", columns: resourceColumns, scan: scanResource, allowed: resourceFilter(q.Caller), order: "r.hlc", key: "r.uid",
		at: func(r model.Resource) (int64, any) { return int64(r.HLC), key(r.UID) }, grows: true,
	}
	if !q.Caller.Admin {
		l.where = "r.application_uid IN (SELECT uid FROM applications WHERE owner_name = ?)"
		l.args = []any{q.Caller.Name}
	}
	return pages(ctx, s, l, q)
}
