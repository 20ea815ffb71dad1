package cli

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
	"github.com/aquarium-fish/aquarium-fish/tests/openssh"
)

// needsOpenSSH ends a test where its programs are not.
func needsOpenSSH(t testing.TB) {
	for _, tool := range openssh.Tools() {
		if _, err := exec.LookPath(tool); err != nil {
			needs.Lacking(t, "needs the tool", tool)
		}
	}
}

// environment is the command `environment LABEL`: a label whose environments are this machine, by an OpenSSH server of
// its own. $FREE_PORT is a port that nobody has, $SSHD_PORT that of the server.
func environment(t *testing.T, n *fish.Node, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: environment LABEL")
	}
	dir, err := os.MkdirTemp("", "fish-sshd-*")
	ts.Check(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := openssh.StartServer(openssh.ServerOptions{Dir: dir})
	ts.Check(err)
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("the SSH server of the environment: %v", err)
		}
		if t.Failed() {
			t.Logf("sshd noted:\n%.20000s", server.Log())
		}
	})
	key, err := server.Key()
	ts.Check(err)
	login, err := json.Marshal(map[string]any{"username": server.User, "key": key, "port": server.Port()})
	ts.Check(err)
	n.CreateLabel(fmt.Sprintf(`{"name":%q,"version":1,"definitions":[{"driver":"test","authentication":%s,"resources":{"cpu":1,"ram":1}}]}`, args[0], login))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, _ := net.SplitHostPort(free.Addr().String()) // of a bound listener: well-formed
	ts.Check(free.Close())
	ts.Setenv("FREE_PORT", port)
	ts.Setenv("SSHD_PORT", strconv.Itoa(server.Port()))
}
