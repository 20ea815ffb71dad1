package images

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// readSettings reads a cfg as a driver does.
func readSettings(t *testing.T, cfg string) (Settings, error) {
	t.Helper()
	s := struct{ Settings }{Settings{ImagesPath: "images", WorkspacePath: "workspace"}}
	doc, err := yamlconf.Parse([]byte(cfg))
	if err == nil {
		err = doc.Decode(&s)
	}
	if err != nil {
		t.Fatal(err)
	}
	if unknown := doc.Warnings(); len(unknown) > 0 {
		t.Errorf("warnings: %v", unknown)
	}
	return s.Settings, s.Complete(doc)
}

func TestSettings(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	s, err := readSettings(t, `
images_path: ./i
download_user: u
download_password: p
images_file_roots: [/srv]
images_mirrors: [{from: "https://a/", to: ["https://b/"]}]
images_require_sum: SHA256
images_max_size: 2GB
`)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(here, "workspace"); s.WorkspacePath != want {
		t.Errorf("workspace_path = %s, want %s", s.WorkspacePath, want)
	}
	log := slog.New(slog.DiscardHandler)
	want := Options{
		Path: filepath.Join(here, "i"), User: "u", Password: "p", FileRoots: []string{"/srv"}, Logger: log,
		Mirrors: []Mirror{{From: "https://a/", To: []string{"https://b/"}}}, RequireSum: "SHA256", MaxSize: 2 << 30,
	}
	if diff := cmp.Diff(want, s.ImageOptions(log), cmpopts.EquateComparable(slog.Logger{})); diff != "" {
		t.Errorf("ImageOptions() (-want +got):\n%s", diff)
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct{ name, cfg, want string }{
		{"no images", "images_path: ''", "line 1: images_path: got nothing"},
		{"no workspace", "\nworkspace_path: ''", "line 2: workspace_path: got nothing"},
		{"a weak sum", "images_require_sum: md5", "line 1: images_require_sum: got \"md5\""},
		{"half a mirror", "images_mirrors: [{from: 'https://a/'}]", "line 1: images_mirrors: entry 0"},
		{"more than there is", "images_max_size: 8EB", "line 1: images_max_size: got"},
		{"one folder", "workspace_path: /srv/fish\nimages_path: /srv/./fish/", "line 2: images_path: images_path is "},
		{"one folder by the default", "workspace_path: images", "line 1: workspace_path: images_path is "},
		{"images inside", "images_path: /srv/fish/images\nworkspace_path: /srv/fish", "inside of workspace_path, "},
		{"images around", "images_path: /srv/fish\nworkspace_path: /srv/fish/a/b", "a folder around workspace_path, "},
		{"images around by a relative path", "images_path: .", "set two folders of which none is in the other"},
		{"all of it", "images_path: /\nimages_max_size: 8EB", "images_max_size"},
	} {
		if _, err := readSettings(t, tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Complete() = %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestFoldersBesideEachOther: names that begin alike are not inside of each
// other, and dots in a name lead nowhere.
func TestFoldersBesideEachOther(t *testing.T) {
	for _, cfg := range []string{
		"", "images_path: /srv/fish\nworkspace_path: /srv/fish2", "images_path: /srv/..fish\nworkspace_path: /srv/fish",
		"images_path: /srv/fish/../images\nworkspace_path: /srv/fish",
	} {
		if _, err := readSettings(t, cfg); err != nil {
			t.Errorf("Complete() of %q = %v", cfg, err)
		}
	}
}
