package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// taskStory is one way through a task.
type taskStory struct {
	name, task string
	when       model.Status
	label      string
	options    string
	makes      int // images and snapshots that are results
	requests   string
}

func taskStories() []taskStory {
	return []taskStory{
		{"snapshot of a release", "snapshot", model.StatusDeallocate, ``, `{"full": true}`, 2, "CreateSnapshots"},
		{"image meanwhile", "image", model.StatusAllocated, ``, `{}`, 2, "CreateImage"},
		{"image with a key", "image", model.StatusDeallocate, `, "task_image_encrypt_key": "alias/images"`, `{"full": true}`, 3, "CreateImage"},
	}
}

// taskCrash is one case: a task is damaged at a point, and then comes back or not.
type taskCrash struct {
	taskStory
	do       damage
	point    int
	lost     bool // the node's directory too
	again    bool // the task comes back
	sluggish bool
	saw      *[]string // gets the points
}

func (c taskCrash) String() string {
	return fmt.Sprintf("%s, %s at %d, lost %v, again %v, sluggish %v", c.name, c.do, c.point, c.lost, c.again, c.sluggish)
}

func (c taskCrash) run(t *testing.T) (where string) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteOf(t, fakeec2.Options{Seed: uint64(c.point), Unthrottled: true})
		s.cfg = "snapshot_create_wait: 30m\nimage_create_wait: 30m\n"
		s.cloud.AddKey("alias/images")
		time.Sleep(3 * time.Minute)
		first := s.boot(t)
		defer func() { first.end() }()
		req := request("a", withDisk(c.label))
		env, err := first.driver.Allocate(first.ctx, req)
		if err != nil {
			t.Fatalf("Allocate() = %v", err)
		}
		time.Sleep(10 * time.Minute)
		if c.sluggish {
			s.cloud.SetLag(fakeec2.Range{Min: 30 * time.Second, Max: 2 * time.Minute})
		}
		task := taskOf(req, env.Identifier, c.task, c.when, c.options)
		where = c.damage(t, first, task)
		if c.do == kill {
			first.end()
			if c.lost {
				s.dir = t.TempDir()
			}
			first = s.boot(t)
		}
		c.mend(t, s, first.driver, task)
		if t.Failed() {
			t.Logf("%s: it was %s", c, where)
		}
	})
	return where
}

func (c taskCrash) damage(t testing.TB, p *process, task drivers.TaskRequest) (where string) {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	if c.do == recall {
		p.cancel = cancel
	}
	p.count(c.point, c.do)
	result, err := p.driver.RunTask(ctx, task)
	where, _ = p.reached()
	if c.saw != nil {
		*c.saw = p.names
	}
	if where == "" && (err != nil || strings.Contains(string(result), `"error"`)) {
		t.Errorf("RunTask() without any damage = %s, %v", result, err)
	}
	p.count(0, "")
	return where
}

// mend has the task come back, or its environment end without it, and looks at
// what is left when all leases are over.
func (c taskCrash) mend(t testing.TB, s *site, d *driver, task drivers.TaskRequest) {
	ctx := within(t, 10*time.Hour)
	d.sweeper = d.startSweeper(t.Context(), 5*time.Minute)
	var want []string
	if c.again {
		result := s.come(ctx, t, d, task)
		want = idsOf(t, result)
		if len(want) != c.makes {
			t.Errorf("result %s, want %d images and snapshots", result, c.makes)
		}
		if again := s.come(ctx, t, d, task); again != result {
			t.Errorf("result %s, and then %s", result, again)
		}
	}
	if err := d.Deallocate(ctx, task.Ref); err != nil {
		t.Errorf("Deallocate() = %v", err)
	}
	if n := s.asked(c.requests); n > 1 && !c.lost {
		t.Errorf("%s was done %d times", c.requests, n)
	}
	time.Sleep(2*time.Hour + stopWait + leaseAfter)
	kept := s.kept()
	if len(kept[cloud.PurposeStep]) > 0 {
		t.Errorf("%v is left", kept)
	}
	got := kept[cloud.PurposeTask]
	if whole := len(got) == 0 || len(got) == c.makes; c.again && !slices.Equal(got, want) || !whole {
		t.Errorf("results are %v, want %v: all or nothing", got, want)
	}
	for _, one := range s.billable() {
		if one.Kind != "image" && one.Kind != "snapshot" {
			t.Errorf("%s %s is left: %v", one.Kind, one.ID, one.Tags)
		}
	}
}

// come runs a task as a node does, until it has a result.
func (s *site) come(ctx context.Context, t testing.TB, d *driver, task drivers.TaskRequest) string {
	t.Helper()
	var last error
	for range 100 {
		result, err := d.RunTask(ctx, task)
		if err == nil {
			return string(result)
		}
		if ctx.Err() != nil || errors.Is(err, drivers.ErrTaskUnknown) {
			t.Fatalf("RunTask() = %v", err)
		}
		last = err
		time.Sleep(5 * time.Second)
	}
	t.Fatalf("the task does not end: %v", last)
	return ""
}

// idsOf are the images and snapshots of a result.
func idsOf(t testing.TB, result string) []string {
	t.Helper()
	all := struct{ Images, Snapshots []string }{}
	if err := json.Unmarshal([]byte(result), &all); err != nil {
		t.Fatalf("result %s: %v", result, err)
	}
	ids := append(all.Images, all.Snapshots...)
	slices.Sort(ids)
	return ids
}

// asked is how often something was done.
func (s *site) asked(action string) (n int) {
	for _, e := range s.cloud.Journal() {
		if e.Action == action && e.Err == nil {
			n++
		}
	}
	return n
}

// TestTaskCrashMatrix kills the node at every call to EC2 of a task, before and
// after it was done, and at every write of its record, with its directory lost or
// not; the task comes back, or nobody does. By default where things change.
func TestTaskCrashMatrix(t *testing.T) {
	t.Parallel()
	taskMatrix(t, kill)
}

// TestTaskTroubleMatrix loses the reply of every call, and ends the context at
// every point, of a process that lives on.
func TestTaskTroubleMatrix(t *testing.T) {
	t.Parallel()
	taskMatrix(t, lose)
	taskMatrix(t, recall)
}

func taskMatrix(t *testing.T, do damage) {
	long := needs.Long()
	for i, story := range taskStories() {
		t.Run(story.name+"/"+string(do), func(t *testing.T) {
			t.Parallel()
			var names []string
			taskCrash{taskStory: story, do: "nothing", again: true, saw: &names}.run(t)
			cases := 0
			for n, name := range names {
				looks := strings.Contains(name, "Describe")
				switch {
				case long:
				case looks && (n+i)%20 > 0, do != kill && n%2 > 0, testing.Short() && n%4 > 0:
					continue
				}
				for way := range 8 {
					if !long && way != (n/2+i)%8 || do != kill && way&2 != 0 {
						continue
					}
					c := taskCrash{taskStory: story, do: do, point: n + 1, again: way&1 == 0, lost: way&2 != 0, sluggish: way&4 != 0}
					c.run(t)
					cases++
				}
			}
			t.Logf("%d points, %d cases", len(names), cases)
		})
	}
}
