package tests

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestConsoleLines(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	n.Stop()
	stdout, stderr := n.Lines()
	logLine := regexp.MustCompile(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (DEBUG|INFO|WARN|ERROR):\t.`)
	accessLine := regexp.MustCompile(`^\{.*\}$`)
	for _, line := range stdout {
		if !logLine.MatchString(line) && !accessLine.MatchString(line) {
			t.Errorf("a line of stdout has no log format: %q", line)
		}
	}
	var seen []string
	for _, line := range stdout {
		for _, text := range []string{"API listening on: ", "Fish initialized", "Fish stopping...", "Fish stopped"} {
			if strings.Contains(line, text) {
				seen = append(seen, text)
			}
		}
	}
	want := []string{"API listening on: ", "Fish initialized", "Fish stopping...", "Fish stopped"}
	if !slices.Equal(seen, want) {
		t.Errorf("the lines that supervisors wait for came as %q, want %q", seen, want)
	}
	if line := stdout[slices.IndexFunc(stdout, contains("Fish initialized"))]; !strings.HasSuffix(line, "INFO:\tFish initialized") {
		t.Errorf("%q does not end in `Fish initialized`", line)
	}
	if !slices.ContainsFunc(stdout, func(l string) bool { return strings.HasSuffix(l, "API listening on: "+n.Address()) }) {
		t.Errorf("no line ends in the API's address %s", n.Address())
	}
	if want := regexp.MustCompile(`^Admin user pass: [a-km-zA-HJ-NP-Z1-9]{64}$`); len(stderr) != 1 || !want.MatchString(stderr[0]) {
		t.Errorf("stderr is %q, want the password line alone", stderr)
	}
}

// TestAccessLogNamesTheUser: whoever was let in, and nobody who only said a
// name.
func TestAccessLogNamesTheUser(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	n.Request("GET", mePath, nil)
	n.As("admin", "a guess").Request("GET", mePath, nil)
	n.As("", "").Request("GET", mePath, nil)
	n.Stop()
	stdout, _ := n.Lines()
	var got []string
	line := regexp.MustCompile(`"user":("[^"]*"),.*"status":(\d+)`)
	for _, l := range stdout {
		if m := line.FindStringSubmatch(l); m != nil {
			got = append(got, m[1]+" "+m[2])
		}
	}
	if want := []string{`"admin" 200`, `"" 401`, `"" 401`}; !slices.Equal(got, want) {
		t.Errorf("users and statuses in the access log = %q, want %q", got, want)
	}
}

func contains(text string) func(string) bool {
	return func(s string) bool { return strings.Contains(s, text) }
}

func TestSecondStartIsTheSameNode(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	type node struct{ UID, Pubkey string }
	before := fish.Get[node](n.Client, "/api/v1/node/this/")
	cert := readFile(t, n.Dir, "fish_data", fish.NodeName+".crt")
	n.Restart()
	if _, stderr := n.Lines(); len(stderr) != 0 {
		t.Errorf("the second start prints to stderr: %q", stderr)
	}
	if after := fish.Get[node](n.Client, "/api/v1/node/this/"); after != before {
		t.Errorf("the node is %+v after a restart, was %+v", after, before)
	}
	if again := readFile(t, n.Dir, "fish_data", fish.NodeName+".crt"); again != cert {
		t.Error("the certificate changed")
	}
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSignalsStopTheNode(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			n := fish.Start(t, fish.Options{})
			n.Signal(s)
			if code := n.WaitExit(); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			stdout, _ := n.Lines()
			for _, want := range []string{"Fish stopping...", "Fish stopped"} {
				if !slices.ContainsFunc(stdout, contains(want)) {
					t.Errorf("no line %q", want)
				}
			}
		})
	}
}

func TestBadStarts(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	tests := []struct {
		name   string
		config string
		flags  []string
		want   string // in the error
	}{
		{"unknown flag", "", []string{"--nope"}, "nope"},
		{"verbosity", "", []string{"-v", "loud"}, "loud"},
		{"cpu too big", "", []string{"--cpu", "70000"}, "70000"},
		{"cpu no number", "", []string{"--cpu", "many"}, "many"},
		{"mem", "", []string{"--mem", "5XB"}, "5XB"},
		{"timestamp", "", []string{"--timestamp=maybe"}, "maybe"},
		{"argument", "", []string{"serve"}, "serve"},
		{"no such config", "", []string{"--cfg", "absent.yaml"}, "absent.yaml"},
		{"broken YAML", "a: [", nil, "fish.yaml"},
		{"wrong type", "\ncpu_limit: many", nil, "cpu_limit"},
		{"lifetime", "default_resource_lifetime: soon", nil, "default_resource_lifetime"},
		{"unknown driver", "drivers:\n  - name: nosuchdriver\n", nil, "nosuchdriver"},
		{"address taken", "", []string{"--api", taken.Addr().String()}, taken.Addr().String()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "fish.yaml")
			text := "node_name: n\n" + tt.config
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			got := fish.Run(t, dir, append([]string{"--cfg", file, "--api", "127.0.0.1:0"}, tt.flags...)...)
			all := got.Stdout + "\n" + got.Stderr
			if got.Code != 1 || !strings.Contains(all, "Error: ") || !strings.Contains(all, "Usage:") {
				t.Errorf("exit code %d, output:\n%s\nwant code 1, `Error: ` and usage", got.Code, all)
			}
			if strings.Contains(all, "Admin user pass") { // which the next start would not tell again
				t.Errorf("a start that failed has made the admin:\n%s", all)
			}
			_, message, _ := strings.Cut(all, "Error: ")
			if message, _, _ = strings.Cut(message, "\n"); !strings.Contains(message, tt.want) {
				t.Errorf("the error is %q, want one that names %q", message, tt.want)
			}
		})
	}
}

func TestConfigErrorNamesItsLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "fish.yaml")
	if err := os.WriteFile(file, []byte("node_name: n\n\ncpu_limit: many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := fish.Run(t, dir, "--cfg", file)
	if all := got.Stdout + got.Stderr; !strings.Contains(all, "line 3") {
		t.Errorf("no line number in:\n%s", all)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	got := fish.Run(t, t.TempDir(), "-h")
	if got.Code != 0 {
		t.Errorf("exit code %d, want 0", got.Code)
	}
	for _, flag := range []string{
		"-a, --api", "--proxy_socks", "--proxy_ssh", "-n, --node", "-c, --cfg", "-D, --dir", "--cpu", "--mem",
		"-v, --verbosity", "--timestamp", "-h, --help",
	} {
		if !strings.Contains(got.Stdout, flag) {
			t.Errorf("help does not name %s:\n%s", flag, got.Stdout)
		}
	}
}

func TestFlagsWinOverConfig(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{
		Config: "api_address: 192.0.2.1:1\nnode_address: 192.0.2.1:1\ncpu_limit: 1\nmem_target: 1GB\nno_such_key: 1\n",
		Flags: []string{
			"--api", "127.0.0.1:0", "--node", "127.0.0.1:8123", "--cpu", "2", "--mem", "512MB", "-v", "debug",
			"--timestamp", "--dir", "",
		},
	})
	if !strings.HasPrefix(n.Address(), "127.0.0.1:") {
		t.Errorf("the API listens on %s", n.Address())
	}
	if _, err := os.Stat(filepath.Join(n.Dir, "fish_data", "127.0.0.1:8123", "sqlite.db")); err != nil {
		t.Errorf("database folder: %v", err)
	}
	stdout, _ := n.Lines()
	for _, line := range stdout {
		if !regexp.MustCompile(`^(DEBUG|INFO|WARN|ERROR):\t|^\{`).MatchString(line) && !strings.Contains(line, ".go:") {
			t.Errorf("a line with a timestamp, or without a level: %q", line)
		}
	}
	if !slices.ContainsFunc(stdout, func(l string) bool {
		return strings.Contains(l, "WARN:") && strings.Contains(l, "no_such_key")
	}) {
		t.Error("no warning about the unknown key")
	}
}

func TestIdleConnectionsDoNotHoldTheStop(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	for range 5 {
		c := n.Fresh() // each keeps its connection alive
		c.Request("GET", "/api/v1/user/me/", nil)
	}
	// The goal is 200 ms alone on the machine; other tests run beside this one.
	if took := n.Stop(); took > time.Second {
		t.Errorf("SIGTERM to exit took %v", took)
	} else {
		t.Logf("SIGTERM to exit took %v", took)
	}
}
