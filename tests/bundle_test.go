package tests

import (
	"archive/tar"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// unpack reads a bundle.
func unpack(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		parts[strings.TrimPrefix(h.Name, "aquarium-fish-debug/")] = string(text)
	}
}

// TestDebugBundle has what a report needs, and none of the secrets that were
// put wherever a node keeps or says something.
func TestDebugBundle(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("planted-file-4711\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KEEP_SECRET", "planted-env-4711")
	config := "# planted-comment-4711\nlog_file: fish.log\ndrivers:\n- name: test\n- name: native\n  cfg:\n    isolation: process\n    download_user: ci\n    download_password: planted-inline-4711\n" +
		"    images_mirrors: [{from: \"https://me:planted-url-4711@host/\", to: [\"https://host/?sig=planted-query-4711\"]}]\n" +
		"- name: native/two\n  cfg: {isolation: process, workspace_path: two, download_password: {file: " + dir + "/secret}}\n" +
		"- name: native/three\n  cfg: {isolation: process, workspace_path: three, download_password: {env: KEEP_SECRET}}\n"
	n := fish.Start(t, fish.Options{Dir: dir, Config: config})
	label := n.CreateLabel(`{"name":"l","version":1,"metadata":{"T":"planted-label-4711"},"definitions":[{"driver":"test","resources":{"cpu":1,"ram":1},"authentication":{"username":"u","password":"planted-auth-4711"}}]}`)
	n.WaitStatus(n.CreateApplication(label, `{"S":"planted-app-4711"}`), "ALLOCATED")
	key, err := os.ReadFile(filepath.Join(dir, "fish_data", "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "node.log")
	basic := base64.StdEncoding.EncodeToString([]byte("admin:" + n.AdminPassword))
	lines := fmt.Sprintf("an ordinary line\nAdmin user pass: %s\nAuthorization: Basic %s\nGET /meta/v1/token/planted-token-4711/data/\n%s\nwith planted-file-4711 in it\ntoken of mac-7 is fishjoin1_planted-invite-4711\nAuthorization: FishJoin planted-join-4711\npassword=planted-log-4711\n",
		n.AdminPassword, basic, key)
	if err := os.WriteFile(log, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AQUARIUM_FISH_USER", "admin")
	t.Setenv("AQUARIUM_FISH_PASSWORD", n.AdminPassword)
	file := filepath.Join(dir, "bundle.tar.gz")
	onFolder(t, n, 0, "debug", "bundle", "-o", file, "--log", log, "--address", strings.TrimPrefix(n.URL, "https://"))
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("bundle: %v, %v, want mode 0600", info.Mode(), err)
	}
	parts := unpack(t, file)
	for name, want := range map[string]string{
		"version.txt": "aquarium-fish ", "config.yml": "download_user: ci", "database.json": `"applications": 1`, "host.json": "{",
		"files.txt": "sqlite.db", "log.txt": "an ordinary line", "node.json": fish.NodeName, "goroutines.txt": "goroutine profile:", "heap.pprof": "\x1f\x8b",
	} {
		if !strings.Contains(parts[name], want) {
			t.Errorf("%s has no %q but %.300q; missing: %s", name, want, parts[name], parts["missing.txt"])
		}
	}
	middle := strings.Split(string(key), "\n")[1]
	for name, text := range parts {
		for _, secret := range []string{"planted-", n.AdminPassword, basic, middle} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("a secret is in %s: %.80q", name, text[max(0, i-20):])
			}
		}
	}
	if got := onFolder(t, n, 1, "debug", "bundle", "-o", file); !strings.Contains(got.Stderr, "exists") {
		t.Errorf("a second bundle of the name: %q", got.Stderr)
	}
	n.Stop() // of a node that does not run there is less
	onFolder(t, n, 0, "debug", "bundle", "-o", file+"2", "--address", strings.TrimPrefix(n.URL, "https://"))
	parts = unpack(t, file+"2")
	if !strings.Contains(parts["log.txt"], "starting node") {
		t.Errorf("the config's log_file is not taken: %.200q, missing %q", parts["log.txt"], parts["missing.txt"])
	}
	if !strings.Contains(parts["database.json"], `"applications": 1`) || !strings.Contains(parts["missing.txt"], "goroutines.txt: ") {
		t.Errorf("without a node: %q, missing %q", parts["database.json"], parts["missing.txt"])
	}
}
