//go:build linux

package docker

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

// readmeBlock is the shell block of the README that begins so.
func readmeBlock(t *testing.T, begin string) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "```sh\n"+begin)
	block, _, ended := strings.Cut(after, "```")
	if !found || !ended {
		t.Fatalf("the README has no shell block that begins with %q", begin)
	}
	return begin + block
}

// TestReadmeImages types what the README says of archives and of the task that
// makes one, and runs what came of it.
func TestReadmeImages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := dockerd.Start(t, dockerd.Options{Bare: true})
	e.Load(dockerd.Image{Name: "tool", Version: "1"})
	s := start(t, e, config(e, "images_file_roots: ["+dir+"]\ntasks_path: "+dir+"/tasks\n"))
	typed := func(block string) string {
		cmd := exec.CommandContext(t.Context(), s.engine.Wrap()[0], append(s.engine.Wrap()[1:], "bash", "-euc", block)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host(), "PATH="+filepath.Dir(os.Getenv(fish.BinaryEnv))+":"+os.Getenv("PATH"),
			"AQUARIUM_FISH_ADDRESS="+s.Address(), "AQUARIUM_FISH_CA="+filepath.Join(s.Dir, "fish_data/ca.crt"), "AQUARIUM_FISH_PASSWORD="+s.AdminPassword)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("README: %s\n%v: %s", block, err, out)
		}
		return string(out)
	}
	sum := regexp.MustCompile(`[0-9a-f]{64}`).FindString(typed(readmeBlock(t, "docker save -o tool.tar tool:1")))
	dockerd.Must[[]any](e, "DELETE", "/images/tool:1", nil) // the archive is all there is of it
	images := fmt.Sprintf(`"images":[{"url":"file://%s/tool-1.tar.xz","sum":"sha256:%s"}]`, dir, sum)
	maker := s.run(s.CreateLabel(labelOf("from-archive", images, "write /made by-hand; print made; wait", "")), `{}`)
	maker.prints("made")

	task := readmeBlock(t, "aquarium-fish task create UID image")
	answer := typed(strings.Replace(task, "UID", maker.app, 1))
	made := regexp.MustCompile(`"images":\["(file://[^"]*)"\].*"sum":"(sha256:[0-9a-f]*)"`).FindStringSubmatch(answer)
	if made == nil {
		t.Fatalf("task image answers %s, want an archive and its sum", answer)
	}
	images = fmt.Sprintf(`"images":[{"url":%q,"sum":%q}]`, made[1], made[2])
	user := s.run(s.CreateLabel(labelOf("from-task", images, "read /made; print done; wait", "")), `{}`)
	user.prints("done")
	if !user.says("by-hand\n") {
		t.Errorf("the image has forgotten what was made:\n%s", user.printed())
	}
	user.release()
	maker.release()
	s.nothingLeft()
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
