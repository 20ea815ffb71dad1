package native

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// write makes a file with its folders.
func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRemoveReadOnlyFolders: caches of build tools are full of them.
func TestRemoveReadOnlyFolders(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	write(t, filepath.Join(dir, "a", "b", "f"), "x", 0o400)
	for _, path := range []string{"a/b", "a"} {
		if err := os.Chmod(filepath.Join(dir, path), 0o500); err != nil {
			t.Fatal(err)
		}
	}
	if err := (hands{own: true}).remove(context.Background(), dir); err != nil {
		t.Error(err)
	}
	if there, err := exists(dir); there || err != nil {
		t.Errorf("the folder is there: %v, %v", there, err)
	}
}
