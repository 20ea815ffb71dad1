//go:build linux

package proxy

import (
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
	"github.com/aquarium-fish/aquarium-fish/tests/openssh"
)

// info has a client show what it is told before it is let in.
var info = []string{"LogLevel INFO"}

// enter tries to log in, runs `echo in`, and returns what that left, without what is said about keys at first sight.
func enter(t testing.TB, l openssh.Login) result {
	t.Helper()
	got := run(t, command(t, l, info, "ssh", "-T", "env", "echo in"), nil)
	var said strings.Builder
	for line := range strings.Lines(got.Stderr) {
		if !strings.Contains(line, "Permanently added") {
			said.WriteString(line)
		}
	}
	got.Stderr = said.String()
	return got
}

// in is what enter returns where it is let in.
var in = result{Stdout: "in\n"}

// refused looks at the answer of a proxy that does not let somebody in.
func refused(t testing.TB, what string, got result, reason string) {
	t.Helper()
	if got.Code != 255 || got.Stdout != "" || !strings.Contains(got.Stderr, reason) {
		t.Errorf("%s: %+v, want exit code 255 and %q", what, got, reason)
	}
}

// TestSSHCombinations: a person and an environment may each want a password or a key.
func TestSSHCombinations(t *testing.T) {
	t.Parallel()
	env, node := newEnvironment(t, nil), fish.Start(t, fish.Options{})
	both := env.byKey()
	both.Password = "not the password, which is not asked for"
	pam := newEnvironment(t, nil, "PasswordAuthentication no", "AuthenticationMethods publickey")
	for name, a := range map[string]authentication{
		"key": env.byKey(), "password": env.byPassword(), "key of two": both, "key alone is taken": pam.byKey(),
	} {
		app := allocate(t, node.Client, a)
		for _, by := range []string{"key", "password"} {
			t.Run("by "+by+" to "+name, func(t *testing.T) {
				t.Parallel()
				a := accessTo(node.For(t), app)
				l := a.byPassword()
				if by == "key" {
					l = a.byKey(t)
				}
				if got := enter(t, l); got != in {
					t.Errorf("%+v, want %+v", got, in)
				}
			})
		}
	}
}

// sshUses is what the API tells of an environment's SSH side.
type sshUses struct {
	Fingerprint string `json:"fingerprint"`
	HostKey     string `json:"host_key"`
	Uses        []struct {
		AccessUID  string `json:"access_UID"`
		Address    string `json:"address"`
		NodeName   string `json:"node_name"`
		SessionUID string `json:"session_UID"`
		Username   string `json:"username"`
	} `json:"uses"`
}

func usesOf(c fish.Client, app string) sshUses {
	return fish.Get[sshUses](c, "/api/v1/resource/"+c.Resource(app).UID+"/ssh")
}

// TestSSHOnce: credentials are good for one session, by whichever of the two, also after the node was killed; and the API
// tells who used them.
func TestSSHOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	first, second := accessTo(r.node.Client, r.app), accessTo(r.node.Client, r.app)
	if got := enter(t, first.byPassword()); got != in {
		t.Fatalf("the first time: %+v", got)
	}
	r.node.Kill()
	r.node.Start()
	r.node.WaitReady()
	for what, l := range map[string]openssh.Login{"password": first.byPassword(), "key": first.byKey(t)} {
		l.Address = accessTo(r.node.Client, r.app).Address // another port than before
		refused(t, "the second time, by "+what, enter(t, l), "used already")
	}
	l := second.byKey(t)
	l.Address = accessTo(r.node.Client, r.app).Address
	if got := enter(t, l); got != in {
		t.Errorf("others of the same environment: %+v", got)
	}
	got := usesOf(r.node.Client, r.app)
	if len(got.Uses) != 2 || got.Uses[0].AccessUID != first.UID || got.Uses[1].AccessUID != second.UID ||
		got.Uses[0].Username != "admin" || !strings.HasPrefix(got.Uses[0].Address, "127.0.0.1:") || got.Uses[0].NodeName != fish.NodeName {
		t.Errorf("the API tells of %+v", got)
	}
	if key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(got.HostKey)); err != nil || ssh.FingerprintSHA256(key) != got.Fingerprint {
		t.Errorf("host key %q with fingerprint %s: %v", got.HostKey, got.Fingerprint, err)
	}
}

// TestSSHRefused: who is not let in is told why, as far as it is anything to him.
func TestSSHRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	const denied = "Permission denied"
	other := func(name string) openssh.Login {
		l := accessTo(r.node.Client, r.app).byPassword()
		l.User = name
		return l
	}
	refused(t, "a name that nobody has", enter(t, other("nobody")), denied)
	bob := makeUser(t, r.node.Client, "bob")
	refused(t, "another user's name", enter(t, other("bob")), denied)
	wrong := other("admin")
	wrong.Password = strings.Repeat("x", 64)
	refused(t, "a wrong password", enter(t, wrong), denied)
	wrong.Password = ""
	wrong.KeyFile = r.env.KeyFile
	refused(t, "a key of somebody else", enter(t, wrong), denied)

	app := allocate(t, r.node.Client, r.env.byKey())
	bobs := bob.CreateApplication(fish.Get[[]struct{ UID string }](bob, "/api/v1/label/")[0].UID, `{}`)
	bob.WaitStatus(bobs, "ALLOCATED")
	of := accessTo(bob, bobs)
	if got := enter(t, accessTo(bob, bobs).byKey(t)); got != in || of.Username != "bob" {
		t.Errorf("bob, as %s: %+v", of.Username, got)
	}
	if got := r.node.Request("DELETE", "/api/v1/user/bob", nil); got.Status != 200 {
		t.Fatalf("remove bob: %d %s", got.Status, got.Body)
	}
	refused(t, "a user who was removed", enter(t, of.byPassword()), denied)

	late := accessTo(r.node.Client, app)
	r.node.Deallocate(app)
	r.node.WaitStatus(app, "DEALLOCATED")
	got := enter(t, late.byPassword())
	refused(t, "an environment that is gone", got, denied)
	if got := enter(t, r.login(t)); got != in {
		t.Errorf("after all of that somebody with good credentials: %+v", got)
	}
}

// makeUser makes a user who may ask for environments, and returns a client that is him.
func makeUser(t testing.TB, admin fish.Client, name string) fish.Client {
	t.Helper()
	const password = "a password of a person"
	fish.Post[struct{ Name string }](admin, "/api/v1/user/", fmt.Sprintf(`{"name":%q,"password":%q}`, name, password))
	return admin.Fresh().As(name, password).For(t)
}

// TestSSHExpired: credentials that nobody used in time are good for nothing.
func TestSSHExpired(t *testing.T) {
	t.Parallel()
	const lifetime = 10 * time.Second // the shortest
	r := newRig(t, "proxy_ssh_access_lifetime: 10s\n")
	old := accessTo(r.node.Client, r.app)
	begun := time.Now()
	fish.Eventually(t, "the credentials are old", func() bool { return time.Since(begun) > lifetime })
	got := enter(t, old.byKey(t))
	if !strings.Contains(got.Stderr, "expired") && !strings.Contains(got.Stderr, "Permission denied") {
		t.Errorf("%+v, want that they have expired", got)
	}
	refused(t, "old credentials", got, "")
	if got := enter(t, r.login(t)); got != in {
		t.Errorf("new ones: %+v", got)
	}
}

// TestSSHNotBurnt: what was not let in for a reason of the environment or of the network may try again with the same
// credentials.
func TestSSHNotBurnt(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	a := accessTo(r.node.Client, r.app)

	r.env.Down()
	refused(t, "an environment without a server", enter(t, a.byPassword()), "connect")
	if err := r.env.Up(); err != nil {
		t.Fatal(err)
	}
	if got := enter(t, r.login(t)); got != in { // the host key is known from now on
		t.Fatalf("the environment is back: %+v", got)
	}

	restore, err := r.env.NewHostKeys()
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "another host key", enter(t, a.byKey(t)), "another host key")
	if err := restore(); err != nil {
		t.Fatal(err)
	}

	wrong := r.env.byKey()
	wrong.Key = newEnvironment(t, nil).byKey().Key
	refused(t, "a label with a wrong key", enter(t, accessTo(r.node.Client, allocate(t, r.node.Client, wrong)).byKey(t)), "does not let the node in")

	r.offerOnly(t, a)

	if got := usesOf(r.node.Client, r.app); len(got.Uses) != 1 {
		t.Errorf("uses: %+v, want one", got.Uses)
	}
	if got := enter(t, a.byPassword()); got != in {
		t.Errorf("after all of that the credentials are good for nothing: %+v", got)
	}
}

// thief has a public key without the private one.
type thief struct{ ssh.Signer }

func (t thief) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	s, err := t.Signer.Sign(rand, data)
	if err == nil {
		s.Blob[len(s.Blob)-1] ^= 1
	}
	return s, err
}

// offerOnly shows the public key of credentials without owning the private one.
func (r *rig) offerOnly(t *testing.T, a access) {
	t.Helper()
	signer, err := ssh.ParsePrivateKey([]byte(a.Key))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (thief{signer}).Sign(rand.Reader, []byte("x")); err != nil {
		t.Fatal(err)
	}
	c, err := ssh.Dial("tcp", a.Address, &ssh.ClientConfig{
		User: a.Username, Auth: []ssh.AuthMethod{ssh.PublicKeys(thief{signer})}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err == nil {
		_ = c.Close()
		t.Error("who does not own the key is let in")
	}
}

// TestSSHGivenBack: whoever sits in an environment that is given back reads so, and is cut after the grace, for which the
// environment stays; a command without a terminal ends with an error.
func TestSSHGivenBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, "proxy_ssh_grace: 3s\n")
	term := openTerminal(t, 24, 80)
	sitting := command(t, r.login(t), nil, "ssh", "-t", "env", "echo ready; sleep 1000")
	term.start(t, sitting)
	term.wait(t, "ready")
	working := command(t, r.login(t), nil, "ssh", "env", "echo ready; sleep 1000")
	said := &lines{}
	working.Stdout, working.Stderr = said, said
	if err := working.Start(); err != nil {
		t.Fatal(err)
	}
	fish.Eventually(t, "the command runs", func() bool { return strings.Contains(said.text(), "ready") })
	unused := accessTo(r.node.Client, r.app)
	begun := time.Now()
	r.node.Deallocate(r.app)
	term.wait(t, "the environment is given back")
	if got := r.node.State(r.app).Status; got != "DEALLOCATE" {
		t.Errorf("the application is %s while somebody is in its environment, want DEALLOCATE", got)
	}
	refused(t, "the next one", enter(t, unused.byPassword()), "")
	for what, cmd := range map[string]interface{ Wait() error }{"the terminal": sitting, "the command": working} {
		if code := exitCode(t, cmd.Wait()); code != 255 {
			t.Errorf("%s ends with exit code %d, want 255", what, code)
		}
	}
	if took := time.Since(begun); took < 3*time.Second {
		t.Errorf("they are cut after %v, want a grace of 3s", took)
	}
	if strings.Contains(said.text(), "given back") {
		t.Errorf("the output of a command has what is for persons: %q", said.text())
	}
	fish.Eventually(t, "no session is left in the environment", func() bool { return r.env.Sessions() == 0 })
	left := time.Now()
	r.node.WaitStatus(r.app, "DEALLOCATED")
	if took := time.Since(left); took > 4*time.Second { // 5 s later it would go with sessions in it, too
		t.Errorf("the environment goes %v after the last session", took)
	}
}
