package tests

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// shown is a member as the cluster's route shows it.
type shown struct {
	UID, Name, State string
}

// membersOf are the members that a node shows, by UID.
func membersOf(n *fish.Node) map[string]shown {
	byUID := map[string]shown{}
	for _, m := range fish.Get[struct{ Members []shown }](n.Client, "/api/v1/cluster/").Members {
		byUID[m.UID] = m
	}
	return byUID
}

// stateAt is the state of a member as a node sees it; empty if it does not know it.
func stateAt(n *fish.Node, uid string) string { return membersOf(n)[uid].State }

// nodeUIDOf is the UID of a node, by its own word.
func nodeUIDOf(n *fish.Node) string {
	return fish.Get[struct{ UID string }](n.Client, "/api/v1/node/this/").UID
}

// joined invites a machine, lets it join and starts it.
func joined(t *testing.T, inviter *fish.Node, name string) *fish.Node {
	t.Helper()
	n := machine(t, name)
	mustJoin(t, n, invite(inviter, name).Token)
	n.AdminPassword = inviter.AdminPassword
	n.Start()
	return n
}

// drained drains a node, or puts it back to work.
func drained(n *fish.Node, on bool) {
	body := `{"enable":true}`
	if !on {
		body = `{"enable":false}`
	}
	fish.Post[struct{}](n.Client, "/api/v1/node/this/drain", body)
}

// retireBy runs `cluster retire` as an admin of the node's machine does.
func retireBy(t *testing.T, n *fish.Node, args ...string) fish.Result {
	t.Helper()
	return clusterBy(t, n, append([]string{"retire"}, args...)...)
}

// clusterBy runs a command of `cluster` as an admin of the node's machine does.
func clusterBy(t *testing.T, n *fish.Node, args ...string) fish.Result {
	t.Helper()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(n.AdminPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"cluster", args[0], "--address", n.Address(), "--ca", "fish_data/ca.crt", "--password-file", password}, args[1:]...)
	return fish.Run(t, n.Dir, args...)
}

// wantLine waits until a node has logged a line with all of the words.
func wantLine(t *testing.T, n *fish.Node, words ...string) {
	t.Helper()
	fish.Eventually(t, n.Dir+" logs "+strings.Join(words, " ... "), func() bool {
		stdout, stderr := n.Lines()
		for _, line := range append(stdout, stderr...) {
			found := true
			for _, w := range words {
				found = found && strings.Contains(line, w)
			}
			if found {
				return true
			}
		}
		return false
	})
}

// TestStolenMac is what the README tells to do: b is gone with what it runs and what waits for its decision. It is
// retired; the rest of the farm takes over, its key is refused with words on both sides, and a new machine has its name.
func TestStolenMac(t *testing.T) {
	t.Parallel()
	a := fish.Start(t, fish.Options{})
	b, c := joined(t, a, "b"), joined(t, a, "c")
	stolen := nodeUIDOf(b)
	for _, n := range []*fish.Node{a, b, c} {
		fish.Eventually(t, "all three know each other", func() bool {
			active := 0
			for _, m := range membersOf(n) {
				if m.State == "active" {
					active++
				}
			}
			return active == 3
		})
	}
	drained(a, true)
	drained(c, true)
	label := a.CreateLabel(fish.TestLabel("linux", `{}`))
	fish.Eventually(t, "b knows the label", func() bool { return b.Request(http.MethodGet, "/api/v1/label/"+label, nil).Status == http.StatusOK })
	runs := b.CreateApplication(label, `{}`)
	a.WaitStatus(runs, "ALLOCATED")
	drained(b, true)
	waits := b.CreateApplication(label, `{}`)
	c.WaitStatus(waits, "NEW")

	refused := retireBy(t, a, "b", "--yes")
	if refused.Code != 1 || !strings.Contains(refused.Stderr, "b can be reached, so it runs") {
		t.Errorf("retired while it runs: %d %s", refused.Code, refused.Stderr)
	}
	b.Kill()
	drained(a, false)
	drained(c, false)
	for _, n := range []*fish.Node{a, c} {
		fish.Eventually(t, "b is known to be gone", func() bool { return stateAt(n, stolen) == "unreachable" })
	}
	got := retireBy(t, a, "b", "--successor", "c", "--yes")
	if got.Code != 0 || !strings.Contains(got.Stdout, "Successor  c") || !strings.Contains(got.Stderr, "its machine is off. The 1 that ran there") {
		t.Fatalf("retire: exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
	if again := retireBy(t, a, stolen, "--yes"); again.Code != 0 || !strings.Contains(again.Stderr, "was retired before") {
		t.Errorf("once more: exit code %d\n%s", again.Code, again.Stderr)
	}
	if state := c.WaitStatus(runs, "ERROR"); !strings.Contains(state.Description, "Node b was retired") {
		t.Errorf("what ran on b ended as %+v", state)
	}
	a.WaitStatus(waits, "ALLOCATED")
	for _, n := range []*fish.Node{a, c} {
		fish.Eventually(t, "b is shown as retired", func() bool { return stateAt(n, stolen) == "retired" })
	}

	b.Spawn() // whoever has it switches it on
	wantLine(t, b, "refused", "was retired")
	wantLine(t, a, "refused", "was retired")
	if state := stateAt(a, stolen); state != "retired" {
		t.Errorf("switched on, b is %s", state)
	}
	b.Kill()
	if got := join(t, b, invite(a, "b").Token); !strings.Contains(got.Stdout, "if it was retired: move its key and certificate out") {
		t.Errorf("with the key that was retired join says:\n%s%s", got.Stdout, got.Stderr)
	}

	other := joined(t, a, "b")
	uid := nodeUIDOf(other)
	for _, n := range []*fish.Node{a, c, other} {
		fish.Eventually(t, "another machine has the name", func() bool { return stateAt(n, uid) == "active" })
	}
	if uid == stolen {
		t.Error("with the key of the stolen one")
	}
	other.Deallocate(waits)
	a.WaitStatus(waits, "DEALLOCATED")
	nodes := fish.Get[[]struct{ UID, Name string }](other.Client, "/api/v1/node/")
	if len(nodes) != 3 || slices.ContainsFunc(nodes, func(n struct{ UID, Name string }) bool { return n.UID == stolen }) {
		t.Errorf("the nodes are %+v, want the three that are not retired", nodes)
	}
	list := fish.Get[[]struct {
		Name      string
		Successor string `json:"successor_name"`
	}](other.Client, "/api/v1/cluster/retirement/")
	if len(list) != 1 || list[0].Name != "b" || list[0].Successor != "c" {
		t.Errorf("the new node lists %+v", list)
	}
}
