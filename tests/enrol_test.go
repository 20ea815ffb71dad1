package tests

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// invitation is what the API answers to an invite.
type invitation struct {
	ID, Name, Status, Token string
}

// invite makes a token by which a node of the name joins.
func invite(n *fish.Node, name string) invitation {
	return fish.Post[invitation](n.Client, "/api/v1/cluster/invitation/", fmt.Sprintf(`{"name":%q,"addresses":[%q]}`, name, n.Address()))
}

// machine is one that is to join, with a config and a folder of its own.
func machine(t *testing.T, name string) *fish.Node {
	t.Helper()
	return fish.New(t, fish.Options{Config: "node_name: " + name + "\ndrivers: [{name: test}]\n"})
}

// join runs `cluster join` with a token in a file.
func join(t *testing.T, n *fish.Node, token string, args ...string) fish.Result {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return fish.Run(t, n.Dir, append([]string{"cluster", "join", "--cfg", filepath.Join(n.Dir, "fish.yaml"), "--token-file", file}, args...)...)
}

// mustJoin is join that has to succeed.
func mustJoin(t *testing.T, n *fish.Node, token string, args ...string) fish.Result {
	t.Helper()
	got := join(t, n, token, args...)
	if got.Code != 0 {
		t.Fatalf("join: exit code %d\n%s\n%s", got.Code, got.Stdout, got.Stderr)
	}
	return got
}

// wantRefused checks that a join was refused for a reason, and that the machine has become nobody's member.
func wantRefused(t *testing.T, n *fish.Node, got fish.Result, reason string) {
	t.Helper()
	if all := got.Stdout + got.Stderr; got.Code != 1 || !strings.Contains(all, reason) {
		t.Errorf("exit code %d, want 1 and %q in:\n%s", got.Code, reason, all)
	}
	for _, name := range []string{"ca.crt", "b.crt"} {
		if _, err := os.Stat(filepath.Join(n.Dir, "fish_data", name)); err == nil {
			t.Errorf("there is a %s", name)
		}
	}
}

// TestJoin is the whole way: invited on A, joined on a machine with nothing but the binary and a config, which then runs
// with a certificate of A's CA; nobody ran openssl, and the CA's key stayed where it was.
func TestJoin(t *testing.T) {
	t.Parallel()
	a := fish.Start(t, fish.Options{})
	b := machine(t, "b")
	made := invite(a, "b")
	got := mustJoin(t, b, made.Token)
	if !strings.Contains(got.Stdout, "joined: node b of the cluster ") {
		t.Errorf("join printed:\n%s", got.Stdout)
	}
	data := filepath.Join(b.Dir, "fish_data")
	if readFile(t, data, "ca.crt") != readFile(t, a.Dir, "fish_data", "ca.crt") {
		t.Error("another CA than A's")
	}
	if _, err := os.Stat(filepath.Join(data, "ca.key")); err == nil {
		t.Error("the CA's key travelled")
	}
	for name, want := range map[string]os.FileMode{"b.key": 0o600, "b.crt": 0o644, "ca.crt": 0o644} {
		if info, err := os.Stat(filepath.Join(data, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %v", name, info, err, want)
		}
	}
	if config := readFile(t, b.Dir, "fish.yaml"); !strings.Contains(config, "cluster_join: [") || !strings.Contains(config, a.Address()) {
		t.Errorf("config:\n%s\nwant cluster_join with %s", config, a.Address())
	}
	b.AdminPassword = a.AdminPassword // there is no other admin in the cluster
	b.Start()
	b.WaitReady()
	if me := b.Request("GET", mePath, nil); me.Status != http.StatusOK {
		t.Errorf("b answers %d %s", me.Status, me.Body)
	}
	if _, stderr := b.Lines(); strings.Contains(strings.Join(stderr, "\n"), "Admin user pass") {
		t.Error("b made an admin of its own, who would replace the cluster's")
	}
	cert := parseCert(t, data, "b.crt")
	if err := cert.CheckSignatureFrom(parseCert(t, a.Dir, "fish_data", "ca.crt")); err != nil || cert.Subject.CommonName != "b" {
		t.Errorf("certificate of %v: %v", cert.Subject, err)
	}
	listed := fish.Get[[]invitation](a.Client, "/api/v1/cluster/invitation/")
	if len(listed) != 1 || listed[0].Status != "redeemed" || listed[0].Token != "" {
		t.Errorf("invitations %+v, want one that is redeemed, without its token", listed)
	}
	b.Stop()
	if again := mustJoin(t, b, made.Token); !strings.Contains(again.Stdout, "member of the token's cluster already") {
		t.Errorf("the same once more: %s", again.Stdout)
	}
	stranger := machine(t, "b")
	wantRefused(t, stranger, join(t, stranger, made.Token), "with another key")
	a.Restart() // what was given out is durable
	if listed := fish.Get[[]invitation](a.Client, "/api/v1/cluster/invitation/"); len(listed) != 1 || listed[0].Status != "redeemed" {
		t.Errorf("invitations after a restart: %+v", listed)
	}
}

// TestJoinRefused: what is wrong is told, and nothing is left that a start would take for a membership.
func TestJoinRefused(t *testing.T) {
	t.Parallel()
	a, other := fish.Start(t, fish.Options{}), fish.Start(t, fish.Options{Config: "node_name: other\n"})
	token := invite(a, "b").Token
	for _, tt := range []struct {
		name, node string
		token      func() string
		reason     string
	}{
		{"no token", "b", func() string { return "" }, "there is no token"},
		{"no token at all", "b", func() string { return "password" }, "begins with fishjoin1_"},
		{"a typo", "b", func() string { return token[:40] + flip(token[40:41]) + token[41:] }, "not as it was printed"},
		{"half of it", "b", func() string { return token[:len(token)/2] }, "not as it was printed"},
		{"another name", "c", func() string { return token }, "cluster invite c"},
		{"revoked", "b", func() string {
			made := invite(a, "b2")
			a.Request("DELETE", "/api/v1/cluster/invitation/"+made.ID, nil)
			return made.Token
		}, "node_name"}, // found before the node is asked: it is for b2
		{"an address where another cluster answers", "b", func() string {
			made := fish.Post[invitation](a.Client, "/api/v1/cluster/invitation/", fmt.Sprintf(`{"name":"b","addresses":[%q]}`, other.Address()))
			return made.Token
		}, "not of the token's cluster"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := machine(t, tt.node)
			wantRefused(t, b, join(t, b, tt.token()), tt.reason)
		})
	}
	revoked := machine(t, "gone")
	made := invite(a, "gone")
	if got := a.Request("DELETE", "/api/v1/cluster/invitation/gone", nil); got.Status != http.StatusOK || !strings.Contains(string(got.Body), `"status":"revoked"`) {
		t.Fatalf("revoke: %d %s", got.Status, got.Body)
	}
	wantRefused(t, revoked, join(t, revoked, made.Token), "was revoked")
	for body, reason := range map[string]string{
		`{"name":"test-node"}`: "a member already", `{"name":"a/b"}`: "bad name", `{"name":"x","valid":"1s"}`: "valid for",
		`{"name":"x","valid":"soon"}`: "want a duration", `{"name":"x","addresses":["here"]}`: "bad address", `{"name":"x","renew":true}`: "no member is named",
	} {
		if got := a.Request("POST", "/api/v1/cluster/invitation/", []byte(body)); got.Status != http.StatusBadRequest || !strings.Contains(string(got.Body), reason) {
			t.Errorf("invite %s: %d %s, want 400 and %q", body, got.Status, got.Body, reason)
		}
	}
	user := a.As("admin", "wrong").Request("POST", "/api/v1/cluster/invitation/", []byte(`{"name":"x"}`))
	if user.Status != http.StatusUnauthorized {
		t.Errorf("without credentials: %d", user.Status)
	}
}

// TestExpiredInvitation waits for the end of the shortest one there is.
func TestExpiredInvitation(t *testing.T) {
	t.Parallel()
	a, b := fish.Start(t, fish.Options{}), machine(t, "b")
	made := fish.Post[invitation](a.Client, "/api/v1/cluster/invitation/", fmt.Sprintf(`{"name":"b","valid":"10s","addresses":[%q]}`, a.Address()))
	fish.Eventually(t, "the invitation expires", func() bool {
		return fish.Get[[]invitation](a.Client, "/api/v1/cluster/invitation/")[0].Status == "expired"
	})
	wantRefused(t, b, join(t, b, made.Token), "expired at")
	mustJoin(t, b, invite(a, "b").Token) // with the key that was made before
}

// flip is another letter.
func flip(letter string) string {
	if letter == "A" {
		return "B"
	}
	return "A"
}

// TestSecretOfTokenIsNowhere: neither what the nodes print, nor what they keep, nor the audit, nor the bundle has it.
func TestSecretOfTokenIsNowhere(t *testing.T) {
	a := fish.Start(t, fish.Options{Config: "log_file: fish.log\n", Flags: []string{"--verbosity", "debug"}})
	b := machine(t, "b")
	made := invite(a, "b")
	got := mustJoin(t, b, made.Token)
	again := machine(t, "b")
	refused := join(t, again, made.Token)
	asArgument := fish.Run(t, b.Dir, "cluster", "join", made.Token)
	if asArgument.Code == 0 || !strings.Contains(asArgument.Stderr, "no argument") {
		t.Errorf("as an argument: %d %s", asArgument.Code, asArgument.Stderr)
	}
	b.Start()
	b.WaitReady()
	b.Stop()
	onFolder(t, a, 0, "debug", "bundle", "-o", filepath.Join(a.Dir, "bundle.tar.gz"))
	texts := map[string]string{
		"join": got.Stdout + got.Stderr, "a refused join": refused.Stdout + refused.Stderr, "as an argument": asArgument.Stdout + asArgument.Stderr,
	}
	for _, n := range []*fish.Node{a, b} {
		stdout, stderr := n.Lines()
		texts["output of "+n.Dir] = strings.Join(append(stdout, stderr...), "\n")
	}
	for name, text := range unpack(t, filepath.Join(a.Dir, "bundle.tar.gz")) {
		texts["bundle: "+name] = text
	}
	for _, dir := range []string{a.Dir, b.Dir, again.Dir} {
		err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				text, _ := os.ReadFile(path)
				texts[path] = string(text)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Of its 16 bytes any 12 letters in a row would tell too much; the prefix and the node's UID behind it are public.
	secret := strings.TrimPrefix(made.Token, "fishjoin1_")[:21]
	for name, text := range texts {
		for i := range len(secret) - 12 {
			if strings.Contains(text, secret[i:i+12]) {
				t.Errorf("%s has a part of the secret", name)
			}
		}
	}
	if audit := readFile(t, a.Dir, "fish_data", "test-node_audit.log"); !strings.Contains(audit, `"cluster.invite"`) || !strings.Contains(audit, `"cluster.join"`) {
		t.Errorf("the audit has not who was invited and who joined:\n%s", audit)
	}
}

// TestJoinFromStandardInput is how a script does it, without a config file that is there.
func TestJoinFromStandardInput(t *testing.T) {
	t.Parallel()
	a := fish.Start(t, fish.Options{})
	dir := t.TempDir()
	cmd := exec.Command(os.Getenv(fish.BinaryEnv), "cluster", "join", "--cfg", "new.yml", "--dir", "data", "--node", "127.0.0.1:8123")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(invite(a, "b").Token+"\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("join: %v\n%s", err, out)
	}
	config := readFile(t, dir, "new.yml")
	for _, want := range []string{`node_name: "b"`, `node_address: "127.0.0.1:8123"`, `directory: "data"`, "cluster_join: ["} {
		if !strings.Contains(config, want) {
			t.Errorf("config:\n%s\nhas no %s", config, want)
		}
	}
	if err := parseCert(t, dir, "data", "b.crt").VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
}

// TestJoiningNodeMakesNoCA: a start says how to become a member, and makes nothing.
func TestJoiningNodeMakesNoCA(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := "node_name: b\napi_address: 127.0.0.1:0\ncluster_join: [\"10.0.0.1:8001\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "fish.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	got := fish.Run(t, dir, "--cfg", filepath.Join(dir, "fish.yaml"))
	for _, want := range []string{"cluster invite b", "cluster join", "ca.crt", "b.key"} {
		if all := got.Stdout + got.Stderr; got.Code != 1 || !strings.Contains(all, want) {
			t.Errorf("exit code %d, want 1 and %q in:\n%s", got.Code, want, all)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "fish_data", "*.[ck][re][ty]")); len(found) > 0 {
		t.Errorf("made %v", found)
	}
}

// TestNodeWithoutCAKeyInvitesNobody, and says who could.
func TestNodeWithoutCAKeyInvitesNobody(t *testing.T) {
	t.Parallel()
	a := fish.Start(t, fish.Options{})
	b := machine(t, "b")
	mustJoin(t, b, invite(a, "b").Token)
	b.AdminPassword = a.AdminPassword
	b.Start()
	b.WaitReady()
	got := b.Request("POST", "/api/v1/cluster/invitation/", []byte(`{"name":"c"}`))
	if got.Status != http.StatusBadRequest || !strings.Contains(string(got.Body), "has not the key of the cluster's CA") {
		t.Errorf("invite by a node without the CA's key: %d %s", got.Status, got.Body)
	}
}
