package native

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
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

func TestLayOutCopies(t *testing.T) {
	image, target := t.TempDir(), t.TempDir()
	write(t, filepath.Join(image, "init.sh"), "new", 0o755)
	write(t, filepath.Join(image, "ro", "f"), "x", 0o444)
	if err := os.Symlink("init.sh", filepath.Join(image, "link")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(target, "init.sh"), "old", 0o444)     // of an earlier image
	write(t, filepath.Join(target, "link", "was"), "dir", 0o600) // a folder where a link comes
	if err := layOut(context.Background(), image, "image", target); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(target, "link")); got != "new" {
		t.Errorf("link leads to %q, want the new file", got)
	}
	info, err := os.Stat(filepath.Join(target, "init.sh"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("init.sh has mode %v, %v, want 0755", info.Mode(), err)
	}
}

// TestLayOutStaysInside: links that an earlier environment left on a disk, or
// that an image brings, lead nowhere.
func TestLayOutStaysInside(t *testing.T) {
	outside, image, target := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(outside, "f"), "precious", 0o600)
	write(t, filepath.Join(image, "d", "f"), "mine", 0o600)
	if err := os.Symlink(outside, filepath.Join(target, "d")); err != nil {
		t.Fatal(err)
	}
	if err := layOut(context.Background(), image, "image", target); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(outside, "f")); got != "precious" {
		t.Errorf("the file outside holds %q", got)
	}
	if got := read(t, filepath.Join(target, "d", "f")); got != "mine" {
		t.Errorf("the file inside holds %q", got)
	}
	for name, headers := range map[string][]tar.Header{
		"a name that leads out": {{Name: "../f", Typeflag: tar.TypeReg}},
		"a file behind a link":  {{Name: "l", Linkname: outside, Typeflag: tar.TypeSymlink}, {Name: "l/f", Typeflag: tar.TypeReg}},
		"a hard link outward":   {{Name: "h", Linkname: filepath.Join(outside, "f"), Typeflag: tar.TypeLink}},
		"a device":              {{Name: "dev", Typeflag: tar.TypeBlock}},
	} {
		image := t.TempDir()
		write(t, filepath.Join(image, "image.tar"), tarOf(t, headers), 0o600)
		if err := layOut(context.Background(), image, "image", t.TempDir()); err == nil {
			t.Errorf("%s was laid out", name)
		}
	}
	if got := read(t, filepath.Join(outside, "f")); got != "precious" {
		t.Errorf("the file outside holds %q", got)
	}
}

func tarOf(t *testing.T, headers []tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLayOutEndsWithItsContext(t *testing.T) {
	image := t.TempDir()
	write(t, filepath.Join(image, "f"), "x", 0o600)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := layOut(ctx, image, "image", t.TempDir()); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("layOut() with a cancelled context = %v", err)
	}
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
