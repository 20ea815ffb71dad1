package enrol

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// fakeCluster is what a test says that the cluster is.
type fakeCluster struct {
	members       []Member
	users, labels map[string]bool
	adminless     bool
}

func (c *fakeCluster) Members(context.Context) ([]Member, error) { return c.members, nil }
func (c *fakeCluster) Admin() (model.User, bool) {
	return model.User{Name: model.AdminName, Hash: model.PasswordHash{Algo: "Argon2id", Hash: []byte("hash")}}, !c.adminless
}
func (c *fakeCluster) HasUser(name string) bool  { return c.users[name] }
func (c *fakeCluster) HasLabel(name string) bool { return c.labels[name] }

// issuer is a node that invites.
type issuer struct {
	*Service
	id      *crypt.Identity
	cluster *fakeCluster
	files   crypt.Options
	events  []Event
	log     bytes.Buffer
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{files: crypt.Options{Directory: t.TempDir(), NodeName: "a", NodeAddress: "127.0.0.1:1"}}
	id, err := crypt.LoadOrCreate(i.files)
	if err != nil {
		t.Fatal(err)
	}
	i.id = id
	i.cluster = &fakeCluster{members: []Member{{UID: id.UID, Name: "a", Address: "127.0.0.1:1"}}}
	i.open(t)
	return i
}

// open makes the service of the file, as a start of the node does.
func (i *issuer) open(t *testing.T) {
	t.Helper()
	s, err := New(Options{
		Node: i.id.UID, File: filepath.Join(i.files.Directory, "a_invitations.json"), Identity: i.id, Cluster: i.cluster, Addresses: []string{"127.0.0.1:1"},
		Joined: func(e Event) { i.events = append(i.events, e) }, Log: slog.New(slog.NewTextHandler(&i.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	i.Service = s
}

func (i *issuer) invite(t *testing.T, name string) Token {
	t.Helper()
	made, err := i.Invite(t.Context(), Invite{Name: name, By: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	token, err := ParseToken(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// joiner is a machine with its key.
type joiner struct {
	key   crypto.Signer
	files crypt.Options
}

func newJoiner(t *testing.T, name string, names ...string) joiner {
	t.Helper()
	key, err := crypt.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return joiner{key, crypt.Options{NodeName: name, NodeAddress: "127.0.0.2:1", Names: names}}
}

func (j joiner) uid(t *testing.T) model.UID {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(j.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return crypt.NodeUID(der)
}

func (j joiner) request(t *testing.T) JoinRequest {
	t.Helper()
	der, err := crypt.NewRequest(j.files, j.key)
	if err != nil {
		t.Fatal(err)
	}
	return JoinRequest{Address: j.files.NodeAddress, Request: der}
}

// send redeems a token without a network.
func (i *issuer) send(t *testing.T, token Token, q JoinRequest) (JoinAnswer, error) {
	t.Helper()
	body, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, JoinPath, bytes.NewReader(body))
	r.Header.Set("Authorization", scheme+base64.RawURLEncoding.EncodeToString(token.Secret[:]))
	r.Header.Set(issuerHeader, token.Issuer.String())
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	if w.Code == http.StatusOK {
		var answer JoinAnswer
		return answer, json.Unmarshal(w.Body.Bytes(), &answer)
	}
	refused := &Refusal{}
	if err := json.Unmarshal(w.Body.Bytes(), refused); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if w.Code != refused.Code.status() {
		t.Errorf("status %d for %s", w.Code, refused.Code)
	}
	return JoinAnswer{}, refused
}

// code is the reason of a refusal, "" for none.
func code(t *testing.T, err error) Code {
	t.Helper()
	if err == nil {
		return ""
	}
	refused, ok := errors.AsType[*Refusal](err)
	if !ok {
		t.Fatalf("error = %v, want a refusal", err)
	}
	return refused.Code
}

func TestRedeem(t *testing.T) {
	i, b := newIssuer(t), newJoiner(t, "b", "ci.example.com")
	i.cluster.users, i.cluster.labels = map[string]bool{"eve": true}, map[string]bool{"l:1": true}
	token := i.invite(t, "b")
	q := b.request(t)
	q.Users, q.Labels, q.DryRun = []string{"eve", "bob"}, []string{"l:1", "l:2"}, true
	dry, err := i.send(t, token, q)
	if err != nil || dry.Certificate != "" || dry.Admin != nil || !cmp.Equal(dry.TakenUsers, []string{"eve"}) || !cmp.Equal(dry.TakenLabels, []string{"l:1"}) {
		t.Errorf("dry run: %+v, %v", dry, err)
	}
	if got := i.Invitations()[0].Status(time.Now()); got != StatusOpen || len(i.events) != 0 {
		t.Errorf("after a dry run it is %s, %v", got, i.events)
	}
	q.DryRun = false
	answer, err := i.send(t, token, q)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Admin == nil || string(answer.Admin.Hash) != "hash" {
		t.Errorf("admin %+v, want the cluster's", answer.Admin)
	}
	cas, err := answer.check(token)
	if err != nil {
		t.Fatal(err)
	}
	b.files.Directory = t.TempDir()
	if _, err := crypt.LoadOrCreateKey(filepath.Join(b.files.Directory, "b.key")); err != nil {
		t.Fatal(err)
	}
	if err := crypt.StoreMembership(b.files, cas, []byte(answer.Certificate)); err == nil {
		t.Error("a certificate of another key was stored")
	}
	if len(i.events) != 1 || i.events[0].By != "admin" || i.events[0].Name != "b" || i.events[0].Again || i.events[0].Err != nil {
		t.Errorf("events %+v", i.events)
	}
	i.cluster.adminless = true
	if again, err := i.send(t, token, q); err != nil || again.Admin != nil || again.Certificate == "" || !i.events[1].Again {
		t.Errorf("the same key again: %v, %+v", err, i.events)
	}
	if _, err := i.send(t, token, newJoiner(t, "b").request(t)); code(t, err) != CodeUsed {
		t.Errorf("another key: %v", err)
	}
	i.open(t) // the node crashed right after it had noted the redemption
	if _, err := i.send(t, token, q); err != nil {
		t.Errorf("the same key after a restart: %v", err)
	}
	if _, err := i.send(t, token, newJoiner(t, "b").request(t)); code(t, err) != CodeUsed {
		t.Errorf("another key after a restart: %v", err)
	}
}

// TestWhatIsRefused goes through the reasons.
func TestWhatIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, i *issuer, token *Token, j *joiner)
		after   time.Duration
		want    Code
	}{
		{"nothing", func(*testing.T, *issuer, *Token, *joiner) {}, 0, ""},
		{"late, but in time", func(*testing.T, *issuer, *Token, *joiner) {}, DefaultValid - time.Second, ""},
		{"too late", func(*testing.T, *issuer, *Token, *joiner) {}, DefaultValid, CodeExpired},
		{"a day too late", func(*testing.T, *issuer, *Token, *joiner) {}, 25 * time.Hour, CodeUnknown},
		{"another secret", func(_ *testing.T, _ *issuer, k *Token, _ *joiner) { k.Secret = NewSecret() }, 0, CodeUnknown},
		{"another node's token", func(_ *testing.T, _ *issuer, k *Token, _ *joiner) { k.Secret, k.Issuer = NewSecret(), model.UID{7} }, 0, CodeElsewhere},
		{"revoked", func(t *testing.T, i *issuer, _ *Token, _ *joiner) {
			if _, err := i.Revoke("b", "admin"); err != nil {
				t.Error(err)
			}
		}, 0, CodeRevoked},
		{"invited again", func(t *testing.T, i *issuer, _ *Token, _ *joiner) { i.invite(t, "b") }, 0, CodeRevoked},
		{"another name", func(_ *testing.T, _ *issuer, _ *Token, j *joiner) { j.files.NodeName = "c" }, 0, CodeName},
		{"a name that was taken meanwhile", func(_ *testing.T, i *issuer, _ *Token, _ *joiner) {
			i.cluster.members = append(i.cluster.members, Member{UID: model.UID{9}, Name: "B"})
		}, 0, CodeNameTaken},
		{"its own name, as it was a member", func(t *testing.T, i *issuer, _ *Token, j *joiner) {
			i.cluster.members = append(i.cluster.members, Member{UID: j.uid(t), Name: "b"})
		}, 0, ""},
		{"the name of one that was retired", func(_ *testing.T, i *issuer, _ *Token, _ *joiner) {
			i.cluster.members = append(i.cluster.members, Member{UID: model.UID{9}, Name: "b", Retired: true})
		}, 0, ""},
		{"a key that was retired", func(t *testing.T, i *issuer, _ *Token, j *joiner) {
			i.cluster.members = append(i.cluster.members, Member{UID: j.uid(t), Name: "old", Retired: true})
		}, 0, CodeRetired},
		{"a certificate for another node's name", func(_ *testing.T, _ *issuer, _ *Token, j *joiner) { j.files.Names = []string{"A"} }, 0, CodeRequest},
		{"a certificate for another node's name by a wildcard", func(_ *testing.T, i *issuer, _ *Token, j *joiner) {
			i.cluster.members = append(i.cluster.members, Member{UID: model.UID{9}, Name: "mac.example.com"})
			j.files.Names = []string{"*.example.com"}
		}, 0, CodeRequest},
		{"no address", func(_ *testing.T, _ *issuer, _ *Token, j *joiner) { j.files.NodeAddress = "nowhere" }, 0, CodeRequest},
		{"the CA's key is gone", func(t *testing.T, i *issuer, _ *Token, _ *joiner) {
			if err := errors.Join(os.Remove(filepath.Join(i.files.Directory, "ca.key")), i.id.Refresh()); err != nil {
				t.Error(err)
			}
		}, 0, CodeNoSigner},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i, j := newIssuer(t), newJoiner(t, "b")
				token := i.invite(t, "b")
				tt.prepare(t, i, &token, &j)
				time.Sleep(tt.after)
				_, err := i.send(t, token, j.request(t))
				if got := code(t, err); got != tt.want {
					t.Errorf("refused as %q (%v), want %q", got, err, tt.want)
				}
				if n := i.Invitations(); tt.want != "" && len(n) > 0 && n[0].Key != nil {
					t.Error("it counts as redeemed")
				}
			})
		})
	}
}

// A clock that went back does not make a token live on.
func TestClockThatWentBack(t *testing.T) {
	now := time.Now()
	i := Invitation{Name: "b", CreatedAt: now, ExpiresAt: now.Add(DefaultValid)}
	for ago, want := range map[time.Duration]Code{0: "", 30 * time.Second: "", time.Hour: CodeClock} {
		var got Code
		if refused := redeem(i, "b", [32]byte{}, now.Add(-ago)); refused != nil {
			got = refused.Code
		}
		if got != want {
			t.Errorf("%v back: %q, want %q", ago, got, want)
		}
	}
}

func TestWhoMayNotBeInvited(t *testing.T) {
	i := newIssuer(t)
	for name, tt := range map[string]struct {
		in   Invite
		want Code
	}{
		"a member": {Invite{Name: "a"}, CodeNameTaken}, "in capitals": {Invite{Name: "A"}, CodeNameTaken}, "a member that renews": {Invite{Name: "a", Renew: true}, ""},
		"nobody that renews": {Invite{Name: "x", Renew: true}, CodeName}, "no name": {Invite{}, CodeRequest}, "a path": {Invite{Name: "../x"}, CodeRequest},
		"for too long": {Invite{Name: "x", Valid: MaxValid + 1}, CodeRequest}, "for a moment": {Invite{Name: "x", Valid: time.Second}, CodeRequest},
		"by way of nowhere": {Invite{Name: "x", Addresses: []string{"x"}}, CodeRequest},
	} {
		_, err := i.Invite(t.Context(), tt.in)
		if got := code(t, err); got != tt.want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, tt.want)
		}
	}
	i.Holders = func() []string { return []string{"first", "second"} }
	if err := errors.Join(os.Remove(filepath.Join(i.files.Directory, "ca.key")), i.id.Refresh()); err != nil {
		t.Fatal(err)
	}
	_, err := i.Invite(t.Context(), Invite{Name: "x"})
	if code(t, err) != CodeNoSigner || !strings.Contains(err.Error(), "first, second") {
		t.Errorf("without the CA's key: %v, want one that names who has it", err)
	}
}

// Only the hash is kept, for the owner alone; a file that can not be read is told, never replaced.
func TestFile(t *testing.T) {
	i := newIssuer(t)
	token := i.invite(t, "b")
	info, err := os.Stat(i.File)
	if err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("%v, %v, want mode 0600", info, err)
	}
	text, _ := os.ReadFile(i.File)
	for _, form := range []string{base64.StdEncoding.EncodeToString(token.Secret[:]), base64.RawURLEncoding.EncodeToString(token.Secret[:])} {
		if bytes.Contains(text, []byte(form)) {
			t.Errorf("the secret is in %s", text)
		}
	}
	if err := os.WriteFile(i.File, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(i.Options); err == nil || !strings.Contains(err.Error(), i.File) {
		t.Errorf("a torn file: %v", err)
	}
}

// A disk that takes nothing redeems nothing.
func TestFullDisk(t *testing.T) {
	i, b := newIssuer(t), newJoiner(t, "b")
	token := i.invite(t, "b")
	if err := os.Remove(i.File); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(i.File, "x"), fs.ModePerm); err != nil { // what nothing can replace
		t.Fatal(err)
	}
	if _, err := i.send(t, token, b.request(t)); code(t, err) != CodeFailed {
		t.Errorf("error = %v, want the node's own fault", err)
	}
	if got := i.Invitations()[0].Status(time.Now()); got != StatusOpen {
		t.Errorf("it is %s, want open", got)
	}
	if _, err := i.Invite(t.Context(), Invite{Name: "c"}); err == nil {
		t.Error("an invitation that nobody keeps")
	}
}

// Strangers are bounded, who knows a secret is not kept waiting by them, and their bodies are not read.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, b := newIssuer(t), newJoiner(t, "b")
		token := i.invite(t, "b")
		var busy int
		for range 100 {
			if _, err := i.send(t, Token{Secret: NewSecret()}, JoinRequest{}); code(t, err) == CodeBusy {
				busy++
			}
		}
		if busy < 70 || busy > 90 {
			t.Errorf("%d of 100 attempts at once were turned away, want about 80", busy)
		}
		if _, err := i.send(t, token, b.request(t)); err != nil {
			t.Errorf("the right one meanwhile: %v", err)
		}
		for _, tt := range []struct {
			method, authorization string
		}{{"GET", ""}, {"POST", ""}, {"POST", "Basic eDp5"}, {"POST", scheme + "AA"}, {"POST", scheme + "!!"}} {
			r := httptest.NewRequestWithContext(t.Context(), tt.method, JoinPath, unreadable{t})
			r.Header.Set("Authorization", tt.authorization)
			w := httptest.NewRecorder()
			i.ServeHTTP(w, r)
			if w.Code != http.StatusBadRequest {
				t.Errorf("%s %q: %d", tt.method, tt.authorization, w.Code)
			}
		}
	})
}

// unreadable is a body that nobody should read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, errors.New("unreadable")
}

func TestBodies(t *testing.T) {
	i := newIssuer(t)
	token := i.invite(t, "b")
	for name, body := range map[string]string{
		"nonsense": "{", "nothing": "", "no request": "{}", "too large": `{"users":["` + strings.Repeat("x", maxRequestBody) + `"]}`,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, JoinPath, strings.NewReader(body))
		r.Header.Set("Authorization", scheme+base64.RawURLEncoding.EncodeToString(token.Secret[:]))
		w := httptest.NewRecorder()
		i.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"code":"request"`) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestWrap(t *testing.T) {
	i := newIssuer(t)
	h := i.Wrap(http.NotFoundHandler())
	for path, want := range map[string]int{JoinPath: http.StatusBadRequest, JoinPath + "/": http.StatusNotFound, "/": http.StatusNotFound} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != want {
			t.Errorf("GET %s: %d, want %d", path, w.Code, want)
		}
	}
}

func TestTooManyInvitations(t *testing.T) {
	l := &ledger{path: filepath.Join(t.TempDir(), "x")}
	now := time.Now()
	for range maxInvitations {
		l.all = append(l.all, Invitation{CreatedAt: now, ExpiresAt: now.Add(time.Hour)})
	}
	if err := l.add(Invitation{Name: "x", ExpiresAt: now.Add(time.Hour), CreatedAt: now}, now); !errors.Is(err, errTooMany) {
		t.Errorf("one more: %v", err)
	}
	later := now.Add(26 * time.Hour)
	if err := l.add(Invitation{Name: "x", CreatedAt: later, ExpiresAt: later}, later); err != nil || len(l.all) != 1 {
		t.Errorf("a day later: %v, %d are kept, want the new one", err, len(l.all))
	}
}

// A member's certificate is renewed for its own key and name, whoever is retired or unknown gets none.
func TestRenew(t *testing.T) {
	i, b := newIssuer(t), newJoiner(t, "b")
	der := b.request(t).Request
	parsed, err := crypt.ParseRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		member Member
		key    []byte
		want   Code
	}{
		{"a member", Member{UID: b.uid(t), Name: "b"}, parsed.PublicKey, ""},
		{"nobody", Member{UID: model.UID{5}, Name: "c"}, parsed.PublicKey, CodeRequest},
		{"another name", Member{UID: b.uid(t), Name: "c"}, parsed.PublicKey, CodeName},
		{"another key", Member{UID: b.uid(t), Name: "b"}, i.id.PublicKey, CodeRequest},
		{"retired", Member{UID: b.uid(t), Name: "b", Retired: true}, parsed.PublicKey, CodeRetired},
	} {
		i.cluster.members = []Member{{UID: i.id.UID, Name: "a"}, tt.member}
		chain, err := i.Renew(t.Context(), tt.key, der)
		if got := code(t, err); got != tt.want || (len(chain) > 0) != (tt.want == "") {
			t.Errorf("%s: %q (%v), want %q", tt.name, got, err, tt.want)
		}
	}
}
