//go:build linux

package docker

import (
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// task runs a task and returns its result.
func (e environment) task(name, when string) (result map[string]any) {
	e.t.Helper()
	uid := e.order(name, when)
	return e.result(uid)
}

func (e environment) order(name, when string) string {
	e.t.Helper()
	return fish.Post[struct{ UID string }](e.Client, "/api/v1/application/"+e.app+"/task/", `{"task":"`+name+`","when":"`+when+`"}`).UID
}

func (e environment) result(uid string) (result map[string]any) {
	e.t.Helper()
	fish.Eventually(e.t, "task "+uid+" has a result", func() bool {
		result = fish.Get[struct{ Result map[string]any }](e.Client, "/api/v1/task/"+uid).Result
		return len(result) > 0
	})
	if result["error"] != nil {
		e.t.Errorf("task: %v", result)
	}
	return result
}

// TestSuspend: a suspended environment stands still, and is released as well as
// one that runs.
func TestSuspend(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	label := s.label("waits", "print ready; wait", "")
	e := s.run(label, `{}`)
	e.task("suspend", "ALLOCATED")
	if state := e.state(); state != "paused" {
		t.Errorf("a suspended container is %s", state)
	}
	s.Kill()
	s.Start()
	if got := s.State(e.app); got.Status != "ALLOCATED" || e.state() != "paused" {
		t.Errorf("after a restart the application is %+v and its container %s", got, e.state())
	}
	e.task("resume", "ALLOCATED")
	if state := e.state(); state != "running" {
		t.Errorf("a resumed container is %s", state)
	}
	e.task("suspend", "ALLOCATED")
	e.release()
	s.nothingLeft()
}
