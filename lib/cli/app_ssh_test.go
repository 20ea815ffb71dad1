//go:build linux

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/tests/openssh"
)

// sshTest is a farm with an environment whose SSH proxy is played by OpenSSH's server, for OpenSSH's client: only the
// credentials are good more than once.
type sshTest struct {
	*farmTest
	server *openssh.Server
	temp   string // must be empty after each command
	stdout lockedBuffer
}

// lockedBuffer is output that is read while a program still writes it.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newSSHTest(t *testing.T) *sshTest {
	t.Helper()
	for _, tool := range openssh.Tools() {
		if _, err := exec.LookPath(tool); err != nil {
			needs.Lacking(t, "needs the tool", tool)
		}
	}
	dir := t.TempDir()
	server, err := openssh.StartServer(openssh.ServerOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s := &sshTest{farmTest: newFarm(t), server: server, temp: filepath.Join(dir, "temp dir")}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(server.Log())
		}
	})
	if err := os.Mkdir(s.temp, 0o700); err != nil {
		t.Fatal(err)
	}
	s.options.TempDir, s.options.LookPath = s.temp, exec.LookPath
	s.on("GET /application/"+someUID+"/resource", loginJSON)
	s.onJSON("GET /resource/"+otherUID+"/ssh", apiv1.ResourceSSH{Uses: []apiv1.ResourceSSHUse{}})
	s.prove(hostKey(t, filepath.Join(dir, "host_ecdsa")))
	private, err := server.Key()
	if err != nil {
		t.Fatal(err)
	}
	s.onJSON("GET /resource/"+otherUID+"/access", apiv1.ResourceAccess{Username: server.User, Key: private, Password: "once"})
	return s
}

const loginJSON = `{"UID":"` + otherUID + `","application_UID":"` + someUID + `","authentication":{"key":"","password":"p","port":22,"username":"u"},"created_at":"2026-11-22T11:59:00Z",` +
	`"definition_index":0,"hw_addr":"","identifier":"i","ip_addr":"127.0.0.1","label_UID":"` + labelUID + `","metadata":{},"node_UID":"` + labelUID + `","updated_at":"2026-11-22T11:59:00Z"}`

// hostKey is the public half of a key in a file, in the form of authorized_keys.
func hostKey(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))
}

// prove says which host key the proxy has.
func (s *sshTest) prove(key string) {
	s.onJSON("GET /node/this/ssh", apiv1.NodeSSH{
		Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.server.Port())), HostKey: key, Fingerprint: "SHA256:proxy",
	})
}

// onJSON answers a route with a value.
func (f *farmTest) onJSON(route string, v any) {
	f.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		f.t.Fatal(err)
	}
	f.on(route, string(text))
}

// credentials counts how often new ones were asked for.
func (f *farmTest) credentials() int {
	f.serving.Lock()
	defer f.serving.Unlock()
	return strings.Count(strings.Join(f.asked, "\n"), "/access ")
}

// swept fails if a command left something.
func (s *sshTest) swept() {
	s.t.Helper()
	left, err := os.ReadDir(s.temp)
	if err != nil || len(left) > 0 {
		s.t.Errorf("files of a login are left: %v, %v", left, err)
	}
}

func TestAppSSH(t *testing.T) {
	t.Parallel()
	s := newSSHTest(t)
	s.options.Stdin = strings.NewReader("typed\n")
	if got := s.ok("app", "ssh", someUID, "--", "cat;", "printf", "'%s|'", "'a b'", "-v", "--", "--wait"); got != "typed\na b|-v|--|--wait|" {
		t.Errorf("output %q", got)
	}
	if code, stdout, stderr := s.run("app", "ssh", someUID, "--", "echo out; echo err >&2; exit 7"); code != 7 || stdout != "out\n" || stderr != "err\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q, want 7, out and err alone", code, stdout, stderr)
	}
	if got := s.ok("app", "ssh", someUID, "-t", "--", "tty"); !strings.HasPrefix(got, "/dev/pts/") {
		t.Errorf("-t gives the terminal %q", got)
	}
	s.options.Stdin = strings.NewReader("tty; exit 3\n")
	if code, stdout, _ := s.run("app", "ssh", someUID, "-T"); code != 3 || stdout != "not a tty\n" {
		t.Errorf("a shell without a terminal: exit code %d, %q", code, stdout)
	}
	code, _, stderr := s.run("app", "ssh", someUID, "-v", "--", "true")
	if code != 0 || !strings.Contains(stderr, "host key SHA256:proxy") || !strings.Contains(stderr, "is not known yet") {
		t.Errorf("-v: exit code %d, %q", code, stderr)
	}
	s.onJSON("GET /resource/"+otherUID+"/ssh", apiv1.ResourceSSH{Fingerprint: "SHA256:pin"})
	if _, _, stderr = s.run("app", "ssh", someUID, "-v", "--", "true"); !strings.Contains(stderr, "host key SHA256:pin") {
		t.Errorf("-v: %q", stderr)
	}
	if _, _, stderr := s.run("app", "ssh", someUID, "-o", "LogLevel=DEBUG", "-o", "User=nobody-here", "--", "true"); !strings.Contains(stderr, "as 'nobody-here'") {
		t.Errorf("an option did not win over the config: %q", stderr)
	}
	if got := s.credentials(); got != 7 {
		t.Errorf("credentials were asked for %d times, want once for each login", got)
	}
	s.swept()
}

// Nobody but who has the host key that the node told gets a login.
func TestAppSSHOtherHostKey(t *testing.T) {
	t.Parallel()
	s := newSSHTest(t)
	if _, err := s.server.NewHostKeys(); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := s.run("app", "ssh", someUID, "--", "true"); code != 255 || stdout != "" || !strings.Contains(stderr, "Host key verification failed") || strings.Contains(stderr, "Error:") {
		t.Errorf("exit code %d, stdout %q, stderr %q, want 255 and what ssh says", code, stdout, stderr)
	}
	if strings.Contains(s.server.Log(), "Accepted") {
		t.Error("it was logged in")
	}
	s.prove("no key")
	s.fails(CodeError, `tells no host key of its SSH proxy, but "no key`, "app", "ssh", someUID)
	s.swept()
}

// What ssh is run with: no config but ours, no password in its environment, and a key that nobody else can read.
func TestAppSSHProgram(t *testing.T) {
	s := newSSHTest(t)
	t.Setenv(envPassword, "secret")
	t.Setenv("KEPT", "kept")
	fake := filepath.Join(t.TempDir(), "ssh")
	text := "#!/bin/sh\nprintf '<%s>' \"$@\"\necho\nenv | grep -e ^KEPT -e ^AQUARIUM_FISH\nstat -c %a \"${2%/*}\" \"$2\" \"${2%/*}/key\"\n"
	if err := os.WriteFile(fake, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	s.options.LookPath = func(string) (string, error) { return fake, nil }
	got := s.ok("app", "ssh", someUID, "-A", "-o", "Compression=yes", "--", "a b", "-F", "$x")
	config, rest, found := strings.Cut(strings.TrimPrefix(got, "<-F><"), ">")
	if !found || !strings.HasPrefix(config, s.temp+"/") {
		t.Errorf("ssh is run with %q, want -F and a config in the folder for such files", got)
	}
	if want := "<-A><-o><Compression=yes><" + someUID + "><--><a b><-F><$x>\nKEPT=kept\n700\n600\n600\n"; rest != want {
		t.Errorf("ssh is run with %q, want %q", rest, want)
	}
	if err := os.WriteFile(fake, []byte("#!/bin/sh\nkill -TERM $$\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := s.run("app", "ssh", someUID); code != 128+15 {
		t.Errorf("exit code %d of a program that a signal has ended, want 143", code)
	}
	s.swept()
}

// What follows the UID is the command, as with ssh: programs that run their ssh know no other way.
func TestAppSSHCommandWithoutDashes(t *testing.T) {
	t.Parallel()
	s := newSSHTest(t)
	for _, tt := range []struct {
		name  string
		words []string // after the UID
		want  string   // what ssh is run with after the host
	}{
		{"rsync 3.5", []string{"rsync", "--server", "--sender", "-logDtpre.iLsfxCIvu", ".", "/work/out/"}, "<--><rsync><--server><--sender><-logDtpre.iLsfxCIvu><.></work/out/>"},
		{"git", []string{"git-upload-pack '/work/src'"}, "<--><git-upload-pack '/work/src'>"},
		{"flags like ours", []string{"tool", "-t", "-o", "x", "--help", "--wait", "--nonsense"}, "<--><tool><-t><-o><x><--help><--wait><--nonsense>"},
		{"its own --", []string{"tool", "--", "-x"}, "<--><tool><--><-x>"},
		{"flags before it", []string{"-o", "Compression=yes", "-t", "tool", "-T"}, "<--><tool><-T>"},
		{"flags and --", []string{"-o", "Compression=yes", "-t", "--", "-T", "--"}, "<--><-T><-->"},
		{"--", []string{"--", "tool", "-t"}, "<--><tool><-t>"},
		{"no command", []string{"-t"}, ""},
		{"no command after --", []string{"--"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.lineOf(t, append([]string{"app", "ssh", "-A", someUID}, tt.words...)...)
			options, command, found := strings.Cut(got, "<"+someUID+">")
			if !found || command != tt.want || !strings.Contains(options, "<-A>") {
				t.Errorf("ssh is run with %s, want %s as the command", got, tt.want)
			}
			if tt.words[0] == "-o" && !strings.Contains(options, "<-A><-tt><-o><Compression=yes>") {
				t.Errorf("ssh is run with %s, want the flags between UID and command", got)
			}
		})
	}
	if got := s.ok("app", "ssh", someUID, "printf", "'%s|'", "-v", "--wait"); got != "-v|--wait|" {
		t.Errorf("output %q", got)
	}
	before := s.credentials()
	if got := s.ok("app", "ssh", someUID, "-t", "--help"); !strings.Contains(got, "Usage:") || s.credentials() != before {
		t.Errorf("--help after the UID says %q", got)
	}
}

// lineOf are the arguments of the ssh that a command runs.
func (s *sshTest) lineOf(t *testing.T, args ...string) string {
	t.Helper()
	fake := filepath.Join(t.TempDir(), "ssh")
	if err := os.WriteFile(fake, []byte("#!/bin/sh\nprintf '<%s>' \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	defer func(before func(string) (string, error)) { s.options.LookPath = before }(s.options.LookPath)
	s.options.LookPath = func(string) (string, error) { return fake, nil }
	return s.ok(args...)
}

func TestAppSSHRefused(t *testing.T) {
	t.Parallel()
	s := newSSHTest(t)
	s.fails(CodeUsage, "the application is missing", "app", "ssh", "--", someUID)
	s.fails(CodeUsage, "the application is missing", "app", "ssh", "-t")
	s.fails(CodeUsage, "ports are for 'app forward'", "app", "ssh", someUID, "-L", "8080:localhost:80")
	s.fails(CodeUsage, "ports are for 'app forward'", "app", "ssh", "-L", "8080:localhost:80", someUID)
	s.fails(CodeUsage, "the user is the label's", "app", "ssh", "-l", "ci", someUID, "rsync", "--server") // rsync of ci@UID:
	s.fails(CodeUsage, "unknown shorthand flag: 'G'", "app", "ssh", "-G", someUID)                        // git asks so whether it is OpenSSH
	s.fails(CodeUsage, "none of the others can be", "app", "ssh", "-t", someUID, "-T", "--", "true")
	s.fails(CodeUsage, "none of the others can be", "app", "ssh", someUID, "-t", "-T")
	s.options.LookPath = func(name string) (string, error) { return "", &exec.Error{Name: name, Err: exec.ErrNotFound} }
	s.fails(CodeError, "this needs ssh of OpenSSH: install it", "app", "ssh", someUID)
	s.fails(CodeError, "this needs scp of OpenSSH: install it", "app", "scp", someUID, ":a", "b")
	s.options.LookPath = exec.LookPath
	s.on("GET /application/"+someUID+"/resource", strings.Replace(loginJSON, `"authentication":{"key":"","password":"p","port":22,"username":"u"},`, "", 1))
	s.fails(CodeError, "says no `authentication`", "app", "ssh", someUID)
	s.answer("GET /application/"+someUID+"/resource", func(*http.Request) (int, string) { return 404, `{"message":"Unable to find it"}` })
	s.on("GET /application/"+someUID+"/state", stateJSON("NEW", "waits"))
	s.fails(CodeNotFound, "has no environment, it is NEW: waits", "app", "ssh", someUID)
	s.fails(CodeTimeout, "not in time", "app", "ssh", someUID, "--wait", "--timeout", "1ms")
	if got := s.credentials(); got != 0 {
		t.Errorf("credentials were asked for %d times in vain", got)
	}
}

// during waits for a condition of a command that runs, and then interrupts it.
func (s *sshTest) during(t *testing.T, f func(), args ...string) (code int, stderr string) {
	t.Helper()
	interrupt, before := make(chan struct{}), s.options
	defer func() { s.options = before }()
	s.options.Interruptible = func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		go func() {
			select {
			case <-interrupt:
				cancel()
			case <-ctx.Done():
			}
		}()
		return ctx, cancel
	}
	s.options.Stdout = &s.stdout
	var ended sync.WaitGroup
	ended.Go(func() { code, _, stderr = s.run(args...) })
	f()
	close(interrupt)
	ended.Wait()
	return code, stderr
}

// waitFor waits for output of the command that runs.
func (s *sshTest) waitFor(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(s.stdout.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not say %q but %q", text, s.stdout.String())
		}
	}
}

func TestAppSSHInterrupted(t *testing.T) {
	t.Parallel()
	s := newSSHTest(t)
	code, stderr := s.during(t, func() { s.waitFor(t, "begun") }, "app", "ssh", someUID, "--", "echo begun; exec sleep 1000")
	if code != CodeInterrupted || !strings.Contains(stderr, "interrupted") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	s.swept()
	for deadline := time.Now().Add(20 * time.Second); s.server.Sessions() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the session goes on after its ssh was interrupted")
		}
	}
}

func TestAppSCP(t *testing.T) {
	t.Parallel()
	needs.Unhurried(t, "starts many processes")
	s := newSSHTest(t)
	there := t.TempDir() // the environment's side
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path, want string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v, want %q", path, got, err, want)
		}
	}
	here := s.options.WorkDir
	write(filepath.Join(here, "a:b"), "colon")
	write(filepath.Join(here, "-r"), "dash")
	write(filepath.Join(here, "tree/sub/leaf"), "leaf")
	for _, protocol := range []string{"--quiet", "-O"} {
		to := filepath.Join(there, protocol)
		if err := os.Mkdir(to, 0o700); err != nil {
			t.Fatal(err)
		}
		before := s.credentials()
		s.ok("app", "scp", someUID, protocol, "-r", "--", "a:b", "-r", "tree", ":"+to)
		read(filepath.Join(to, "a:b"), "colon")
		read(filepath.Join(to, "-r"), "dash")
		read(filepath.Join(to, "tree/sub/leaf"), "leaf")
		if got := s.credentials() - before; got != 1 {
			t.Errorf("%s: credentials were asked for %d times for one connection", protocol, got)
		}
		back := filepath.Join(here, "back"+protocol)
		if err := os.Mkdir(back, 0o700); err != nil {
			t.Fatal(err)
		}
		s.ok("app", "scp", someUID, protocol, "-r", ":"+to+"/tree", ":"+to+"/a*", filepath.Base(back))
		read(filepath.Join(back, "tree/sub/leaf"), "leaf")
		read(filepath.Join(back, "a:b"), "colon")
		if got := s.credentials() - before; got != 3 {
			t.Errorf("%s: credentials were asked for %d times, want once for each source", protocol, got-1)
		}
	}
	code, _, stderr := s.run("app", "scp", someUID, ":"+there+"/nothing", ":"+filepath.Join(there, "-O/tree/sub/leaf"), ".")
	if code != 1 || !strings.Contains(stderr, "No such file") {
		t.Errorf("one source is not there: exit code %d, %q", code, stderr)
	}
	read(filepath.Join(here, "leaf"), "leaf")
	s.fails(CodeUsage, "are on the same side", "app", "scp", someUID, "a", "b")
	s.fails(CodeUsage, "are on the same side", "app", "scp", someUID, ":a", "b", ":c")
	s.fails(CodeUsage, `"nowhere" is no folder`, "app", "scp", someUID, ":a", ":b", "nowhere")
	s.fails(CodeUsage, "a path is empty", "app", "scp", someUID, "", ":b")
	s.swept()
}

// echo serves what a port forwarding leads to.
func echo(t *testing.T) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// free is a port that nobody has now.
func free(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// leadsTo fails unless what is sent to the port comes back.
func leadsTo(t *testing.T, port int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(deadline)
			_, _ = conn.Write([]byte("ping")) // the answer tells
			answer := make([]byte, 4)
			if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "ping" {
				t.Errorf("port %d: %q, %v", port, answer, err)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestAppForward(t *testing.T) {
	t.Parallel()
	needs.Unhurried(t, "starts many processes")
	s := newSSHTest(t)
	target, local, bound, reverse := echo(t), free(t), free(t), free(t)
	code, stderr := s.during(t, func() {
		s.waitFor(t, "forwarding")
		leadsTo(t, local)
		leadsTo(t, bound)
		leadsTo(t, reverse)
	}, "app", "forward", someUID, fmt.Sprintf("%d:%d", local, target), fmt.Sprintf("127.0.0.1:%d:127.0.0.1:%d", bound, target),
		"-R", fmt.Sprintf("%d:127.0.0.1:%d", reverse, target))
	if code != CodeInterrupted || !strings.Contains(stderr, fmt.Sprintf("127.0.0.1:%d here leads to localhost:%d of the environment", local, target)) {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	s.swept()
	if code, _, stderr := s.run("app", "forward", someUID, fmt.Sprintf("%d:%d", target, target)); code != 255 || !strings.Contains(stderr, "in use") {
		t.Errorf("a port that is taken: exit code %d, %q", code, stderr)
	}
	s.fails(CodeUsage, "want a port", "app", "forward", someUID)
	s.swept()
}
