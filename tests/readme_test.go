package tests

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// readmeBlocks are the shell blocks of the README, in order.
func readmeBlocks(t *testing.T) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// newcomer types what the README says, in a folder as a clone is after
// ./build.sh, to a node that runs in it.
type newcomer struct {
	*fish.Node
	t     testing.TB
	label string // UIDs of what was made last
	app   string
}

func startNewcomer(t *testing.T) *newcomer {
	t.Helper()
	config, err := os.ReadFile("../examples/config.yml")
	if err != nil {
		t.Fatal(err)
	}
	n := fish.Start(t, fish.Options{Config: string(config), Flags: []string{"--api", "127.0.0.1:0"}})
	examples, err := filepath.Abs("../examples")
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"aquarium-fish": os.Getenv(fish.BinaryEnv), "examples": examples, "ca.crt": "fish_data/ca.crt",
	} {
		if err := os.Symlink(target, filepath.Join(n.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	fish.Post[struct{}](n.Client, "/api/v1/user/", `{"name":"alice","password":"alice-password"}`)
	return &newcomer{Node: n, t: t}
}

// readmeEndless go on until somebody stops them: they are looked at for a moment.
var readmeEndless = regexp.MustCompile(`--follow|app watch`)

// typed is a line as somebody types it here: with the address, the objects and
// the answer to the question for a password that are theirs.
func (n *newcomer) typed(line string) string {
	replace := strings.NewReplacer("127.0.0.1:8001", n.Address(), "fish1.lab:8001", n.Address(), "PASSWORD=...", "PASSWORD="+n.AdminPassword,
		`"label_UID":"..."`, `"label_UID":"`+n.label+`"`, "application/UID/", "application/"+n.app+"/", "deallocate UID", "deallocate "+n.app,
		"/etc/aquarium-fish.yml", "fish.yaml")
	line = replace.Replace(line)
	if strings.HasPrefix(line, "./aquarium-fish login") {
		line = "printf %s \"$ADMIN_PASSWORD\" | ./aquarium-fish login --password-stdin"
	} else if strings.HasPrefix(line, "aquarium-fish login") {
		line = "printf alice-password | aquarium-fish login --password-stdin"
	}
	return line
}

// run types one line and wants it to succeed.
func (n *newcomer) run(before, line string) string {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	if readmeEndless.MatchString(line) {
		ctx, cancel = context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, "bash", "-euc", before+n.typed(line))
	cmd.Dir = n.Dir
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), "HOME="+n.Dir, "XDG_CONFIG_HOME="+filepath.Join(n.Dir, ".config"), "PATH="+n.Dir+":"+os.Getenv("PATH"),
		"AQUARIUM_FISH_ADDRESS="+n.Address(), "ADMIN_PASSWORD="+n.AdminPassword)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	stopped := readmeEndless.MatchString(line) && ctx.Err() != nil && stderr.Len() == 0
	if err != nil && !stopped {
		n.t.Fatalf("README: %s\n%v: %s%s", line, err, out, stderr.String())
	}
	return string(out)
}

// block types a whole block, line for line; what a line defines holds for those
// after it.
func (n *newcomer) block(text string) {
	n.t.Helper()
	before := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "PASSWORD=") || strings.HasPrefix(line, "fish()"):
			before += n.typed(line) + "\n"
			continue
		}
		n.remember(line, n.run(before, line))
	}
}

// remember keeps the UIDs that a person would copy, and waits where one would.
func (n *newcomer) remember(line, out string) {
	n.t.Helper()
	var made struct {
		UID string `json:"UID"`
	}
	_ = json.Unmarshal([]byte(out), &made) // what is no object has none
	switch {
	case strings.HasSuffix(line, "/api/v1/label/"):
		n.label = made.UID
	case strings.HasSuffix(line, "/api/v1/application/"):
		n.app = made.UID
		n.WaitStatus(n.app, "ALLOCATED")
	case strings.Contains(line, "app run "):
		n.app = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`).FindString(out)
		resource := n.Resource(n.app)
		log := filepath.Join(n.Dir, "fish_native_workspace", resource.Identifier, "log")
		fish.Eventually(n.t, "the environment says hello", func() bool {
			text, _ := os.ReadFile(log) // not there yet
			return strings.Contains(string(text), "hello from ")
		})
	}
}

// readmeSSHFirst are the beginnings of the blocks about getting into a failed build.
func readmeSSHFirst() []string {
	return []string{
		"uid=$(aquarium-fish app run linux --wait -o name)",
		"aquarium-fish app ssh UID  ",
		"fish() { curl -sS --cacert ca.crt --user \"alice:$PASSWORD\" \"https://fish1.lab:8001/api/v1/$1\"; }",
	}
}

// TestReadme types every shell block of the README as it is there, from a fresh
// folder, and wants each line to succeed.
func TestReadme(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the README is for a POSIX shell")
	}
	elsewhere := map[string]string{ // by its first line: what runs it
		"./examples/quickstart.sh": "TestQuickstart", "./examples/cluster.sh": "TestClusterExample", "./examples/docker.sh": "TestExampleScript of tests/docker",
		`curl --proxy "$AQUARIUM_FISH_SOCKS_PROXY" -O http://artifacts.example.com/tool.tar.gz`: "TestReadmeMirror of tests/proxy",
		"docker save -o tool.tar tool:1": "TestReadmeImages of tests/docker", "aquarium-fish task create UID image --options '{\"name\": \"tool\", \"version\": \"2\"}' --wait": "TestReadmeImages of tests/docker",
		"./build.sh": "TestQuickstart and TestExampleFiles", "./build.sh test ": "CI itself",
	}
	blocks := readmeBlocks(t)
	typed := 0
	for _, block := range blocks {
		first, _, _ := strings.Cut(block, "\n")
		first, _, _ = strings.Cut(first, "      #")
		if elsewhere[first] != "" || strings.HasPrefix(first, simulateCommand) || // TestReadmeSimulation
			slices.ContainsFunc(readmeSSHFirst(), func(begin string) bool { return strings.HasPrefix(block, begin) }) { // TestReadmeFailedBuild
			continue
		}
		typed++
		n := startNewcomer(t)
		if !strings.Contains(block, "label apply -f examples") && !strings.Contains(block, "PASSWORD=") {
			n.run("", "./aquarium-fish login")
			n.CreateLabel(strings.Replace(fish.TestLabel("linux", `{}`), `"version":1`, `"version":3`, 1))
		}
		n.block(block)
		if n.app != "" {
			n.WaitStatus(n.app, "DEALLOCATED")
		}
	}
	if typed < 7 {
		t.Errorf("%d blocks of %d were typed: where is the rest of the README?", typed, len(blocks))
	}
}
