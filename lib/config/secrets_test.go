package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
)

func TestWarningOfReadableSecrets(t *testing.T) {
	const inline = "drivers:\n- name: native\n  cfg:\n    download_password: hunter2\n"
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		want       bool
	}{
		{"inline, readable by the group", inline, 0o640, true},
		{"inline, readable by others", inline, 0o604, true},
		{"inline, for the owner", inline, 0o600, false},
		{"elsewhere", strings.Replace(inline, "hunter2", "{env: X}", 1), 0o644, false},
		{"no secret", "node_location: lab\n", 0o644, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "fish.yml")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil { // past the umask
				t.Fatal(err)
			}
			_, warnings, err := config.Load(t.Context(), config.Flags{File: path}, fakeHost())
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Join(warnings, "\n")
			if strings.Contains(text, "drivers[0].cfg.download_password in line 4") != tt.want || len(warnings) > 1 {
				t.Errorf("warnings %q, want one of the secret: %v", warnings, tt.want)
			}
			if strings.Contains(text, "hunter2") {
				t.Errorf("the warning repeats the secret: %s", text)
			}
		})
	}
}
