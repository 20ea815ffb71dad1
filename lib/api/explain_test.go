package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

func (n *node) explain(t testing.TB, user string, app model.UID) apiv1.ApplicationExplanation {
	t.Helper()
	var x apiv1.ApplicationExplanation
	n.get(t, call{user: user, path: "/api/v1/application/" + app.String() + "/explain"}, &x)
	return x
}

func TestExplainWaiting(t *testing.T) {
	n := newNode(t)
	label := n.label(t, "linux")
	head := n.application(t, label, "bob").Application.UID
	e := n.application(t, label, "alice")
	n.standing = election.Standing{Definitions: []election.Obstacle{
		{Definition: 0, Driver: "native", Cause: election.CauseCPU, Reason: "cpu short",
			Shortage: capacity.Shortage{What: "cpu", Need: 4, Free: 0, Limit: 8}},
		{Definition: 1, Driver: "docker", Cause: election.CauseBehind, Reason: "an older one", Head: head},
	}}
	want := apiv1.ApplicationExplanation{
		ApplicationUID: e.Application.UID, Status: "NEW", Since: e.Fold.Current.CreatedAt, Description: e.Fold.Current.Description,
		Text: "It waits: none of its 2 definitions can run now; of the first: cpu short",
		Nodes: []apiv1.NodeStanding{{NodeUID: testNode, Name: "node-1", Definitions: []apiv1.Obstacle{
			{DefinitionIndex: 0, Driver: "native", Cause: "cpu", Text: "cpu short", Shortage: &apiv1.Shortage{Need: 4, Free: 0, Limit: 8}},
			{DefinitionIndex: 1, Driver: "docker", Cause: "behind_older", Text: "an older one"},
		}}},
	}
	if diff := cmp.Diff(want, n.explain(t, "alice", e.Application.UID)); diff != "" {
		t.Errorf("the owner, who may not see the head, is told (-want +got):\n%s", diff)
	}
	want.Nodes[0].Definitions[1].HeadUID = &head
	if diff := cmp.Diff(want, n.explain(t, "admin", e.Application.UID)); diff != "" {
		t.Errorf("the admin is told (-want +got):\n%s", diff)
	}
}

func TestWaitingText(t *testing.T) {
	short := election.Obstacle{Cause: election.CauseRAM, Reason: "ram short"}
	fits := election.Obstacle{Cause: election.CauseFits}
	too := election.Obstacle{Cause: election.CauseTooLarge, Reason: "ram too small", Lasting: "ram too small"}
	for _, tt := range []struct {
		name  string
		never bool
		defs  []election.Obstacle
		want  string
	}{
		{"one", false, []election.Obstacle{short}, "It waits: ram short"},
		{"the second fits", false, []election.Obstacle{short, fits}, "It fits: about to be granted"},
		{"never", true, []election.Obstacle{too}, "No member can ever run this: ram too small"},
		{"never, and in maintenance", true, []election.Obstacle{{Cause: election.CauseMaintenance, Reason: "node is in maintenance", Lasting: "no gpu"}},
			"No member can ever run this: no gpu"},
		{"never, two of them", true, []election.Obstacle{too, short}, "No member can ever run this: none of its 2 definitions; of the first: ram too small"},
		{"no definitions", true, nil, "No member can ever run this: its label has no definitions"},
	} {
		if got := waitingText(election.Standing{Never: tt.never, Definitions: tt.defs}); got != tt.want {
			t.Errorf("%s: waitingText() = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestExplainWithoutLabel(t *testing.T) {
	n := newNode(t)
	label := n.label(t, "linux")
	app := n.application(t, label, "alice").Application.UID
	if _, err := n.store.DeleteLabel(t.Context(), label); err != nil {
		t.Fatal(err)
	}
	if x := n.explain(t, "alice", app); len(x.Nodes) != 0 || !strings.Contains(x.Text, "label was deleted") {
		t.Errorf("told %+v", x)
	}
}

// TestExplainLife goes through a life, with a step that fails in its release.
func TestExplainLife(t *testing.T) {
	n := newNode(t)
	e := n.application(t, n.label(t, "linux"), "alice")
	app := e.Application.UID
	e = n.update(t, e, model.Change{
		States: []model.ApplicationState{{
			Status: model.StatusElected, Epoch: 1, UID: model.GrantUID(app, 1, n.uid), Description: "Elected node: node-1",
			Decision: &model.Decision{Winner: testNode},
		}},
		Allocations: []model.Allocation{{Epoch: 1, Token: strings.Repeat("a", 32), LabelUID: e.Application.LabelUID}},
	})
	x := n.explain(t, "alice", app)
	until := e.Allocations[0].CreatedAt.Add(time.Hour)
	if x.Status != "ELECTED" || x.Until == nil || !x.Until.Equal(until) || x.Description != "Elected node: node-1" ||
		!strings.Contains(x.Text, "1h0m0s (allocate_timeout)") {
		t.Errorf("ELECTED is told %+v, want until %v", x, until)
	}
	n.fetching = true
	if x := n.explain(t, "alice", app); x.Until != nil || !strings.Contains(x.Text, "images are being fetched") {
		t.Errorf("ELECTED without its images is told %+v", x)
	}
	n.fetching, n.fetchedAt = false, until.Add(12*time.Minute)
	if x, want := n.explain(t, "alice", app), n.fetchedAt.Add(time.Hour); x.Until == nil || !x.Until.Equal(want) {
		t.Errorf("ELECTED with its images is told %+v, want until %v", x, want)
	}
	n.update(t, e, model.Change{States: []model.ApplicationState{{Status: model.StatusRecalled}}})
	n.trouble = &lifecycle.Trouble{What: "environment not released", Err: errors.New("volume is busy"), At: until, Again: until.Add(time.Minute)}
	x = n.explain(t, "alice", app)
	want := &apiv1.Trouble{What: "environment not released", Error: "volume is busy", At: until.UTC(), AgainAt: until.Add(time.Minute).UTC()}
	if diff := cmp.Diff(want, x.Trouble); diff != "" {
		t.Errorf("trouble (-want +got):\n%s", diff)
	}
	if !strings.HasSuffix(x.Text, "is being released; environment not released: volume is busy") || x.Until != nil || len(x.Nodes) != 0 {
		t.Errorf("RECALLED is told %+v", x)
	}
}

func TestLifeText(t *testing.T) {
	for status, want := range map[model.Status]string{
		model.StatusAllocated: "It runs", model.StatusDeallocate: "again and again", model.StatusRecalled: "it is over",
		model.StatusError: "an error", model.StatusDeallocated: "It is over",
	} {
		e := &model.Entry{Fold: model.Fold{Current: model.ApplicationState{Status: status}}}
		if got := lifeText(e, time.Hour); !strings.Contains(got, want) {
			t.Errorf("lifeText(%s) = %q, want %q in it", status, got, want)
		}
	}
	ended := &model.Entry{Fold: model.Fold{
		Current: model.ApplicationState{Status: model.StatusDeallocated, Description: "Driver deallocated the resource"},
		Request: &model.ApplicationState{Status: model.StatusDeallocate, Description: "Environment ended by itself: exit code 1"},
	}}
	if got, want := lifeText(ended, time.Hour), "It is over: Environment ended by itself: exit code 1"; got != want {
		t.Errorf("lifeText() of one that ended by itself = %q, want %q", got, want)
	}
}

func TestDriverInstances(t *testing.T) {
	n := newNode(t)
	got := n.do(t, call{user: "admin", path: "/api/v1/node/this/drivers"})
	want := `[{"driver":"docker","in_use":{"cpu":0,"disk":0,"environments":0,"ram":0},"last_error":"no socket","name":"docker/dev",` +
		`"next_retry":"2026-05-01T12:01:00Z","retries":4,"since":"2026-05-01T12:00:00Z","state":"failed"},` +
		`{"driver":"test","in_use":{"cpu":3,"disk":7,"environments":2,"ram":5},"last_error":"engine is away",` +
		`"limits":{"cpu":8,"cpu_overbook":0,"disk":0,"ram":16,"ram_overbook":0,"remote":false},` +
		`"name":"test","retries":0,"since":"2026-05-01T12:00:00Z","state":"ready"}]` + "\n"
	if got.status != http.StatusOK || got.body != want {
		t.Errorf("instances are %d %s\nwant %s", got.status, got.body, want)
	}
}

func TestLabelCheckCreatesNothing(t *testing.T) {
	n := newNode(t)
	n.label(t, "linux")
	n.misfits = [][]election.Refusal{{{Reason: "driver x is not configured"}, {Reason: "no rack"}}}
	var got apiv1.LabelCheck
	n.get(t, call{user: "admin", method: http.MethodPost, path: "/api/v1/label/check", contentType: "application/yaml",
		body: "name: linux\nversion: 1\ndefinitions: [{driver: x, resources: {cpu: 1, ram: 1}}]\n"}, &got)
	want := []string{`"linux" has a version 1 already: take a higher one to create it`,
		"definition 0: driver x is not configured", "definition 0: no rack"}
	if diff := cmp.Diff(want, got.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	n.misfits = nil
	n.get(t, call{user: "admin", method: http.MethodPost, path: "/api/v1/label/check", contentType: "application/yaml",
		body: "name: new\ndefinitions: [{driver: x, resources: {cpu: 1, ram: 1}}, {driver: test, options: {Size: 1, read_onyl: true}, resources: {cpu: 1, ram: 1}}]\n"}, &got)
	want = []string{`definition 1: driver test has no option "read_onyl" and ignores it; known are size, read_only`}
	if diff := cmp.Diff(want, got.Warnings); diff != "" {
		t.Errorf("warnings of options (-want +got):\n%s", diff)
	}
	n.get(t, call{user: "admin", method: http.MethodPost, path: "/api/v1/label/check",
		body: `{"name":"z","metadata":{"AQUARIUM_FISH_CA":"x","AQUARIUM_FISH_SSH_RECORD":true,"A":1,"!":2},"definitions":[{"driver":"x","resources":{"cpu":1,"ram":1}}]}`}, &got)
	want = []string{`metadata key "!" makes no variable: no letter is left of the name`,
		`metadata key "AQUARIUM_FISH_CA" makes no variable: names that begin with AQUARIUM_FISH_ are the node's own`}
	if diff := cmp.Diff(want, got.Warnings); diff != "" {
		t.Errorf("warnings of metadata (-want +got):\n%s", diff)
	}
	bad := n.do(t, call{user: "admin", method: http.MethodPost, path: "/api/v1/label/check",
		body: `{"name":"y","definitions":[{"driver":"test","options":{"bad":1},"resources":{"cpu":1,"ram":1}}]}`})
	if bad.status != http.StatusBadRequest || !strings.Contains(bad.body, `option \"bad\" is unknown`) {
		t.Errorf("options that the driver refuses: %d %s", bad.status, bad.body)
	}
	if labels := n.store.Labels(); len(labels) != 1 {
		t.Errorf("a check left %d labels, want the one that was there", len(labels))
	}
}

// A key that no SSH login can use is told of and taken: old clients create such labels.
func TestLabelWithUselessKey(t *testing.T) {
	n := newNode(t)
	good, _, err := crypt.NewSSHLogin()
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"name": "keys", "version": 1, "definitions": []any{
		map[string]any{"driver": "x", "authentication": map[string]any{"key": good}, "resources": map[string]any{"cpu": 1, "ram": 1}},
		map[string]any{"driver": "x", "authentication": map[string]any{"key": "hidden", "password": "p"}, "resources": map[string]any{"cpu": 1, "ram": 1}},
		map[string]any{"driver": "x", "authentication": map[string]any{"password": "p"}, "resources": map[string]any{"cpu": 1, "ram": 1}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got apiv1.LabelCheck
	n.get(t, call{user: "admin", method: http.MethodPost, path: "/api/v1/label/check", body: string(body)}, &got)
	want := []string{"definition 1: the SSH proxy lets nobody in, as it can not use the key of the authentication: " +
		"want a private key in PEM, as ssh-keygen writes it, with its line ends and without a passphrase"}
	if diff := cmp.Diff(want, got.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if made := n.do(t, call{user: "admin", method: http.MethodPost, path: "/api/v1/label/", body: string(body)}); made.status != http.StatusOK {
		t.Errorf("the label is refused: %d %s", made.status, made.body)
	}
}

func TestLabelWarnings(t *testing.T) {
	existing := []model.Label{{Name: "a", Version: -3}, {Name: "a", Version: 7}, {Name: "b", Version: 9}}
	for _, tt := range []struct {
		name    string
		version int
		want    []string
	}{
		{"a", 8, []string{}},
		{"c", 1, []string{}},
		{"a", 2, []string{`"a" has a newer version 7: whoever takes the newest will not get this one`}},
	} {
		label := model.Label{Name: tt.name, Version: tt.version, Definitions: make([]model.LabelDefinition, 1)}
		if diff := cmp.Diff(tt.want, warnings(label, existing, nil)); diff != "" {
			t.Errorf("warnings(%s:%d) (-want +got):\n%s", tt.name, tt.version, diff)
		}
	}
	if got := warnings(model.Label{Name: "x"}, nil, nil); len(got) != 1 || !strings.Contains(got[0], "no definitions") {
		t.Errorf("warnings() of a label without definitions = %q", got)
	}
}
