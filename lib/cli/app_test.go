package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// appJSON is an Application of the label labelUID.
func appJSON(uid string) string {
	return `{"UID":"` + uid + `","created_at":"2026-11-22T11:00:00Z","label_UID":"` + labelUID + `","metadata":{"K":"v"},"owner_name":"alice"}`
}

const resourceJSON = `{"UID":"` + otherUID + `","application_UID":"` + someUID + `","authentication":{"key":"PRIVATE","password":"hidden","port":22,"username":"jenkins"},` +
	`"created_at":"2026-11-22T11:59:00Z","definition_index":0,"hw_addr":"","identifier":"test-1","ip_addr":"127.0.0.1","label_UID":"` + labelUID +
	`","metadata":{},"node_UID":"` + otherUID + `","updated_at":"2026-11-22T11:59:00Z"}`

// labelJSON is a label of that version.
func labelJSON(version int) string {
	return fmt.Sprintf(`{"UID":"%s%d","created_at":"2026-11-22T11:00:00Z","definitions":[{"driver":"test","options":{},"resources":{"cpu":2,"ram":4,"node_filter":["OS:linux"],"lifetime":"1h"}}],"metadata":{},"name":"it's","version":%d}`,
		labelUID[:len(labelUID)-1], version, version)
}

// inTurn answers a route with one text after the other, the last one for ever. An empty one is the answer of a node
// that is just starting.
func (f *farmTest) inTurn(route string, texts ...string) {
	asked := 0
	f.routes[route] = func(*http.Request) (int, string) {
		text := texts[min(asked, len(texts)-1)]
		asked++
		if text == "" {
			return http.StatusServiceUnavailable, `{"message":"starting"}`
		}
		return http.StatusOK, text
	}
}

// withLabel lets the farm know the versions 1 and 3 of a label.
func (f *farmTest) withLabel() *farmTest {
	f.on("GET /label/", "["+labelJSON(3)+","+labelJSON(1)+"]")
	return f
}

func TestAppRunWaits(t *testing.T) {
	f := newFarm(t).withLabel()
	f.on("POST /application/", appJSON(someUID))
	f.inTurn("GET /application/"+someUID+"/state", stateJSON("NEW", "Just created"), "", stateJSON("ELECTED", "Elected"), stateJSON("ALLOCATED", "There"))
	f.on("GET /application/"+someUID+"/resource", resourceJSON)
	if err := os.WriteFile(filepath.Join(f.options.WorkDir, "m.yml"), []byte("A: 1\nB: from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := f.run("app", "run", "it's", "--wait", "--metadata", "B=x=y", "--metadata-file", "m.yml")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if want := "application " + someUID + "\nNEW: Just created\nELECTED: Elected\nALLOCATED: There\n"; stderr != want {
		t.Errorf("stderr = %q, want %q", stderr, want)
	}
	for _, want := range []string{"Label        it's:3\n", "Identifier   test-1\n", "Login        jenkins\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("output has no %q:\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "hidden") || strings.Contains(stdout, "PRIVATE") {
		t.Errorf("the table shows secrets:\n%s", stdout)
	}
	want := `POST /application/ admin secret {"label_UID":"` + labelUID[:len(labelUID)-1] + `3","metadata":{"A":1,"B":"x=y"}}`
	if f.asked[1] != want {
		t.Errorf("asked %q, want %q", f.asked[1], want)
	}
	if want := "GET /label/?filter=name%3D%27it%27%27s%27 admin secret"; f.asked[0] != want {
		t.Errorf("asked %q, want %q", f.asked[0], want)
	}
}

func TestAppRunEndsOtherwise(t *testing.T) {
	f := newFarm(t).withLabel()
	f.on("POST /application/", appJSON(someUID))
	route := "GET /application/" + someUID + "/state"
	f.inTurn(route, stateJSON("NEW", ""), stateJSON("ERROR", "Driver allocate resource error:boom"))
	f.fails(CodeEnded, "ended as ERROR: Driver allocate resource error:boom", "app", "run", "it's:3", "--wait")
	f.on(route, stateJSON("NEW", ""))
	f.fails(CodeTimeout, "'aquarium-fish app deallocate "+someUID+"' gives it back", "app", "run", "it's:3", "--wait", "--timeout", "60ms")
	f.on(route, "not JSON of ours")
	f.fails(CodeError, "unexpected", "app", "run", "it's", "--wait")
	f.options.Interruptible = func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 200*time.Millisecond) // the user's patience
	}
	f.on(route, stateJSON("NEW", ""))
	f.fails(CodeInterrupted, "interrupted; it goes on", "app", "run", "it's", "--wait")
}

func TestAppRunRefusals(t *testing.T) {
	f := newFarm(t).withLabel()
	f.fails(CodeNotFound, "there is no label", "app", "run", "it's:2")
	f.fails(CodeUsage, "want KEY=VALUE", "app", "run", "it's", "-m", "x")
	f.fails(CodeUsage, "no such file", "app", "run", "it's", "--metadata-file", "absent")
	f.options.Stdin = strings.NewReader("[1]")
	f.fails(CodeUsage, "want an object", "app", "run", "it's", "--metadata-file", "-")
	f.answer("POST /application/", func(*http.Request) (int, string) { return 400, `{"error":"label is gone"}` })
	f.fails(CodeError, "Error: label is gone", "app", "run", "it's")
	f.answer("POST /application/", func(*http.Request) (int, string) { panic(http.ErrAbortHandler) })
	f.fails(CodeError, "may have been created all the same", "app", "run", "it's")
	f.answer("POST /application/", func(*http.Request) (int, string) { return 500, `{"message":"internal, request 17"}` })
	f.fails(CodeError, "its log has the reason", "app", "run", "it's")
}

func TestAppList(t *testing.T) {
	f := newFarm(t).withLabel()
	f.on("GET /application/", "["+appJSON(someUID)+","+appJSON(otherUID)+"]")
	f.on("GET /application/"+someUID+"/state", stateJSON("DEALLOCATED", "Gone"))
	f.on("GET /application/"+otherUID+"/state", stateJSON("ALLOCATED", "There"))
	want := "UID                                   LABEL   OWNER  STATUS       AGE  DESCRIPTION\n" +
		someUID + "  it's:3  alice  DEALLOCATED  60m  Gone\n" + otherUID + "  it's:3  alice  ALLOCATED    60m  There\n"
	if diff := cmp.Diff(want, f.ok("app", "list")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	code, stdout, stderr := f.run("app", "list", "--limit", "1", "-o", "name")
	if code != 0 || stdout != otherUID+"\n" || stderr != "the newest 1 of 2; --limit 0 lists all\n" {
		t.Errorf("limited: %d, %q, %q", code, stdout, stderr)
	}
	var rows []map[string]any
	if err := json.Unmarshal([]byte(f.ok("app", "list", "-o", "json")), &rows); err != nil || len(rows) != 2 || rows[0]["label"] != "it's:3" || rows[0]["owner_name"] != "alice" {
		t.Errorf("json = %v, %v", rows, err)
	}
	delete(f.routes, "GET /application/"+someUID+"/state") // went while it was listed
	if got := f.ok("app", "list", "-o", "name"); got != otherUID+"\n" {
		t.Errorf("list of what is left = %q", got)
	}
	f.on("GET /application/", "[]")
	if _, stdout, stderr := f.run("app", "list", "--owner", "o'b", "--label", "it's:3"); stdout != "" || stderr != "no applications\n" {
		t.Errorf("empty list: %q, %q", stdout, stderr)
	}
	if want := "filter=owner_name%3D%27o%27%27b%27+AND+label_uid+IN+%28"; !strings.Contains(f.lastAsked(), want) {
		t.Errorf("asked %q, want %q in it", f.lastAsked(), want)
	}
	f.fails(CodeUsage, "bad --limit", "app", "list", "--limit", "-1")
}

func TestAppDeallocate(t *testing.T) {
	f := newFarm(t)
	deallocate, route := "GET /application/"+someUID+"/deallocate", "GET /application/"+someUID+"/state"
	f.on(deallocate, stateJSON("DEALLOCATE", "Requested"))
	f.inTurn(route, stateJSON("DEALLOCATE", "Requested"), stateJSON("DEALLOCATED", "Gone"))
	if got := f.ok("app", "deallocate", someUID, "--wait"); !strings.Contains(got, "DEALLOCATED  60s    Gone") {
		t.Errorf("output = %q", got)
	}
	f.answer(deallocate, func(*http.Request) (int, string) { return 400, `{"message":"Unable to deallocate"}` })
	f.ok("app", "release", someUID) // a second time is no error
	f.on(route, stateJSON("ALLOCATED", ""))
	f.fails(CodeError, "Unable to deallocate", "app", "recall", someUID)
	f.fails(CodeUsage, "is no UID", "app", "deallocate", someUID, "x")
	delete(f.routes, route)
	f.fails(CodeNotFound, "there is no application", "app", "deallocate", someUID)
}

func TestAppWatch(t *testing.T) {
	f := newFarm(t)
	f.inTurn("GET /application/"+someUID+"/state", stateJSON("NEW", "Just\\u001b created"), stateJSON("NEW", "Just"), stateJSON("ERROR", "boom"))
	got := f.ok("app", "watch", someUID)
	lines := strings.Split(got, "\n")
	if len(lines) != 3 || !strings.HasSuffix(lines[0], someUID+"  NEW          Just? created") || !strings.HasSuffix(lines[1], "  ERROR        boom") {
		t.Errorf("watch = %q", got)
	}
	if got := f.ok("app", "watch", someUID, "-o", "name"); got != someUID+" ERROR\n" {
		t.Errorf("name = %q", got)
	}
}

// activeJSON is an Application of the label with its state, as the list of the active ones shows it.
func activeJSON(app, label, state string) string {
	return `{"application":` + appJSON(app) + `,"label_name":"` + label + `","label_version":3,"state":` + state + `}`
}

// TestAppListActive checks that the states of any number of applications are had by one request, one more for a label.
func TestAppListActive(t *testing.T) {
	f := newFarm(t).withLabel()
	f.on("GET /application/active/", "["+activeJSON(someUID, "", stateJSON("RECALLED", "Is removed"))+","+activeJSON(otherUID, "it's", stateJSON("NEW", "Waits"))+"]")
	want := "UID                                   LABEL                                 OWNER  STATUS    AGE  DESCRIPTION\n" +
		someUID + "  " + labelUID + "  alice  RECALLED  60m  Is removed\n" +
		otherUID + "  it's:3                                alice  NEW       60m  Waits\n"
	if diff := cmp.Diff(want, f.ok("app", "list", "--active", "--owner", "alice")); diff != "" || len(f.asked) != 1 {
		t.Errorf("%d requests, list (-want +got):\n%s", len(f.asked), diff)
	}
	if _, stdout, stderr := f.run("app", "list", "--active", "--limit", "1", "-o", "name"); stdout != otherUID+"\n" || stderr != "the newest 1 of 2; --limit 0 lists all\n" {
		t.Errorf("limited: %q, %q", stdout, stderr)
	}
	if _, stdout, stderr := f.run("app", "list", "--active", "--owner", "bob"); stdout != "" || stderr != "no applications\n" {
		t.Errorf("of bob: %q, %q", stdout, stderr)
	}
	if got := f.ok("app", "list", "--active", "--label", someUID, "-o", "json"); got != "[]\n" {
		t.Errorf("of a label that none has: %q", got)
	}
	if got := f.ok("app", "list", "--active", "--label", "it's", "-o", "name"); got != someUID+"\n"+otherUID+"\n" {
		t.Errorf("of the label: %q", got)
	}
	f.on("GET /label/", "[]")
	f.fails(CodeNotFound, "there is no label", "app", "list", "--active", "--label", "it's:2")
}

func TestWatchedTellsEachChangeOnce(t *testing.T) {
	w := &watched{}
	row := func(app, state byte, status apiv1.ApplicationStatus) apiv1.ActiveApplication {
		return apiv1.ActiveApplication{
			Application: apiv1.Application{UID: apiv1.UID{app}}, State: apiv1.ApplicationState{UID: apiv1.UID{state}, Status: status},
		}
	}
	var got []string
	for _, list := range [][]apiv1.ActiveApplication{
		{row(1, 1, "NEW"), row(2, 2, "NEW")},
		{row(1, 1, "NEW"), row(2, 3, "ALLOCATED"), row(4, 4, "ERROR")},
		{row(2, 3, "ALLOCATED"), row(4, 4, "ERROR")},
		{row(2, 3, "ALLOCATED")},
	} {
		changes := ""
		for _, s := range w.note(list) {
			changes += string(s.Status) + " "
		}
		got = append(got, changes)
	}
	if diff := cmp.Diff([]string{"NEW NEW ", "ALLOCATED ERROR ", "", ""}, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// TestWatchedLooksBackToTheLastAnswer checks that what ends while the node does not answer is asked for afterwards.
func TestWatchedLooksBackToTheLastAnswer(t *testing.T) {
	f := newFarm(t)
	route := "GET /application/active/"
	f.on(route, "[]")
	api, err := (&shell{Options: f.options}).api(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{last: time.Now()}
	look := func() string {
		_, err := w.look(t.Context(), api)
		if (err != nil) != (len(f.asked) == 3) {
			t.Errorf("look() error %v", err)
		}
		return strings.TrimSuffix(f.lastAsked(), " admin secret")
	}
	var got []string
	got = append(got, look())
	w.last = w.last.Add(-time.Minute)
	got = append(got, look())
	f.answer(route, func(*http.Request) (int, string) { return 503, "{}" })
	w.last = w.last.Add(-time.Minute)
	got = append(got, look())
	f.on(route, "[]")
	got = append(got, look())
	w.last = w.last.Add(-2 * time.Hour)
	got = append(got, look())
	var want []string
	for _, seconds := range []string{"6", "66", "66", "66", "3600"} {
		want = append(want, route+"?ended_within="+seconds)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestAppWatchAll(t *testing.T) {
	f := newFarm(t)
	f.on("GET /application/active/", "["+activeJSON(otherUID, "it's", strings.ReplaceAll(stateJSON("DEALLOCATED", "just over"), someUID, otherUID))+","+
		activeJSON(someUID, "it's", stateJSON("NEW", "waits"))+"]")
	f.options.Interruptible = func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 200*time.Millisecond)
	}
	code, stdout, stderr := f.run("app", "watch", "-o", "name")
	if code != CodeInterrupted || stdout != someUID+" NEW\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := &statusError{status: 503, message: "busy"}
		start := time.Now()
		var at []time.Duration
		err := poll(t.Context(), func(context.Context) (bool, error) {
			at = append(at, time.Since(start))
			if len(at) == 3 {
				return false, busy
			}
			return len(at) == 5, nil
		})
		ms := time.Millisecond
		if diff := cmp.Diff([]time.Duration{0, 50 * ms, 125 * ms, 125*ms + 112500*time.Microsecond, 125*ms + 112500*time.Microsecond + 168750*time.Microsecond}, at); diff != "" || err != nil {
			t.Errorf("poll = %v, asked at (-want +got):\n%s", err, diff)
		}
		boom := errors.New("boom")
		if err := poll(t.Context(), func(context.Context) (bool, error) { return false, boom }); !errors.Is(err, boom) {
			t.Errorf("poll = %v, want the error at once", err)
		}
		ctx, cancel := withTimeout(t.Context(), time.Minute)
		defer cancel()
		asked := 0
		err = poll(ctx, func(context.Context) (bool, error) { asked++; return false, busy })
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, busy) || asked < 60 || asked > 70 {
			t.Errorf("poll = %v after %d questions, want the deadline and the last reason after about 66", err, asked)
		}
	})
}
