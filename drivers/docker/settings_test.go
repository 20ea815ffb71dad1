package docker

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	s, warnings, err := readSettings([]byte(`
docker_path: /usr/bin/docker
docker_host: tcp://engine.example.org:2376
tls_ca_crt: ca.pem
is_remote: true
cpu_alter: -1
stop_grace: 3s
log_size: 1MB
images_max_size: 20GB
registries:
  - {host: "registry.example.org:5000", user: u, password: p}
colour: red
`))
	if err != nil || len(warnings) != 1 || warnings[0].Key != "colour" || warnings[0].Line != 12 {
		t.Fatalf("readSettings() = %v, warnings %v, want one about colour in line 12", err, warnings)
	}
	if !filepath.IsAbs(s.WorkspacePath) || !filepath.IsAbs(s.ImagesPath) || s.StopGrace != 3*time.Second || s.graceSeconds() != 3 || (&settings{StopGrace: 1}).graceSeconds() != 1 || s.LogSize != 1<<20 || s.PidsLimit != 4096 {
		t.Errorf("readSettings() = %+v", s)
	}
	if len(s.Registries) != 1 || s.Registries[0].Host != "registry.example.org:5000" || string(s.Registries[0].Password) != "p" {
		t.Errorf("registries = %+v", s.Registries)
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	t.Parallel()
	for cfg, want := range map[string]string{
		"docker_host: ssh://host":                                  "line 1: docker_host: ssh:// is not spoken",
		"docker_host: unix://relative/path":                        "line 1: docker_host: got",
		"docker_host: tcp://host":                                  "line 1: docker_host: got",
		"docker_host: tcp://u:secret@host:1":                       "line 1: docker_host: got",
		"docker_host: ssh://u:secret@host\ntls_ca_crt: ca.pem":     "line 1: docker_host: ssh:// is not spoken",
		"docker_host: unix://u:secret@/run/docker.sock":            "without a user",
		"docker_host: \"unix:///a b\\u0000\"":                      "line 1: docker_host",
		"docker_host: unix:///run/docker.sock\ntls_ca_crt: ca.pem": "with the files of TLS",
		"tls_crt: a.pem":                                           "line 1: tls_crt: want both",
		"is_remote: false\nstop_grace: 10m":                        "line 2: stop_grace: got 10m0s",
		"stop_grace: -1s":                                          "line 1: stop_grace",
		"pids_limit: 3":                                            "line 1: pids_limit: got 3",
		"oom_score_adj: 1001":                                      "line 1: oom_score_adj",
		"log_size: 1":                                              "line 1: log_size",
		"images_path: \"\"":                                        "line 1: images_path: got nothing",
		"workspace_path: \"\"":                                     "line 1: workspace_path: got nothing",
		"images_path: fish_docker_workspace":                       "line 1: images_path: ",
		"images_require_sum: md5":                                  "line 1: images_require_sum",
		"images_mirrors: [{from: \"\"}]":                           "line 1: images_mirrors: entry 0",
		"registries: [{host: \"https://registry.example.org\"}]":   "line 1: registries: entry 0",
		"cpu_alter: many":                                          "line 1: cpu_alter",
		"cpu_alter: 99999999":                                      "cpu_alter 99999999",
		"[]":                                                       "",
	} {
		_, _, err := readSettings([]byte(cfg))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("readSettings(%q) = %v, want an error with %q", cfg, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("readSettings(%q) shows a password: %v", cfg, err)
		}
	}
}

func TestUsualSockets(t *testing.T) {
	t.Parallel()
	env := func(string) string { return "/run/user/7" }
	for goos, want := range map[string][]string{
		"windows": {"npipe:////./pipe/docker_engine", "npipe:////./pipe/dockerDesktopLinuxEngine"},
		"linux": {"unix:///var/run/docker.sock", "unix:///run/user/7/docker.sock", "unix:///home/me/.docker/run/docker.sock",
			"unix:///home/me/.docker/desktop/docker.sock"},
		"darwin": {"unix:///var/run/docker.sock", "unix:///run/user/7/docker.sock", "unix:///home/me/.docker/run/docker.sock",
			"unix:///home/me/.docker/desktop/docker.sock", "unix:///home/me/.orbstack/run/docker.sock", "unix:///home/me/.colima/default/docker.sock"},
	} {
		got := usualSockets(goos, "/home/me", env)
		for i := range got {
			got[i] = filepath.ToSlash(got[i])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", goos, diff)
		}
	}
}

// TestNoEngine: a node without one says what to do, and leaves nothing behind.
func TestNoEngine(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(dir, "no.sock"))
	for name, cfg := range map[string]string{"by DOCKER_HOST": "", "by docker_host": "docker_host: unix:///nonexistent.sock"} {
		_, err := New(t.Context(), drivers.Config{Instance: "docker", Cfg: []byte(cfg), Logger: discard()})
		if err == nil || !strings.Contains(err.Error(), ".sock") {
			t.Errorf("%s: New() = %v, want an error that names the socket", name, err)
		}
	}
	if left, _ := filepath.Glob("*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
