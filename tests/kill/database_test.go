package kill

import (
	"context"
	"database/sql" //nolint:depguard // the file itself is checked, past the store
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite" //nolint:depguard // as above

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// end deallocates everything and checks that nothing is left anywhere.
func (c *campaign) end(ctx context.Context) error {
	c.last = true
	c.plan = plan{round: c.planner.next, point: "the end", rest: true}
	err := c.up(ctx, c.plan, func(ctx context.Context, _ plan) error {
		if err := c.verify(ctx); err != nil {
			return err
		}
		for _, a := range c.apps() {
			if progress(a.state.Status) >= requested {
				continue
			}
			if err := c.admin.deallocate(ctx, a); err != nil {
				return err
			}
		}
		return c.awaitRest(ctx)
	})
	if err != nil {
		return err
	}
	if err := c.awaitClosed(ctx); err != nil {
		return err
	}
	if err := c.checkLives(ctx); err != nil { // for the last rows
		return err
	}
	if err := c.checkNothingShown(ctx); err != nil {
		return err
	}
	c.node.Stop()
	c.keepLog()
	if err := c.inventory(); err != nil {
		return err
	}
	if err := c.checkNothingLeft(); err != nil {
		return err
	}
	return c.checkDatabase(ctx)
}

func (c *campaign) openDatabase() (*sql.DB, error) {
	file := filepath.Join(c.node.Dir, "fish_data", "127.0.0.1:8001", "sqlite.db")
	return sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?mode=ro&_pragma=busy_timeout(5000)")
}

// awaitClosed waits until the node is done with every application: the last
// rows of those that were recalled come after what the API shows.
func (c *campaign) awaitClosed(ctx context.Context) error {
	db, err := c.openDatabase()
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // only read
	deadline := time.After(fish.WaitTimeout)
	for {
		var open int
		err := db.QueryRowContext(ctx, "SELECT count(*) FROM applications WHERE closed_at IS NULL").Scan(&open)
		if open == 0 || err != nil {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			return fmt.Errorf("%d applications are not closed", open)
		}
	}
}

// checkNothingShown looks for Resources, which nothing ALLOCATED has any more.
func (c *campaign) checkNothingShown(ctx context.Context) error {
	resp, err := ask(ctx, c.admin.api, http.MethodGet, "/api/v1/resource/", "")
	if err == nil && string(resp.Body) != "[]\n" {
		err = fmt.Errorf("resources are left: %s", resp.Body)
	}
	return err
}

// checkNothingLeft looks for anything that the driver made.
func (c *campaign) checkNothingLeft() error {
	for _, pattern := range []string{"*", ".fish/*"} {
		found, err := filepath.Glob(filepath.Join(c.node.Dir, "fish_test_workspace", pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			if filepath.Base(path) != ".fish" {
				return fmt.Errorf("left in the workspace: %v", found)
			}
		}
	}
	return nil
}

// checkDatabase compares the rows with what the API said.
func (c *campaign) checkDatabase(ctx context.Context) error {
	db, err := c.openDatabase()
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // only read
	var integrity string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&integrity); err != nil {
		return err
	}
	if integrity != "ok" {
		return fmt.Errorf("integrity_check says %q", integrity)
	}
	for what, query := range map[string]string{
		"allocations that are open": "SELECT count(*) FROM allocations WHERE released_at IS NULL",
		"tasks without an end":      "SELECT count(*) FROM application_tasks WHERE result = '{}'",
		"resources":                 "SELECT count(*) FROM resources",
		"grants of one epoch twice": "SELECT count(*) FROM (SELECT 1 FROM application_states WHERE status = 'ELECTED' GROUP BY application_uid, epoch HAVING count(*) > 1)",
		"lives that began twice":    "SELECT count(*) FROM (SELECT 1 FROM application_states WHERE status IN ('NEW', 'ALLOCATED') GROUP BY application_uid, status HAVING count(*) > 1)",
		"allocations twice":         "SELECT count(*) FROM (SELECT 1 FROM allocations GROUP BY application_uid HAVING count(*) > 1)",
	} {
		var n int
		if err := db.QueryRowContext(ctx, query).Scan(&n); err != nil {
			return err
		}
		if n != 0 {
			return fmt.Errorf("%d %s", n, what)
		}
	}
	return c.checkFolds(ctx, db)
}

// checkFolds computes every current state from its rows.
func (c *campaign) checkFolds(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, "SELECT uid, application_uid, status, description, hlc, epoch FROM application_states")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // only read
	states := map[string][]model.ApplicationState{}
	for rows.Next() {
		var uid, of []byte
		var s model.ApplicationState
		if err := rows.Scan(&uid, &of, &s.Status, &s.Description, &s.HLC, &s.Epoch); err != nil {
			return err
		}
		s.UID, s.ApplicationUID = uuid.UUID(uid), uuid.UUID(of)
		states[s.ApplicationUID.String()] = append(states[s.ApplicationUID.String()], s)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	apps := c.apps()
	for _, a := range apps {
		got := model.FoldStates(states[a.uid]).Current
		if got.UID.String() != a.state.UID || string(got.Status) != a.state.Status || got.Description != a.state.Description {
			return a.broken("was answered as %+v and is stored as %+v", a.state, got)
		}
	}
	if len(states) != len(apps) {
		return fmt.Errorf("%d applications have rows, %d were asked for", len(states), len(apps))
	}
	return nil
}
