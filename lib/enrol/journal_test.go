package enrol

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*") // a folder may be called as it likes
	if err := os.Mkdir(dir, 0o700); err != nil {
		if runtime.GOOS == "windows" {
			t.Skip("no such names here")
		}
		t.Fatal(err)
	}
	want := Journal{
		Node: "b", CAs: "cas", Chain: "chain", Addresses: []string{"a:1"}, Moves: [][2]string{{"x", "y"}}, Database: "d", Kept: "k",
		Users:  []model.User{{Name: "eve", Hash: model.PasswordHash{Algo: "Argon2id", Memory: 1, Iterations: 2, Threads: 3, Salt: []byte{1}, Hash: []byte{2}}}},
		Labels: []model.Label{{Name: "l", Version: 3, Metadata: json.RawMessage(`{"k":1}`), Definitions: []model.LabelDefinition{{Driver: "test", Options: json.RawMessage(`{}`), Authentication: &model.Authentication{Username: "u", Password: "p"}}}}},
	}
	if err := Unfinished(dir, "b"); err != nil {
		t.Errorf("before: %v", err)
	}
	if got, err := LoadJournal(dir, "b"); got != nil || err != nil {
		t.Errorf("before: %v, %v", got, err)
	}
	if err := want.Save(dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(journalPath(dir, "b")); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("%v, %v, want mode 0600: it has hashes and secrets", info, err)
	}
	got, err := LoadJournal(dir, "b")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := Unfinished(dir, "b"); err == nil || !strings.Contains(err.Error(), "cluster join") {
		t.Errorf("Unfinished = %v", err)
	}
	if err := Unfinished(dir, "c"); err != nil {
		t.Errorf("of another node: %v", err)
	}
	for node, found := range map[string]string{"b": "b", "c": "b"} {
		if name, err := FindJournal(dir, node); name != found || err != nil {
			t.Errorf("FindJournal(%s) = %q, %v, want %s", node, name, err, found)
		}
	}
	other := want
	other.Node = "d"
	if err := other.Save(dir); err != nil {
		t.Fatal(err)
	}
	if name, err := FindJournal(dir, "c"); err == nil {
		t.Errorf("of several: %q, want an error", name)
	}
	if err := want.Done(dir); err != nil || Unfinished(dir, "b") != nil {
		t.Errorf("after: %v, %v", err, Unfinished(dir, "b"))
	}
	if err := os.WriteFile(journalPath(dir, "b"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadJournal(dir, "b"); err == nil {
		t.Error("a torn journal was read")
	}
}

// What was set aside stays there, also when another file has its old name by now.
func TestFilesAreSetAsideOnce(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.crt.before")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j := Journal{Moves: [][2]string{{from, to}, {filepath.Join(dir, "absent"), filepath.Join(dir, "absent.before")}}}
	for _, text := range []string{"old", "new"} {
		write(text)
		if err := j.SetFilesAside(); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(to); err != nil || string(got) != "old" {
			t.Errorf("set aside: %q, %v, want old", got, err)
		}
	}
	if got, err := os.ReadFile(from); err != nil || string(got) != "new" {
		t.Errorf("in its place: %q, %v, want new", got, err)
	}
}
