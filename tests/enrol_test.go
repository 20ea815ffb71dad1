package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
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

// TestJoinIsKilled kills the join wherever it is, again and again, until one ends by itself: the next try always goes on,
// and what comes of it is one member with one key.
func TestJoinIsKilled(t *testing.T) {
	t.Parallel()
	a, b := fish.Start(t, fish.Options{}), machine(t, "b")
	b.Start() // it was used alone, so that there is much to set aside
	b.CreateLabel(fish.TestLabel("mine", `{}`))
	b.Stop()
	data := filepath.Join(b.Dir, "fish_data")
	key := readFile(t, data, "b.key")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(invite(a, "b").Token), 0o600); err != nil {
		t.Fatal(err)
	}
	for patience := 20 * time.Millisecond; ; patience += 15 * time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := exec.CommandContext(ctx, os.Getenv(fish.BinaryEnv), "cluster", "join", "--cfg", "fish.yaml", "--import", "--token-file", file)
		cmd.Dir = b.Dir
		out, err := cmd.CombinedOutput()
		killed := ctx.Err() != nil
		cancel()
		if err == nil {
			break
		}
		if !killed {
			t.Fatalf("after %v: %v\n%s", patience, err, out)
		}
	}
	b.AdminPassword = a.AdminPassword
	b.Start()
	b.WaitReady()
	if readFile(t, data, "b.key") != key {
		t.Error("the node got another key")
	}
	if err := parseCert(t, data, "b.crt").CheckSignatureFrom(parseCert(t, a.Dir, "fish_data", "ca.crt")); err != nil {
		t.Error(err)
	}
	type named struct{ Name string }
	if labels := fish.Get[[]named](b.Client, "/api/v1/label/"); len(labels) != 1 || labels[0].Name != "mine" {
		t.Errorf("labels %v, want the one that was brought along", labels)
	}
	if left, _ := filepath.Glob(filepath.Join(data, "*_join.json")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
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

// TestJoinWithData: a node that was used alone is asked what is to become of what it holds.
func TestJoinWithData(t *testing.T) {
	t.Parallel()
	a := fish.Start(t, fish.Options{Config: "drivers: [{name: test}]\n"})
	a.CreateLabel(fish.TestLabel("both", `{}`))
	fish.Post[map[string]any](a.Client, "/api/v1/user/", `{"name":"shared","password":"of-a"}`)

	b := machine(t, "b")
	b.Start()
	b.WaitReady()
	b.CreateLabel(fish.TestLabel("both", `{}`))
	mine := b.CreateLabel(fish.TestLabel("mine", `{}`))
	fish.Post[map[string]any](b.Client, "/api/v1/user/", `{"name":"shared","password":"of-b"}`)
	fish.Post[map[string]any](b.Client, "/api/v1/user/", `{"name":"eve","password":"of-eve"}`)
	b.WaitStatus(b.CreateApplication(mine, `{}`), "ALLOCATED")
	token := invite(a, "b").Token
	if got := join(t, b, token); got.Code != 1 || !strings.Contains(got.Stderr, "is running already") {
		t.Errorf("of a node that runs: %d %s", got.Code, got.Stderr)
	}
	b.Stop()
	data := filepath.Join(b.Dir, "fish_data")
	key := readFile(t, data, "b.key")

	before := listing(t, data)
	if got := join(t, b, token); got.Code != 1 || !strings.Contains(got.Stderr, "2 labels, 1 applications and 2 users other than admin") ||
		!strings.Contains(got.Stderr, "--import") || !strings.Contains(got.Stderr, "--discard") {
		t.Errorf("without a decision: %d %s", got.Code, got.Stderr)
	}
	dry := mustJoin(t, b, token, "--import", "--dry-run")
	for _, want := range []string{"would bring along: users eve, labels mine:1", "has already: users shared, labels both:1"} {
		if !strings.Contains(dry.Stdout, want) {
			t.Errorf("dry run printed:\n%s\nwant %q", dry.Stdout, want)
		}
	}
	if after := listing(t, data); !slices.Equal(before, after) {
		t.Errorf("a dry run left %v, before there was %v", after, before)
	}
	if got := mustJoin(t, b, token, "--import"); !strings.Contains(got.Stdout, "brought along: 1 users, 1 labels") || got.Stderr != "" {
		t.Errorf("import printed:\n%s\n%s", got.Stdout, got.Stderr)
	}
	if readFile(t, data, "b.key") != key {
		t.Error("the node got another key")
	}
	kept, _ := filepath.Glob(filepath.Join(data, "*", "sqlite.db.before-join-*"))
	oldCA, _ := filepath.Glob(filepath.Join(data, "ca.key.before-join-*"))
	if len(kept) != 1 || len(oldCA) != 1 {
		t.Errorf("kept %v and %v, want the old database and the old CA's key", kept, oldCA)
	}
	b.AdminPassword = a.AdminPassword
	b.Start()
	b.WaitReady()
	type named struct{ Name string }
	var users, labels []string
	for _, u := range fish.Get[[]named](b.Client, "/api/v1/user/") {
		users = append(users, u.Name)
	}
	for _, l := range fish.Get[[]named](b.Client, "/api/v1/label/") {
		labels = append(labels, l.Name)
	}
	slices.Sort(users)
	slices.Sort(labels)
	if !slices.Equal(users, []string{"admin", "eve", "shared"}) || !slices.Equal(labels, []string{"both", "mine"}) {
		t.Errorf("b has users %v, labels %v", users, labels)
	}
	if me := b.As("eve", "of-eve").Request("GET", mePath, nil); me.Status != http.StatusOK {
		t.Errorf("eve's password: %d", me.Status)
	}
	if me := b.As("shared", "of-a").Request("GET", mePath, nil); me.Status != http.StatusOK {
		t.Errorf("the password that shared has in the cluster: %d", me.Status)
	}
}

// listing names all files of a folder but locks, and the database's log, which whoever reads it makes and removes.
func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	passing := regexp.MustCompile(`(\.lock|-wal|-shm)$`)
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if !passing.MatchString(path) {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestJoinAfterACrash: between the redemption and the last file, wherever it was, the next try finishes, with the token
// as long as the machine has no answer, and without it from then on; a start in between is refused.
func TestJoinAfterACrash(t *testing.T) {
	t.Parallel()
	a := fish.Start(t, fish.Options{})
	t.Run("the answer was lost", func(t *testing.T) {
		b := machine(t, "lost")
		token := invite(a, "lost").Token
		mustJoin(t, b, token)
		data := filepath.Join(b.Dir, "fish_data")
		for _, name := range []string{"ca.crt", "lost.crt"} { // as if nothing had come: the key alone is there
			if err := os.Remove(filepath.Join(data, name)); err != nil {
				t.Fatal(err)
			}
		}
		mustJoin(t, b, token)
		b.Start()
		b.WaitReady()
	})
	t.Run("the journal is there", func(t *testing.T) {
		b := machine(t, "half")
		mustJoin(t, b, invite(a, "half").Token)
		data := filepath.Join(b.Dir, "fish_data")
		journal, err := json.Marshal(map[string]any{
			"node": "half", "cas": readFile(t, data, "ca.crt"), "certificate": readFile(t, data, "half.crt"), "addresses": []string{a.Address()},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(data, "half_join.json"), journal, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"ca.crt", "half.crt"} {
			if err := os.Remove(filepath.Join(data, name)); err != nil {
				t.Fatal(err)
			}
		}
		config := filepath.Join(b.Dir, "fish.yaml")
		if got := fish.Run(t, b.Dir, "--cfg", config); got.Code != 1 || !strings.Contains(got.Stderr, "begun to join") {
			t.Errorf("a start: %d\n%s\n%s", got.Code, got.Stdout, got.Stderr)
		}
		if got := fish.Run(t, b.Dir, "cluster", "join", "--cfg", config); got.Code != 0 {
			t.Fatalf("going on: %d\n%s\n%s", got.Code, got.Stdout, got.Stderr)
		}
		b.Start()
		b.WaitReady()
	})
}

// TestRotateCA replaces the CA while the nodes run: at every step each trusts what the other has.
func TestRotateCA(t *testing.T) {
	t.Parallel()
	a := fish.Start(t, fish.Options{})
	b := machine(t, "b")
	mustJoin(t, b, invite(a, "b").Token)
	aData, bData := filepath.Join(a.Dir, "fish_data"), filepath.Join(b.Dir, "fish_data")
	rotate := func(n *fish.Node, code int, step ...string) string {
		t.Helper()
		got := fish.Run(t, n.Dir, append([]string{"cluster", "rotate-ca", "--cfg", filepath.Join(n.Dir, "fish.yaml")}, step...)...)
		if got.Code != code {
			t.Fatalf("rotate-ca %v: exit code %d, want %d\n%s\n%s", step, got.Code, code, got.Stdout, got.Stderr)
		}
		return got.Stdout + got.Stderr
	}
	copyCA := func() {
		t.Helper()
		if err := os.WriteFile(filepath.Join(bData, "ca.crt"), []byte(readFile(t, aData, "ca.crt")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wantIn(t, rotate(a, 0), "phase: none")
	wantIn(t, rotate(b, 1, "add"), "is not here")
	wantIn(t, rotate(a, 1, "sign"), "begin with")
	wantIn(t, rotate(a, 0, "add"), "phase: added")
	wantIn(t, rotate(a, 0, "add"), "phase: added")
	wantIn(t, rotate(a, 1, "drop"), "comes first")
	copyCA()
	wantIn(t, rotate(a, 0, "sign"), "phase: signing")
	wantIn(t, rotate(a, 0, "sign"), "phase: signing")
	wantIn(t, rotate(a, 1, "drop"), "own certificate")
	a.Restart() // its own certificate is signed anew at once
	cas, err := crypt.ParseBundle([]byte(readFile(t, aData, "ca.crt")))
	if err != nil || len(cas) != 2 {
		t.Fatalf("%d CAs, %v", len(cas), err)
	}
	if err := parseCert(t, aData, fish.NodeName+".crt").CheckSignatureFrom(cas[1]); err != nil {
		t.Errorf("a's certificate is not of the new CA: %v", err)
	}
	wantIn(t, rotate(b, 1, "drop"), "own certificate")
	mustJoin(t, b, invite(a, "b").Token)
	if err := parseCert(t, bData, "b.crt").CheckSignatureFrom(cas[1]); err != nil {
		t.Errorf("b's certificate is not of the new CA: %v", err)
	}
	wantIn(t, rotate(a, 0, "drop"), "phase: none")
	wantIn(t, rotate(b, 0, "drop"), "phase: none")
	if _, err := os.Stat(filepath.Join(aData, "ca.key.old")); err == nil {
		t.Error("the old CA's key is still there")
	}
	a.Restart()
	b.Start()
	b.WaitReady()
	if readFile(t, aData, "ca.crt") != readFile(t, bData, "ca.crt") {
		t.Error("the nodes trust different CAs")
	}
}

func wantIn(t *testing.T, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("printed:\n%s\nwant %q", text, want)
	}
}
