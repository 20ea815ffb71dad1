package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestRotateCA replaces the CA while the nodes run: at every step each trusts what the other has.
func TestRotateCA(t *testing.T) {
	t.Parallel()
	a := fish.Start(t, fish.Options{})
	b := machine(t, "b")
	mustJoin(t, b, invite(a, "b").Token)
	aData, bData := filepath.Join(a.Dir, "fish_data"), filepath.Join(b.Dir, "fish_data")
	rotate := func(n *fish.Node, code int, step ...string) string {
		t.Helper()
		got := fish.Run(t, n.Dir, append([]string{"cluster", "rotate-ca", "--cfg", filepath.Join(n.Dir, "fish.yaml")}, step...)...)
		if got.Code != code {
			t.Fatalf("rotate-ca %v: exit code %d, want %d\n%s\n%s", step, got.Code, code, got.Stdout, got.Stderr)
		}
		return got.Stdout + got.Stderr
	}
	copyCA := func() {
		t.Helper()
		if err := os.WriteFile(filepath.Join(bData, "ca.crt"), []byte(readFile(t, aData, "ca.crt")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wantIn(t, rotate(a, 0), "phase: none")
	wantIn(t, rotate(b, 1, "add"), "is not here")
	wantIn(t, rotate(a, 1, "sign"), "begin with")
	wantIn(t, rotate(a, 0, "add"), "phase: added")
	wantIn(t, rotate(a, 0, "add"), "phase: added")
	wantIn(t, rotate(a, 1, "drop"), "comes first")
	copyCA()
	wantIn(t, rotate(a, 0, "sign"), "phase: signing")
	wantIn(t, rotate(a, 0, "sign"), "phase: signing")
	wantIn(t, rotate(a, 1, "drop"), "own certificate")
	a.Restart() // its own certificate is signed anew at once
	cas, err := crypt.ParseBundle([]byte(readFile(t, aData, "ca.crt")))
	if err != nil || len(cas) != 2 {
		t.Fatalf("%d CAs, %v", len(cas), err)
	}
	if err := parseCert(t, aData, fish.NodeName+".crt").CheckSignatureFrom(cas[1]); err != nil {
		t.Errorf("a's certificate is not of the new CA: %v", err)
	}
	wantIn(t, rotate(b, 1, "drop"), "own certificate")
	mustJoin(t, b, invite(a, "b").Token)
	if err := parseCert(t, bData, "b.crt").CheckSignatureFrom(cas[1]); err != nil {
		t.Errorf("b's certificate is not of the new CA: %v", err)
	}
	wantIn(t, rotate(a, 0, "drop"), "phase: none")
	wantIn(t, rotate(b, 0, "drop"), "phase: none")
	if _, err := os.Stat(filepath.Join(aData, "ca.key.old")); err == nil {
		t.Error("the old CA's key is still there")
	}
	a.Restart()
	b.Start()
	b.WaitReady()
	if readFile(t, aData, "ca.crt") != readFile(t, bData, "ca.crt") {
		t.Error("the nodes trust different CAs")
	}
}

func wantIn(t *testing.T, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("printed:\n%s\nwant %q", text, want)
	}
}
