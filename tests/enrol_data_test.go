package tests

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestJoinWithData: a node that was used alone is asked what is to become of what it holds.
func TestJoinWithData(t *testing.T) {
	t.Parallel()
	a := fish.Start(t, fish.Options{Config: "drivers: [{name: test}]\n"})
	a.CreateLabel(fish.TestLabel("both", `{}`))
	fish.Post[map[string]any](a.Client, "/api/v1/user/", `{"name":"shared","password":"of-a"}`)

	b := machine(t, "b")
	b.Start()
	b.WaitReady()
	b.CreateLabel(fish.TestLabel("both", `{}`))
	mine := b.CreateLabel(fish.TestLabel("mine", `{}`))
	fish.Post[map[string]any](b.Client, "/api/v1/user/", `{"name":"shared","password":"of-b"}`)
	fish.Post[map[string]any](b.Client, "/api/v1/user/", `{"name":"eve","password":"of-eve"}`)
	b.WaitStatus(b.CreateApplication(mine, `{}`), "ALLOCATED")
	token := invite(a, "b").Token
	if got := join(t, b, token); got.Code != 1 || !strings.Contains(got.Stderr, "is running already") {
		t.Errorf("of a node that runs: %d %s", got.Code, got.Stderr)
	}
	b.Stop()
	data := filepath.Join(b.Dir, "fish_data")
	key := readFile(t, data, "b.key")

	before := listing(t, data)
	if got := join(t, b, token); got.Code != 1 || !strings.Contains(got.Stderr, "2 labels, 1 applications and 2 users other than admin") ||
		!strings.Contains(got.Stderr, "--import") || !strings.Contains(got.Stderr, "--discard") {
		t.Errorf("without a decision: %d %s", got.Code, got.Stderr)
	}
	dry := mustJoin(t, b, token, "--import", "--dry-run")
	for _, want := range []string{"would bring along: users eve, labels mine:1", "has already: users shared, labels both:1"} {
		if !strings.Contains(dry.Stdout, want) {
			t.Errorf("dry run printed:\n%s\nwant %q", dry.Stdout, want)
		}
	}
	if after := listing(t, data); !slices.Equal(before, after) {
		t.Errorf("a dry run left %v, before there was %v", after, before)
	}
	if got := mustJoin(t, b, token, "--import"); !strings.Contains(got.Stdout, "brought along: 1 users, 1 labels") || got.Stderr != "" {
		t.Errorf("import printed:\n%s\n%s", got.Stdout, got.Stderr)
	}
	if readFile(t, data, "b.key") != key {
		t.Error("the node got another key")
	}
	kept, _ := filepath.Glob(filepath.Join(data, "*", "sqlite.db.before-join-*"))
	oldCA, _ := filepath.Glob(filepath.Join(data, "ca.key.before-join-*"))
	if len(kept) != 1 || len(oldCA) != 1 {
		t.Errorf("kept %v and %v, want the old database and the old CA's key", kept, oldCA)
	}
	b.AdminPassword = a.AdminPassword
	b.Start()
	b.WaitReady()
	type named struct{ Name string }
	var users, labels []string
	for _, u := range fish.Get[[]named](b.Client, "/api/v1/user/") {
		users = append(users, u.Name)
	}
	for _, l := range fish.Get[[]named](b.Client, "/api/v1/label/") {
		labels = append(labels, l.Name)
	}
	slices.Sort(users)
	slices.Sort(labels)
	if !slices.Equal(users, []string{"admin", "eve", "shared"}) || !slices.Equal(labels, []string{"both", "mine"}) {
		t.Errorf("b has users %v, labels %v", users, labels)
	}
	if me := b.As("eve", "of-eve").Request("GET", mePath, nil); me.Status != http.StatusOK {
		t.Errorf("eve's password: %d", me.Status)
	}
	if me := b.As("shared", "of-a").Request("GET", mePath, nil); me.Status != http.StatusOK {
		t.Errorf("the password that shared has in the cluster: %d", me.Status)
	}
}

// listing names all files of a folder but locks, and the database's log, which whoever reads it makes and removes.
func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	passing := regexp.MustCompile(`(\.lock|-wal|-shm)$`)
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if !passing.MatchString(path) {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
