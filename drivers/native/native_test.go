package native

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/drivers/native/keeper"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestUnsatisfiable: an instance that can not serve says what to do.
func TestUnsatisfiable(t *testing.T) {
	for _, tt := range []struct{ name, cfg, want string }{
		{"no tool", "useradd_path: /no/such/tool\n", "isolation user: "},
		{"nothing left", "isolation: process\ncpu_alter: -10000\n", "cpu_alter"},
		{"a file as workspace", "isolation: process\nworkspace_path: /dev/null\n", "workspace_path"},
		{"wrong word", "isolation: none\n", "want user or process"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := tt.cfg
			if !strings.Contains(cfg, "workspace_path") {
				cfg += "workspace_path: " + filepath.Join(t.TempDir(), "w") + "\n"
			}
			d, err := New(t.Context(), drivers.Config{
				Instance: "native", Cfg: []byte(cfg + "images_path: " + t.TempDir() + "\n"),
				NodeUID: node, Directory: t.TempDir(), Logger: slog.New(slog.DiscardHandler),
			})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New() = %v, %v, want %q", d, err, tt.want)
			}
		})
	}
}

func TestWorkspaceThatUsersCanNotEnter(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	workspace := filepath.Join(dir, "w")
	if err := os.Mkdir(workspace, folderMode); err != nil {
		t.Fatal(err)
	}
	if err := enterable(workspace); err == nil || !strings.Contains(err.Error(), "may not pass "+dir) {
		t.Errorf("enterable() = %v, want the folder that is closed", err)
	}
}

// TestKilledKeeper: what it kept is found and killed by the release.
func TestKilledKeeper(t *testing.T) {
	for name, cfg := range map[string]string{"process": process, "user": ""} {
		t.Run(name, func(t *testing.T) {
			if cfg == "" {
				needsUsers(t)
			}
			s := newSite(t, cfg)
			d := s.start(t)
			req, identifier := mustAllocate(t, d, definition(`{"entry":"trap : INT TERM; setsid sh -c 'trap : INT TERM HUP; echo up; while :; do sleep 1; done' & while :; do sleep 1; done"}`))
			folder := d.workspace.Folder(identifier)
			waitFor(t, "the daemon", func() bool { return strings.Contains(read(t, filepath.Join(folder, "log")), "up") })
			state, err := keeper.Look(folder, req.Token)
			if err != nil {
				t.Fatal(err)
			}
			kill(t, state.Keeper)
			ref := drivers.Ref{Token: req.Token}
			if ending, err := d.Watch(t.Context(), ref); err != nil || !strings.Contains(ending, "keeper") {
				t.Errorf("Watch() = %q, %v, want that the keeper was killed", ending, err)
			}
			if err := d.Deallocate(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
			if left := s.leftovers(t); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("no %s within 20 s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestAdopted: an environment of the old version, known by its name alone.
func TestAdopted(t *testing.T) {
	needs.Root(t, "to make users")
	d := newSite(t, "").start(t)
	name := identifiers(strings.ReplaceAll(uuid.NewString(), "-", ""))[0]
	home := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("useradd", "--system", "-m", "-d", home, name).CombinedOutput(); err != nil {
		t.Fatalf("useradd: %v %s", err, out)
	}
	sleeper := exec.Command("su", "-s", "/bin/sh", name, "-c", "exec sleep 1000")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("sh", "-c", "kill -9 "+strconv.Itoa(sleeper.Process.Pid)).Run() // gone already if all is well
		_ = sleeper.Wait()
		_ = exec.Command("userdel", "-f", name).Run()
	})
	if r, err := d.Inspect(t.Context(), drivers.Ref{Token: strings.Repeat("0", 32), Identifier: name}); err != nil || r.Presence != drivers.Absent {
		t.Errorf("Inspect() with a token = %+v, %v, want Absent", r, err)
	}
	ref := drivers.Ref{Identifier: name}
	if r, err := d.Inspect(t.Context(), ref); err != nil || r.Presence != drivers.Running {
		t.Errorf("Inspect() = %+v, %v, want Running", r, err)
	}
	if err := d.Deallocate(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if u, err := user.Lookup(name); err == nil {
		t.Errorf("the user is left: %+v", u)
	}
	if there, _ := exists(home); there {
		t.Error("the home is left")
	}
}

// TestTellsOfTheProxy: an environment finds the node's proxy and what it has to
// say there, and neither its application nor its label can tell it otherwise.
func TestTellsOfTheProxy(t *testing.T) {
	t.Parallel()
	d := newSite(t, process).start(t)
	tell := func(proxy metadata.Proxy) string {
		req := drivers.Request{
			ApplicationUID: uuid.New(), Token: strings.ReplaceAll(uuid.NewString(), "-", ""), Definition: definition(`{"entry":"env"}`),
			Metadata:      json.RawMessage(`{"AQUARIUM_FISH_SOCKS_PROXY":"evil","aquarium_fish_http_proxy":"evil","AQUARIUM_FISH_SSH_RECORD":true}`),
			LabelMetadata: json.RawMessage(`{"AQUARIUM_FISH_HTTP_PROXY":"evil","AQUARIUM_FISH_SSH_RECORD":true}`), Proxy: proxy,
		}
		env, err := d.Allocate(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		said := finish(t, d, req, env.Identifier)
		if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
			t.Error(err)
		}
		if strings.Contains(said, "evil") || strings.Contains(said, "SSH_RECORD") {
			t.Errorf("the environment has what metadata says in the node's name:\n%s", said)
		}
		return said
	}
	said := tell(metadata.Proxy{Listener: netip.MustParseAddrPort("[::]:1080"), User: "me", Password: "secret"})
	for _, line := range []string{
		"AQUARIUM_FISH_SOCKS_PROXY=socks5h://me:secret@127.0.0.1:1080\n", "AQUARIUM_FISH_HTTP_PROXY=http://me:secret@127.0.0.1:1080\n",
	} {
		if !strings.Contains(said, line) {
			t.Errorf("the environment has no %q:\n%s", line, said)
		}
	}
	if said := tell(metadata.Proxy{}); strings.Contains(said, "PROXY=") {
		t.Errorf("the environment was told of a proxy that does not listen:\n%s", said)
	}
}

// TestGroupsOfTheUser: the first is the primary one.
func TestGroupsOfTheUser(t *testing.T) {
	needsUsers(t)
	d := newSite(t, "").start(t)
	req, name := mustAllocate(t, d, definition(`{"entry":"id -gn; id -Gn; pwd","groups":["users","mail"]}`))
	got := strings.Fields(finish(t, d, req, name))
	if len(got) < 3 || got[0] != "users" || !slices.Contains(got[1:], "mail") {
		t.Errorf("id printed %q, want users first and mail", got)
	}
	missing := drivers.Request{ApplicationUID: uuid.New(), Token: strings.Repeat("9a", 16), Definition: definition(`{"groups":["no-such-group"]}`)}
	if _, err := d.Allocate(t.Context(), missing); err == nil || !strings.Contains(err.Error(), "no-such-group") {
		t.Errorf("Allocate() with an unknown group = %v, want its name", err)
	}
	if err := d.Deallocate(context.Background(), drivers.Ref{Token: missing.Token}); err != nil {
		t.Error(err)
	}
}

func TestGroupsNeedUsers(t *testing.T) {
	d := newSite(t, process).start(t)
	def := model.LabelDefinition{Options: json.RawMessage(`{"groups":["users"]}`)}
	if err := d.Validate(def); err == nil || !strings.Contains(err.Error(), "isolation: process") {
		t.Errorf("Validate() = %v, want why not", err)
	}
}
