package offline

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
)

func testOptions(out *bytes.Buffer) Options {
	return Options{
		Stdout: out, Stderr: out, Version: "test", Now: time.Now,
		Context: func() (context.Context, context.CancelFunc) { return context.WithCancel(context.Background()) },
		Host: config.Host{
			Name:        func() (string, error) { return "fish", nil },
			Identifiers: func(context.Context) ([]string, error) { return nil, nil },
		},
	}
}

// TestFind: the database of the config's address, else the only one, else a
// question.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	add := func(name string) {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, databaseFile), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	find := func(node string) (place, error) {
		target := target{flags: config.Flags{Dir: dir, Node: node}}
		return target.find(t.Context(), testOptions(nil).Host)
	}
	if p, err := find(""); err != nil || p.found || p.folder != filepath.Join(dir, "127.0.0.1:8001") {
		t.Errorf("without any: %+v, %v", p, err)
	}
	add("ci-1:8001")
	if p, err := find(""); err != nil || !p.found || p.folder != filepath.Join(dir, "ci-1:8001") {
		t.Errorf("with one: %+v, %v", p, err)
	}
	add("ci-2:8001")
	if _, err := find(""); err == nil || !strings.Contains(err.Error(), "say which one") {
		t.Errorf("with two: %v, want a question", err)
	}
	if p, err := find("ci-2:8001"); err != nil || !p.found || p.folder != filepath.Join(dir, "ci-2:8001") {
		t.Errorf("with one that is named: %+v, %v", p, err)
	}
}

func TestScrub(t *testing.T) {
	b := &bundle{secrets: []string{"hunter2", "abc"}}
	for in, want := range map[string]string{
		"it is hunter2.":                      "it is (removed).",
		"abc is too short to be looked for":   "abc is too short to be looked for",
		"Authorization: Basic YWRtaW46eHh4":   "Authorization: Basic (removed)",
		"https://me:pw@host/x":                "https://(removed)@host/x",
		"/meta/v1/token/0123/data/":           "/meta/v1/token/(removed)/data/",
		`{"password":"x y","n":1}`:            `{"password":(removed),"n":1}`,
		"-----BEGIN EC PRIVATE KEY-----\nAAA": "(private key removed)",
		"Admin user pass: xyz":                "Admin user pass: (removed)",
		"nothing here":                        "nothing here",
	} {
		if got := string(b.scrub([]byte(in))); got != want {
			t.Errorf("scrub(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestReachable(t *testing.T) {
	for in, want := range map[string]string{
		"0.0.0.0:8001": "127.0.0.1:8001", ":8001": "127.0.0.1:8001", "[::]:8001": "127.0.0.1:8001", "10.0.0.1:8001": "10.0.0.1:8001", "host:1": "host:1",
	} {
		if got := reachable(in); got != want {
			t.Errorf("reachable(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestReadEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	text := strings.Repeat("x", maxLogTail) + "the end"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := readEnd(path); err != nil || len(got) != maxLogTail || !strings.HasSuffix(string(got), "the end") {
		t.Errorf("readEnd = %d bytes, %v", len(got), err)
	}
	if _, err := readEnd(filepath.Dir(path)); err == nil {
		t.Error("the end of a folder is read")
	}
}
