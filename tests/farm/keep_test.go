//go:build keephome

package farm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const keptConfig = `node_name: kept
node_location: lab
retention: 0s
allocate_timeout: 87600h
task_timeout: 87600h
starvation_after: 0s
drivers:
- name: test
- name: test/slow
  cfg: {workspace_path: slow%[1]s}
- name: test/sticky
  cfg: {workspace_path: sticky%[2]s}
- name: test/lazy
  cfg: {workspace_path: lazy%[3]s}
`

// keeper fills the node that is kept.
type keeper struct {
	*fish.Node
	t    *testing.T
	kept Kept
}

// TestKeepHome makes a home with something of everything, stops the node, and
// writes it with the answers of its API into the folder of FISH_KEEP.
func TestKeepHome(t *testing.T) {
	k := &keeper{t: t, kept: Kept{
		Made: time.Now().UTC().Truncate(time.Second), NodeName: "kept",
		Config:       fmt.Sprintf(keptConfig, ", delay_allocate: 87600h", ", delay_deallocate: 87600h", ", delay_task: 87600h"),
		Quick:        fmt.Sprintf(keptConfig, "", "", ""),
		Applications: map[string]string{},
	}}
	k.Node = fish.Start(t, fish.Options{Config: k.kept.Config})
	k.kept.Passwords = map[string]string{"admin": k.AdminPassword}
	k.kept.NodeUID = fish.Get[object](k.Client, "/api/v1/node/this/").UID
	k.people()
	labels := k.labels()
	k.lives(labels)
	k.ask()
	k.Stop()
	k.write(os.Getenv("FISH_KEEP"))
}

func (k *keeper) user(name string) fish.Client { return k.As(name, k.kept.Passwords[name]) }

func (k *keeper) people() {
	for name, password := range map[string]string{"jenkins-ci": "hunter two", "ops": "ünïcode ☂", "gone": "gone"} {
		fish.Post[json.RawMessage](k.Client, "/api/v1/user/", fmt.Sprintf(`{"name":%q,"password":%q}`, name, password))
		k.kept.Passwords[name] = password
	}
	k.Request(http.MethodDelete, "/api/v1/user/gone", nil)
	delete(k.kept.Passwords, "gone")
	fish.Post[json.RawMessage](k.Client, "/api/v1/user/", `{"name":"jenkins-ci","password":"hunter three"}`)
	k.kept.Passwords["jenkins-ci"] = "hunter three"
	fish.Post[json.RawMessage](k.Client, "/api/v1/location/", `{"name":"attic","description":"where \"old\" machines are"}`)
}

// labels are several versions, odd JSON that has to stay as it is, every
// driver instance, and one that was deleted.
func (k *keeper) labels() map[string]string {
	const one = `"resources":{"cpu":1,"ram":1},"authentication":{"username":"u","password":"p","port":2222}`
	made := map[string]string{}
	for _, l := range []struct{ key, name, version, definitions string }{
		{"linux-1", "linux", "1", `{"driver":"test","options":{"z":12345678901234567890,"a":1.50,"b":"\u003cx\u003e"},` + one + `}`},
		{"linux", "linux", "2", `{"driver":"test","options":{},` + one + `},{"driver":"test/slow","options":{},` + one + `}`},
		{"slow", "slow", "7", `{"driver":"test/slow","options":{},` + one + `}`},
		{"sticky", "sticky", "1", `{"driver":"test/sticky","options":{},` + one + `}`},
		{"lazy", "lazy", "1", `{"driver":"test/lazy","options":{},` + one + `}`},
		{"broken", "broken", "1", `{"driver":"test","options":{"fail_allocate":255},` + one + `}`},
		{"nowhere", "nowhere", "1", `{"driver":"docker","options":{"images":[]},` + one + `}`},
		{"gone", "gone", "1", `{"driver":"test","options":{},` + one + `}`},
	} {
		made[l.key] = k.CreateLabel(fmt.Sprintf(`{"name":%q,"version":%s,"metadata":{"Z":1.0,"a":12345678901234567890},"definitions":[%s]}`,
			l.name, l.version, l.definitions))
	}
	if got := k.Request(http.MethodDelete, "/api/v1/label/"+made["gone"], nil); got.Status != http.StatusOK {
		k.t.Fatalf("delete label: %d %s", got.Status, got.Body)
	}
	return made
}

func (k *keeper) task(app, body string) string {
	return fish.Post[object](k.Client, "/api/v1/application/"+app+"/task/", body).UID
}

// lives are applications in every state, and some of history.
func (k *keeper) lives(labels map[string]string) {
	jenkins := k.user("jenkins-ci")
	create := func(name, label string) string {
		app := jenkins.CreateApplication(labels[label], fmt.Sprintf(`{"JENKINS_URL":"https://ci/%s","n":1.0}`, name))
		k.kept.Applications[name] = app
		return app
	}
	for i := range 12 { // history
		app := k.user("ops").CreateApplication(labels["linux-1"], fmt.Sprintf(`{"build":%d}`, i))
		k.WaitStatus(app, "ALLOCATED")
		k.Deallocate(app)
		k.WaitStatus(app, "DEALLOCATED")
	}
	ended := create("deallocated", "linux")
	for _, body := range []string{
		`{"task":"snapshot","when":"ALLOCATED"}`, `{"task":"paint","when":"ALLOCATED","options":{"colour":"red"}}`,
		`{"task":"snapshot","when":"DEALLOCATE","options":{"full":true}}`,
	} {
		k.task(ended, body)
	}
	k.WaitStatus(ended, "ALLOCATED")
	k.Deallocate(ended)
	k.WaitStatus(ended, "DEALLOCATED")
	k.WaitStatus(create("error", "broken"), "ERROR")
	recalled := create("recalled", "nowhere")
	k.Deallocate(recalled)
	k.WaitStatus(recalled, "RECALLED")

	allocated := create("allocated", "linux")
	k.WaitStatus(allocated, "ALLOCATED")
	done := k.task(allocated, `{"task":"snapshot","when":"ALLOCATED"}`)
	fish.Eventually(k.t, "the task has a result", func() bool {
		return strings.Contains(string(k.Request(http.MethodGet, "/api/v1/task/"+done, nil).Body), "test-snapshot")
	})
	k.task(allocated, `{"task":"snapshot","when":"DEALLOCATE"}`)
	fish.Post[json.RawMessage](k.Client, "/api/v1/servicemapping/", `{"service":"dns","redirect":"10.0.0.1","location_name":"attic"}`)
	fish.Post[json.RawMessage](k.Client, "/api/v1/servicemapping/", `{"service":"cache","redirect":"10.0.0.2:80","application_UID":"`+allocated+`"}`)
	busy := create("busy", "lazy") // with a task that does not come to an end
	k.WaitStatus(busy, "ALLOCATED")
	k.task(busy, `{"task":"snapshot","when":"ALLOCATED"}`)
	k.WaitStatus(create("elected", "slow"), "ELECTED")
	sticky := create("deallocate", "sticky")
	k.WaitStatus(sticky, "ALLOCATED")
	k.Deallocate(sticky)
	k.task(create("new", "nowhere"), `{"task":"snapshot","when":"ALLOCATED"}`)
}

// ask notes what the API says of everything that does not change by itself.
func (k *keeper) ask() {
	const api = "/api/v1/"
	note := func(user, path string) []byte {
		got := k.user(user).Request(http.MethodGet, api+path, nil)
		if got.Status != http.StatusOK {
			k.t.Fatalf("GET %s: %d %s", path, got.Status, got.Body)
		}
		k.kept.Answers = append(k.kept.Answers, KeptAnswer{user, api + path, string(got.Body)})
		return got.Body
	}
	each := func(list []byte, path string) {
		var all []object
		if err := json.Unmarshal(list, &all); err != nil {
			k.t.Fatal(err)
		}
		for _, o := range all {
			note("admin", path+o.UID)
		}
	}
	for _, name := range []string{"admin", "jenkins-ci", "ops"} {
		note(name, "user/me/")
	}
	note("admin", "user/")
	note("admin", "location/")
	each(note("admin", "label/"), "label/")
	each(note("admin", "servicemapping/"), "servicemapping/")
	each(note("admin", "resource/"), "resource/")
	each(note("admin", "application/"), "application/")
	note("jenkins-ci", "application/")
	var all []object
	_ = json.Unmarshal(k.Request(http.MethodGet, api+"application/", nil).Body, &all)
	for _, o := range all {
		note("admin", "application/"+o.UID+"/state")
		each(note("admin", "application/"+o.UID+"/task/"), "task/")
	}
	for _, name := range []string{"allocated", "busy"} {
		note("jenkins-ci", "application/"+k.kept.Applications[name]+"/resource")
	}
	for _, name := range []string{"allocated", "busy", "elected", "deallocate", "deallocated", "error"} {
		note("admin", "vote/?filter=application_UID%3D%27"+k.kept.Applications[name]+"%27")
	}
}

func (k *keeper) write(into string) {
	if into == "" {
		k.t.Fatal("FISH_KEEP names no folder")
	}
	if err := os.MkdirAll(into, 0o755); err != nil {
		k.t.Fatal(err)
	}
	text, err := json.MarshalIndent(k.kept, "", " ")
	if err != nil {
		k.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(into, "kept.json"), append(text, '\n'), 0o644); err != nil {
		k.t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(into, "home.tar.gz"))
	if err != nil {
		k.t.Fatal(err)
	}
	if err := pack(k.Dir, f); err != nil {
		k.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		k.t.Fatal(err)
	}
}
