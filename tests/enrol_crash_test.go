package tests

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestJoinIsKilled kills the join wherever it is, again and again, until one ends by itself: the next try always goes on,
// and what comes of it is one member with one key.
func TestJoinIsKilled(t *testing.T) {
	t.Parallel()
	a, b := fish.Start(t, fish.Options{}), machine(t, "b")
	b.Start() // it was used alone, so that there is much to set aside
	b.CreateLabel(fish.TestLabel("mine", `{}`))
	b.Stop()
	data := filepath.Join(b.Dir, "fish_data")
	key := readFile(t, data, "b.key")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(invite(a, "b").Token), 0o600); err != nil {
		t.Fatal(err)
	}
	for patience := 20 * time.Millisecond; ; patience += 15 * time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := exec.CommandContext(ctx, os.Getenv(fish.BinaryEnv), "cluster", "join", "--cfg", "fish.yaml", "--import", "--token-file", file)
		cmd.Dir = b.Dir
		out, err := cmd.CombinedOutput()
		killed := ctx.Err() != nil
		cancel()
		if err == nil {
			break
		}
		if !killed {
			t.Fatalf("after %v: %v\n%s", patience, err, out)
		}
	}
	b.AdminPassword = a.AdminPassword
	b.Start()
	b.WaitReady()
	if readFile(t, data, "b.key") != key {
		t.Error("the node got another key")
	}
	if err := parseCert(t, data, "b.crt").CheckSignatureFrom(parseCert(t, a.Dir, "fish_data", "ca.crt")); err != nil {
		t.Error(err)
	}
	type named struct{ Name string }
	if labels := fish.Get[[]named](b.Client, "/api/v1/label/"); len(labels) != 1 || labels[0].Name != "mine" {
		t.Errorf("labels %v, want the one that was brought along", labels)
	}
	if left, _ := filepath.Glob(filepath.Join(data, "*_join.json")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestJoinAfterACrash: between the redemption and the last file, wherever it was, the next try finishes, with the token
// as long as the machine has no answer, and without it from then on; a start in between is refused.
func TestJoinAfterACrash(t *testing.T) {
	t.Parallel()
	a := fish.Start(t, fish.Options{})
	t.Run("the answer was lost", func(t *testing.T) {
		b := machine(t, "lost")
		token := invite(a, "lost").Token
		mustJoin(t, b, token)
		data := filepath.Join(b.Dir, "fish_data")
		for _, name := range []string{"ca.crt", "lost.crt"} { // as if nothing had come: the key alone is there
			if err := os.Remove(filepath.Join(data, name)); err != nil {
				t.Fatal(err)
			}
		}
		mustJoin(t, b, token)
		b.Start()
		b.WaitReady()
	})
	t.Run("the journal is there", func(t *testing.T) {
		b := machine(t, "half")
		mustJoin(t, b, invite(a, "half").Token)
		data := filepath.Join(b.Dir, "fish_data")
		journal, err := json.Marshal(map[string]any{
			"node": "half", "cas": readFile(t, data, "ca.crt"), "certificate": readFile(t, data, "half.crt"), "addresses": []string{a.Address()},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(data, "half_join.json"), journal, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"ca.crt", "half.crt"} {
			if err := os.Remove(filepath.Join(data, name)); err != nil {
				t.Fatal(err)
			}
		}
		config := filepath.Join(b.Dir, "fish.yaml")
		if got := fish.Run(t, b.Dir, "--cfg", config); got.Code != 1 || !strings.Contains(got.Stderr, "begun to join") {
			t.Errorf("a start: %d\n%s\n%s", got.Code, got.Stdout, got.Stderr)
		}
		if got := fish.Run(t, b.Dir, "cluster", "join", "--cfg", config); got.Code != 0 {
			t.Fatalf("going on: %d\n%s\n%s", got.Code, got.Stdout, got.Stderr)
		}
		b.Start()
		b.WaitReady()
	})
}
