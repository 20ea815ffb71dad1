//go:build linux

package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
	"github.com/aquarium-fish/aquarium-fish/tests/openssh"
)

// sshTime is for one command through SSH: far more than it takes, as other
// tests keep the machine busy.
const sshTime = 60 * time.Second

// account is who environments are logged in to, where a test may make users:
// nil elsewhere, where it is who runs the tests, with a key alone.
var account *openssh.Account

func prepareAccount() (func(), error) {
	if !needs.MayChangeMachine() {
		return func() {}, nil
	}
	a, err := openssh.NewAccount()
	if err != nil {
		return nil, err
	}
	account = a
	return func() {
		if err := a.Remove(); err != nil {
			fmt.Fprintln(os.Stderr, "an account is left:", err)
		}
	}, nil
}

// environment is a real sshd that a node takes for what it allocated.
type environment struct {
	*openssh.Server
	t testing.TB
}

// newEnvironment runs one on a free port, or where the listener says, until
// the test ends.
func newEnvironment(t testing.TB, listener net.Listener, config ...string) environment {
	t.Helper()
	for _, tool := range openssh.Tools() {
		if _, err := exec.LookPath(tool); err != nil {
			needs.Lacking(t, "needs the tool", tool)
		}
	}
	dir, err := os.MkdirTemp("", "fish-sshd-*") // not below the test's own folder, which other users can not enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // sshd reads who may log in as the user that logs in
		t.Fatal(err)
	}
	o := openssh.ServerOptions{Dir: dir, Listener: listener, Config: config}
	if account != nil {
		o.User, o.Password = account.Name, account.Password
	}
	server, err := openssh.StartServer(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("the SSH server of the environment: %v", err)
		}
		if t.Failed() {
			t.Logf("sshd noted:\n%.20000s", server.Log())
		}
	})
	return environment{server, t}
}

// authentication is what a label says of how to log in.
type authentication struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Key      string `json:"key"`
	Port     int    `json:"port"`
}

// byKey, byPassword have the node log in so.
func (e environment) byKey() authentication {
	e.t.Helper()
	key, err := e.Key()
	if err != nil {
		e.t.Fatal(err)
	}
	return authentication{Username: e.User, Key: key, Port: e.Port()}
}

func (e environment) byPassword() authentication {
	e.t.Helper()
	if e.Password == "" {
		needs.Machine(e.t, "to make a user with a password")
	}
	return authentication{Username: e.User, Password: e.Password, Port: e.Port()}
}

// sshLabel is a label whose environments are logged in to so.
func sshLabel(t testing.TB, name string, a authentication) string {
	t.Helper()
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"name":%q,"version":1,"definitions":[{"driver":"test","authentication":%s,"resources":{"cpu":1,"ram":1}}]}`, name, text)
}

// allocate has the node give out an environment that is logged in to so, and
// returns the application.
func allocate(t testing.TB, c fish.Client, a authentication) string {
	t.Helper()
	app := c.CreateApplication(c.CreateLabel(sshLabel(t, fmt.Sprintf("ssh-%d", time.Now().UnixNano()), a)), `{}`)
	c.WaitStatus(app, "ALLOCATED")
	return app
}

// access are one-time credentials as the API shows them.
type access struct {
	UID, Address, Key, Password, Username string
}

// accessTo asks for credentials.
func accessTo(c fish.Client, app string) access {
	return fish.Get[access](c, "/api/v1/resource/"+c.Resource(app).UID+"/access")
}

// byPassword is a login at the proxy.
func (a access) byPassword() openssh.Login {
	return openssh.Login{Address: a.Address, User: a.Username, Password: a.Password}
}

// byKey is a login at the proxy.
func (a access) byKey(t testing.TB) openssh.Login {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(a.Key), 0o600); err != nil {
		t.Fatal(err)
	}
	return openssh.Login{Address: a.Address, User: a.Username, KeyFile: file}
}

// rig is an environment that one node gives out, and the ways into it.
type rig struct {
	node   *fish.Node
	env    environment
	app    string
	direct bool // past the proxy: what is the same there and through it is as it should be
}

// newRig runs all of it.
func newRig(t *testing.T, nodeConfig string, sshdConfig ...string) *rig {
	t.Helper()
	env := newEnvironment(t, nil, sshdConfig...)
	node := fish.Start(t, fish.Options{Config: "drivers:\n- name: test\n" + nodeConfig})
	return &rig{node: node, env: env, app: allocate(t, node.Client, env.byKey())}
}

// login is a fresh one.
func (r *rig) login(t testing.TB) openssh.Login {
	t.Helper()
	if r.direct {
		return r.env.Login()
	}
	return accessTo(r.node.For(t), r.app).byKey(t)
}

// bothWays runs a test directly and through the proxy.
func (r *rig) bothWays(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	for _, direct := range []bool{true, false} {
		t.Run(map[bool]string{true: "direct", false: "proxy"}[direct], func(t *testing.T) {
			t.Parallel()
			test(t, &rig{node: r.node, env: r.env, app: r.app, direct: direct})
		})
	}
}

// newClient is an OpenSSH client with a home of its own.
func newClient(t testing.TB) *openssh.Client {
	t.Helper()
	c, err := openssh.NewClient(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// command is one of OpenSSH's programs, whose arguments know the login as
// "env". config are lines of ssh_config.
func command(t testing.TB, l openssh.Login, config []string, program string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sshTime)
	t.Cleanup(cancel)
	cmd, err := newClient(t).Command(ctx, []openssh.Host{{Name: "env", Login: l, Config: config}}, program, args...)
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

// result is what a command left.
type result struct {
	Code           int
	Stdout, Stderr string
}

// run runs a command to its end.
func run(t testing.TB, cmd *exec.Cmd, stdin io.Reader) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
