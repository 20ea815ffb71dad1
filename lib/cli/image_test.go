package cli

import (
	"net/http"
	"strings"
	"testing"
)

const imagesRoute = "/node/this/image/"

// imagesJSON is a list of what there is, with one more image and the pulls.
func imagesJSON(more, pulls, errors string) string {
	return `{"images":[{"instance":"docker","id":"host:5000/ci@sha256:0f","name":"ci","version":"7","source":"","state":"ready","done":0,"total":0,` +
		`"size":1288490189,"used_at":"2026-11-22T11:00:00Z","in_use":true,"error":""}` + more + `],"pulls":[` + pulls + `],"errors":[` + errors + `]}`
}

func downloading(state, done string) string {
	return `,{"instance":"native","id":"mac-3","name":"mac","version":"3","source":"https://h/mac-3.tar.gz","state":"` + state + `","done":` + done +
		`,"total":2000000,"size":0,"in_use":false,"error":""}`
}

func pullJSON(state, err string) string {
	ended := ""
	if state != pullRuns {
		ended = `,"ended_at":"2026-11-22T11:59:30Z"`
	}
	return `{"instance":"native","label_UID":"` + labelUID + `","label_name":"it's","label_version":3,"definition_index":1,"by":"admin",` +
		`"state":"` + state + `","started_at":"2026-11-22T11:59:00Z"` + ended + `,"error":"` + err + `"}`
}

func TestImageList(t *testing.T) {
	f := newFarm(t)
	f.on("GET "+imagesRoute, imagesJSON(downloading("downloading", "900000"), pullJSON(pullRuns, "")+","+pullJSON(pullFailed, "disk is full"), ""))
	code, stdout, stderr := f.run("image", "list")
	want := "INSTANCE  NAME  VERSION  STATE            SIZE   IN USE  USED  ID                      ERROR\n" +
		"docker    ci    7        ready            1.2GB  yes     60m   host:5000/ci@sha256:0f  -\n" +
		"native    mac   3        downloading 45%  2MB    no      -     mac-3                   -\n"
	if code != 0 || stdout != want {
		t.Errorf("list: exit code %d\n%s\nwant\n%s", code, stdout, want)
	}
	if want := "pull of it's:3 to native for admin: since 60s\npull of it's:3 to native for admin: failed: disk is full\n"; stderr != want {
		t.Errorf("told %q, want %q", stderr, want)
	}
	f.on("GET "+imagesRoute, imagesJSON("", strings.ReplaceAll(pullJSON(pullFailed, "x"), "native", `\u001b[2Jvm`), ""))
	if _, _, stderr := f.run("image", "list"); strings.Contains(stderr, "\x1b") {
		t.Errorf("a name drives the terminal: %q", stderr)
	}
	f.on("GET "+imagesRoute, imagesJSON(downloading("downloading", "900000"), pullJSON(pullRuns, ""), ""))
	if got := f.ok("image", "list", "-o", "name"); got != "docker host:5000/ci@sha256:0f\nnative mac-3\n" {
		t.Errorf("names = %q", got)
	}
	if got := f.ok("image", "list", "-o", "json"); !strings.Contains(got, `"done": 900000`) || !strings.Contains(got, `"pulls": [`) {
		t.Errorf("json = %s", got)
	}
	f.on("GET "+imagesRoute, imagesJSON("", "", `{"instance":"vmx","error":"it did not answer in time"}`))
	code, stdout, stderr = f.run("image", "list")
	if code != CodeError || !strings.Contains(stdout, "docker") || !strings.Contains(stderr, "no images of vmx: it did not answer in time") {
		t.Errorf("an instance hangs: exit code %d, %q, %q", code, stdout, stderr)
	}
}

func TestImagesOfAllMembers(t *testing.T) {
	f := newFarm(t)
	f.on("GET /cluster/", `{"members":[{"name":"a","state":"active"},{"name":"b","state":"active"}],"links":[]}`)
	f.on("GET /node/a/image/", imagesJSON("", "", ""))
	f.on("GET /node/b/image/", imagesJSON("", "", `{"instance":"vmx","error":"away"}`))
	code, stdout, stderr := f.run("image", "list", "--all")
	if code != CodeError || strings.Count(stdout, "docker") != 2 || !strings.HasPrefix(stdout, "NODE  INSTANCE") || !strings.Contains(stderr, "b: no images of vmx: away") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	if got := f.ok("image", "list", "--node", "a", "-o", "name"); got != "docker host:5000/ci@sha256:0f\n" {
		t.Errorf("of a: %q", got)
	}
	f.fails(CodeUsage, "none of the others can be", "image", "list", "--node", "a", "--all")
	f.fails(CodeUsage, "name of the node is empty", "image", "list", "--node", "")
}

func TestImagePullShowsProgress(t *testing.T) {
	f := newFarm(t).withLabel()
	f.on("POST "+imagesRoute, "["+pullJSON(pullRuns, "")+"]")
	f.answer("GET "+imagesRoute, answers(
		imagesJSON(downloading("downloading", "100"), pullJSON(pullRuns, ""), ""),
		imagesJSON(downloading("downloading", "1000"), pullJSON(pullRuns, ""), ""),
		imagesJSON(downloading("downloading", "1500000"), pullJSON(pullRuns, ""), ""),
		imagesJSON(downloading("unpacking", "2000000"), pullJSON(pullRuns, ""), ""),
		imagesJSON("", pullJSON("done", ""), "")))
	code, stdout, stderr := f.run("image", "pull", "it's")
	if want := "INSTANCE  LABEL   DEFINITION  STATE  TOOK  ERROR\nnative    it's:3  1           done   30s   -\n"; code != 0 || stdout != want {
		t.Errorf("exit code %d\n%s\nwant\n%s", code, stdout, want)
	}
	if want := "native: mac 3: downloading 0% of 2MB\nnative: mac 3: downloading 70% of 2MB\nnative: mac 3: unpacking\n"; stderr != want {
		t.Errorf("told\n%s\nwant\n%s", stderr, want)
	}
	if want := "POST " + imagesRoute + ` admin secret {"label_UID":"` + labelUID + `"}`; f.asked[1] != want {
		t.Errorf("asked %q, want %q", f.asked[1], want)
	}
	if got := f.ok("image", "pull", "it's", "--wait=false"); !strings.Contains(got, "pulling") || !strings.HasPrefix(f.lastAsked(), "POST") {
		t.Errorf("without a wait: %q, last asked %q", got, f.lastAsked())
	}
}

func TestImagePullFails(t *testing.T) {
	f := newFarm(t).withLabel()
	f.fails(CodeNotFound, "there is no label", "image", "pull", "eve")
	f.answer("POST "+imagesRoute, func(*http.Request) (int, string) {
		return http.StatusBadRequest, `{"message":"Unable to pull images: this node could run no definition"}`
	})
	f.fails(CodeError, "could run no definition", "image", "pull", "it's")
	f.on("POST "+imagesRoute, "["+pullJSON(pullRuns, "")+"]")
	for _, tt := range []struct {
		name, list string
		args       []string
		code       int
		want       string
	}{
		{"failed", imagesJSON("", pullJSON(pullFailed, "404 Not Found"), ""), nil, CodeEnded, "images of it's:3 were not pulled to native: 404 Not Found"},
		{"forgotten", imagesJSON("", "", ""), nil, CodeEnded, "give the same command again"},
		{"late", imagesJSON("", pullJSON(pullRuns, ""), ""), []string{"--timeout", "1ms"}, CodeTimeout, "'aquarium-fish image list' shows it"},
	} {
		f.on("GET "+imagesRoute, tt.list)
		code, stdout, stderr := f.run(append([]string{"image", "pull", "it's"}, tt.args...)...)
		if code != tt.code || !strings.Contains(stderr, tt.want) || !strings.Contains(stdout, "native") {
			t.Errorf("%s: exit code %d, %q, %q, want %d and %q", tt.name, code, stdout, stderr, tt.code, tt.want)
		}
	}
}

// TestImagePullToAllMembers: in a mixed cluster it is no failure that a member can
// not use the label, while one that should be able to is one.
func TestImagePullToAllMembers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		a, b   int // what they answer
		code   int
		stderr string
	}{
		{"b has another driver", 200, http.StatusConflict, 0, "b is left out, it can not use the label: driver native is as it is\n"},
		{"b has its driver away", 200, http.StatusServiceUnavailable, CodeError, "b: driver native is as it is"},
		{"b is broken", 200, http.StatusInternalServerError, CodeError, "b: the node failed with status 500"},
		{"nobody can use it", http.StatusConflict, http.StatusConflict, CodeError, "no member can use the label"},
		{"one can not and one is away", http.StatusConflict, http.StatusServiceUnavailable, CodeError, "not every member was there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFarm(t).withLabel()
			f.on("GET /cluster/", `{"members":[{"name":"a","state":"active"},{"name":"b","state":"active"}],"links":[]}`)
			for name, status := range map[string]int{"a": tt.a, "b": tt.b} {
				f.on("GET /node/"+name+"/image/", imagesJSON("", pullJSON("done", ""), ""))
				f.answer("POST /node/"+name+"/image/", func(*http.Request) (int, string) {
					if status == http.StatusOK {
						return status, "[" + pullJSON(pullRuns, "") + "]"
					}
					return status, `{"message":"driver native is as it is"}`
				})
			}
			code, stdout, stderr := f.run("image", "pull", "it's", "--all", "-o", "json")
			if code != tt.code || strings.Contains(stdout, `"node": "a"`) != (tt.a == http.StatusOK) || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("exit code %d, %q, %q, want %d and %q", code, stdout, stderr, tt.code, tt.stderr)
			}
		})
	}
}

// TestImagePullGoesOnWithTheOthers: where one member has restarted, the others
// are waited for all the same.
func TestImagePullGoesOnWithTheOthers(t *testing.T) {
	f := newFarm(t).withLabel()
	f.on("GET /cluster/", `{"members":[{"name":"a","state":"active"},{"name":"b","state":"active"}],"links":[]}`)
	for _, name := range []string{"a", "b"} {
		f.on("POST /node/"+name+"/image/", "["+pullJSON(pullRuns, "")+"]")
	}
	f.on("GET /node/a/image/", imagesJSON("", "", ""))
	f.on("GET /node/b/image/", imagesJSON("", pullJSON("done", ""), ""))
	code, stdout, stderr := f.run("image", "pull", "it's", "--all")
	if code != CodeEnded || !strings.Contains(stdout, "done") || !strings.Contains(stderr, "a: the node does not know of the pull any more") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

func TestImageRemove(t *testing.T) {
	f := newFarm(t)
	f.on("DELETE "+imagesRoute, `{"message":"Image removed"}`)
	if _, _, stderr := f.run("image", "rm", "docker", "host:5000/ci@sha256:0f"); stderr != "image host:5000/ci@sha256:0f of docker removed\n" {
		t.Errorf("told %q", stderr)
	}
	if want := "DELETE " + imagesRoute + "?instance=docker&id=host%3A5000%2Fci%40sha256%3A0f admin secret"; f.lastAsked() != want {
		t.Errorf("asked %q, want %q", f.lastAsked(), want)
	}
	refuse := func(status int, text string) {
		f.answer("DELETE "+imagesRoute, func(*http.Request) (int, string) { return status, `{"message":"` + text + `"}` })
	}
	refuse(404, "Unable to find the image")
	f.fails(CodeNotFound, "Unable to find the image", "image", "rm", "native", "x")
	refuse(400, "Unable to remove the image: in use")
	f.fails(CodeError, "in use", "image", "rm", "native", "x")
	f.fails(CodeUsage, "want: aquarium-fish image rm INSTANCE ID...", "image", "rm", "native")
}

func TestImageWords(t *testing.T) {
	f := newFarm(t)
	f.on("GET "+imagesRoute, imagesJSON(downloading("downloading", "1"), "", ""))
	if got := f.ok("__complete", "image", "rm", ""); !strings.HasPrefix(got, "docker\nnative\n:") {
		t.Errorf("instances = %q", got)
	}
	if got := f.ok("__complete", "image", "rm", "native", ""); !strings.HasPrefix(got, "mac-3\tmac 3\n:") {
		t.Errorf("images = %q", got)
	}
}
