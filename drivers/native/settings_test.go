package native

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
)

func TestSettings(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	s, warnings, err := readSettings(nil, "data")
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	want := settings{
		ShPath:    "/bin/sh",
		Settings:  images.Settings{ImagesPath: filepath.Join(wd, "fish_native_images"), WorkspacePath: filepath.Join(wd, "fish_native_workspace")},
		Isolation: "user", LogSize: 10 << 20, CACrtPath: filepath.Join(wd, "data", "ca.crt"),
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	s, warnings, err = readSettings([]byte("su_path: /bin/su\nCPU_ALTER: -1\nsudo_path: /s\nlog_size: 1MB\nimages_max_size: 2GB\nimages_mirrors: [{from: a, to: [b]}]\nbogus: 1\n"), "data")
	if err != nil || len(warnings) != 1 || warnings[0].Key != "bogus" {
		t.Fatal(err, warnings)
	}
	if s.CPUAlter != -1 || s.LogSize != 1<<20 || s.ImagesMaxSize != 2<<30 || s.ImagesMirrors[0].To[0] != "b" {
		t.Errorf("settings = %+v", s)
	}
	if diff := cmp.Diff(map[string]string{"sudo": "/s", "sh": "/bin/sh"}, s.accountTools()); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
}

func TestWrongSettings(t *testing.T) {
	for cfg, want := range map[string]string{
		"isolation: none":                        `line 1: isolation: got "none", want user or process`,
		"\nisolation: ''":                        "line 2: isolation",
		"log_size: 1KB":                          "log_size",
		"workspace_path: ''":                     "workspace_path: got nothing",
		"cpu_alter: many":                        "line 1: cpu_alter",
		"images_require_sum: md5":                "want sha256",
		"images_mirrors: [{from: 'https://a/'}]": "images_mirrors: entry 0",
		"images_max_size: 10 apples":             "want a size",
		"images_max_size: 8EB":                   "images_max_size: got",
		"images_file_roots: /srv":                "want a list",
		"images_path: fish_native_workspace/i":   "inside of workspace_path",
	} {
		if _, _, err := readSettings([]byte(cfg), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("readSettings(%q) = %v, want %q", cfg, err, want)
		}
	}
}

// TestWorkspaceInTheNodesDirectory: that is 0700, and the users of environments
// are others.
func TestWorkspaceInTheNodesDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct {
		name, cfg, directory string
		want                 string
	}{
		{"inside", "\nworkspace_path: data/w", "data", "line 2: workspace_path: "},
		{"the directory itself", "workspace_path: data", "data", "outside of it, or isolation: process"},
		{"own user", "{workspace_path: data/w, isolation: process}", "data", ""},
		{"beside", "workspace_path: data2", "data", ""},
		{"working directory in it too", "workspace_path: w", ".", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := readSettings([]byte(tt.cfg), tt.directory)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("readSettings = %v, want %q", err, tt.want)
			}
		})
	}
}
