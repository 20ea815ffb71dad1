//go:build linux

package vmx

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// task runs a task of an application that has its machine, and returns its
// result.
func (s site) task(app, name string) string {
	s.t.Helper()
	type task struct {
		UID    string
		Result json.RawMessage
	}
	made := fish.Post[task](s.Client, "/api/v1/application/"+app+"/task/", fmt.Sprintf(`{"task":%q,"when":"ALLOCATED"}`, name))
	var got task
	fish.Eventually(s.t, "task "+name+" has a result", func() bool {
		got = fish.Get[task](s.Client, "/api/v1/task/"+made.UID)
		return string(got.Result) != "{}"
	})
	return string(got.Result)
}

// TestStandsStill: a suspended machine is no process, but still the
// application's, over a kill of the node too; and it goes on where it was.
func TestStandsStill(t *testing.T) {
	t.Parallel()
	s := start(t)
	option, _ := image(t, s.host)
	e := s.allocate(s.CreateApplication(s.label("stands", option, ""), `{}`))
	still := func(want bool) {
		t.Helper()
		states, err := filepath.Glob(filepath.Join(filepath.Dir(e.Identifier), "*.vmss"))
		if err != nil {
			t.Fatal(err)
		}
		if vms := s.host.VMs(); (len(vms) == 0) != want || (len(states) == 1) != want {
			t.Errorf("running are %v, and of files with memory there are %v; stands still: %v", vms, states, want)
		}
		if status := s.State(e.app).Status; status != "ALLOCATED" {
			t.Errorf("the application is %s", status)
		}
	}
	for _, step := range []struct {
		task, want string
		still      bool
	}{
		{"suspend", `"suspended":true`, true}, {"suspend", `"suspended":true`, true},
		{"resume", `"resumed":true`, false}, {"resume", `"resumed":true`, false},
		{"suspend", `"suspended":true`, true},
	} {
		if got := s.task(e.app, step.task); !strings.Contains(got, step.want) {
			t.Errorf("%s: %s, want %s", step.task, got, step.want)
		}
		still(step.still)
	}
	s.Kill()
	s.Start()
	still(true)
	if got := s.task(e.app, "resume"); !strings.Contains(got, `"resumed":true`) {
		t.Errorf("resume: %s", got)
	}
	if again := s.allocate(e.app); again.IPAddr != e.IPAddr || again.HWAddr != e.HWAddr {
		t.Errorf("it was %+v, and is %+v", e.Resource, again.Resource)
	}
	if got := s.task(e.app, "snapshot"); !strings.HasPrefix(got, `{"snapshots":["fish-`) || !strings.HasSuffix(got, `"],"when":"ALLOCATED"}`) {
		t.Errorf("snapshot: %s", got)
	}
	s.task(e.app, "suspend")
	s.release(e.app)
}
