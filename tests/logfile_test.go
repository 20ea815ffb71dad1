package tests

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// waitInFile waits until the file holds the text.
func waitInFile(t *testing.T, path, text string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		content, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(content), text) {
			return string(content)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s (%v) never holds %q", path, err, text)
		}
	}
}

func TestLogFile(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "log_file: logs/fish.log\n"})
	path := filepath.Join(n.Dir, "fish_data", "logs", "fish.log")
	n.Request("GET", mePath, nil)
	waitInFile(t, path, `"uri":"`+mePath+`"`)
	waitInFile(t, path, "Fish initialized")
	if stdout, _ := n.Lines(); slices.ContainsFunc(stdout, func(s string) bool { return strings.HasPrefix(s, "{") }) {
		t.Error("the access log is on standard output too")
	}

	// Moved by logrotate, with and without its signal.
	if err := os.Rename(path, path+"-a"); err != nil {
		t.Fatal(err)
	}
	n.Request("GET", "/api/v1/label/", nil)
	waitInFile(t, path, `"uri":"/api/v1/label/"`)
	n.Signal(syscall.SIGHUP)
	n.Request("GET", "/api/v1/node/", nil)
	waitInFile(t, path, `"uri":"/api/v1/node/"`)

	// Two nodes and one file.
	got := fish.Run(t, t.TempDir(), "--api", "127.0.0.1:0", "--cfg", writeConfig(t, "log_file: "+path+"\n"))
	if got.Code != 1 || !strings.Contains(got.Stderr, "a log_file of its own") {
		t.Errorf("a second node with the same file: exit code %d, %s", got.Code, got.Stderr)
	}
	n.Stop()
	waitInFile(t, path, "Fish stopped")
	if stdout, _ := n.Lines(); stdout[len(stdout)-1] == "" || !strings.Contains(stdout[len(stdout)-1], "Fish stopped") {
		t.Errorf("standard output ends with %q, want the line that supervisors know", stdout[len(stdout)-1])
	}
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fish.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLogFileThatFails: a node goes on without its log file, and tells on standard output.
func TestLogFileThatFails(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "log_file: logs/fish.log\n"})
	logs := filepath.Join(n.Dir, "fish_data", "logs")
	waitInFile(t, filepath.Join(logs, "fish.log"), "Fish initialized")
	if err := os.RemoveAll(logs); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(logs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, "without a log file", n.Request("GET", mePath, nil), 200, "")
	n.WaitLine("log file can not be written as it should")
	if err := os.Remove(logs); err != nil {
		t.Fatal(err)
	}
	want(t, "with one again", n.Request("GET", "/api/v1/node/", nil), 200, "")
	waitInFile(t, filepath.Join(logs, "fish.log"), `"uri":"/api/v1/node/"`)
	n.WaitLine("log file is written again")
}

// TestTLSNames: a name that is added later works after the next start, with the same key.
func TestTLSNames(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	key := readFile(t, n.Dir, "fish_data", fish.NodeName+".key")
	n.Stop()
	n.Reconfigure("tls_names: [ci.example.com]\n")
	n.Start()
	cert := parseCert(t, n.Dir, "fish_data", fish.NodeName+".crt")
	if err := cert.VerifyHostname("ci.example.com"); err != nil || readFile(t, n.Dir, "fish_data", fish.NodeName+".key") != key {
		t.Errorf("certificate: %v, or another key", err)
	}
	conf := n.TLS()
	conf.ServerName = "ci.example.com"
	client := n.Client.Fresh()
	client.HTTP.Transport = transportWith(conf)
	want(t, "by the added name", client.For(t).Request("GET", mePath, nil), 200, "")
	if stdout, _ := n.Lines(); slices.ContainsFunc(stdout, func(s string) bool { return strings.Contains(s, "WARN") && strings.Contains(s, "certificate") }) {
		t.Errorf("the node warns of its certificate: %q", stdout)
	}
}

func transportWith(conf *tls.Config) http.RoundTripper {
	return &http.Transport{TLSClientConfig: conf}
}
