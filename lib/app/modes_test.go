package app

import (
	"bytes"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTighten(t *testing.T) {
	for _, tt := range []struct {
		name              string
		was, widest, want fs.FileMode
	}{
		{"a database of before", 0o640, 0o600, 0o600},
		{"readable by all", 0o644, 0o600, 0o600},
		{"as it should be", 0o600, 0o600, 0o600},
		{"tighter than that", 0o400, 0o600, 0o400},
		{"a folder", 0o755, 0o700, 0o700},
		{"a folder to pass", 0o755, 0o711, 0o711},
		{"a closed one stays closed", 0o700, 0o711, 0o700},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.was); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			for range 2 { // the second start finds nothing to do
				tighten(path, tt.widest, slog.New(slog.NewTextHandler(&log, nil)))
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != tt.want {
				t.Errorf("mode %v, %v, want %v", info.Mode(), err, tt.want)
			}
			if got, want := strings.Count(log.String(), "level=WARN"), btoi(tt.was != tt.want); got != want {
				t.Errorf("%d warnings, want %d: %s", got, want, log.String())
			}
		})
	}
	tighten(filepath.Join(t.TempDir(), "absent"), 0o600, slog.New(slog.DiscardHandler))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestPassable(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for directory, want := range map[string]fs.FileMode{".": 0o711, dir: 0o711, filepath.Dir(dir): 0o711, "fish_data": 0o700, filepath.Join(dir, "x"): 0o700} {
		if got := passable(directory); got != want {
			t.Errorf("passable(%q) = %v, want %v", directory, got, want)
		}
	}
}
