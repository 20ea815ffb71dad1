//go:build linux

package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
	"github.com/aquarium-fish/aquarium-fish/tests/openssh"
)

// serveEcho sends back what comes in, and ends when that does, until the test ends.
func serveEcho(t *testing.T, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return echoOn(t, l)
}

// echoOn is serveEcho where somebody listens already.
func echoOn(t *testing.T, l net.Listener) string {
	t.Helper()
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.Copy(conn, conn) // whoever asks sees whether all came back
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

// echoed sends megabytes to where serveEcho is at the other end, and the end of them, and looks at what comes back.
func echoed(t *testing.T, network, address string) {
	t.Helper()
	var conn net.Conn
	fish.Eventually(t, "somebody listens on "+address, func() (ok bool) {
		c, err := net.DialTimeout(network, address, time.Second)
		conn = c
		return err == nil
	})
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(sshTime))
	const size = 4 << 20
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, noise(5, size))
		sent <- errors.Join(err, conn.(interface{ CloseWrite() error }).CloseWrite())
	}()
	got, err := sum(conn)
	if err := errors.Join(err, <-sent); err != nil || got != sumOf(t, noise(5, size)) {
		t.Errorf("through %s: %v, another sum", address, err)
	}
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// background runs an ssh that is ended when the test ends, and returns what it says on stderr.
func background(t *testing.T, r *rig, config []string, args ...string) *lines {
	t.Helper()
	cmd := command(t, r.login(t), append(config, "LogLevel INFO", "ExitOnForwardFailure yes"), "ssh", append([]string{"-N"}, args...)...)
	said := &lines{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		if t.Failed() {
			t.Logf("ssh %q said: %s", args, said.text())
		}
	})
	return said
}

// lines keeps what is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestSSHForwarding: ports and sockets, from here to there and from there to here.
func TestSSHForwarding(t *testing.T) {
	t.Parallel()
	tcp := serveEcho(t, "tcp", "127.0.0.1:0")
	newRig(t, "").bothWays(t, func(t *testing.T, r *rig) {
		dir := open(t)
		unix := serveEcho(t, "unix", filepath.Join(dir, "echo"))
		if err := os.Chmod(unix, 0o777); err != nil {
			t.Fatal(err)
		}
		port := func(address string) string { _, p, _ := net.SplitHostPort(address); return p }
		for _, tt := range []struct{ name, way, from, to string }{
			{"port here to port there", "-L", freePort(t), tcp},
			{"port here to socket there", "-L", freePort(t), unix},
			{"socket here to port there", "-L", filepath.Join(dir, "here"), tcp},
			{"port there to port here", "-R", freePort(t), tcp},
			{"port there to socket here", "-R", freePort(t), unix},
			{"socket there to port here", "-R", filepath.Join(dir, "there"), tcp},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				background(t, r, nil, tt.way, tt.from+":"+tt.to, "env")
				network := "tcp"
				if strings.HasPrefix(tt.from, "/") {
					network = "unix"
				}
				echoed(t, network, tt.from)
				echoed(t, network, tt.from) // once more on the same session
			})
		}
		t.Run("any port there", func(t *testing.T) {
			t.Parallel()
			said := background(t, r, nil, "-R", "0:"+tcp, "env")
			var allocated string
			fish.Eventually(t, "ssh says which port it got", func() bool {
				found := regexp.MustCompile(`Allocated port (\d+) for remote forward`).FindStringSubmatch(said.text())
				if found != nil {
					allocated = found[1]
				}
				return found != nil
			})
			echoed(t, "tcp", "127.0.0.1:"+allocated)
		})
		t.Run("given up", func(t *testing.T) {
			t.Parallel()
			r.forwardAndCancel(t, tcp)
		})
		t.Run("nobody there", func(t *testing.T) {
			t.Parallel()
			here := freePort(t)
			said := background(t, r, nil, "-L", here+":"+freePort(t), "env")
			fish.Eventually(t, "ssh says why", func() bool {
				if conn, err := net.Dial("tcp", here); err == nil {
					_ = conn.Close()
				}
				return strings.Contains(said.text(), "open failed: connect failed: Connection refused")
			})
		})
		t.Run("port there that is taken", func(t *testing.T) {
			t.Parallel()
			cmd := command(t, r.login(t), []string{"ExitOnForwardFailure yes"}, "ssh", "-N", "-R", port(tcp)+":"+tcp, "env")
			got := run(t, cmd, nil)
			if got.Code != 255 || !strings.Contains(got.Stderr, "remote port forwarding failed for listen port "+port(tcp)) {
				t.Errorf("%+v", got)
			}
		})
		t.Run("SOCKS", func(t *testing.T) {
			t.Parallel()
			r.browse(t)
		})
	})
}

// forwardAndCancel has a running session listen there, and no more.
func (r *rig) forwardAndCancel(t *testing.T, to string) {
	t.Helper()
	l, control := r.login(t), []string{"ControlPath " + open(t) + "/s"}
	if got := run(t, command(t, l, append(control, "ControlMaster yes"), "ssh", "-fN", "env"), nil); got.Code != 0 {
		t.Fatalf("master: %+v", got)
	}
	t.Cleanup(func() { run(t, detached(t, l, control, "-O", "exit", "env"), nil) })
	got := run(t, command(t, l, control, "ssh", "-O", "forward", "-R", "0:"+to, "env"), nil)
	address := "127.0.0.1:" + strings.TrimSpace(got.Stdout)
	echoed(t, "tcp", address)
	if got := run(t, command(t, l, control, "ssh", "-O", "cancel", "-R", "0:"+to, "env"), nil); got.Code != 0 {
		t.Errorf("cancel: %+v", got)
	}
	fish.Eventually(t, "nobody listens any more", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
}

// browse asks many things at once of a web server that the environment sees.
func (r *rig) browse(t *testing.T) {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, noise(7, 1<<20)) // who asks sees whether all came
	}))
	t.Cleanup(web.Close)
	here := freePort(t)
	background(t, r, nil, "-D", here, "env")
	fish.Eventually(t, "ssh listens", func() bool {
		conn, err := net.Dial("tcp", here)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	args := []string{"--silent", "--show-error", "--parallel", "--parallel-immediate", "--noproxy", "", "--socks5-hostname", here}
	dir := t.TempDir()
	for i := range 30 {
		args = append(args, "-o", filepath.Join(dir, fmt.Sprint(i)), web.URL)
	}
	ctx, cancel := context.WithTimeout(t.Context(), sshTime)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "curl", args...).CombinedOutput(); err != nil {
		t.Fatalf("curl: %v: %s", err, out)
	}
	for name, got := range tree(t, dir) {
		if !strings.HasSuffix(got, " "+sumOf(t, noise(7, 1<<20))) {
			t.Errorf("answer %s: %s", name, got)
		}
	}
}

// TestSSHAgent: a key that never leaves the agent here signs there.
func TestSSHAgent(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	dir := open(t)
	socket := filepath.Join(dir, "agent")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = agent.Process.Kill()
		_ = agent.Wait() // killed
	})
	fish.Eventually(t, "the agent listens", func() bool { _, err := os.Stat(socket); return err == nil })
	add := exec.Command("ssh-add", "-q", r.env.KeyFile)
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, out)
	}
	r.bothWays(t, func(t *testing.T, r *rig) {
		config := []string{"IdentityAgent " + socket, "ForwardAgent yes"}
		script := `ssh-add -L >"$HOME/key$$.pub" && cat "$HOME/key$$.pub" && ssh-add -T "$HOME/key$$.pub"; code=$?; rm -f "$HOME/key$$.pub"; exit $code`
		got := run(t, command(t, r.login(t), config, "ssh", "env", script), nil)
		if got.Code != 0 || !strings.HasPrefix(got.Stdout, "ecdsa-sha2-nistp256 ") {
			t.Errorf("the agent of here, asked from there: %+v", got)
		}
		if got := run(t, command(t, r.login(t), nil, "ssh", "env", "ssh-add -L"), nil); got.Code == 0 {
			t.Errorf("an agent that was not forwarded answers: %+v", got)
		}
	})
}

// TestSSHX11: a program there opens its window here.
func TestSSHX11(t *testing.T) {
	t.Parallel()
	needs.Machine(t, "to make a user whose .Xauthority is written")
	if _, err := exec.LookPath("xauth"); err != nil {
		needs.Lacking(t, "needs the tool xauth")
	}
	newRig(t, "").bothWays(t, func(t *testing.T, r *rig) {
		screen, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = screen.Close() }()
		display := fmt.Sprintf("127.0.0.1:%d", screen.Addr().(*net.TCPAddr).Port-6000)
		const cookie = "00112233445566778899aabbccddeeff"
		cmd := command(t, r.login(t), nil, "ssh", "-Y", "env", `xauth list "$DISPLAY"; cat >/dev/null`)
		cmd.Env = append(cmd.Env, "DISPLAY="+display)
		add := exec.Command("xauth", "-q", "add", display, "MIT-MAGIC-COOKIE-1", cookie)
		add.Env = cmd.Env
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("xauth: %v: %s", err, out)
		}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		said := &lines{}
		cmd.Stdout, cmd.Stderr = said, said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		shown := regexp.MustCompile(`unix:(\d+)\s+MIT-MAGIC-COOKIE-1\s+([0-9a-f]+)\n`)
		fish.Eventually(t, "the environment has a display", func() bool { return shown.MatchString(said.text()) })
		found := shown.FindStringSubmatch(said.text())
		openWindow(t, screen, found[1], found[2], cookie)
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("ssh: %v: %s", err, said.text())
		}
	})
}

// openWindow connects to a display there, with the cookie that is good there, and looks at what arrives at the screen.
func openWindow(t *testing.T, screen net.Listener, display, cookieThere, cookieHere string) {
	t.Helper()
	var number int
	if _, err := fmt.Sscan(display, &number); err != nil {
		t.Fatal(err)
	}
	program, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", 6000+number))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Close() }()
	_ = program.SetDeadline(time.Now().Add(sshTime))
	if _, err := program.Write(hello(t, cookieThere)); err != nil {
		t.Fatal(err)
	}
	_ = screen.(*net.TCPListener).SetDeadline(time.Now().Add(sshTime))
	window, err := screen.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = window.Close() }()
	_ = window.SetDeadline(time.Now().Add(sshTime))
	want := hello(t, cookieHere)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(window, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the screen gets %q (%v), want %q", got, err, want)
	}
	const picture = "a window"
	if _, err := io.WriteString(window, picture); err != nil {
		t.Fatal(err)
	}
	got = make([]byte, len(picture))
	if _, err := io.ReadFull(program, got); err != nil || string(got) != picture {
		t.Errorf("the program gets %q (%v), want %q", got, err, picture)
	}
}

// hello is what a program of X11 says first.
func hello(t *testing.T, cookie string) []byte {
	t.Helper()
	const protocol = "MIT-MAGIC-COOKIE-1"
	data, err := hex.DecodeString(cookie)
	if err != nil {
		t.Fatal(err)
	}
	b := []byte{'l', 0, 11, 0, 0, 0}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(protocol)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(data)))
	b = append(b, 0, 0)
	b = append(b, protocol+"\x00\x00"...) // to a multiple of four
	return append(b, data...)
}

// TestSSHJump: an environment is the way to a machine that only it sees.
func TestSSHJump(t *testing.T) {
	t.Parallel()
	r, behind := newRig(t, ""), newEnvironment(t, nil)
	r.bothWays(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithTimeout(t.Context(), sshTime)
		defer cancel()
		hosts := []openssh.Host{{Name: "gate", Login: r.login(t)}, {Name: "behind", Login: behind.Login()}}
		cmd, err := newClient(t).Command(ctx, hosts, "ssh", "-J", "gate", "behind", "cat; exit 6")
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Repeat("0123456789", 300_000)
		if got, want := run(t, cmd, strings.NewReader(text)), (result{Code: 6, Stdout: text}); got != want {
			t.Errorf("exit code %d, %d bytes, %q, want 6, %d bytes", got.Code, len(got.Stdout), got.Stderr, len(text))
		}
	})
}
