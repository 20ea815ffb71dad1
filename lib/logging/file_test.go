package logging

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func openTestFile(t *testing.T, o FileOptions) *File {
	t.Helper()
	f, err := OpenFile(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func write(t *testing.T, f *File, lines string) {
	t.Helper()
	if n, err := f.Write([]byte(lines)); n != len(lines) || err != nil {
		t.Errorf("Write(%q) = %d, %v", lines, n, err)
	}
}

// files reads all files of the folder.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}

func wantFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestFileRotates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	f := openTestFile(t, FileOptions{Path: filepath.Join(dir, "log"), Size: 20, Keep: 2})
	for i := range 9 {
		write(t, f, fmt.Sprintf("line %d\n", i)) // two of them fit
	}
	wantFiles(t, dir, map[string]string{"log": "line 8\n", "log.1": "line 6\nline 7\n", "log.2": "line 4\nline 5\n"})
	write(t, f, strings.Repeat("x", 50)+"\n") // more than a file takes, and whole all the same
	if got := files(t, dir)["log"]; len(got) != 51 {
		t.Errorf("a long line was cut to %d bytes", len(got))
	}
	info, err := os.Stat(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode = %o, want 600", got)
	}
}

func TestFileGoesOnWhereItWas(t *testing.T) {
	dir := t.TempDir()
	o := FileOptions{Path: filepath.Join(dir, "log"), Size: 20, Keep: 1}
	f := openTestFile(t, o)
	write(t, f, "one 4567890\n")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = openTestFile(t, o)
	write(t, f, "two\n")
	write(t, f, "three\n")
	wantFiles(t, dir, map[string]string{"log": "three\n", "log.1": "one 4567890\ntwo\n"})
}

func TestFileThatIsMovedOrRemoved(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows moves no open file")
	}
	dir := filepath.Join(t.TempDir(), "logs")
	path := filepath.Join(dir, "log")
	f := openTestFile(t, FileOptions{Path: path, Size: 1 << 20, Keep: 1})
	write(t, f, "one\n")
	if err := os.Rename(path, path+"-moved"); err != nil {
		t.Fatal(err)
	}
	write(t, f, "two\n")
	wantFiles(t, dir, map[string]string{"log": "two\n", "log-moved": "one\n"})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	write(t, f, "three\n")
	wantFiles(t, dir, map[string]string{"log": "three\n"})
	if err := os.Rename(path, path+"-moved"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("by logrotate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.Reopen()
	write(t, f, "four\n")
	wantFiles(t, dir, map[string]string{"log": "by logrotate\nfour\n", "log-moved": "three\n"})
}

func TestFileBelongsToOneProcess(t *testing.T) {
	o := FileOptions{Path: filepath.Join(t.TempDir(), "log"), Size: 10, Keep: 1}
	f := openTestFile(t, o)
	if _, err := OpenFile(o); err == nil || !strings.Contains(err.Error(), "a log_file of its own") {
		t.Errorf("a second OpenFile = %v, want an error that says what to do", err)
	}
	write(t, f, "12345678\n")
	write(t, f, "rotated\n")
	if _, err := OpenFile(o); err == nil {
		t.Error("after a rotation the file is free for another process")
	}
}

func TestFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenFile(FileOptions{Path: dir, Size: 10, Keep: 1}); err == nil || !strings.Contains(err.Error(), "no plain file") {
		t.Errorf("a folder as log file: %v", err)
	}
	if runtime.GOOS != "windows" {
		if _, err := OpenFile(FileOptions{Path: os.DevNull, Size: 10, Keep: 1}); err == nil || !strings.Contains(err.Error(), "no plain file") {
			t.Errorf("a device as log file: %v", err)
		}
	}
	if _, err := OpenFile(FileOptions{Path: filepath.Join(dir, "log")}); err == nil {
		t.Error("without a size: no error")
	}
}

// TestFileTellsTrouble: lines that are lost are told of once, and again when it goes on.
func TestFileTellsTrouble(t *testing.T) {
	dir := t.TempDir()
	logs, path := filepath.Join(dir, "logs"), filepath.Join(dir, "logs", "log")
	var told []string
	f := openTestFile(t, FileOptions{Path: path, Size: 8, Keep: 1, Trouble: func(err error, lost int) {
		told = append(told, fmt.Sprintf("%v %d", err != nil, lost))
	}})
	write(t, f, "one\n")
	// As if the disk were gone: a file of that name in the way of the folder, and the open file closed.
	if err := os.RemoveAll(logs); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(logs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_ = f.file.Close()
	for range 3 {
		if _, err := f.Write([]byte("lost\n")); err == nil {
			t.Error("Write without a file: no error, want one")
		}
	}
	if err := os.Remove(logs); err != nil {
		t.Fatal(err)
	}
	write(t, f, "two\n")
	wantFiles(t, logs, map[string]string{"log": "two\n"})
	if diff := cmp.Diff([]string{"true 1", "false 3"}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// TestFileAfterABrokenWrite: what follows half a line stands in a line of its own.
func TestFileAfterABrokenWrite(t *testing.T) {
	dir := t.TempDir()
	f := openTestFile(t, FileOptions{Path: filepath.Join(dir, "log"), Size: 1 << 10, Keep: 1})
	write(t, f, "hal") // as far as a full disk took it
	f.partial = true
	write(t, f, "whole\n")
	write(t, f, "next\n")
	wantFiles(t, dir, map[string]string{"log": "hal\nwhole\nnext\n"})
}
