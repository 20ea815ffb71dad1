package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// shell runs commands of the client against the node, as a user of this
// machine would from the node's folder.
type shell struct {
	t *testing.T
	n *fish.Node
}

func newShell(t *testing.T, n *fish.Node) shell {
	t.Helper()
	if err := os.WriteFile(filepath.Join(n.Dir, "pass"), []byte(n.AdminPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return shell{t, n}
}

func (s shell) run(args ...string) fish.Result {
	s.t.Helper()
	return fish.Run(s.t, s.n.Dir, append(args, "--address", s.n.Address(), "--password-file", "pass")...)
}

// ok runs a command that has to succeed and print the text.
func (s shell) ok(text string, args ...string) string {
	s.t.Helper()
	got := s.run(args...)
	if got.Code != 0 || !strings.Contains(got.Stdout+"\n", text) {
		s.t.Errorf("%v: exit code %d\n%s\n%s\nwant 0 and %q", args, got.Code, got.Stdout, got.Stderr, text)
	}
	return got.Stdout
}

func (s shell) write(name, text string) {
	s.t.Helper()
	file := filepath.Join(s.n.Dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// TestLabelFiles is the life of an admin's folder of labels: checked, applied,
// changed, compared, exported, and applied to a node that has nothing.
func TestLabelFiles(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	s := newShell(t, n)
	const linux = "name: linux\ndefinitions:\n- driver: test\n  options: {z: 12345678901234567890, a: 1.50}\n  resources: {cpu: 1, ram: 2}\n" +
		"  authentication: {username: root, password: 'p: #w'}\nmetadata: {SCRIPT: \"#!/bin/sh\\necho 'x'\\n\"}\n"
	s.write("labels/linux.yaml", linux+"---\nname: mac/os\ndefinitions: [{driver: native/none, resources: {cpu: 2, ram: 2}}]\n")

	if got := s.run("label", "check", "labels"); got.Code != 0 || !strings.Contains(got.Stderr, "driver native/none is not configured on this node") {
		t.Errorf("check: %+v", got)
	}
	s.ok("linux:1   would be created", "label", "apply", "-f", "labels", "--dry-run")
	want(t, "nothing was created", n.Request("GET", labelsPath, nil), 200, "[]\n")
	s.ok("linux:1   created", "label", "apply", "-f", "labels")
	s.ok("linux:1   unchanged", "label", "apply", "-f", "labels")
	want(t, "the label", n.Request("GET", labelsPath, nil), 200, `"options":{"z":12345678901234567890,"a":1.50}`)

	s.write("bad/a.yaml", "name: first\n")
	s.write("bad/b.yaml", "name: second\ndefinitions: [{driver: test, options: {fail_allocate: 256}, resources: {cpu: 1, ram: 1}}]\n")
	if got := s.run("label", "apply", "-f", "bad"); got.Code != 1 || !strings.Contains(got.Stderr, "bad/b.yaml: Unable to create label: definition 0: driver test: option fail_allocate") {
		t.Errorf("a bad file: %+v", got)
	}
	want(t, "the good file beside it", n.Request("GET", labelsPath+"?filter=name%3D%27first%27", nil), 200, "[]\n")

	s.write("labels/linux.yaml", strings.Replace(linux, "cpu: 1", "cpu: 3", 1))
	s.ok("-      cpu: 1\n+      cpu: 3\n", "label", "diff", "labels/linux.yaml")
	s.ok("linux:2  created", "label", "apply", "-f", "labels")
	s.ok("+      cpu: 3", "label", "diff", "linux", "1", "2")

	s.ok("", "label", "export", "--all-versions", "-d", "out")
	s.ok("linux:1   unchanged", "label", "apply", "-f", "out")
	other := fish.Start(t, fish.Options{})
	o := newShell(t, other)
	o.ok("linux:2   created", "label", "apply", "-f", filepath.Join(n.Dir, "out"))
	if first, second := s.ok("", "label", "export", "--all-versions"), o.ok("", "label", "export", "--all-versions"); first != second {
		t.Errorf("what was carried over is\n%s\nwant\n%s", second, first)
	}
}

// TestWhyOnTheCommandLine: the two answers an operator looks for first.
func TestWhyOnTheCommandLine(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "drivers:\n- {name: test, cfg: {cpu_limit: 4}}\n- {name: test/broken, cfg: {fail_config_apply: 255}}\n"})
	s := newShell(t, n)
	app := n.CreateApplication(n.CreateLabel(`{"name":"l","definitions":[{"driver":"test","resources":{"cpu":9,"ram":1}}]}`), `{}`)
	s.ok("No member can ever run this: does not fit on an empty node: cpu short: needs 9, free 4 of 4", "app", "explain", app)
	n.WaitLine("driver is not available")
	got := s.ok("test/broken  failed", "node", "drivers")
	if !strings.Contains(got, fmt.Sprintf("%s of 4", "0")) {
		t.Errorf("drivers are\n%s", got)
	}
}
