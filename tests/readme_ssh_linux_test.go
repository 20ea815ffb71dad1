package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
	"github.com/aquarium-fish/aquarium-fish/tests/openssh"
)

// readmeSSH are the blocks of the README about getting into a failed build, by how they begin.
func readmeSSH(t *testing.T) (build, look, plain string) {
	t.Helper()
	found := map[string]string{}
	for _, block := range readmeBlocks(t) {
		for _, first := range readmeSSHFirst() {
			if strings.HasPrefix(block, first) {
				found[first] = block
			}
		}
	}
	first := readmeSSHFirst()
	return found[first[0]], found[first[1]], found[first[2]]
}

// failedBuild is somebody who follows the README, with this machine as the environment.
type failedBuild struct {
	t       *testing.T
	n       *fish.Node
	replace *strings.Replacer
}

func startFailedBuild(t *testing.T, work string) *failedBuild {
	t.Helper()
	for _, tool := range append(openssh.Tools(), "jq", "curl", "bash", "make") {
		if _, err := exec.LookPath(tool); err != nil {
			needs.Lacking(t, "needs the tool", tool)
		}
	}
	server, err := openssh.StartServer(openssh.ServerOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	key, err := server.Key()
	if err != nil {
		t.Fatal(err)
	}
	n := fish.Start(t, fish.Options{Config: "drivers: [{name: test}]\n"})
	fish.Post[struct{}](n.Client, "/api/v1/user/", `{"name":"alice","password":"alice-password"}`)
	login, err := json.Marshal(map[string]any{"username": server.User, "key": key, "port": server.Port()})
	if err != nil {
		t.Fatal(err)
	}
	n.CreateLabel(fmt.Sprintf(`{"name":"linux","version":1,"definitions":[{"driver":"test","authentication":%s,"resources":{"cpu":1,"ram":1}}]}`, login))
	for name, target := range map[string]string{"aquarium-fish": os.Getenv(fish.BinaryEnv), "ca.crt": "fish_data/ca.crt"} {
		if err := os.Symlink(target, filepath.Join(n.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	proxy := fish.Get[struct{ Address string }](n.Client, "/api/v1/node/this/ssh").Address
	_, port, err := net.SplitHostPort(proxy)
	if err != nil {
		t.Fatal(err)
	}
	b := &failedBuild{t: t, n: n, replace: strings.NewReplacer(
		"/work/", work+"/", "fish1.lab:8001", n.Address(), "-p 2022", "-p "+port, "@fish1.lab", "@127.0.0.1", "forward UID 8080", "forward UID "+strconv.Itoa(freePort(t))+":"+strconv.Itoa(server.Port()),
	)}
	b.types("", "printf alice-password | aquarium-fish login --user alice --password-stdin")
	return b
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// command is what somebody types, for an application.
func (b *failedBuild) command(app, text string) *exec.Cmd {
	text = strings.ReplaceAll(b.replace.Replace(text), "UID/", app+"/")
	for _, verb := range []string{"ssh", "scp", "forward", "logins", "deallocate"} {
		text = strings.ReplaceAll(text, "app "+verb+" UID", "app "+verb+" "+app)
	}
	cmd := exec.CommandContext(b.t.Context(), "bash", "-euc", text)
	cmd.Dir = b.n.Dir
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "HOME="+b.n.Dir, "XDG_CONFIG_HOME="+filepath.Join(b.n.Dir, ".config"), "PATH="+b.n.Dir+":"+os.Getenv("PATH"),
		"AQUARIUM_FISH_ADDRESS="+b.n.Address(), "AQUARIUM_FISH_USER=alice", "PASSWORD=alice-password")
	return cmd
}

// types runs a text and wants it to succeed.
func (b *failedBuild) types(app, text string) string {
	b.t.Helper()
	cmd := b.command(app, text)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("README: %s\n%v: %s%s", text, err, out, stderr.String())
	}
	return string(out)
}

// says is output that is read while it is written.
type says struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *says) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *says) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}

// interrupts runs what goes on until ^C, and presses that once it says that it is ready.
func (b *failedBuild) interrupts(app, text string) {
	b.t.Helper()
	cmd := b.command(app, "exec "+text)
	var out says
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	fish.Eventually(b.t, text+" is ready", func() bool { return out.has("forwarding,") })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
		b.t.Errorf("%s: %v, want exit code 130", text, err)
	}
}

// TestReadmeFailedBuild builds what can not be built, and gets into it as the README says.
func TestReadmeFailedBuild(t *testing.T) {
	t.Parallel()
	work := t.TempDir() // of the environment
	b := startFailedBuild(t, work)
	build, look, plain := readmeSSH(t)
	src := filepath.Join(b.n.Dir, "src")
	if err := os.Mkdir(src, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"Makefile": "test:\n\t@echo about to fail\n\t@false\n", "report.xml": "<testsuite/>"} {
		if err := os.WriteFile(filepath.Join(src, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, app, failed := strings.Cut(strings.TrimSpace(b.types("", build)), "failed, look into ")
	if !failed {
		t.Fatal("the build did not fail")
	}
	for line := range strings.Lines(look) {
		switch line = strings.TrimSpace(line); {
		case strings.Contains(line, "app forward"):
			line, _, _ = strings.Cut(line, "#")
			b.interrupts(app, line)
		case strings.Contains(line, "app deallocate"):
			b.types(app, plain) // before there is nothing left
			b.types(app, line)
		default:
			out := b.types(app, line)
			if strings.Contains(line, "tail") && !strings.HasPrefix(out, "about to fail\n") {
				t.Errorf("%s says %q", line, out)
			}
			if strings.Contains(line, "logins") && strings.Count(out, "\nalice ") < 6 {
				t.Errorf("%s says %q, want all who were there", line, out)
			}
		}
	}
	for _, name := range []string{"build.log", "report.xml"} {
		if _, err := os.Stat(filepath.Join(b.n.Dir, name)); err != nil {
			t.Errorf("it was not copied: %v", err)
		}
	}
	b.n.WaitStatus(app, "DEALLOCATED")
}
