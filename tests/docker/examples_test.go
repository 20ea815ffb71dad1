//go:build linux

package docker

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestExampleScript runs the first thing that a new user with Docker runs. The
// engine has an image of that name, as nothing can be pulled here.
func TestExampleScript(t *testing.T) {
	t.Parallel()
	e := dockerd.Start(t, dockerd.Options{Bare: true})
	e.Busybox("busybox:1.36", nil)
	wrap := e.Wrap()
	cmd := exec.CommandContext(t.Context(), wrap[0], append(wrap[1:], "../../examples/docker.sh")...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host())
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("docker.sh: %v\n%s", err, out)
	}
	for _, want := range []string{
		"== Build", "hello-docker:1  created", "hello night build, says fish-", "memory 1073741824", "no-new-privileges", "aquarium-hostonly",
		"the container is gone", "Fish stopped",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("docker.sh does not show %q:\n%s", want, out)
		}
	}
	if left := append(e.Networks(), e.Volumes()...); len(left) > 0 || len(e.Containers()) > 0 {
		t.Errorf("left are %v, %v", left, e.Containers())
	}
}

// TestExampleFiles runs a node with the example's config as it is.
func TestExampleFiles(t *testing.T) {
	t.Parallel()
	e := dockerd.Start(t, dockerd.Options{Bare: true})
	e.Busybox("busybox:1.36", nil)
	n := fish.Start(t, fish.Options{
		Config: example(t, "config-docker.yml"), Wrap: e.Wrap(), Dial: e.Dial, Env: []string{"DOCKER_HOST=" + e.Host()},
	})
	s := site{n, e, t}
	made := fish.Get[[]struct{ UID string }](s.apply("label-docker.yml"), "/api/v1/label/")
	env := s.run(made[0].UID, `{}`)
	env.prints("hello , says fish-")
	env.release()
	s.nothingLeft()
	stdout, _ := s.Lines()
	for _, line := range stdout {
		if strings.Contains(line, "WARN:") || strings.Contains(line, "ERROR:") {
			t.Errorf("the node complains: %s", line)
		}
	}
}

// apply makes the label of an example.
func (s site) apply(name string) fish.Client {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join("../../examples", name))
	if err != nil {
		s.t.Fatal(err)
	}
	got := s.Call(fish.Call{Method: "POST", Path: "/api/v1/label/", Body: string(text), Type: fish.YAML})
	if got.Status != 200 {
		s.t.Fatalf("%s: %d %s", name, got.Status, got.Body)
	}
	return s.Client
}

// TestJenkinsAgentImage builds the example's image over a stand-in of its base,
// which has the same programs, and lets an agent of it begin and end.
func TestJenkinsAgentImage(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	s.engine.Busybox("jenkins/inbound-agent:jdk21", map[string]string{
		"usr/local/bin/jenkins-agent": "#!/bin/sh\necho \"agent $JENKINS_AGENT_NAME at $JENKINS_URL with $JENKINS_SECRET ${JENKINS_AGENT_SECRET:-}.\"\nsleep 1\n",
		"usr/local/bin/curl":          "#!/bin/sh\nfor url; do :; done\nexec /guest get \"$url\"\n",
	})
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"Dockerfile", "aquarium-agent"} {
		text := example(t, "jenkins-agent/"+name)
		info, err := os.Stat(filepath.Join("../../examples/jenkins-agent", name))
		if err != nil {
			t.Fatal(err)
		}
		_ = w.WriteHeader(&tar.Header{Name: name, Mode: int64(info.Mode().Perm()), Size: int64(len(text))}) // in memory
		_, _ = w.Write([]byte(text))
	}
	_ = w.Close()
	if status, answer, err := s.engine.Call("POST", "/build?t=jenkins-agent:1", b.Bytes()); err != nil || status != 200 || !strings.Contains(string(answer), "Successfully tagged") {
		t.Fatalf("build: %d %s %v", status, answer, err)
	}
	label := fish.Get[[]struct{ UID string }](s.apply("jenkins-agent/label.yml"), "/api/v1/label/")[0].UID
	app := s.CreateApplication(label, `{"JENKINS_URL":"https://jenkins.example.com/","JENKINS_AGENT_NAME":"agent-1","JENKINS_AGENT_SECRET":"it's secret"}`)
	s.WaitStatus(app, "ALLOCATED")
	e := environment{s, app, s.Resource(app)}
	e.prints("agent agent-1 at https://jenkins.example.com/ with it's secret .\n")
	e.gone() // it ends with its build
	s.nothingLeft()
}
