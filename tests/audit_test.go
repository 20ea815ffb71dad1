package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestAudit: what was done to a real node is in its file and in the API, over
// a restart and a kill, and holds no secret.
func TestAudit(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	type event struct {
		Seq                          int64
		Action, User, Result, Detail string
		ObjectName                   string `json:"object_name"`
		ObjectUID                    string `json:"object_UID"`
	}
	list := func(query string) []event {
		return fish.Get[struct{ Events []event }](n.Client, "/api/v1/audit/"+query).Events
	}
	first := func(query string) (found event) {
		fish.Eventually(t, "the audit has "+query, func() bool {
			events := list(query)
			if len(events) > 0 {
				found = events[0]
			}
			return len(events) > 0
		})
		return found
	}
	addUser(t, n.Client, "eve")
	label := n.CreateLabel(fish.TestLabel("audited", `{"x":"hidden-option"}`))
	app := n.CreateApplication(label, `{"k":"hidden-metadata"}`)
	n.WaitStatus(app, "ALLOCATED")
	n.As("eve", "hidden-guess").Request("GET", mePath, nil)
	n.As("eve", "pass of eve").Request("DELETE", labelsPath+label, nil)
	for query, want := range map[string]event{
		"?action=user":                                  {Action: "user.set", User: "admin", Result: "ok", Detail: "created", ObjectName: "eve"},
		"?action=label.create":                          {Action: "label.create", User: "admin", Result: "ok", ObjectName: "audited:1", ObjectUID: label},
		"?action=application&object=" + app:             {Action: "application.create", User: "admin", Result: "ok", ObjectUID: app, Detail: "of label " + label},
		"?action=login&result=refused":                  {Action: "login", User: "eve", Result: "refused"},
		"?user=eve&action=label":                        {Action: "label.remove", User: "eve", Result: "refused", ObjectName: "audited:1", ObjectUID: label},
		"?action=driver.ready":                          {Action: "driver.ready", Result: "ok", ObjectName: "test"},
		"?action=node.start&until=2100-01-01T00:00:00Z": {Action: "node.start", Result: "ok", Detail: "first start with this audit file", ObjectName: fish.NodeName},
	} {
		got := first(query)
		if want.Seq = got.Seq; got != want {
			t.Errorf("%s: %+v, want %+v", query, got, want)
		}
	}
	last := list("?limit=1")[0].Seq
	n.Restart()
	if got := first("?action=node.start"); got.Detail != "config as at the last start" || got.Seq <= last {
		t.Errorf("after a restart: %+v", got)
	}
	n.Kill()
	n.Reconfigure("retention: 3d\n")
	n.Start()
	if got := first("?action=node.start"); !strings.HasPrefix(got.Detail, "the run before ended without a stop; config changed: ") ||
		!strings.Contains(got.Detail, `retention: "168h0m0s" -> "72h0m0s"`) {
		t.Errorf("after a kill: %+v", got)
	}
	n.Stop()
	file := filepath.Join(n.Dir, "fish_data", fish.NodeName+"_audit.log")
	text := readFile(t, file) + readFile(t, file+".config")
	for _, secret := range []string{"hidden-", "pass of eve", n.AdminPassword} {
		if strings.Contains(text, secret) {
			t.Errorf("the audit holds %q", secret)
		}
	}
	for _, path := range []string{file, file + ".config"} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v, want mode 0600", path, info, err)
		}
	}
}
