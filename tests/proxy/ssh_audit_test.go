//go:build linux

package proxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// auditOf is what the audit has of an action on an object, newest first.
func auditOf(t testing.TB, c fish.Client, action, object string) []auditEvent {
	t.Helper()
	return fish.Get[struct{ Events []auditEvent }](c, "/api/v1/audit/?action="+action+"&object="+object).Events
}

// auditEvent is what the API tells of one.
type auditEvent struct {
	Address, Detail, Result, User string
}

// TestSSHAudit: who was in which environment, when, from where, for how long and with how many bytes is told; what
// credentials are is not told anywhere.
func TestSSHAudit(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "PasswordAuthentication yes")
	a := accessTo(r.node.Client, r.app)
	got := run(t, command(t, a.byPassword(), nil, "ssh", "env", "cat; sleep 0.3; echo err >&2"), noise(1, 123_456))
	if got.Code != 0 || len(got.Stdout) != 123_456 {
		t.Fatalf("exit code %d, %d bytes, %q", got.Code, len(got.Stdout), got.Stderr)
	}
	refused(t, "once more", enter(t, a.byKey(t)), "used already")

	var ended []auditEvent
	fish.Eventually(t, "the end is in the audit", func() bool {
		ended = auditOf(t, r.node.Client, "ssh.close", r.app)
		return len(ended) == 1
	})
	uid := usesOf(r.node.Client, r.app).Uses[0].SessionUID
	began := auditOf(t, r.node.Client, "ssh.open", r.app)
	if len(began) != 2 || began[0].Result != "refused" || began[1].Result != "ok" {
		t.Fatalf("beginnings %+v, want one and one that was refused, newest first", began)
	}
	for _, e := range []auditEvent{began[0], began[1], ended[0]} {
		if e.User != "admin" || e.Address != "127.0.0.1" || !strings.Contains(e.Detail, r.node.Resource(r.app).UID) {
			t.Errorf("an event that does not say who, from where or to what: %+v", e)
		}
	}
	if !strings.Contains(began[1].Detail, uid) || !strings.Contains(began[1].Detail, usesOf(r.node.Client, r.app).Fingerprint) {
		t.Errorf("the beginning %q, want session %s and the host key", began[1].Detail, uid)
	}
	var took string
	var channels, in, out int
	_, err := fmt.Sscanf(strings.TrimPrefix(ended[0].Detail, "session "+uid+" to resource "+r.node.Resource(r.app).UID+": "),
		"%s %d channels, %d bytes from the client, %d to it", &took, &channels, &in, &out)
	if err != nil || channels != 1 || in != 123_456 || out != 123_456+4 || strings.HasPrefix(took, "0s") {
		t.Errorf("the end %q: %v", ended[0].Detail, err)
	}

	stdout, stderr := r.node.Lines()
	told := strings.Join(stdout, "\n") + strings.Join(stderr, "\n") + string(r.node.Request("GET", "/api/v1/audit/", nil).Body)
	for what, secret := range map[string]string{
		"the password": a.Password, "the key": strings.Split(a.Key, "\n")[1], "the environment's key": strings.Split(r.env.byKey().Key, "\n")[1],
	} {
		if strings.Contains(told, secret) {
			t.Errorf("the log or the audit has %s", what)
		}
	}
}
