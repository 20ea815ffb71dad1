package cli

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

func TestLabels(t *testing.T) {
	f := newFarm(t).withLabel()
	want := "NAME  VERSION  DRIVER  CPU  RAM  AGE  UID\nit's  3        test    2    4GB  60m  6f1ab1a8-2ce3-4e5d-a6a8-5d4b6a2d0c13\n"
	if got := f.ok("label", "list"); got != want {
		t.Errorf("list = %q, want %q", got, want)
	}
	if got := f.ok("label", "list", "--all", "-o", "name"); got != "it's:3\nit's:1\n" {
		t.Errorf("all = %q", got)
	}
	if got := f.ok("label", "get", "it's:1"); !strings.Contains(got, "Version       1\n") || !strings.Contains(got, "test: cpu 2, ram 4GB, lifetime 1h, nodes OS:linux") {
		t.Errorf("get = %q", got)
	}
	uid := labelUID[:len(labelUID)-1] + "1"
	f.on("DELETE /label/"+uid, `{"message":"Label removed"}`)
	f.fails(CodeUsage, `which version of "it's"? the newest is it's:3`, "label", "rm", "it's")
	f.fails(CodeNotFound, "there is no label", "label", "rm", "it's:1", "it's:7")
	if strings.HasPrefix(f.lastAsked(), "DELETE") {
		t.Error("a label was removed although another is not there")
	}
	f.ok("label", "rm", "it's:1")
	if !strings.HasPrefix(f.lastAsked(), "DELETE /label/"+uid) {
		t.Errorf("asked %q, want the DELETE", f.lastAsked())
	}
}

// labelsNamed makes labels of names and versions in turn.
func labelsNamed(namesAndVersions ...any) []apiv1.Label {
	var labels []apiv1.Label
	for i := 0; i < len(namesAndVersions); i += 2 {
		labels = append(labels, apiv1.Label{Name: namesAndVersions[i].(string), Version: namesAndVersions[i+1].(int)})
	}
	return labels
}

func TestPickLabel(t *testing.T) {
	for _, tt := range []struct{ ref, want string }{{"a", "a:2"}, {"a:1", "a:1"}, {"b:1", "b:1:5"}, {"b:1:5", "b:1:5"}, {"b", ""}, {"a:9", ""}, {"", ""}} {
		l, ok := pickLabel(labelsNamed("a", 1, "a", 2, "b:1", 5), tt.ref)
		if (tt.want != "") != ok || ok && labelName(l) != tt.want {
			t.Errorf("pickLabel(%q) = %s, %v, want %s", tt.ref, labelName(l), ok, tt.want)
		}
	}
	if got, want := labelFilter("b:1"), "name='b:1' OR (name='b' AND version=1)"; got != want {
		t.Errorf("filter = %q, want %q", got, want)
	}
	if got, want := labelFilter("x'y:z"), "name='x''y:z'"; got != want {
		t.Errorf("filter = %q, want %q", got, want)
	}
}

const userJSON = `{"created_at":"2026-11-22T11:00:00Z","hash":{"algo":"","prop":{"memory":0,"iterations":0,"threads":0},"salt":null,"hash":null},"name":"bob","updated_at":"2026-11-22T11:00:00Z"}`

func TestUsers(t *testing.T) {
	f := newFarm(t)
	f.on("GET /user/", "["+userJSON+"]")
	f.on("GET /user/bob", userJSON)
	f.on("POST /user/", `{"name":"eve","password":"generated","created_at":"2026-11-22T11:00:00Z","updated_at":"2026-11-22T11:00:00Z"}`)
	if got := f.ok("user", "list"); got != "NAME  AGE  CHANGED\nbob   60m  60m\n" {
		t.Errorf("list = %q", got)
	}
	f.fails(CodeNotFound, `there is no user "eve"`, "user", "get", "eve")
	f.fails(CodeError, "already", "user", "create", "bob", "--generate")
	f.fails(CodeUsage, "no terminal to ask", "user", "create", "eve")
	if got := f.ok("user", "create", "eve", "--generate"); got != "Name      eve\nPassword  generated\n" {
		t.Errorf("create = %q", got)
	}
	f.options.Stdin = strings.NewReader("its own\n")
	f.ok("user", "create", "eve", "--password-stdin")
	if want := `POST /user/ admin secret {"name":"eve","password":"its own"}`; f.lastAsked() != want {
		t.Errorf("asked %q, want %q", f.lastAsked(), want)
	}
	f.fails(CodeNotFound, "there is no user", "user", "passwd", "evve", "--generate")
	typed := []string{"one", "two", "three", "three"}
	f.options.ReadSecret = func(context.Context, string) (string, error) {
		p := typed[0]
		typed = typed[1:]
		return p, nil
	}
	f.fails(CodeUsage, "the two passwords differ", "user", "passwd", "bob")
	f.ok("user", "passwd", "bob")
	if want := `POST /user/ admin secret {"name":"bob","password":"three"}`; f.lastAsked() != want {
		t.Errorf("asked %q, want %q", f.lastAsked(), want)
	}
	f.fails(CodeNotFound, "there is no user", "user", "rm", "eve")
	f.on("DELETE /user/bob", `{"message":"User removed"}`)
	f.ok("user", "rm", "bob")
	f.fails(CodeUsage, "none of the others can be", "user", "passwd", "bob", "--generate", "--password-stdin")
}

// A user's own new password makes the stored one wrong, which would lock the user out after some tries.
func TestOwnNewPasswordForgetsTheStoredOne(t *testing.T) {
	f := loggedIn(t)
	f.on("POST /user/", `{"name":"alice","password":""}`)
	if err := os.WriteFile(filepath.Join(f.options.WorkDir, "new"), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, stderr := f.run("user", "passwd", "--new-password-file", "new"); !strings.Contains(stderr, "login' stores the new one") {
		t.Errorf("stderr = %q", stderr)
	}
	f.fails(CodeUsage, "no password for user", "user", "get")
}

func TestTasks(t *testing.T) {
	f := newFarm(t)
	task := func(result string) string {
		return `{"UID":"` + otherUID + `","application_UID":"` + someUID + `","created_at":"2026-11-22T11:59:00Z","options":{},"result":` + result +
			`,"task":"snapshot","updated_at":"2026-11-22T11:59:00Z","when":"ALLOCATED"}`
	}
	f.on("POST /application/"+someUID+"/task/", task("{}"))
	f.inTurn("GET /task/"+otherUID, task("{}"), task(`{"done":1}`))
	if got := f.ok("task", "create", someUID, "snapshot", "--wait", "--options", `{"full":true}`); !strings.HasSuffix(got, `60s  {"done":1}`+"\n") {
		t.Errorf("output = %q", got)
	}
	if want := "POST /application/" + someUID + `/task/ admin secret {"options":{"full":true},"task":"snapshot","when":"ALLOCATED"}`; f.asked[0] != want {
		t.Errorf("asked %q, want %q", f.asked[0], want)
	}
	f.on("GET /task/"+otherUID, task(`{"error":"no such task"}`))
	if code, stdout, stderr := f.run("task", "create", someUID, "snapshot", "--wait"); code != CodeEnded || !strings.Contains(stderr, "no such task") || !strings.Contains(stdout, "no such task") {
		t.Errorf("failed task: %d, %q, %q", code, stdout, stderr)
	}
	f.on("GET /task/"+otherUID, task("{}"))
	f.fails(CodeTimeout, "'aquarium-fish task get "+otherUID+"' shows it", "task", "create", someUID, "snapshot", "--wait", "--timeout", "60ms")
	if got := f.ok("task", "get", otherUID); !strings.Contains(got, "(none yet)") {
		t.Errorf("get = %q", got)
	}
	f.on("GET /application/"+someUID+"/task/", "["+task("{}")+"]")
	if got := f.ok("task", "list", someUID, "-o", "name"); got != otherUID+"\n" {
		t.Errorf("list = %q", got)
	}
	f.answer("GET /application/"+otherUID+"/task/", func(*http.Request) (int, string) { return 400, `{"message":"Unable to find the Application: x"}` })
	f.fails(CodeNotFound, "Unable to find the Application", "task", "list", otherUID)
	f.fails(CodeUsage, "bad --when", "task", "create", someUID, "snapshot", "--when", "NEW")
	f.fails(CodeUsage, "bad --options", "task", "create", someUID, "snapshot", "--options", "full")
}

const nodeJSON = `{"UID":"` + otherUID + `","address":"n:1","created_at":"2026-11-22T10:00:00Z","definition":{"cpu":[],"disks":{},"host":{},"memory":{},"nets":[]},"location_name":"","name":"mac-1","pubkey":"","updated_at":"2026-11-22T11:59:59Z"}`

func TestNodes(t *testing.T) {
	f := newFarm(t)
	f.on("GET /node/", "["+nodeJSON+"]")
	f.on("GET /node/this/", nodeJSON)
	if got := f.ok("node", "list"); !strings.Contains(got, "mac-1  n:1      -         1s        120m  "+otherUID) {
		t.Errorf("list = %q", got)
	}
	for _, args := range [][]string{{"mac-1"}, {otherUID}, {}} {
		if got := f.ok(append([]string{"node", "get", "-o", "name"}, args...)...); got != "mac-1\n" {
			t.Errorf("get %v = %q", args, got)
		}
	}
	f.fails(CodeNotFound, "there is no node", "node", "get", "x")
	f.on("GET /node/this/maintenance", `{"enable":true,"shutdown":true,"shutdown_delay":"30s"}`)
	if got, want := f.ok("node", "maintenance", "on", "--shutdown", "--delay", "30s"), "Maintenance  on\nShutdown     ordered\nDelay        30s\n"; got != want {
		t.Errorf("maintenance = %q, want %q", got, want)
	}
	if want := "GET /node/this/maintenance?enable=true&shutdown=true&shutdown_delay=30s admin secret"; f.lastAsked() != want {
		t.Errorf("asked %q, want %q", f.lastAsked(), want)
	}
	f.ok("node", "maintenance", "off", "--cancel-shutdown")
	if want := "GET /node/this/maintenance?enable=false&shutdown=false admin secret"; f.lastAsked() != want {
		t.Errorf("asked %q, want %q", f.lastAsked(), want)
	}
	f.fails(CodeUsage, "invalid argument", "node", "maintenance", "maybe")
}

func TestResources(t *testing.T) {
	f := newFarm(t)
	f.on("GET /resource/", "["+resourceJSON+"]")
	f.on("GET /resource/"+otherUID, resourceJSON)
	f.on("GET /application/"+someUID+"/resource", resourceJSON)
	f.on("GET /resource/"+otherUID+"/access", `{"UID":"`+labelUID+`","address":"h:2022","created_at":"2026-11-22T11:59:59Z","key":"PEM","password":"once","resource_UID":"`+otherUID+`","username":"admin"}`)
	if got := f.ok("resource", "list", "-o", "name") + f.ok("resource", "get", otherUID, "-o", "name") + f.ok("app", "resource", someUID, "-o", "name"); got != strings.Repeat(otherUID+"\n", 3) {
		t.Errorf("names = %q", got)
	}
	if got := f.ok("app", "access", someUID); got != "Address   h:2022\nUsername  admin\nPassword  once\n" {
		t.Errorf("access = %q", got)
	}
	f.answer("GET /application/"+someUID+"/resource", func(*http.Request) (int, string) { return 404, `{"message":"none"}` })
	f.on("GET /application/"+someUID+"/state", stateJSON("NEW", "waits"))
	f.fails(CodeNotFound, "has no environment, it is NEW: waits", "app", "resource", someUID)
}

func TestVotesLocationsMappings(t *testing.T) {
	f := newFarm(t)
	f.on("GET /vote/", `[{"UID":"`+otherUID+`","application_UID":"`+someUID+`","available":-1,"created_at":"2026-11-22T11:59:59Z","node_UID":"`+otherUID+`","rand":1,"round":2}]`)
	if got := f.ok("vote", "list", someUID); !strings.Contains(got, "none fits") || !strings.Contains(f.lastAsked(), "application_uid%3D%27"+someUID) {
		t.Errorf("votes = %q, asked %q", got, f.lastAsked())
	}
	location := `{"created_at":"2026-11-22T11:59:59Z","description":"here","name":"lab"}`
	f.on("GET /location/", "["+location+"]")
	f.on("POST /location/", location)
	if got, made := f.ok("location", "list"), f.ok("location", "create", "lab", "--description", "here"); got != made || !strings.Contains(got, "lab   1s   here") {
		t.Errorf("locations = %q, %q", got, made)
	}
	mapping := `{"UID":"` + otherUID + `","application_UID":"00000000-0000-0000-0000-000000000000","created_at":"2026-11-22T11:59:59Z","location_name":"","redirect":"10.0.0.7","service":"a.b"}`
	f.on("GET /servicemapping/", "["+mapping+"]")
	f.on("POST /servicemapping/", mapping)
	if got := f.ok("mapping", "list"); !strings.Contains(got, "a.b      10.0.0.7  -         all") {
		t.Errorf("mappings = %q", got)
	}
	f.ok("mapping", "create", "a.b", "10.0.0.7", "--app", someUID, "--location", "lab")
	if want := `"application_UID":"` + someUID + `"`; !strings.Contains(f.lastAsked(), want) {
		t.Errorf("asked %q, want %q in it", f.lastAsked(), want)
	}
	f.fails(CodeNotFound, "Not Found", "mapping", "rm", otherUID)
}

func TestCompletion(t *testing.T) {
	f := newFarm(t).withLabel()
	f.options.ReadSecret = func(context.Context, string) (string, error) {
		t.Error("a TAB asks for a password")
		return "", nil
	}
	f.on("GET /application/active/", "["+activeJSON(someUID, "it's", stateJSON("ALLOCATED", ""))+"]")
	f.on("GET /node/", "["+nodeJSON+"]")
	f.on("GET /user/", "["+userJSON+"]")
	f.ok("context", "add", "lab", "--address", f.address())
	for _, tt := range []struct{ args, want string }{
		{"app list -o", "table\njson\nyaml\nname"}, {"app list --label", "it's"}, {"app list --owner", "bob"}, {"task create --when", "ALLOCATED\nDEALLOCATE"},
		{"task create " + someUID, ":4\n"}, {"app deallocate x", someUID + "\tALLOCATED it's:3"}, {"label list", "it's"}, {"login --context", "lab"},
		{"app run", "it's"}, {"app get", someUID + "\tALLOCATED it's:3"}, {"label rm", "it's:3\nit's:1"}, {"node get", "mac-1"}, {"user rm", "bob"},
		{"app ssh", someUID + "\tALLOCATED it's:3"}, {"app ssh --wait", someUID + "\tALLOCATED it's:3"}, {"app ssh x", ":4\n"},
	} {
		got := f.ok(append(append([]string{"__complete"}, strings.Fields(tt.args)...), "")...)
		words, _, _ := strings.Cut(got, "\n:")
		if diff := cmp.Diff(tt.want, words); diff != "" {
			t.Errorf("%s TAB (-want +got):\n%s", tt.args, diff)
		}
	}
	for line, flags := range map[string]bool{
		"": true, "x": true, "x -o A=b --timeout 5m": true, "x --timeout": false, "x --": false, "x ls": false, "x --nonsense": false,
	} {
		got := f.ok(append(append([]string{"__complete", "app", "ssh"}, strings.Fields(line)...), "--wa")...)
		if strings.HasPrefix(got, "--") != flags || strings.Contains(got, "--wait\t") != flags {
			t.Errorf("app ssh %s --wa TAB: %q, want flags: %t", line, got, flags)
		}
	}
	delete(f.env, envPassword)
	if got := f.ok("__complete", "app", "run", ""); got != ":4\n" {
		t.Errorf("without a password: %q", got)
	}
}
