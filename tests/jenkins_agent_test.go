package tests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestJenkinsAgentEntry: the example's agent takes from the metadata API what
// its variables lack, asks again until it is there, and gives up with a reason.
func TestJenkinsAgentEntry(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the agent's entry is for a POSIX shell")
	}
	asked := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			w.WriteHeader(http.StatusUnauthorized) // the node does not know the address yet
			return
		}
		_, _ = fmt.Fprintf(w, "export HOME=/evil\nexport JENKINS_AGENT_NAME='it'\"'\"'s $(id)'\nexport JENKINS_AGENT_SECRET=%s\n", r.FormValue("format"))
	}))
	defer server.Close()
	dir := t.TempDir()
	agent := "#!/bin/sh\necho \"$JENKINS_AGENT_NAME|$JENKINS_URL|$JENKINS_SECRET|${JENKINS_AGENT_SECRET:-none}|$HOME|$*\"\n"
	if err := os.WriteFile(filepath.Join(dir, "jenkins-agent"), []byte(agent), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		env  []string
		want string
		code int
	}{
		{"all are there", []string{"JENKINS_URL=https://ci/", "JENKINS_AGENT_NAME=a", "JENKINS_AGENT_SECRET=s"}, "a|https://ci/|s|none|/home/me|x y\n", 0},
		{"some are there", []string{"JENKINS_URL=https://ci/", "AQUARIUM_FISH_METADATA_URL=" + server.URL}, "it's $(id)|https://ci/|export|none|/home/me|x y\n", 0},
		{"none are there", []string{"AGENT_TRIES=0"}, "the metadata has no JENKINS_URL", 1},
	} {
		cmd := exec.Command("../examples/jenkins-agent/aquarium-agent", "x", "y")
		cmd.Env = append(tt.env, "PATH="+dir+":"+os.Getenv("PATH"), "HOME=/home/me")
		out, err := cmd.CombinedOutput()
		if !strings.Contains(string(out), tt.want) || cmd.ProcessState.ExitCode() != tt.code {
			t.Errorf("%s: %v %s, want exit code %d and %q", tt.name, err, out, tt.code, tt.want)
		}
	}
}
