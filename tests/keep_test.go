package tests

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// onFolder runs a command on the node's folder and wants an exit code.
func onFolder(t *testing.T, n *fish.Node, code int, args ...string) fish.Result {
	t.Helper()
	got := fish.Run(t, n.Dir, append(args, "--cfg", filepath.Join(n.Dir, "fish.yaml"))...)
	if got.Code != code {
		t.Fatalf("%v: exit code %d, want %d\n%s%s", args, got.Code, code, got.Stdout, got.Stderr)
	}
	return got
}

// TestBackupAndRestore: a copy made while the node runs is put back after more
// has happened; what runs by then is left alone until somebody confirms.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	label := n.CreateLabel(fish.TestLabel("linux", `{}`))
	known := n.CreateApplication(label, `{}`)
	n.WaitStatus(known, "ALLOCATED")
	file := filepath.Join(n.Dir, "copy.db")
	onFolder(t, n, 0, "db", "backup", file)
	young := n.CreateApplication(label, `{}`)
	n.WaitStatus(young, "ALLOCATED")
	if got := onFolder(t, n, 0, "db", "check"); !strings.Contains(got.Stdout, "2 applications (2 not over, 2 environments)") {
		t.Errorf("db check says %q", got.Stdout)
	}
	if got := onFolder(t, n, 1, "db", "restore", file); !strings.Contains(got.Stderr, "is running already") || strings.Contains(got.Stderr, "Usage:") {
		t.Errorf("restore under a running node: %q", got.Stderr)
	}
	n.Stop()
	got := onFolder(t, n, 0, "db", "restore", file)
	if !strings.Contains(got.Stdout, "restored: 1 applications") || !strings.Contains(got.Stdout, ".before-restore-") {
		t.Errorf("restore says %q", got.Stdout)
	}
	n.Start()
	n.WaitLine("the database is a restored copy")
	if s := n.State(known); s.Status != "ALLOCATED" {
		t.Errorf("what the copy knows is %+v", s)
	}
	if r := n.Request("GET", applicationsPath+young, nil); r.Status != 404 {
		t.Errorf("what is younger than the copy: %d %s", r.Status, r.Body)
	}
	if left := environments(t, filepath.Join(n.Dir, "fish_test_workspace")); len(left) != 2 {
		t.Errorf("environments %v, want both", left)
	}
	if got := onFolder(t, n, 0, "db", "confirm"); !strings.Contains(got.Stdout, "confirmed the copy of") {
		t.Errorf("confirm says %q", got.Stdout)
	}
	if got := onFolder(t, n, 0, "db", "confirm"); !strings.Contains(got.Stdout, "nothing to confirm") {
		t.Errorf("second confirm says %q", got.Stdout)
	}
	var report struct {
		Findings []string
		Stats    struct{ Restored *string }
	}
	if err := json.Unmarshal([]byte(onFolder(t, n, 0, "db", "check", "--json").Stdout), &report); err != nil || report.Stats.Restored != nil {
		t.Errorf("check after confirm: %+v, %v", report, err)
	}
}

// TestRestoredQueue: what waited in the copy is not run until somebody says so.
func TestRestoredQueue(t *testing.T) {
	t.Parallel()
	for _, choice := range []string{"run", "end"} {
		t.Run(choice, func(t *testing.T) {
			t.Parallel()
			n := fish.Start(t, fish.Options{})
			label := n.CreateLabel(fish.TestLabel("linux", `{}`))
			n.Request("GET", maintenancePath, nil)
			app := n.CreateApplication(label, `{}`)
			file := filepath.Join(n.Dir, "copy.db")
			onFolder(t, n, 0, "db", "backup", file)
			n.Stop()
			onFolder(t, n, 0, "db", "restore", file)
			n.Start()
			n.WaitLine("waiting=1")
			n.WaitStatus(n.CreateApplication(label, `{}`), "ALLOCATED") // who asks now is served
			if s := n.State(app); s.Status != "NEW" {
				t.Errorf("what waited in the copy is %+v", s)
			}
			if r := n.Request("GET", applicationsPath+app+"/explain", nil); !strings.Contains(string(r.Body), "restored_copy") {
				t.Errorf("explained by %s", r.Body)
			}
			if got := onFolder(t, n, 1, "db", "confirm"); !strings.Contains(got.Stderr, "1 applications waited") || !strings.Contains(got.Stderr, "--waiting=run") {
				t.Errorf("confirm without a choice says %q", got.Stderr)
			}
			onFolder(t, n, 1, "db", "confirm", "--waiting=maybe")
			onFolder(t, n, 0, "db", "confirm", "--waiting="+choice)
			n.WaitStatus(app, map[string]string{"run": "ALLOCATED", "end": "ERROR"}[choice])
		})
	}
}

// TestCheckOfARottenFile ends with an exit code that a script sees.
func TestCheckOfARottenFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "rotten.db")
	if err := os.WriteFile(file, []byte(strings.Repeat("rotten", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := fish.Run(t, dir, "db", "check", file); got.Code != 1 || !strings.Contains(got.Stderr, "not sound") {
		t.Errorf("%+v", got)
	}
	if got := fish.Run(t, dir, "db", "check", "--dir", "nowhere"); got.Code != 1 || !strings.Contains(got.Stderr, "--dir") {
		t.Errorf("%+v", got)
	}
}

func TestResetAPassword(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	if got := onFolder(t, n, 1, "user", "reset", "admin", "--offline"); !strings.Contains(got.Stderr, "is running already") {
		t.Errorf("reset under a running node: %q", got.Stderr)
	}
	n.Stop()
	if got := onFolder(t, n, 1, "user", "reset", "nobody", "--offline"); !strings.Contains(got.Stderr, `there is no user "nobody"`) {
		t.Errorf("reset of nobody: %q", got.Stderr)
	}
	onFolder(t, n, 1, "user", "reset", "admin")
	password := strings.TrimSpace(onFolder(t, n, 0, "user", "reset", "admin", "--offline").Stdout)
	old := n.AdminPassword
	n.Start()
	want(t, "the old password", n.As("admin", old).Request("GET", mePath, nil), 401, "Unauthorized")
	if r := n.As("admin", password).Request("GET", mePath, nil); r.Status != 200 {
		t.Errorf("the new password: %d %s", r.Status, r.Body)
	}
	type event struct {
		Action, User, Result, Detail string
		ObjectName                   string `json:"object_name"`
	}
	for query, want := range map[string]event{
		"user.reset": {"user.reset", "", "ok", "with the node stopped, by the system's user ", "admin"},
		"user.set":   {"user.set", "", "ok", "created by the node: there was none", "admin"},
		"node.start": {"node.start", "", "ok", "config as at the last start", fish.NodeName},
	} {
		events := fish.Get[struct{ Events []event }](n.As("admin", password), "/api/v1/audit/?action="+query).Events
		if len(events) == 0 {
			t.Errorf("the audit has no %s", query)
			continue
		}
		got := events[0]
		if got.Detail = got.Detail[:min(len(got.Detail), len(want.Detail))]; got != want {
			t.Errorf("audit: %+v, want %+v", got, want)
		}
	}
}

// TestLooseModesAreTightened at the start, with one warning each.
func TestLooseModesAreTightened(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	n.Stop()
	folder := filepath.Join(n.Dir, "fish_data", "127.0.0.1:8001")
	stray := filepath.Join(folder, "sqlite.db.v0.7-copy")
	if err := os.WriteFile(stray, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	loose := map[string]fs.FileMode{
		filepath.Join(n.Dir, "fish_data"): 0o755, folder: 0o750, filepath.Join(folder, "sqlite.db"): 0o640, stray: 0o644,
		filepath.Join(n.Dir, "fish_data", "ca.key"): 0o644,
	}
	for path, mode := range loose {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	n.Start()
	stdout, _ := n.Lines()
	text := strings.Join(stdout, "\n")
	for path, was := range loose {
		want := fs.FileMode(0o600)
		if was&0o100 != 0 {
			want = 0o700
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
		rel, _ := filepath.Rel(n.Dir, path)
		if got := strings.Count(text, "path="+rel+" ") + strings.Count(text, `path="`+rel+`" `); got != 1 {
			t.Errorf("%d warnings about %s, want one\n%s", got, rel, text)
		}
	}
	for _, end := range []string{"-wal", "-shm"} {
		if info, err := os.Stat(filepath.Join(folder, "sqlite.db"+end)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", end, info, err)
		}
	}
}
