//go:build linux

package docker

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// outcome is what tasks say of what they made.
type outcome struct {
	Error           string
	Images          []string
	Name, Sum, When string
	Snapshots       []string
}

// task runs a task of a live environment to its end.
func (e environment) task(name, options string) outcome {
	e.t.Helper()
	return e.result(e.order(name, "ALLOCATED", options))
}

func (e environment) order(name, when, options string) string {
	e.t.Helper()
	return fish.Post[struct{ UID string }](e.Client, "/api/v1/application/"+e.app+"/task/",
		fmt.Sprintf(`{"task":%q,"when":%q,"options":%s}`, name, when, options)).UID
}

func (e environment) result(uid string) (o outcome) {
	e.t.Helper()
	var text json.RawMessage
	fish.Eventually(e.t, "task "+uid+" has a result", func() bool {
		text = fish.Get[struct{ Result json.RawMessage }](e.Client, "/api/v1/task/"+uid).Result
		return string(text) != "{}"
	})
	if err := json.Unmarshal(text, &o); err != nil || o.Error != "" {
		e.t.Errorf("task: %s, %v", text, err)
	}
	return o
}

// TestImageTask: what an environment changed becomes an archive that another
// engine takes for an image.
func TestImageTask(t *testing.T) {
	t.Parallel()
	made := t.TempDir()
	cfg := func(e *dockerd.Engine) string {
		return config(e, "tasks_path: "+made+"\nimages_file_roots: ["+made+"]\n")
	}
	e := dockerd.Start(t, dockerd.Options{})
	s := start(t, e, cfg(e))
	maker := s.run(s.label("makes", "write /made by-the-guest; print made; wait", ""), `{}`)
	maker.prints("made")
	o := maker.task("image", `{"name":"tool","version":"2"}`)
	maker.release()
	s.nothingLeft()
	if len(o.Images) != 1 || o.Name != "tool" || o.Sum == "" {
		t.Fatalf("task image: %+v, want one archive of tool with its checksum", o)
	}
	other := dockerd.Start(t, dockerd.Options{Bare: true})
	o2 := start(t, other, cfg(other))
	user := o2.run(o2.CreateLabel(labelOf("uses", fmt.Sprintf(`"images":[{"url":%q,"sum":%q}]`, o.Images[0], o.Sum), "read /made; print done; wait", "")), `{}`)
	user.prints("done")
	if !user.says("by-the-guest\n") {
		t.Errorf("the image has forgotten what was made:\n%s", user.printed())
	}
	user.release()
	o2.nothingLeft()
}

// TestSnapshotTask: disks are kept as they are at the end, for environments that
// begin with them.
func TestSnapshotTask(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	maker := s.run(s.label("makes", "write /mnt/data/seed one; print made; wait", `,"disks":{"data":{"type":"dir"}}`), `{}`)
	maker.prints("made")
	last := maker.order("snapshot", "DEALLOCATE", `{}`)
	now := maker.task("snapshot", `{}`)
	maker.release()
	end := maker.result(last)
	s.nothingLeft()
	if len(now.Snapshots) != 1 || len(end.Snapshots) != 1 || now.When != "ALLOCATED" || end.When != "DEALLOCATE" {
		t.Fatalf("task snapshot: %+v, %+v, want one each", now, end)
	}
	for i, snapshot := range slices.Concat(now.Snapshots, end.Snapshots) {
		user := s.run(s.label(fmt.Sprint("uses", i), "read /mnt/data/seed; print done; wait",
			fmt.Sprintf(`,"disks":{"data":{"type":"dir","clone":%q}}`, snapshot)), `{}`)
		user.prints("done")
		if !user.says("one\n") {
			t.Errorf("the clone of %s has forgotten what was made:\n%s", snapshot, user.printed())
		}
		user.release()
	}
	s.nothingLeft()
}

// TestSuspend: a suspended environment stands still, and is released as well as
// one that runs.
func TestSuspend(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	label := s.label("waits", "print ready; wait", "")
	e := s.run(label, `{}`)
	e.task("suspend", `{}`)
	if state := e.state(); state != "paused" {
		t.Errorf("a suspended container is %s", state)
	}
	s.Kill()
	s.Start()
	if got := s.State(e.app); got.Status != "ALLOCATED" || e.state() != "paused" {
		t.Errorf("after a restart the application is %+v and its container %s", got, e.state())
	}
	e.task("resume", `{}`)
	if state := e.state(); state != "running" {
		t.Errorf("a resumed container is %s", state)
	}
	e.task("suspend", `{}`)
	e.release()
	s.nothingLeft()
}
