//go:build linux

package release

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// The places of the package.
const (
	unitName = "aquarium-fish.service"
	packaged = "/etc/aquarium-fish/config.yml"
	state    = "/var/lib/aquarium-fish"
)

// The machine is emulated: what takes a second elsewhere may take minutes, and
// looking for it is work too.
const (
	slow = 3 * time.Minute
	look = 200 * time.Millisecond
)

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(slow)
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", slow, what)
		}
	}
}

// TestUnderSystemd installs our package in a machine of its own, under a real
// systemd: environments live through restart, crash, upgrade and removal of the
// node, which finds them again.
func TestUnderSystemd(t *testing.T) {
	if os.Getenv(insideEnv) == "" {
		needsMachine(t)
		t.Parallel()
		tool, binary := releaseTool(t), os.Getenv(fish.BinaryEnv)
		deb := func(version string) string {
			return filepath.Join(pack(t, tool, binary, version), "aquarium-fish_"+version+"_linux_"+runtime.GOARCH+".deb")
		}
		runInside(t, "trixie", map[string]string{"/inside/old.deb": deb(candidate), "/inside/new.deb": deb("v1.2.3")})
		return
	}
	s := &service{t: t}
	for _, step := range []struct {
		name string
		do   func(*service)
	}{
		{"install", (*service).install},
		{"an environment lives on", (*service).environmentLivesOn},
		{"an environment with a user of its own", (*service).ownUser},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.do(&service{t: t, password: s.password, parent: s}) }) {
			t.Log(s.output("journalctl", "--no-pager", "-o", "cat", "-n", "60", "-u", unitName))
			return
		}
	}
}

// service is the node as systemd runs it.
type service struct {
	t        *testing.T
	password string
	parent   *service // keeps the password for the steps after
}

// do runs a command that has to succeed; output returns what any printed.
func (s *service) do(args ...string) string {
	s.t.Helper()
	return command(s.t, "/", args[0], args[1:]...)
}

func (s *service) output(args ...string) string {
	out, _ := exec.CommandContext(s.t.Context(), args[0], args[1:]...).CombinedOutput() // a status other than 0 is an answer too
	return strings.TrimSpace(string(out))
}

// show is a property of the unit.
func (s *service) show(property string) string {
	s.t.Helper()
	return strings.TrimSpace(s.do("systemctl", "show", "--value", "-p", property, unitName))
}

// install brings the package, which starts nothing, and starts the node.
func (s *service) install() {
	s.do("dpkg", "-i", "/inside/old.deb")
	if got := s.output("systemctl", "is-enabled", unitName) + " " + s.output("systemctl", "is-active", unitName); got != "disabled inactive" {
		s.t.Errorf("after the installation the unit is %q, want disabled inactive: its config comes first", got)
	}
	s.do("systemctl", "enable", "--now", unitName)
	s.ready()
	m := regexp.MustCompile(`Admin user pass: (\S+)`).FindStringSubmatch(s.do("journalctl", "-o", "cat", "-u", unitName))
	if m == nil {
		s.t.Fatal("no admin's password in the journal")
	}
	s.parent.password = m[1]
	if limits := s.do("journalctl", "-o", "cat", "-u", unitName, "-g", "limits of native environments"); !strings.Contains(limits, `"cgroup v2"`) {
		s.t.Errorf("the node limits by %s, want cgroup v2 alone", limits)
	}
}

// client speaks to the node as its admin.
func (s *service) client() fish.Client {
	s.t.Helper()
	c, err := fish.NewClient("https://127.0.0.1:8001", state+"/data/ca.crt")
	if err != nil {
		s.t.Fatal(err)
	}
	c.HTTP.Timeout = slow // a password's hash alone takes seconds
	return c.As("admin", s.password).For(s.t)
}

// ready waits until the node takes applications.
func (s *service) ready() {
	s.t.Helper()
	eventually(s.t, "the node is ready", func() bool {
		c, err := fish.NewClient("https://127.0.0.1:8001", state+"/data/ca.crt")
		if err != nil {
			return false // not made yet
		}
		got, err := c.Do(s.t.Context(), http.MethodGet, "/readyz", nil, "")
		return err == nil && got.Status == http.StatusOK
	})
}

// environment is a process that the node has made.
type environment struct {
	*service
	app, identifier string
	pid             int
}

// run asks for an environment that writes into its home all the time.
func (s *service) run(name string) environment {
	s.t.Helper()
	c := s.client()
	entry := `echo "I am $$ of $(id -un)"; while :; do date +%s%N >beat.new && mv beat.new beat; sleep 1; done`
	e := environment{service: s, app: c.CreateApplication(c.CreateLabel(fish.DriverLabel(name, "native", fmt.Sprintf(`{"entry":%q}`, entry))), `{}`)}
	eventually(s.t, "the application is ALLOCATED", func() bool { return c.State(e.app).Status == "ALLOCATED" })
	e.identifier = c.Resource(e.app).Identifier
	eventually(s.t, "the environment prints who it is", func() bool {
		_, err := fmt.Sscanf(e.printed(), "I am %d of", &e.pid)
		return err == nil
	})
	return e
}

func (e environment) folder() string { return filepath.Join(state, "workspace", e.identifier) }

func (e environment) printed() string {
	text, _ := os.ReadFile(filepath.Join(e.folder(), "log")) // not there yet
	return string(text)
}

// wantAlive: the same process still writes into its home, and the node knows it.
func (e environment) wantAlive(after string) {
	e.t.Helper()
	if err := syscall.Kill(e.pid, 0); err != nil {
		e.t.Fatalf("after %s the environment's process is gone: %v", after, err)
	}
	beat := func() string {
		text, _ := os.ReadFile(filepath.Join(e.folder(), "home", "beat")) // before its first
		return string(text)
	}
	last := beat()
	eventually(e.t, "after "+after+" the environment writes into its home: "+e.printed(), func() bool { return beat() != last })
}

// wantAdopted: the node that runs now takes it for its own.
func (e environment) wantAdopted(after string) {
	e.t.Helper()
	e.ready()
	e.wantAlive(after)
	if got := e.client().State(e.app).Status; got != "ALLOCATED" {
		e.t.Errorf("after %s the application is %s, want ALLOCATED", after, got)
	}
}

// group is the one of cgroup v2 that a process is in.
func group(t *testing.T, pid int) string {
	t.Helper()
	_, path, _ := strings.Cut(read(t, fmt.Sprintf("/proc/%d/cgroup", pid)), "::")
	return strings.TrimSpace(path)
}

// wantLimits: the environment is bounded in a group of its own, apart from the node.
func (e environment) wantLimits(parent string) {
	e.t.Helper()
	own := group(e.t, e.pid)
	if !strings.HasPrefix(own, parent+"/aquarium-fish/"+e.identifier) {
		e.t.Fatalf("the environment is in the group %s, want one below %s/aquarium-fish", own, parent)
	}
	for file, want := range map[string]string{"memory.max": strconv.Itoa(1 << 30), "cpu.max": "100000 100000"} {
		if got := strings.TrimSpace(read(e.t, "/sys/fs/cgroup"+own+"/"+file)); got != want {
			e.t.Errorf("%s is %s, want %s", file, got, want)
		}
	}
	if got := group(e.t, e.mainPID()); !strings.HasSuffix(got, unitName+"/node") {
		e.t.Errorf("the node is in the group %s, want the subgroup of the unit", got)
	}
}

func (s *service) mainPID() int {
	s.t.Helper()
	pid, err := strconv.Atoi(s.show("MainPID"))
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// another waits for a main process that is not the one from before.
func (s *service) another(before int) {
	s.t.Helper()
	eventually(s.t, "systemd starts another process", func() bool {
		pid := s.mainPID()
		return pid != 0 && pid != before
	})
}

// release gives the environment back, and nothing of it stays.
func (e environment) release() {
	e.t.Helper()
	own := "/sys/fs/cgroup" + group(e.t, e.pid)
	c := e.client()
	c.Deallocate(e.app)
	eventually(e.t, "the application is DEALLOCATED", func() bool { return c.State(e.app).Status == "DEALLOCATED" })
	if err := syscall.Kill(e.pid, 0); err == nil {
		e.t.Errorf("the environment's process %d is left", e.pid)
	}
	for _, path := range []string{own, e.folder()} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			e.t.Errorf("%s is left: %v", path, err)
		}
	}
}

// environmentLivesOn through everything that happens to the node.
func (s *service) environmentLivesOn() {
	e := s.run("lives-on")
	e.wantLimits("/system.slice/" + unitName)
	for _, event := range []struct {
		name string
		do   []string
	}{
		{"a restart", []string{"systemctl", "restart", unitName}},
		{"a crash", []string{"systemctl", "kill", "--signal=KILL", "--kill-whom=main", unitName}},
		{"an upgrade", []string{"dpkg", "-i", "/inside/new.deb"}},
	} {
		before := s.mainPID()
		s.do(event.do...)
		s.another(before)
		e.wantAdopted(event.name)
		e.wantLimits("/system.slice/" + unitName)
	}
	if got := s.do("dpkg-query", "-W", "-f", "${Version}", "aquarium-fish"); got != "1.2.3" {
		s.t.Errorf("version %s after the upgrade, want 1.2.3", got)
	}
	s.do("systemctl", "stop", unitName)
	e.wantAlive("a stop")
	s.do("systemctl", "start", unitName)
	e.wantAdopted("a stop and a start")
	s.do("dpkg", "--remove", "aquarium-fish")
	if got := s.output("systemctl", "is-active", unitName); got != "inactive" {
		s.t.Errorf("after the removal the unit is %s", got)
	}
	e.wantAlive("the removal")
	s.do("dpkg", "-i", "/inside/new.deb")
	s.do("systemctl", "enable", "--now", unitName)
	e.wantAdopted("removal and installation")
	e.release()
}

// ownUser: the node as root, so that each environment is a user of its own.
func (s *service) ownUser() {
	config := strings.ReplaceAll(read(s.t, packaged), "isolation: process", "isolation: user")
	if err := os.WriteFile(packaged, []byte(config), 0o640); err != nil {
		s.t.Fatal(err)
	}
	dropIn := "/etc/systemd/system/" + unitName + ".d/"
	if err := os.MkdirAll(dropIn, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(dropIn+"override.conf", []byte("[Service]\nUser=root\n"), 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.do("systemctl", "daemon-reload")
	s.do("systemctl", "restart", unitName)
	s.ready()
	e := s.run("own-user")
	if want := fmt.Sprintf("I am %d of %s\n", e.pid, e.identifier); !slices.Contains(slices.Collect(strings.Lines(e.printed())), want) {
		s.t.Errorf("the environment says %q, want %q", e.printed(), want)
	}
	e.wantLimits("")
	for name, do := range map[string][]string{
		"a restart": {"systemctl", "restart", unitName}, "an upgrade": {"dpkg", "-i", "/inside/new.deb"},
	} {
		before := s.mainPID()
		s.do(do...)
		s.another(before)
		e.wantAdopted(name)
	}
	e.release()
	if u, err := user.Lookup(e.identifier); err == nil {
		s.t.Errorf("the user %+v is left", u)
	}
}
