//go:build linux

package native

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestMain(m *testing.M) { fish.Main(m) }

// site is a node with the native driver, in a folder that the users of
// environments may pass.
type site struct {
	*fish.Node
	t testing.TB
}

// isolation is the strongest that this test may use.
func isolation() string {
	if os.Getuid() == 0 {
		return "user"
	}
	return "process"
}

// freeAddress is one that was free a moment ago: an environment must find the
// API there again after a restart. It is outside of the range that systems take
// ports from for outgoing connections and for port 0, which others do all the time.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 16_000+rand.IntN(16_000)))
		if err == nil {
			defer func() { _ = l.Close() }()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

func start(t testing.TB, o fish.Options) site {
	t.Helper()
	return site{fish.Start(t, options(t, o)), t}
}

// options are those of a node with the native driver.
func options(t testing.TB, o fish.Options) fish.Options {
	t.Helper()
	o.Dir = folder(t)
	cfg := "api_address: " + freeAddress(t) + "\ndrivers:\n- name: native\n  cfg:\n    isolation: " + isolation() + "\n    cpu_alter: 64\n    ram_alter: 512\n"
	o.Config = cfg + o.Config
	return o
}

func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fish-native-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// environment is one that runs.
type environment struct {
	site
	app, identifier, folder string
}

// run makes a label with the entry and waits until its environment runs and
// has printed the text.
func (s site) run(name, entry, printed string) environment {
	s.t.Helper()
	label := s.CreateLabel(fish.DriverLabel(name, "native", fmt.Sprintf(`{"entry":%q}`, entry)))
	return s.allocate(s.CreateApplication(label, `{"GREETING":"hello `+name+`","LD_PRELOAD":"evil.so"}`), printed)
}

func (s site) allocate(app, printed string) environment {
	s.t.Helper()
	s.WaitStatus(app, "ALLOCATED")
	e := environment{site: s, app: app, identifier: s.Resource(app).Identifier}
	e.folder = filepath.Join(s.Dir, "fish_native_workspace", e.identifier)
	fish.Eventually(s.t, e.identifier+" prints "+printed, func() bool { return strings.Contains(e.printed(), printed) })
	return e
}

// printed is the environment's log.
func (e environment) printed() string {
	text, err := os.ReadFile(filepath.Join(e.folder, "log"))
	if err != nil && !os.IsNotExist(err) {
		e.t.Fatal(err)
	}
	return string(text)
}

// value is what the environment printed after "NAME=".
func (e environment) value(name string) string {
	e.t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindStringSubmatch(e.printed())
	if m == nil {
		e.t.Fatalf("%s did not print %s=...:\n%s", e.identifier, name, e.printed())
	}
	return m[1]
}

// release gives the environment up and checks that nothing of it is left.
func (e environment) release() {
	e.t.Helper()
	e.Deallocate(e.app)
	e.WaitStatus(e.app, "DEALLOCATED")
	e.wantGone()
}

func (e environment) wantGone() {
	e.t.Helper()
	if left := processesIn(e.t, e.folder); len(left) > 0 {
		e.t.Errorf("processes of %s are left: %q", e.identifier, left)
	}
	if _, err := os.Lstat(e.folder); !os.IsNotExist(err) {
		e.t.Errorf("folder of %s is left: %v", e.identifier, err)
	}
	if u, err := user.Lookup(e.identifier); err == nil {
		e.t.Errorf("user of %s is left: %+v", e.identifier, u)
	}
	groups, _ := filepath.Glob("/sys/fs/cgroup/aquarium-fish/" + e.identifier + "*")
	more, _ := filepath.Glob("/sys/fs/cgroup/*/aquarium-fish/" + e.identifier + "*")
	if groups = append(groups, more...); len(groups) > 0 {
		e.t.Errorf("groups of %s are left: %v", e.identifier, groups)
	}
}

// processesIn are the processes whose environment or arguments name a folder.
func processesIn(t testing.TB, folder string) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range all {
		environ, _ := os.ReadFile(filepath.Join(p, "environ")) // it may have ended just now
		args, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		if strings.Contains(string(environ)+string(args), folder) {
			found = append(found, filepath.Base(p)+" "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return found
}

// asUser runs a command as the environment's user and returns what it printed.
func (e environment) asUser(argv ...string) (string, error) {
	e.t.Helper()
	u, err := user.Lookup(e.identifier)
	if err != nil {
		e.t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32) // the system wrote it
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// alive reports whether the process that printed its pid still runs in the
// environment.
func (e environment) alive() bool {
	e.t.Helper()
	return e.runs(e.value("PID"))
}

// runs is alive for an environment whose log may be gone: a released one.
func (e environment) runs(pid string) bool {
	environ, err := os.ReadFile("/proc/" + pid + "/environ")
	return err == nil && strings.Contains(string(environ), e.folder)
}

// reader prints its pid and reads its own metadata, then waits.
const reader = `sh -c 'echo PID=$$; echo URL=$AQUARIUM_FISH_METADATA_URL; echo CA=$AQUARIUM_FISH_CA; echo APP=$AQUARIUM_FISH_APPLICATION_UID; ` +
	`echo HELLO=$GREETING; echo PRELOAD=$LD_PRELOAD; echo PWD=$(pwd); echo ME=$(id -un); ` +
	`curl -sS --fail --cacert "$AQUARIUM_FISH_CA" "$AQUARIUM_FISH_METADATA_URL?format=env" || echo FAILED; echo ready; exec sleep 1000'`
