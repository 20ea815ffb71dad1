//go:build linux

package docker

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestMain(m *testing.M) { fish.Main(m) }

// site is a node with the docker driver, in the network of an engine of its own.
type site struct {
	*fish.Node
	engine *dockerd.Engine
	t      testing.TB
}

// config is one of a node whose containers reach its metadata API by their
// bridges. more are lines of the driver's cfg.
func config(e *dockerd.Engine, more string) string {
	return `api_address: 127.0.0.1:8001
meta_address: 0.0.0.0:8002
drivers:
- name: docker
  cfg:
    docker_host: ` + e.Host() + `
    cpu_alter: 64
    ram_alter: 512
    stop_grace: 2s
` + indented(more)
}

func indented(text string) (out string) {
	for line := range strings.Lines(text) {
		out += "    " + line
	}
	return out
}

// start runs a node beside an engine.
func start(t testing.TB, e *dockerd.Engine, cfg string) site {
	t.Helper()
	n := fish.Start(t, fish.Options{Config: cfg, Wrap: e.Wrap(), Dial: e.Dial})
	return site{n, e, t}
}

// fresh is an engine with the guest, and a node.
func fresh(t testing.TB) site {
	t.Helper()
	e := dockerd.Start(t, dockerd.Options{})
	return start(t, e, config(e, ""))
}

// guestImage is the option images of the image that every engine holds.
const guestImage = `"images":[{"name":"guest","version":"1"}]`

// label makes one of the guest, which does what the script says. more is JSON
// of its resources that begins with a comma.
func (s site) label(name, script, more string) string {
	s.t.Helper()
	return s.CreateLabel(labelOf(name, guestImage, script, more))
}

func labelOf(name, images, script, more string) string {
	return fmt.Sprintf(`{"name":%q,"version":1,"metadata":{"GUEST":%q},"definitions":[{"driver":"docker","options":{%s},"resources":{"cpu":1,"ram":1%s}}]}`,
		name, script, images, more)
}

// environment is a container that runs.
type environment struct {
	site
	app string
	fish.Resource
}

// run makes an application of the label and waits until it is allocated.
func (s site) run(label, metadata string) environment {
	s.t.Helper()
	app := s.CreateApplication(label, metadata)
	s.WaitStatus(app, "ALLOCATED")
	return environment{s, app, s.Resource(app)}
}

// prints waits until the container has printed a line that begins with the text.
func (e environment) prints(text string) {
	e.t.Helper()
	fish.Eventually(e.t, e.Identifier+" prints "+text, func() bool { return e.says(text) })
}

// says reports whether it has printed such a line.
func (e environment) says(text string) bool {
	e.t.Helper()
	return strings.Contains("\n"+e.printed(), "\n"+text)
}

func (e environment) printed() string {
	e.t.Helper()
	return e.engine.Logs(e.Identifier)
}

// value is what the container printed after "NAME=".
func (e environment) value(name string) string {
	e.t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindStringSubmatch(e.printed())
	if m == nil {
		e.t.Errorf("%s did not print %s=...:\n%s", e.Identifier, name, e.printed())
		return ""
	}
	return m[1]
}

// state is the engine's word for the container's: "running"; "none" if there is
// no such container.
func (e environment) state() string {
	e.t.Helper()
	for _, c := range e.engine.Containers() {
		if c.Name() == e.Identifier {
			return c.State
		}
	}
	return "none"
}

// inspect is what the engine knows of the container.
func (e environment) inspect() (c struct {
	ID         string `json:"Id"`
	HostConfig struct {
		Memory, MemorySwap, NanoCPUs, PidsLimit, OomScoreAdj int64
		CapAdd, CapDrop, SecurityOpt                         []string
		LogConfig                                            struct{ Config map[string]string }
	}
}) {
	e.t.Helper()
	text := dockerd.Must[json.RawMessage](e.engine, "GET", "/containers/"+e.Identifier+"/json", nil)
	if err := json.Unmarshal(text, &c); err != nil {
		e.t.Fatal(err)
	}
	return c
}

// release gives the environment up and checks that its container is gone.
func (e environment) release() {
	e.t.Helper()
	e.Deallocate(e.app)
	e.gone()
}

// gone waits for the application's end, after which there is no container.
func (e environment) gone() {
	e.t.Helper()
	e.WaitStatus(e.app, "DEALLOCATED")
	if state := e.state(); state != "none" {
		e.t.Errorf("the container %s of an application that ended is %s", e.Identifier, state)
	}
}

// left is all that the node made and that is still there.
func (s site) left() (all []string) {
	s.t.Helper()
	for _, c := range s.engine.Containers() {
		all = append(all, "container "+c.Name()+" "+c.State)
	}
	for _, name := range s.engine.Networks() {
		all = append(all, "network "+name)
	}
	for _, name := range s.engine.Volumes() {
		all = append(all, "volume "+name)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, s.Dir) {
			all = append(all, "mount "+strings.TrimSpace(line))
		}
	}
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file") // the pattern is good
	for _, loop := range loops {
		if file, _ := os.ReadFile(loop); strings.Contains(string(file), s.Dir) { // it may be gone just now
			all = append(all, "loop device of "+strings.TrimSpace(string(file)))
		}
	}
	return append(all, s.folders()...)
}

// folders are those of environments in the workspace, which are named by their
// tokens: reused disks, and what tasks made, stay.
func (s site) folders() (all []string) {
	s.t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.Dir, "fish_docker_workspace"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	for _, entry := range entries {
		if regexp.MustCompile(`[0-9a-fA-F]{32}`).MatchString(entry.Name()) {
			all = append(all, "folder "+entry.Name())
		}
	}
	return all
}

// nothingLeft waits until the node has removed all that it made. Networks go
// with the last of their containers, a moment after it.
func (s site) nothingLeft() {
	s.t.Helper()
	var left []string
	defer func() {
		if !s.t.Failed() {
			return
		}
		s.t.Logf("left: %q", left)
		for _, name := range s.engine.Networks() {
			_, text, err := s.engine.Call("GET", "/networks/"+name, nil)
			s.t.Logf("network %s: %s %v", name, text, err)
		}
	}()
	// What the engine made for a node that was killed is looked for once a minute.
	fish.EventuallyWithin(s.t, 2*time.Minute, "nothing is left", func() bool {
		left = s.left()
		return len(left) == 0
	})
}
