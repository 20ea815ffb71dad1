package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestWriteFileReplacesWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "file")
	for _, text := range []string{"first, a long one", "second"} {
		if err := WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Errorf("content = %q, %v, want %q", got, err, text)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode = %o, want 600", got)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("folder holds %v, %v, want the file alone", left, err)
	}
}

func TestWriteFileFailsWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("text"), 0o600); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("folder holds %v, %v, want nothing new", left, err)
	}
}

func TestWriteNewFileNeverReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := WriteNewFile(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteNewFile(path, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error = %v, want fs.ErrExist", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "first" {
		t.Errorf("content = %q, want the first one", got)
	}
}

func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"present", "absent"} {
		if err := Remove(path); err != nil {
			t.Errorf("Remove of a file that is %s: %v", what, err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Remove: %v, want no file", err)
	}
	if err := Remove(filepath.Join(path, "below", "nothing")); err == nil {
		t.Error("Remove in a folder that is not there: no error, want one")
	}
}

func TestRenameAndPublish(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	there, other := write("there"), filepath.Join(dir, "other")
	if err := Publish(write("new"), there); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Publish over a file: %v, want fs.ErrExist", err)
	}
	if err := Publish(write("new"), other); err != nil {
		t.Errorf("Publish: %v", err)
	}
	if err := Rename(write("newer"), there); err != nil {
		t.Errorf("Rename over a file: %v", err)
	}
	for path, want := range map[string]string{there: "newer", other: "new"} {
		if got, err := os.ReadFile(path); string(got) != want {
			t.Errorf("%s = %q, %v, want %q", path, got, err, want)
		}
	}
	if err := Rename(filepath.Join(dir, "nothing"), there); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Rename of nothing: %v, want fs.ErrNotExist", err)
	}
}
