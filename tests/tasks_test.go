package tests

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

type task struct {
	UID            string
	ApplicationUID string `json:"application_UID"`
	Task, When     string
	Options        json.RawMessage
	Result         json.RawMessage
}

func addTask(c fish.Client, app, body string) task {
	return fish.Post[task](c, applicationsPath+app+"/task/", body)
}

// result waits for a task's end.
func result(t *testing.T, c fish.Client, uid string) string {
	t.Helper()
	var got task
	fish.Eventually(t, "task "+uid+" has a result", func() bool {
		got = fish.Get[task](c, "/api/v1/task/"+uid)
		return string(got.Result) != "{}"
	})
	return string(got.Result)
}

// testTasks is contract 15: what is taken, and what a driver answers, byte for
// byte.
func testTasks(t *testing.T, w *world) {
	app := w.owner.CreateApplication(w.vars["label"], `{}`)
	early := addTask(w.owner, app, `{"task":"snapshot","when":"ALLOCATED"}`)
	if early.ApplicationUID != app || string(early.Options) != "{}" || string(early.Result) != "{}" {
		t.Errorf("task %+v", early)
	}
	w.owner.WaitStatus(app, "ALLOCATED")
	full := addTask(w.owner, app, `{"task":"snapshot","when":"ALLOCATED","options":{"full":true},"result":{"forged":1}}`)
	unknown := addTask(w.owner, app, `{"task":"paint","when":"ALLOCATED"}`)
	misused := addTask(w.owner, app, `{"task":"snapshot","when":"ALLOCATED","options":{"full":"very"}}`)
	last := addTask(w.admin, app, `{"task":"snapshot","when":"DEALLOCATE"}`)
	bogus := addTask(w.owner, app, `{"task":"snapshot","when":"whenever"}`)
	timeless := addTask(w.owner, app, `{"task":"snapshot"}`)
	const noTask = `{"error":"task not available in driver"}`
	for _, tt := range []struct {
		name string
		task task
		want string
	}{
		{"ordered before", early, `{"snapshots":["test-snapshot"],"when":"ALLOCATED"}`}, {"with a result", full, `{"snapshots":["test-snapshot"],"when":"ALLOCATED"}`},
		{"unknown", unknown, noTask}, {"bad options", misused, noTask},
	} {
		if got := result(t, w.owner, tt.task.UID); got != tt.want {
			t.Errorf("task %s: %s, want %s", tt.name, got, tt.want)
		}
	}
	for _, waiting := range []task{last, bogus, timeless} {
		if got := fish.Get[task](w.owner, "/api/v1/task/"+waiting.UID); string(got.Result) != "{}" {
			t.Errorf("task %+v while ALLOCATED: %s", waiting, got.Result)
		}
	}
	w.owner.Deallocate(app)
	w.owner.WaitStatus(app, "DEALLOCATED")
	if got := fish.Get[task](w.owner, "/api/v1/task/"+last.UID); string(got.Result) != `{"snapshots":["test-snapshot"],"when":"DEALLOCATE"}` {
		t.Errorf("when DEALLOCATED, the task of DEALLOCATE has %s", got.Result)
	}
	// Every task ends (contract 32).
	late := addTask(w.owner, app, `{"task":"snapshot","when":"ALLOCATED"}`)
	for _, missed := range []task{bogus, timeless, late} {
		if got := result(t, w.owner, missed.UID); !strings.HasPrefix(got, `{"error":"`) {
			t.Errorf("task %+v of an application that is over: %s, want an error", missed, got)
		}
	}
	var order []string
	for _, o := range fish.Get[[]task](w.owner, applicationsPath+app+"/task/") {
		order = append(order, o.UID)
	}
	if got, want := strings.Join(order, " "), strings.Join([]string{early.UID, full.UID, unknown.UID, misused.UID, last.UID, bogus.UID, timeless.UID, late.UID}, " "); got != want {
		t.Errorf("tasks are %s, want the order of creation %s", got, want)
	}
}

// testTaskResults: a driver that yields nothing is asked again, but not for
// ever, and holds no deallocation up for longer than task_timeout.
func testTaskResults(t *testing.T, w *world) {
	app := w.owner.CreateApplication(w.admin.CreateLabel(fish.DriverLabel(fresh("shy"), "test/shy", `{}`)), `{}`)
	w.owner.WaitStatus(app, "ALLOCATED")
	fails := addTask(w.owner, app, `{"task":"snapshot","when":"ALLOCATED"}`)
	last := addTask(w.owner, app, `{"task":"snapshot","when":"DEALLOCATE"}`)
	w.owner.Deallocate(app)
	w.owner.WaitStatus(app, "DEALLOCATED")
	for _, missed := range []task{fails, last} {
		if got := result(t, w.owner, missed.UID); !strings.HasPrefix(got, `{"error":"`) {
			t.Errorf("a task that never yields anything: %s, want an error", got)
		}
	}
}
