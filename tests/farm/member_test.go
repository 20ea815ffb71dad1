package farm

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// uidOfNode is what a node says who it is.
func uidOfNode(f *Farm, node int) string {
	return fish.Get[object](f.Admin(node), "/api/v1/node/this/").UID
}

// TestMembers: nodes of one farm have one CA, folders and names of their own,
// and are judged as different as long as they are.
func TestMembers(t *testing.T) {
	t.Parallel()
	f := Start(t, Options{Topology: Full(2), Apart: true, DriverCfg: "cpu_limit: 3", Each: func(node int, s *Settings) {
		s.Location = fmt.Sprintf("site%d", node)
	}})
	if uidOfNode(f, 0) == uidOfNode(f, 1) {
		t.Error("two nodes have one UID")
	}
	for node := range f.Members {
		type place struct {
			Name     string
			Location string `json:"location_name"`
		}
		want := place{fmt.Sprintf("node%d", node), fmt.Sprintf("site%d", node)}
		if got := fish.Get[place](f.Admin(node), "/api/v1/node/this/"); got != want {
			t.Errorf("node %d is %+v, want %+v", node, got, want)
		}
	}
	other := f.client(f.Members[0])
	other.URL = "https://" + f.Members[1].Address
	if got := other.Request(http.MethodGet, "/api/v1/user/me/", nil); got.Status != http.StatusUnauthorized {
		t.Errorf("one node checked against the other's CA answers %d", got.Status)
	}

	if diff, err := f.SameView(t.Context(), []int{0, 0}); diff != "" || err != nil {
		t.Errorf("a node differs from itself: %s, %v", diff, err)
	}
	if got, err := f.strangers(t.Context(), f.All()); !strings.Contains(got, "node 1 does not show node0") || err != nil {
		t.Errorf("nodes that stay apart show each other: %q, %v", got, err)
	}
	if got, err := f.strangers(t.Context(), []int{1}); got != "" || err != nil {
		t.Errorf("a node does not show itself: %s, %v", got, err)
	}
	admin := f.Admin(1)
	label := admin.CreateLabel(fish.TestLabel("linux", `{}`))
	app := admin.CreateApplication(label, `{}`)
	admin.WaitStatus(app, "ALLOCATED")
	if diff, err := f.SameView(t.Context(), f.All()); !strings.Contains(diff, app) || err != nil {
		t.Errorf("an application of one node is not seen as a difference: %s, %v", diff, err)
	}
	if open, err := f.open(t.Context(), f.All()); !strings.Contains(open, "node 1: "+app+" is ALLOCATED") || err != nil {
		t.Errorf("what is open: %q, %v", open, err)
	}
	if left := f.leftovers(f.All()); !strings.Contains(left, "node 1: [test-") || !strings.Contains(left, app) {
		t.Errorf("what is left: %q", left)
	}
	admin.Deallocate(app)
	f.Verify(10*time.Second, 1)
	if left := f.leftovers(f.All()); left != "" {
		t.Errorf("what is left after the end: %q", left)
	}
	if where := f.Ledger().Nodes(); len(where) != 1 || where[app] != uidOfNode(f, 1) {
		t.Errorf("the ledger knows of %v", where)
	}
}

func TestRestore(t *testing.T) {
	t.Parallel()
	f := Start(t, Options{Topology: Full(1)})
	m, admin := f.Members[0], f.Admin(0)
	before := admin.CreateLabel(fish.TestLabel("before", `{}`))
	m.Stop()
	backup := m.Backup()
	m.Start()
	after := admin.CreateLabel(fish.TestLabel("after", `{}`))
	m.Kill()
	m.Restore(backup)
	m.Start()
	for uid, want := range map[string]int{before: http.StatusOK, after: http.StatusNotFound} {
		if got := admin.Request(http.MethodGet, "/api/v1/label/"+uid, nil); got.Status != want {
			t.Errorf("after the restore: %d %s, want %d", got.Status, got.Body, want)
		}
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	f := Start(t, Options{Topology: Full(1)})
	f.Members[0].Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if got, err := f.Admin(0).Do(ctx, http.MethodGet, "/api/v1/user/me/", nil, ""); err == nil {
		t.Errorf("a paused node answers %d", got.Status)
	}
	if err := f.Reach(0, 0); err != nil {
		t.Errorf("the port of a paused node: %v", err) // it is the kernel that listens
	}
	f.Members[0].Resume()
	if got := f.Admin(0).Request(http.MethodGet, "/api/v1/user/me/", nil); got.Status != http.StatusOK {
		t.Errorf("afterwards it answers %d", got.Status)
	}
}

// TestCertificatesOfTheTest: a certificate that is too old, one of another CA,
// and the key of another node.
func TestCertificatesOfTheTest(t *testing.T) {
	t.Parallel()
	f := New(t, Options{Topology: Full(4), Apart: true, Each: func(node int, s *Settings) {
		if node == 2 {
			s.Authority = NewAuthority(t)
		}
	}})
	old, foreign, twin := f.Members[1], f.Members[2], f.Members[3]
	f.Members[0].Start()

	f.Authority.Certify(old, time.Now().AddDate(-1, 0, 0), time.Now().Add(-time.Hour))
	old.Spawn()
	if code := old.WaitExit(); code != 1 {
		t.Errorf("with an old certificate the node ends with %d, want 1", code)
	}
	if _, stderr := old.Lines(); !strings.Contains(strings.Join(stderr, "\n"), "expired on") {
		t.Errorf("with an old certificate it says %q", stderr)
	}
	f.Authority.Certify(old, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)) // the same key
	old.Start()

	foreign.Start()
	stranger := f.client(f.Members[0])
	stranger.URL = "https://" + foreign.Address
	if got, err := stranger.Do(t.Context(), http.MethodGet, "/api/v1/user/me/", nil, ""); err == nil {
		t.Errorf("a node of another CA is trusted: %d", got.Status)
	}

	f.Twin(0, 3)
	twin.Start()
	if a, b := uidOfNode(f, 0), uidOfNode(f, 3); a != b {
		t.Errorf("the twin of %s is %s", a, b)
	}
}

// TestKeptMember: a node may begin as the kept home of another version, beside
// others of its CA.
func TestKeptMember(t *testing.T) {
	t.Parallel()
	f := Start(t, Options{Topology: Full(2), Apart: true, Each: func(node int, s *Settings) {
		if node == 0 {
			s.Kept = BeforeCluster
		}
	}})
	kept := f.Members[0].Kept
	if got := uidOfNode(f, 0); got != kept.NodeUID {
		t.Errorf("the kept node is %s, want %s", got, kept.NodeUID)
	}
	checkKeptAnswers(t, f.Members[0].Node, kept)
	sameCA := f.client(f.Members[0])
	sameCA.URL = "https://" + f.Members[1].Address
	if got := sameCA.Request(http.MethodGet, "/api/v1/user/me/", nil); got.Status != http.StatusUnauthorized {
		t.Errorf("the other node, checked against the kept CA, answers %d", got.Status)
	}
}
