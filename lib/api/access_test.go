package api

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// fakeSSH is where the proxy of a test would be.
type fakeSSH struct{ key []byte }

// Address implements SSH.
func (fakeSSH) Address() string { return "ci-1.example.com:2022" }

// HostKey implements SSH.
func (s fakeSSH) HostKey() []byte { return s.key }

// newSSHNode is a node with an SSH proxy, whose host key it returns.
func newSSHNode(t *testing.T) (*node, ssh.PublicKey) {
	t.Helper()
	_, wire, err := crypt.NewSSHLogin()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePublicKey(wire)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{uid: testNode, ssh: fakeSSH{wire}}
	n.start(t, "node-1")
	return n, key
}

func (n *node) allocated(t *testing.T) (model.Resource, string) {
	t.Helper()
	r := *n.allocate(t, n.application(t, n.label(t, "linux"), "alice")).Resource
	return r, "/api/v1/resource/" + r.UID.String()
}

func TestResourceAccess(t *testing.T) {
	n, _ := newSSHNode(t)
	r, path := n.allocated(t)
	before := time.Now()
	answer := n.do(t, call{user: "alice", path: path + "/access"})
	keys := regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(answer.body, -1)
	var names []string
	for _, k := range keys {
		names = append(names, k[1])
	}
	if diff := cmp.Diff([]string{"UID", "address", "created_at", "key", "password", "resource_UID", "username"}, names); answer.status != http.StatusOK || diff != "" {
		t.Fatalf("%d, keys (-want +got):\n%s", answer.status, diff)
	}
	var got apiv1.ResourceAccess
	if err := json.Unmarshal([]byte(answer.body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Address != "ci-1.example.com:2022" || got.Username != "alice" || got.ResourceUID != r.UID || !regexp.MustCompile(`^[a-km-zA-HJ-NP-Z1-9]{64}$`).MatchString(got.Password) {
		t.Errorf("access = %+v", got)
	}
	signer, err := ssh.ParsePrivateKey([]byte(got.Key))
	if err != nil || !strings.HasPrefix(got.Key, "-----BEGIN EC PRIVATE KEY-----\n") || !strings.HasSuffix(got.Key, "-----\n") {
		t.Fatalf("key: %v", err)
	}
	digest := sha256.Sum256([]byte(got.Password))
	stored, ok := n.store.AccessByDigest(digest[:])
	byKey, okKey := n.store.AccessByKey(signer.PublicKey().Marshal())
	if !ok || !okKey || stored.UID != got.UID || byKey.UID != got.UID || stored.Used {
		t.Errorf("stored: %+v, %v by the password, %+v, %v by the key", stored, ok, byKey, okKey)
	}
	if life := stored.ExpiresAt.Sub(before); life < testLifetime-time.Millisecond || life > testLifetime+time.Minute {
		t.Errorf("they live %v, want %v", life, testLifetime)
	}
	var other apiv1.ResourceAccess
	n.get(t, call{user: "admin", path: path + "/access"}, &other)
	if other.Username != "admin" || other.UID == got.UID || other.Password == got.Password || other.Key == got.Key {
		t.Error("a second call did not give other credentials")
	}
	if text := n.log.String(); strings.Contains(text, got.Password) || strings.Contains(text, "PRIVATE KEY") {
		t.Error("the log has secrets")
	}
	deed := n.lastDeed(t, answer.header.Get("X-Request-Id"))
	want := apiv1.AuditEvent{Action: "access.create", User: "alice", ObjectUID: r.UID.String(), Result: "ok", Detail: "credentials " + got.UID.String()}
	if deed.Action != want.Action || deed.User != want.User || deed.ObjectUID != want.ObjectUID || deed.Result != want.Result || deed.Detail != want.Detail {
		t.Errorf("audit has %+v, want %+v", deed, want)
	}
}

func TestResourceAccessRefused(t *testing.T) {
	n, _ := newSSHNode(t)
	_, path := n.allocated(t)
	for _, tt := range []struct {
		user, path string
		status     int
		text       string
	}{
		{"bob", path + "/access", 400, "Only the owner"},
		{"", path + "/access", 401, "Unauthorized"},
		{"alice", "/api/v1/resource/" + absent + "/access", 404, "Unable to find the Resource"},
		{"alice", "/api/v1/resource/x/access", 400, "Invalid format for parameter uid"},
		{"bob", path + "/ssh", 400, "Only the owner"},
		{"alice", "/api/v1/resource/" + absent + "/ssh", 404, "Unable to find the Resource"},
	} {
		if r := n.do(t, call{user: tt.user, path: tt.path}); r.status != tt.status || !strings.Contains(r.body, tt.text) {
			t.Errorf("%s as %q = %d %s, want %d %q", tt.path, tt.user, r.status, r.body, tt.status, tt.text)
		}
	}
	foreign := map[string]string{"Sec-Fetch-Site": "cross-site"}
	if r := n.do(t, call{user: "alice", path: path + "/access", header: foreign}); r.status != 400 {
		t.Errorf("from another site: %d %s", r.status, r.body)
	}
	asked := 0
	for ; asked <= 1000; asked++ {
		r := n.do(t, call{user: "alice", path: path + "/access"})
		if r.status == http.StatusOK {
			continue
		}
		if want := `{"message":"Unable to create access: too many unused credentials for this resource; use one of them, or wait until they expire"}` + "\n"; r.status != 400 || r.body != want {
			t.Errorf("after %d: %d %s, want 400 %s", asked, r.status, r.body, want)
		}
		break
	}
	if asked != 64 {
		t.Errorf("%d credentials were given out unused, want 64", asked)
	}
}

// An environment that tells no login gets credentials as well: clients ask for
// them first (contract 22).
func TestResourceAccessWithoutLogin(t *testing.T) {
	n, _ := newSSHNode(t)
	label, err := n.store.CreateLabel(t.Context(), model.Label{Name: "bare", Version: 1, Definitions: []model.LabelDefinition{{Driver: "test", Resources: model.Resources{CPU: 1, RAM: 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	e := n.allocate(t, n.application(t, label.UID, "alice"))
	if r := n.do(t, call{user: "alice", path: "/api/v1/resource/" + e.Resource.UID.String() + "/access"}); r.status != http.StatusOK {
		t.Errorf("access = %d %s", r.status, r.body)
	}
	n.end(t, e)
	if r := n.do(t, call{user: "alice", path: "/api/v1/resource/" + e.Resource.UID.String() + "/access"}); r.status != http.StatusNotFound {
		t.Errorf("access after the end = %d %s, want 404", r.status, r.body)
	}
}

func TestResourceSSH(t *testing.T) {
	n, key := newSSHNode(t)
	r, path := n.allocated(t)
	if got := n.do(t, call{user: "alice", path: path + "/ssh"}); got.body != `{"fingerprint":"","host_key":"","uses":[]}`+"\n" {
		t.Errorf("before the first use: %s", got.body)
	}
	var access apiv1.ResourceAccess
	n.get(t, call{user: "alice", path: path + "/access"}, &access)
	session := model.UID{8}
	used, err := n.store.UseAccess(t.Context(), model.AccessUse{
		AccessUID: access.UID, SessionUID: session, EntryUID: n.uid, Client: "10.1.2.3:4567", HostKey: key.Marshal(),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := apiv1.ResourceSSH{
		HostKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), Fingerprint: ssh.FingerprintSHA256(key),
		Uses: []apiv1.ResourceSSHUse{{
			AccessUID: access.UID, Address: "10.1.2.3:4567", NodeUID: n.uid, NodeName: "node-1", SessionUID: session, UsedAt: used.UsedAt, Username: "alice",
		}},
	}
	var got apiv1.ResourceSSH
	for _, user := range []string{"alice", "admin"} {
		n.get(t, call{user: user, path: path + "/ssh"}, &got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ssh of %s for %s (-want +got):\n%s", r.UID, user, diff)
		}
	}
}

func TestNodeSSH(t *testing.T) {
	n, key := newSSHNode(t)
	want := apiv1.NodeSSH{
		Address: "ci-1.example.com:2022", HostKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), Fingerprint: ssh.FingerprintSHA256(key),
	}
	for _, ref := range []string{"this", "node-1", testNode.String()} {
		var got apiv1.NodeSSH
		n.get(t, call{user: "bob", path: "/api/v1/node/" + ref + "/ssh"}, &got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", ref, diff)
		}
	}
	if r := n.do(t, call{user: "bob", path: "/api/v1/node/nobody/ssh"}); r.status != 404 || !strings.Contains(r.body, "there are: node-1") {
		t.Errorf("of an unknown member: %d %s", r.status, r.body)
	}
	if r := newNode(t).do(t, call{user: "bob", path: "/api/v1/node/this/ssh"}); r.status != 400 || !strings.Contains(r.body, "SSH proxy is not available") {
		t.Errorf("of a node without one: %d %s", r.status, r.body)
	}
}

// A member that has not heard of a Resource yet passes the request on; the
// credentials are then of the member that made it.
func TestAccessElsewhere(t *testing.T) {
	f := newFarm(t)
	r, path := f.a.allocated(t)
	if got := f.c.do(t, call{user: "alice", path: path + "/access"}); got.status != 400 || !strings.Contains(got.body, "SSH proxy is not available") {
		t.Errorf("access by C = %d %s, want what A says", got.status, got.body)
	}
	if got := f.c.do(t, call{user: "alice", path: path + "/ssh"}); got.status != 200 {
		t.Errorf("ssh of %s by C = %d %s", r.UID, got.status, got.body)
	}
	if got := f.c.do(t, call{user: "bob", path: "/api/v1/node/a/ssh"}); got.status != 400 || !strings.Contains(got.body, "SSH proxy is not available") {
		t.Errorf("node/a/ssh by C = %d %s, want what A says", got.status, got.body)
	}
	f.b.net().set(func(c *fakeCluster) { c.gone = []model.UID{f.a.uid} }) // which has no connection to it yet
	if got := f.b.do(t, call{user: "alice", path: path + "/access"}); got.status != 503 {
		t.Errorf("access by B without A = %d %s, want 503", got.status, got.body)
	}
}

func TestAuthorizedKey(t *testing.T) {
	for _, tt := range []struct{ name, wire, want string }{
		{"none", "", ""},
		{"any type", "\x00\x00\x00\x03abcrest", "abc AAAAA2FiY3Jlc3Q="},
		{"too short", "\x00\x00", ""},
		{"length that leads out", "\x00\x00\x00\x09abc", ""},
		{"length that wraps", "\xff\xff\xff\xffabc", ""},
		{"type that breaks the line", "\x00\x00\x00\x03a\nc", ""},
		{"empty type", "\x00\x00\x00\x00", ""},
	} {
		if got := authorizedKey([]byte(tt.wire)); got != tt.want {
			t.Errorf("%s: authorizedKey(%q) = %q, want %q", tt.name, tt.wire, got, tt.want)
		}
	}
}
