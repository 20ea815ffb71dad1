package cli

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

func TestNormalAddress(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"fish:1234", "fish:1234"}, {"fish", "fish:8001"}, {"https://fish:1/", "fish:1"}, {"::1", "[::1]:8001"}, {"[::1]:9", "[::1]:9"},
		{"", ""}, {"http://fish", ""}, {"fish:1/path", ""}, {"a b", ""}, {"fish:", ""}, {"me@fish", ""}, {"fish:https", ""}, {"fish:443x", ""}, {"fish:70000", ""}, {"fish:0", ""},
	} {
		got, err := normalAddress(tt.in)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("normalAddress(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

// loggedIn is a farm in a context, where the user has logged in and has nothing in the environment.
func loggedIn(t *testing.T) *farmTest {
	t.Helper()
	f := newFarm(t)
	f.env = map[string]string{}
	f.on("GET /user/me/", `{"name":"alice","hash":{"algo":"","prop":{"memory":0,"iterations":0,"threads":0},"salt":null,"hash":null}}`)
	f.ok("context", "add", "lab", "--address", f.address(), "--ca", "ca.crt", "--user", "alice")
	f.options.Stdin = strings.NewReader("from stdin\n")
	f.ok("login", "--password-stdin")
	return f
}

func (f *farmTest) lastAsked() string { return f.asked[len(f.asked)-1] }

func TestLoginStoresThePassword(t *testing.T) {
	f := loggedIn(t)
	f.ok("user", "get")
	if want := "GET /user/me/ alice from stdin"; f.lastAsked() != want {
		t.Errorf("asked %q, want %q", f.lastAsked(), want)
	}
	s := &shell{Options: f.options}
	file := s.storedPassword(target{Address: f.address(), User: "alice"})
	for path, want := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700, s.contextsFile(): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %v", path, info, err, want)
		}
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	f.fails(CodeUsage, "run 'chmod 600 "+file, "user", "get")
	f.ok("logout")
	f.fails(CodeUsage, "no password for user", "user", "get")
}

func TestLoginRefusesAWrongPassword(t *testing.T) {
	f := loggedIn(t)
	f.answer("GET /user/me/", func(*http.Request) (int, string) { return 401, `{"message":"Unauthorized"}` })
	f.options.Stdin = strings.NewReader("wrong\n")
	f.fails(CodeError, "nothing was stored", "login", "--password-stdin")
	f.fails(CodeError, "run 'aquarium-fish login'", "user", "get")
	if want := "GET /user/me/ alice from stdin"; f.lastAsked() != want {
		t.Errorf("asked %q, want the old password still: %q", f.lastAsked(), want)
	}
}

// A password goes to no other node and for no other user than it was given for.
func TestAPasswordStaysWithItsNodeAndUser(t *testing.T) {
	f := loggedIn(t)
	asked := len(f.asked)
	f.fails(CodeUsage, "no password for user", "user", "get", "--user", "bob")
	f.fails(CodeUsage, "no password for user", "user", "get", "--address", "other.example.com")
	file := filepath.Join(f.options.WorkDir, "pw")
	if err := os.WriteFile(file, []byte("from file"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.ok("context", "add", "filed", "--address", f.address(), "--ca", "ca.crt", "--user", "carol", "--password-file", "pw", "--use")
	f.fails(CodeUsage, "no password for user", "user", "get", "--user", "bob")
	if len(f.asked) != asked {
		t.Errorf("asked %q", f.asked[asked:])
	}
	f.ok("user", "get")
	if want := "GET /user/me/ carol from file"; f.lastAsked() != want {
		t.Errorf("asked %q, want %q", f.lastAsked(), want)
	}
}

func TestWhichPasswordWins(t *testing.T) {
	f := loggedIn(t)
	f.env[envPassword] = "from env"
	f.ok("user", "get")
	if want := "GET /user/me/ alice from env"; f.lastAsked() != want {
		t.Errorf("asked %q, want %q", f.lastAsked(), want)
	}
	if err := os.WriteFile(filepath.Join(f.options.WorkDir, "pw"), []byte("from flag\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.ok("user", "get", "--password-file", "pw")
	if want := "GET /user/me/ alice from flag"; f.lastAsked() != want {
		t.Errorf("asked %q, want %q", f.lastAsked(), want)
	}
	f.fails(CodeUsage, "no such file", "user", "get", "--password-file", "absent")
	f.env = map[string]string{}
	f.ok("logout")
	f.options.ReadSecret = func(_ context.Context, prompt string) (string, error) { return "typed at " + prompt, nil }
	f.ok("user", "get")
	if want := "GET /user/me/ alice typed at Password of alice at " + f.address() + ":"; f.lastAsked() != want {
		t.Errorf("asked %q, want %q", f.lastAsked(), want)
	}
}

func TestTrust(t *testing.T) {
	f := newFarm(t)
	f.on("GET /node/", `[]`)
	delete(f.env, envCA)
	f.fails(CodeError, "give the ca.crt of the node's folder", "node", "list")
	if _, _, stderr := f.run("node", "list", "--insecure-skip-verify"); !strings.Contains(stderr, "Warning: the certificate of") {
		t.Errorf("stderr of --insecure-skip-verify = %q, want a warning", stderr)
	}
	if err := durable.WriteFile(filepath.Join(f.options.WorkDir, "fish_data", "ca.crt"), f.ca(), modeOwn); err != nil {
		t.Fatal(err)
	}
	f.ok("node", "list") // a node on this machine
	s := &shell{Options: f.options}
	if ca, err := s.trusted("192.0.2.1:8001", farm{}); ca != nil || err != nil {
		t.Errorf("another machine is trusted by ./fish_data: %s, %v", ca, err)
	}
	f.fails(CodeUsage, "no such file", "node", "list", "--ca", "absent")
	if err := os.WriteFile(filepath.Join(f.options.WorkDir, "text"), []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.fails(CodeUsage, "holds no PEM certificate", "node", "list", "--ca", "text")
	f.fails(CodeError, "does a node run there?", "node", "list", "--address", "127.0.0.1:1")
}

func TestContexts(t *testing.T) {
	f := loggedIn(t)
	f.fails(CodeUsage, "use --replace", "context", "add", "lab", "--address", "x")
	f.fails(CodeUsage, "bad name", "context", "add", "../x", "--address", "x")
	f.fails(CodeUsage, "--address HOST:PORT", "context", "add", "x")
	f.ok("context", "add", "far", "--address", "far.example.com")
	want := "   NAME  ADDRESS" + strings.Repeat(" ", max(len(f.address()), len("far.example.com:8001"))-7) + "  USER   CA"
	list := f.ok("context", "list")
	if got, _, _ := strings.Cut(list, "\n"); got != want {
		t.Errorf("header = %q, want %q", got, want)
	}
	if !strings.Contains(list, "\n*  lab ") || !strings.Contains(list, "far.example.com:8001  admin  system\n") {
		t.Errorf("contexts:\n%s", list)
	}
	f.ok("context", "use", "far")
	if got := f.ok("context", "current", "-o", "name"); got != "far\n" {
		t.Errorf("current = %q, want far", got)
	}
	f.env[envContext] = "lab"
	f.ok("user", "get")
	f.fails(CodeUsage, "no context \"gone\"", "user", "get", "--context", "gone")
	f.fails(CodeNotFound, "no context \"gone\"", "context", "use", "gone")
	f.fails(CodeNotFound, "no context \"gone\"", "context", "rm", "gone")
	delete(f.env, envContext)
	f.ok("context", "rm", "lab")
	f.ok("context", "rm", "far")
	if files, err := filepath.Glob(filepath.Join(f.options.ConfigDir, "passwords", "*")); len(files) > 0 || err != nil {
		t.Errorf("passwords are left: %v, %v", files, err)
	}
}

func TestBrokenContexts(t *testing.T) {
	f := newFarm(t)
	s := &shell{Options: f.options}
	for _, text := range []string{"contexts: 1", "bogus: 1", "{"} {
		if err := durable.WriteFile(s.contextsFile(), []byte(text), modeOwn); err != nil {
			t.Fatal(err)
		}
		f.fails(CodeUsage, "mend or remove the file", "context", "list")
	}
	f.options.ConfigDir = ""
	f.on("GET /node/", `[]`)
	f.ok("node", "list") // needs no folder
	f.fails(CodeUsage, "set HOME", "context", "list")
	f.fails(CodeUsage, "set HOME", "login", "--password-stdin")
}

func TestUnreachable(t *testing.T) {
	if err := unreachable(context.Canceled); !errors.Is(err, context.Canceled) || passing(err) {
		t.Errorf("unreachable(canceled) = %v", err)
	}
	if !passing(unreachable(errors.New("EOF"))) {
		t.Error("a connection that ends is not asked again")
	}
	if passing(&statusError{status: 400}) || !passing(&statusError{status: 503}) || !passing(&statusError{status: 429}) {
		t.Error("passing: want 429 and 5xx alone")
	}
}
