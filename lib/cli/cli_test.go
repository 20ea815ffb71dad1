package cli

import (
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// farmTest is one user's machine and a node for it to ask, all within the test.
type farmTest struct {
	t       *testing.T
	options Options
	env     map[string]string
	server  *httptest.Server
	routes  map[string]func(*http.Request) (int, string)
	serving sync.Mutex
	// asked notes the requests with user, password and body.
	asked []string
	out   bytes.Buffer
	errs  bytes.Buffer
}

// testNow is when the commands of tests run.
func testNow() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// newFarm starts a node that answers 404 to all but the routes, which are named METHOD PATH without /api/v1.
func newFarm(t *testing.T) *farmTest {
	t.Helper()
	f := &farmTest{t: t, env: map[string]string{}, routes: map[string]func(*http.Request) (int, string){}}
	f.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.serving.Lock() // a list asks for many states at once
		defer f.serving.Unlock()
		user, password, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		line := r.Method + " " + strings.TrimPrefix(r.URL.RequestURI(), "/api/v1")
		f.asked = append(f.asked, strings.TrimSpace(line+" "+user+" "+password+" "+string(body)))
		status, text := http.StatusNotFound, `{"message":"Not Found"}`
		if answer := f.routes[r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/v1")]; answer != nil {
			status, text = answer(r)
		}
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	f.server.Config.ErrorLog = log.New(io.Discard, "", 0) // tests make clients that do not trust it
	f.server.StartTLS()
	t.Cleanup(f.server.Close)
	dir := t.TempDir()
	f.options = Options{
		Stdin: strings.NewReader(""), Stdout: &f.out, Stderr: &f.errs, Now: testNow,
		Env:       func(name string) string { return f.env[name] },
		ConfigDir: filepath.Join(dir, "config"), WorkDir: dir,
		Interruptible: context.WithCancel,
	}
	if err := durable.WriteFile(filepath.Join(dir, "ca.crt"), f.ca(), modeOwn); err != nil {
		t.Fatal(err)
	}
	f.env[envAddress], f.env[envCA], f.env[envPassword] = f.address(), "ca.crt", "secret"
	return f
}

// answer sets what a route answers from now on. A request that a command gave up may still be served.
func (f *farmTest) answer(route string, answer func(*http.Request) (int, string)) {
	f.serving.Lock()
	defer f.serving.Unlock()
	f.routes[route] = answer
}

func (f *farmTest) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate().Raw})
}

func (f *farmTest) address() string { return strings.TrimPrefix(f.server.URL, "https://") }

// on answers a route with status 200.
func (f *farmTest) on(route, text string) {
	f.answer(route, func(*http.Request) (int, string) { return http.StatusOK, text })
}

// run runs a command line and returns the exit code and what was printed in this run.
func (f *farmTest) run(args ...string) (code int, stdout, stderr string) {
	f.t.Helper()
	f.out.Reset()
	f.errs.Reset()
	root := &cobra.Command{Use: "aquarium-fish", SilenceErrors: true, SilenceUsage: true}
	root.SetOut(&f.out)
	root.SetErr(&f.errs)
	Add(root, f.options)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(f.t.Context())
	if err != nil {
		var ours bool
		if code, ours = Report(&f.errs, cmd, err); !ours {
			f.t.Fatalf("%v: an error of no exit code: %v", args, err)
		}
	}
	return code, f.out.String(), f.errs.String()
}

// ok runs a command line that has to succeed, and returns its output.
func (f *farmTest) ok(args ...string) string {
	f.t.Helper()
	code, stdout, stderr := f.run(args...)
	if code != 0 {
		f.t.Fatalf("%v: exit code %d: %s", args, code, stderr)
	}
	return stdout
}

// fails runs a command line that has to end with the code and say the text.
func (f *farmTest) fails(want int, text string, args ...string) {
	f.t.Helper()
	code, stdout, stderr := f.run(args...)
	if code != want || !strings.Contains(stderr, text) || stdout != "" {
		f.t.Errorf("%v: exit code %d, stdout %q, stderr %q, want %d, nothing and %q", args, code, stdout, stderr, want, text)
	}
}

const (
	someUID  = "6f1ab1a8-2ce3-4e5d-a6a8-5d4b6a2d0c11"
	otherUID = "6f1ab1a8-2ce3-4e5d-a6a8-5d4b6a2d0c12"
	labelUID = "6f1ab1a8-2ce3-4e5d-a6a8-5d4b6a2d0c13"
)

// stateJSON is a state that an Application of someUID has since a minute.
func stateJSON(status, description string) string {
	return `{"UID":"` + otherUID + `","application_UID":"` + someUID + `","created_at":"2026-11-22T11:59:00Z","description":"` +
		description + `","status":"` + status + `"}`
}

func TestAppState(t *testing.T) {
	f := newFarm(t)
	f.on("GET /application/"+someUID+"/state", stateJSON("ALLOCATED", "Driver allocated the resource"))
	want := "STATUS     SINCE  DESCRIPTION\nALLOCATED  60s    Driver allocated the resource\n"
	if got := f.ok("app", "state", someUID); got != want {
		t.Errorf("table = %q, want %q", got, want)
	}
	if got := f.ok("app", "state", someUID, "-o", "name"); got != "ALLOCATED\n" {
		t.Errorf("name = %q", got)
	}
	if want := "GET /application/" + someUID + "/state admin secret"; f.asked[0] != want {
		t.Errorf("asked %q, want %q", f.asked[0], want)
	}
	f.fails(CodeNotFound, "there is no application "+otherUID, "app", "state", otherUID)
	f.fails(CodeUsage, "want one like", "app", "state", "x")
	f.fails(CodeUsage, "want: aquarium-fish app state UID", "app", "state")
	f.fails(CodeUsage, "unknown output", "app", "state", someUID, "-o", "xml")
	f.fails(CodeUsage, `no command "bogus"`, "app", "bogus")
	f.fails(CodeUsage, "unknown flag: --bogus", "app", "state", someUID, "--bogus")
}
