package native

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/drivers/native/keeper"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// node is an arbitrary one.
var node = uuid.MustParse("11111111-2222-4333-8444-555555555555")

// site is a machine's folders under a temporary one, with what instances there
// have in common.
type site struct{ dir, cfg string }

// newSite makes one that the users of environments may enter.
func newSite(t testing.TB, cfg string) site {
	t.Helper()
	dir, err := os.MkdirTemp("", "fish-native-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := os.RemoveAll(dir)
		if errors.Is(err, os.ErrPermission) && behindSudo() { // a reused disk is its last user's
			err = exec.Command("sudo", "-n", "rm", "-rf", "--", dir).Run()
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return site{dir, cfg}
}

func (s site) open(t testing.TB, instance string, uid model.UID) *driver {
	t.Helper()
	d, err := New(context.Background(), drivers.Config{
		Instance: instance,
		Cfg:      fmt.Appendf(nil, "workspace_path: %q\nimages_path: %q\n%s", s.workspace(), filepath.Join(s.dir, "images"), s.cfg),
		NodeUID:  uid, Directory: filepath.Join(s.dir, "node"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return d.(*driver)
}

func (s site) workspace() string { return filepath.Join(s.dir, "workspace") }

// start opens an instance for one test.
func (s site) start(t testing.TB) *driver {
	t.Helper()
	d := s.open(t, "native", node)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

const process = "isolation: process\n"

// nodeVariable says that this test binary is run as a node that is not root and
// may use sudo, by TestBehindSudo.
const nodeVariable = "FISH_NATIVE_TEST_NODE"

func behindSudo() bool { return os.Getenv(nodeVariable) != "" }

// needsUsers ends the test where users can not be made.
func needsUsers(t testing.TB) {
	t.Helper()
	if !behindSudo() {
		needs.Root(t, "to make users")
	}
}

// strongest is the strongest isolation that there is here.
func strongest() string {
	if os.Getuid() == 0 || behindSudo() {
		return ""
	}
	return process
}

func definition(options string) model.LabelDefinition {
	return model.LabelDefinition{
		Driver: "native", Options: json.RawMessage(options), Resources: model.Resources{CPU: 1, RAM: 1},
		Authentication: &model.Authentication{Username: "user", Password: "secret", Port: 22},
	}
}

func TestConformanceOfProcesses(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, newSite(t, process).harness())
}

func TestConformanceOfUsers(t *testing.T) {
	needsUsers(t)
	t.Parallel()
	s := newSite(t, "")
	h := s.harness()
	h.Neighbour = func(t testing.TB) drivers.Driver { return s.open(t, "native", uuid.New()) }
	maps.DeleteFunc(h.Interrupt, func(when string, _ func(testing.TB, drivers.Request)) bool { // those that differ from processes
		return when != "after make user" && when != "after hand over files" && when != "before the answer"
	})
	drivertest.Run(t, h)
}

func (s site) harness() drivertest.Harness {
	return drivertest.Harness{
		New:        func(t testing.TB) drivers.Driver { return s.open(t, "native", node) },
		Neighbour:  func(t testing.TB) drivers.Driver { return s.open(t, "native/other", node) },
		Definition: definition(`{"entry":"/bin/sleep 1000"}`),
		Malformed: map[string]json.RawMessage{
			"an empty entry":           json.RawMessage(`{"entry":""}`),
			"a number as entry":        json.RawMessage(`{"entry":5}`),
			"a broken template":        json.RawMessage(`{"entry":"./a {{ .Disks"}`),
			"a disk that is not there": json.RawMessage(`{"entry":"{{ .Disks.data }}/run"}`),
			"a word as groups":         json.RawMessage(`{"groups":"wheel"}`),
			"an option as group":       json.RawMessage(`{"groups":["-G0"]}`),
			"an image without url":     json.RawMessage(`{"images":[{"name":"a","version":"1"}]}`),
			"a file of the node":       json.RawMessage(`{"images":[{"url":"file:///etc/a-1.tar.gz"}]}`),
			"a tag without disk":       json.RawMessage(`{"images":[{"url":"https://h/a-1.tar.gz","tag":"data"}]}`),
		},
		Count:     func(t testing.TB) int { return len(s.leftovers(t)) },
		Interrupt: s.interrupts(),
		End:       s.end,
		Timeout:   time.Minute,
	}
}

// leftovers are the folders of environments, the processes and the users that
// exist.
func (s site) leftovers(t testing.TB) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.workspace(), "*"))
	if err != nil {
		t.Fatal(err)
	}
	hidden, _ := filepath.Glob(filepath.Join(s.workspace(), ".[ng]*"))
	found = append(found, hidden...)
	for _, p := range processesWith(t, s.workspace()) {
		found = append(found, "process "+p)
	}
	return append(found, usersBelow(t, s.workspace())...)
}

// usersBelow are the users whose homes are below a folder.
func usersBelow(t testing.TB, dir string) []string {
	t.Helper()
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, ":"+dir+"/") {
			found = append(found, "user "+strings.TrimSpace(line))
		}
	}
	return found
}

// processesWith are those that name a path in their environment or arguments.
func processesWith(t testing.TB, path string) []string {
	t.Helper()
	var found []string
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join(p, "environ"))
		args, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		if strings.Contains(string(environ)+string(args), path) {
			found = append(found, filepath.Base(p)+" "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return found
}

// interrupts are one moment before and after each step of an allocation.
func (s site) interrupts() map[string]func(testing.TB, drivers.Request) {
	moments := map[string]func(testing.TB, drivers.Request){
		"before anything": func(testing.TB, drivers.Request) {},
		"in the claim": func(t testing.TB, _ drivers.Request) {
			d := s.start(t)
			_, err := os.MkdirTemp(d.workspace.Path(), d.workspace.Prefix())
			if err != nil {
				t.Fatal(err)
			}
		},
	}
	names := []string{"make user", "make home", "make disks", "lay out images", "hand over files"}
	for i := range len(names) + 1 {
		when := "after the claim"
		if i > 0 {
			when = "after " + names[i-1]
		}
		moments[when] = func(t testing.TB, req drivers.Request) { s.allocatePart(t, req, i) }
	}
	moments["before the answer"] = func(t testing.TB, req drivers.Request) {
		if _, err := s.start(t).Allocate(context.Background(), req); err != nil {
			t.Fatal(err)
		}
	}
	return moments
}

// allocatePart does the first steps of an allocation.
func (s site) allocatePart(t testing.TB, req drivers.Request, steps int) {
	t.Helper()
	d := s.start(t)
	c, err := d.workspace.Claim(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	o, err := d.options(req.Definition)
	if err != nil {
		t.Fatal(err)
	}
	b := build{driver: d, claim: c, folder: d.workspace.Folder(c.Name), req: req, options: o}
	for _, step := range b.steps()[:steps] {
		if err := step.Do(context.Background()); err != nil {
			t.Fatalf("%s: %v", step.Name, err)
		}
	}
}

// end kills the entry of an environment.
func (s site) end(t testing.TB, env drivers.Environment) {
	d := s.start(t)
	c, ok, err := d.workspace.Find(drivers.Ref{Identifier: env.Identifier})
	if err != nil || !ok {
		t.Fatalf("find %s: %v, %v", env.Identifier, ok, err)
	}
	state, err := keeper.Look(d.workspace.Folder(c.Name), c.Token)
	if err != nil || state.Entry == 0 {
		t.Fatalf("look at %s: %+v, %v", env.Identifier, state, err)
	}
	kill(t, state.Entry)
}

func kill(t testing.TB, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if errors.Is(err, os.ErrPermission) && behindSudo() {
		err = exec.Command("sudo", "-n", "kill", "-KILL", strconv.Itoa(pid)).Run()
	}
	if err != nil {
		t.Fatal(err)
	}
}
