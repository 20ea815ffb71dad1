package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

const (
	// checkPage is how many applications are looked at together.
	checkPage = 500
	// maxFindings bounds what a check tells: past it there is no point in more.
	maxFindings = 100
)

// Stats is what a database holds.
type Stats struct {
	Size         int64 `json:"size"` // bytes in use
	Free         int64 `json:"free"` // bytes that a later start gives back
	Users        int   `json:"users"`
	Labels       int   `json:"labels"`
	Applications int   `json:"applications"` // with those that are over
	Open         int   `json:"open"`         // not over
	Allocations  int   `json:"allocations"`  // environments that are, or may be, there
	// Restored is the time of the copy that the database is, if it is one that
	// nobody has confirmed.
	Restored *time.Time `json:"restored,omitempty"`
}

// CheckReport is what Check found.
type CheckReport struct {
	Stats Stats `json:"stats"`
	// Findings say what is wrong, in words; none, but not nil, is a sound database.
	Findings []string `json:"findings"`
}

// CheckOptions say which database to check.
type CheckOptions struct {
	// File is the database. A node may have it open.
	File string
	// Node is the node whose environments must have their record; NilUID checks
	// none of that.
	Node model.UID
}

// Check reads a whole database, of one moment, and compares it with what it
// has to be: for SQLite, and for us. It changes nothing. Its error says that it
// could not look.
func Check(ctx context.Context, o CheckOptions) (report CheckReport, err error) {
	path := o.File
	if _, err := os.Stat(path); err != nil {
		return report, fmt.Errorf("find the database: %w", err)
	}
	db, err := sql.Open(driverName, uri(path)+"?mode=rw&_pragma=query_only(1)"+commonPragmas())
	if err != nil {
		return report, explain(path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil) // one snapshot for all
	if err != nil {
		return unreadable(path, err)
	}
	defer func() { _ = tx.Rollback() }() // it wrote nothing
	c := &checker{db: tx, node: o.Node, findings: []string{}}
	if err := c.all(ctx); err != nil {
		return unreadable(path, err)
	}
	return CheckReport{Stats: c.stats, Findings: c.findings}, nil
}

// unreadable makes a finding of what is damaged, and an error of all else.
func unreadable(path string, err error) (CheckReport, error) {
	if c := code(err); c == codeCorrupt || c == codeNotADB {
		return CheckReport{Findings: []string{fmt.Sprintf("SQLite can not read it: %v", err)}}, nil
	}
	return CheckReport{}, explain(path, err)
}

type checker struct {
	db       querier
	node     model.UID
	stats    Stats
	findings []string

	retirements []model.Retirement
	handovers   []model.Handover
}

func (c *checker) found(format string, args ...any) {
	switch {
	case len(c.findings) < maxFindings:
		c.findings = append(c.findings, fmt.Sprintf(format, args...))
	case len(c.findings) == maxFindings:
		c.findings = append(c.findings, "and more")
	}
}

func (c *checker) all(ctx context.Context) error {
	damage, err := integrity(ctx, c.db)
	if err != nil {
		return err
	}
	for _, d := range damage {
		c.found("SQLite: %s", d)
	}
	tables, err := tablesOf(ctx, c.db)
	if err != nil {
		return err
	}
	if shapeOf(tables) != shapeOurs {
		c.found("it is no database of this version: its tables are %v", tables)
		return nil
	}
	if err := refuseNewer(ctx, c.db); err != nil {
		c.found("%v", err)
		return nil
	}
	if c.stats, err = statsOf(ctx, c.db); err != nil {
		return err
	}
	return errors.Join(c.clock(ctx), c.rows(ctx), c.strays(ctx), c.applications(ctx))
}

// integrity is what SQLite finds wrong.
func integrity(ctx context.Context, db querier) ([]string, error) {
	lines, err := column[string](ctx, db, fmt.Sprintf("PRAGMA integrity_check(%d)", maxFindings))
	if err != nil {
		return nil, fmt.Errorf("check integrity: %w", err)
	}
	if len(lines) == 1 && lines[0] == "ok" {
		return nil, nil
	}
	return lines, nil
}

// clock: nothing is newer than the reading that the next start goes on from.
func (c *checker) clock(ctx context.Context) error {
	ahead, err := column[int64](ctx, c.db, "SELECT count(*) FROM applications WHERE hlc > (SELECT value FROM meta WHERE key = 'hlc')")
	if err != nil {
		return fmt.Errorf("check clock: %w", err)
	}
	if ahead[0] > 0 {
		c.found("%d applications are newer than the clock of the database", ahead[0])
	}
	return nil
}

// rows: the vector covers all of them, else the next ones get their numbers.
func (c *checker) rows(ctx context.Context) error {
	ahead, err := column[int64](ctx, c.db, fmt.Sprintf("SELECT count(*) FROM sync_rows r LEFT JOIN sync_origins o ON o.id = r.id >> %d "+
		"WHERE o.id IS NULL OR r.id & %d > o.seq", seqBits, int64(maxSeq)))
	if err != nil {
		return fmt.Errorf("check rows: %w", err)
	}
	if ahead[0] > 0 {
		c.found("%d rows for other nodes are newer than what the database says it has", ahead[0])
	}
	return nil
}

// strays are rows of an application that is not there.
func (c *checker) strays(ctx context.Context) error {
	for _, table := range []string{"application_states", "application_tasks", "allocations", "resources"} {
		n, err := column[int64](ctx, c.db, "SELECT count(*) FROM "+table+" t WHERE NOT EXISTS (SELECT 1 FROM applications a WHERE a.uid = t.application_uid)")
		if err != nil {
			return fmt.Errorf("look for strays in %s: %w", table, err)
		}
		if n[0] > 0 {
			c.found("%d rows of %s belong to no application", n[0], table)
		}
	}
	return nil
}

// readSuccession finds who decides in whose place. What can not be read is of a
// later version.
func (c *checker) readSuccession(ctx context.Context) error {
	for kind, take := range map[replica.Kind]func(body []byte){
		replica.KindRetirement: func(body []byte) {
			if r, err := replica.DecodeRetirement(body); err == nil {
				c.retirements = append(c.retirements, r)
			}
		},
		replica.KindHandover: func(body []byte) {
			if h, err := replica.DecodeHandover(body); err == nil {
				c.handovers = append(c.handovers, h)
			}
		},
	} {
		bodies, err := column[[]byte](ctx, c.db, "SELECT body FROM sync_rows WHERE kind = ? AND body IS NOT NULL", int64(kind))
		if err != nil {
			return fmt.Errorf("read retirements and handovers: %w", err)
		}
		for _, body := range bodies {
			take(body)
		}
	}
	return nil
}

func (c *checker) succession() ([]model.Retirement, []model.Handover) {
	return c.retirements, c.handovers
}

// applications walks all of them, those that are over too.
func (c *checker) applications(ctx context.Context) error {
	if err := c.readSuccession(ctx); err != nil {
		return err
	}
	const page = "SELECT uid FROM applications WHERE (hlc, uid) > (?, ?) ORDER BY hlc, uid LIMIT "
	last := model.Application{HLC: -1}
	for ctx.Err() == nil {
		args := []any{int64(last.HLC), key(last.UID)}
		which := fmt.Sprintf("a.uid IN (%s%d)", page, checkPage)
		entries, err := readEntries(ctx, c.db, which, args...)
		if err != nil || len(entries) == 0 {
			return err
		}
		closed, err := column[model.UID](ctx, c.db, "SELECT a.uid FROM applications a WHERE a.closed_at IS NOT NULL AND "+which, args...)
		if err != nil {
			return fmt.Errorf("read what is over: %w", err)
		}
		over := make(map[model.UID]bool, len(closed))
		for _, uid := range closed {
			over[uid] = true
		}
		for _, e := range entries {
			e.Sort(c.succession)
			c.entry(e, over[e.Application.UID])
		}
		last = entries[len(entries)-1].Application
	}
	return ctx.Err()
}

// entry compares what is stored beside the states with what they amount to.
func (c *checker) entry(e *model.Entry, over bool) {
	uid, status := e.Application.UID, e.Fold.Status()
	if len(e.States) == 0 {
		c.found("application %s has no state", uid)
	}
	if over != e.Done() {
		c.found("application %s is %s and %s, but noted as %s", uid, status, overOrNot(e.Done()), overOrNot(over))
	}
	if e.Resource != nil && status != model.StatusAllocated {
		c.found("application %s is %s and still has its resource %s", uid, status, e.Resource.UID)
	}
	if status != model.StatusAllocated || e.Fold.Allocated.NodeUID != c.node {
		return
	}
	if a, ok := e.Allocation(e.Fold.Allocated.Epoch); !ok || !a.ReleasedAt.IsZero() {
		c.found("application %s is ALLOCATED, but there is no record of its environment: it can not be released by it", uid)
	}
	if e.Resource == nil {
		c.found("application %s is ALLOCATED without a resource", uid)
	}
}

func overOrNot(over bool) string {
	if over {
		return "over"
	}
	return "not over"
}

func statsOf(ctx context.Context, db querier) (s Stats, err error) {
	for _, q := range []struct {
		into  *int
		query string
	}{
		{&s.Users, "SELECT count(*) FROM users"},
		{&s.Labels, "SELECT count(*) FROM labels"},
		{&s.Applications, "SELECT count(*) FROM applications"},
		{&s.Open, "SELECT count(*) FROM applications WHERE closed_at IS NULL"},
		{&s.Allocations, "SELECT count(*) FROM allocations l JOIN applications a ON a.uid = l.application_uid " +
			"WHERE a.closed_at IS NULL AND l.released_at IS NULL"},
	} {
		n, err := column[int](ctx, db, q.query)
		if err != nil {
			return s, fmt.Errorf("count: %w", err)
		}
		*q.into = n[0]
	}
	pages, err := column[int64](ctx, db, "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size "+
		"UNION ALL SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size")
	if err != nil {
		return s, fmt.Errorf("measure database: %w", err)
	}
	s.Size, s.Free = pages[0], pages[1]
	m, err := readMark(ctx, db)
	if err == nil && m != nil && !m.taken.IsZero() {
		s.Restored = &m.taken
	}
	return s, err
}
