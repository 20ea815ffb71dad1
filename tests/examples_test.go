package tests

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// runExample runs a script of the examples as it is, and returns what it
// printed, in which all of the texts have to be.
func runExample(t *testing.T, script string, within time.Duration, texts ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	file, err := os.Create(filepath.Join(t.TempDir(), "printed")) // a file, which unlike a terminal can be cut short
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join("../examples", script))
	cmd.Stdout, cmd.Stderr = file, file
	err = errors.Join(cmd.Run(), file.Close())
	out, _ := os.ReadFile(file.Name()) // empty: said below
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	for _, text := range texts {
		if !strings.Contains(string(out), text) {
			t.Errorf("%s does not show %q:\n%s", script, text, out)
		}
	}
	return string(out)
}

// TestQuickstart runs the first thing that a new user runs.
func TestQuickstart(t *testing.T) {
	runExample(t, "quickstart.sh", 3*time.Minute,
		"== Build", "Create a label", "FROM_APPLICATION=world", "FROM_LABEL=hello", `"status":"ALLOCATED"`, `"status":"DEALLOCATED"`,
		"the process and its folder are gone", "Fish stopped")
}

// TestClusterExample runs three nodes on this machine as the example shows it.
func TestClusterExample(t *testing.T) {
	text := runExample(t, "cluster.sh", 5*time.Minute,
		"joined: node carl of the cluster", "3 members, 3 active", "hello:1  created", "bert    unreachable", "nothing is left", "Fish stopped")
	at := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^application \S+ runs on (anna|bert|carl)$`).FindAllStringSubmatch(text, -1) {
		at[m[1]] = true
	}
	if len(at) < 2 {
		t.Errorf("the six run on %v:\n%s", at, text)
	}
}

// TestExampleFiles runs a node with the example's config and an environment of
// the example's label, as the README does. Only the port is another one.
func TestExampleFiles(t *testing.T) {
	t.Parallel()
	text := map[string]string{}
	for _, name := range []string{"config.yml", "label.yml"} {
		b, err := os.ReadFile(filepath.Join("../examples", name))
		if err != nil {
			t.Fatal(err)
		}
		text[name] = string(b)
	}
	n := fish.Start(t, fish.Options{Config: text["config.yml"], Flags: []string{"--api", "127.0.0.1:0"}})
	got := n.Call(fish.Call{Method: "POST", Path: labelsPath, Body: text["label.yml"], Type: fish.YAML})
	want(t, "the label", got, 200, `"name":"hello"`)
	_, rest, _ := strings.Cut(string(got.Body), `{"UID":"`)
	label, _, _ := strings.Cut(rest, `"`)
	app := n.CreateApplication(label, `{}`)
	n.WaitStatus(app, "ALLOCATED")
	log := filepath.Join(n.Dir, "fish_native_workspace", n.Resource(app).Identifier, "log")
	fish.Eventually(t, "the environment says hello", func() bool {
		b, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(b), "hello from ")
	})
	n.Deallocate(app)
	n.WaitStatus(app, "DEALLOCATED")
	stdout, _ := n.Lines()
	for _, line := range stdout {
		if strings.Contains(line, "host facts") {
			continue // a busy machine may be slow to tell them
		}
		if strings.Contains(line, "WARN:") || strings.Contains(line, "ERROR:") {
			t.Errorf("the node complains: %s", line)
		}
	}
}

// TestExampleApplications: what they tell their environments is an object.
func TestExampleApplications(t *testing.T) {
	files, err := filepath.Glob("../examples/application*.yml")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../examples/*/application.yml")
	if files = append(files, more...); err != nil || len(files) < 2 {
		t.Fatalf("examples of applications: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var metadata map[string]any
		if err := yaml.Unmarshal(text, &metadata); err != nil || len(metadata) == 0 {
			t.Errorf("%s: %v, %v", file, metadata, err)
		}
	}
}

// TestExampleLabels: there is one for each driver. Those that need no more than
// this binary give an environment; tests/docker has the others.
func TestExampleLabels(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../examples/label*.yml")
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	n := fish.Start(t, fish.Options{Config: "drivers:\n- name: test\n- name: native\n  cfg: {isolation: process}\n"})
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all += string(text)
		got := n.Call(fish.Call{Method: "POST", Path: labelsPath, Body: string(text), Type: fish.YAML})
		want(t, file, got, 200, `"version":1`)
		if !strings.Contains(string(text), "driver: native") && !strings.Contains(string(text), "driver: test") {
			continue
		}
		_, rest, _ := strings.Cut(string(got.Body), `{"UID":"`)
		label, _, _ := strings.Cut(rest, `"`)
		app := n.CreateApplication(label, `{}`)
		n.WaitStatus(app, "ALLOCATED")
		n.Deallocate(app)
		n.WaitStatus(app, "DEALLOCATED")
	}
	for _, driver := range []string{"native", "test", "docker"} {
		if !strings.Contains(all, "driver: "+driver+" ") && !strings.Contains(all, "driver: "+driver+"\n") {
			t.Errorf("no example of a label for the driver %s", driver)
		}
	}
}
