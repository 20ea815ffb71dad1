package farm

import (
	"archive/tar"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// startKept runs today's binary in the kept home.
func startKept(t *testing.T, name string) (*fish.Node, Kept) {
	t.Helper()
	dir := t.TempDir()
	kept := Unpack(t, name, dir)
	n := fish.Start(t, fish.Options{Dir: dir, Config: kept.Config, AdminPassword: kept.Passwords["admin"]})
	return n, kept
}

// checkKeptAnswers compares what the API says with what it said of old.
func checkKeptAnswers(t *testing.T, n *fish.Node, kept Kept) {
	t.Helper()
	if len(kept.Answers) < 50 {
		t.Errorf("only %d answers were kept", len(kept.Answers))
	}
	for _, a := range kept.Answers {
		got := n.As(a.User, kept.Passwords[a.User]).Request(http.MethodGet, a.Path, nil)
		if diff := cmp.Diff(a.Body, string(got.Body)); diff != "" || got.Status != http.StatusOK {
			t.Errorf("GET %s as %s: status %d (-then +now):\n%s", a.Path, a.User, got.Status, diff)
		}
	}
}

// TestKeptHomeIsUnderstood opens the database of a node that ran alone with
// today's binary: everything is shown as it was, also after another start, and
// what was going on goes on to its end.
func TestKeptHomeIsUnderstood(t *testing.T) {
	t.Parallel()
	n, kept := startKept(t, BeforeCluster)
	type node struct{ UID, Name string }
	if got := fish.Get[[]node](n.Client, "/api/v1/node/"); len(got) != 1 || got[0] != (node{kept.NodeUID, kept.NodeName}) {
		t.Errorf("nodes are %+v, want the kept one, %s", got, kept.NodeUID)
	}
	checkKeptAnswers(t, n, kept)
	n.Restart()
	checkKeptAnswers(t, n, kept)

	n.Stop()
	n.Reconfigure(kept.Quick)
	n.Start()
	n.WaitStatus(kept.Applications["deallocate"], "DEALLOCATED")
	n.WaitStatus(kept.Applications["elected"], "ALLOCATED")
	for _, name := range []string{"allocated", "busy", "elected"} {
		n.Deallocate(kept.Applications[name])
	}
	for _, name := range []string{"allocated", "busy", "elected"} {
		n.WaitStatus(kept.Applications[name], "DEALLOCATED")
	}
	if got := n.State(kept.Applications["new"]).Status; got != "NEW" {
		t.Errorf("what waits for a driver that is not there is %s, want NEW", got)
	}
	left, err := filepath.Glob(filepath.Join(n.Dir, "*", "test-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("environments left: %v, %v", left, err)
	}
}

func TestPackAndUnpackOne(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(from, "a", "b"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "a", "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("node,test,token", filepath.Join(from, "a", "b", "marker")); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	if err := pack(from, &packed); err != nil {
		t.Fatal(err)
	}
	if err := unpackAll(&packed, to); err != nil {
		t.Fatal(err)
	}
	if got, err := os.Readlink(filepath.Join(to, "a", "b", "marker")); got != "node,test,token" || err != nil {
		t.Errorf("marker = %q, %v", got, err)
	}
	if info, err := os.Stat(filepath.Join(to, "a", "secret")); err != nil || info.Mode() != 0o600 || info.Size() != 1 {
		t.Errorf("secret = %+v, %v", info, err)
	}
	if err := unpackOne(&tar.Header{Name: "../out", Typeflag: tar.TypeReg}, io.LimitReader(nil, 0), to); err == nil {
		t.Error("a file outside of the folder is unpacked")
	}
}
