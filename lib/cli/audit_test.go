package cli

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// anEvent is one as the node shows it.
func anEvent(seq int, action, user string, count int) string {
	return fmt.Sprintf(`{"seq":%d,"time":"2026-11-22T11:00:%02dZ","action":%q,"user":%q,"address":"10.0.0.1","request_id":"r-%d",`+
		`"object_UID":"","object_name":"n","result":"ok","count":%d,"detail":"d"}`, seq, seq%60, action, user, seq, count)
}

func auditAnswer(next string, events ...string) string {
	return fmt.Sprintf(`{"events":[%s],"next":%q}`, strings.Join(events, ","), next)
}

// pages answers the cursors with pages.
func (f *farmTest) pages(byCursor map[string]string) {
	f.routes["GET /audit/"] = func(r *http.Request) (int, string) {
		return http.StatusOK, byCursor[r.URL.Query().Get("cursor")]
	}
}

func TestAuditList(t *testing.T) {
	f := newFarm(t)
	f.pages(map[string]string{
		"": auditAnswer("p2", anEvent(3, "label.create", "admin", 1)), "p2": auditAnswer("p3"), // a page may be empty
		"p3": auditAnswer("", anEvent(2, "login", "eve", 12), anEvent(1, "node.start", "", 1)),
	})
	got := f.ok("audit", "list")
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "TIME ") || !strings.Contains(lines[1], "node.start") ||
		!strings.Contains(lines[2], "12 times d") || !strings.Contains(lines[3], "label.create") {
		t.Errorf("table, newest last:\n%s", got)
	}
	if got := f.ok("audit", "list", "--limit", "2", "-o", "name"); got != "2\n3\n" {
		t.Errorf("the two newest are %q", got)
	}
	if got := f.ok("audit", "list", "-o", "json"); !strings.HasPrefix(got, "[\n  {\n    \"action\": \"node.start\"") {
		t.Errorf("json = %s", got)
	}
	f.pages(map[string]string{"": auditAnswer("")})
	if code, out, errs := f.run("audit", "list"); code != 0 || out != "" || !strings.Contains(errs, "no events") {
		t.Errorf("nothing: %d %q %q", code, out, errs)
	}
}

func TestAuditListAsks(t *testing.T) {
	f := newFarm(t)
	var asked map[string][]string
	f.routes["GET /audit/"] = func(r *http.Request) (int, string) {
		asked = r.URL.Query()
		return http.StatusOK, auditAnswer("")
	}
	const uid = "01020304-0506-4bcd-8000-0123456789ab"
	f.ok("audit", "list", "--since", "1d1h", "--until", "2026-11-22T11:00:00Z", "--by", "eve", "--action", "label",
		"--object", uid, "--result", "refused")
	for key, want := range map[string]string{
		"since": "2026-11-21T11:00:00Z", "until": "2026-11-22T11:00:00Z", "user": "eve", "action": "label", "object": uid, "result": "refused",
	} {
		if got := asked[key]; len(got) != 1 || got[0] != want {
			t.Errorf("%s = %q, want %s", key, got, want)
		}
	}
	for _, args := range [][]string{
		{"--since", "yesterday"}, {"--until", "-1h"}, {"--result", "good"}, {"--object", "x"}, {"--limit", "-1"}, {"more"}, {"-o", "xml"},
	} {
		f.fails(CodeUsage, "", append([]string{"audit", "list"}, args...)...)
	}
}

// TestAuditFollow shows each event once, also when a page brings old ones again and when the node is away for a moment.
func TestAuditFollow(t *testing.T) {
	f := newFarm(t)
	answers := []string{
		auditAnswer("", anEvent(1, "a", "u", 1)), "", auditAnswer("", anEvent(3, "c", "u", 1), anEvent(2, "b", "u", 1), anEvent(1, "a", "u", 1)),
		auditAnswer("", anEvent(3, "c", "u", 1)),
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	f.options.Interruptible = func(context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }
	f.routes["GET /audit/"] = func(*http.Request) (int, string) {
		answer := answers[0]
		if answers = answers[1:]; len(answers) == 0 {
			cancel()
			answers = []string{answer}
		}
		if answer == "" {
			return http.StatusServiceUnavailable, `{"message":"The node is stopping, try again later"}`
		}
		return http.StatusOK, answer
	}
	_, out, _ := f.run("audit", "list", "--follow")
	var actions []string
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		actions = append(actions, strings.Fields(line)[2])
	}
	if got := strings.Join(actions, " "); got != "a b c" {
		t.Errorf("followed %q, want each once:\n%s", got, out)
	}
}
