//go:build linux

package proxy

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sftpBinary is the server that some have sshd run in place of its own.
const sftpBinary = "/usr/lib/openssh/sftp-server"

// writeNoise makes a file.
func writeNoise(t *testing.T, file string, seed uint64, size int64) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, noise(seed, size)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// tree is what a folder holds: names, modes, and sums of files.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		found[name] = fmt.Sprint(info.Mode(), " ", sumOf(t, f))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// open is a folder that every user may write to.
func open(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "o*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sample is a folder with what people copy.
func sample(t *testing.T) string {
	t.Helper()
	dir := open(t)
	if err := os.MkdirAll(filepath.Join(dir, "in side"), 0o777); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"a.txt", "b.txt", "c d.txt", "in side/ü.txt"} {
		writeNoise(t, filepath.Join(dir, name), uint64(i), 1024)
	}
	writeNoise(t, filepath.Join(dir, "large"), 9, 8<<20)
	writeNoise(t, filepath.Join(dir, "empty"), 9, 0)
	if err := os.Chmod(filepath.Join(dir, "a.txt"), 0o754); err != nil {
		t.Fatal(err)
	}
	return dir
}

func sameTree(t *testing.T, what, from, to string) {
	t.Helper()
	if diff := cmp.Diff(tree(t, from), tree(t, to)); diff != "" {
		t.Errorf("%s (-original +copy):\n%s", what, diff)
	}
}

// TestSCP copies a folder there, and parts of it back, by the old protocol and by SFTP.
func TestSCP(t *testing.T) {
	t.Parallel()
	newRig(t, "").bothWays(t, func(t *testing.T, r *rig) {
		for _, protocol := range []string{"-O", "-s"} {
			t.Run(protocol, func(t *testing.T) {
				t.Parallel()
				from, there, back := sample(t), open(t), open(t)
				for _, args := range [][]string{
					{protocol, "-rpq", from, "env:" + there + "/copy"},
					{protocol, "-rpq", "env:" + there + "/copy", back + "/copy"},
				} {
					if got := run(t, command(t, r.login(t), nil, "scp", args...), nil); got != (result{}) {
						t.Fatalf("scp %q: %+v", args, got)
					}
				}
				sameTree(t, "there", from, there+"/copy")
				sameTree(t, "and back", from, back+"/copy")
				some := open(t)
				if got := run(t, command(t, r.login(t), nil, "scp", protocol, "-pq", "env:"+there+"/copy/?.txt", some), nil); got != (result{}) {
					t.Fatalf("scp with a pattern: %+v", got)
				}
				if got := tree(t, some); len(got) != 2 {
					t.Errorf("a pattern brings %v, want a.txt and b.txt", got)
				}
				got := run(t, command(t, r.login(t), nil, "scp", protocol, "-q", "env:/nonexistent/x", some), nil)
				if got.Code != 1 || !strings.Contains(got.Stderr, "No such file") {
					t.Errorf("a file that is not there: %+v", got)
				}
			})
		}
	})
}

// TestSFTP works interactively, with the server that is in sshd and with the program.
func TestSFTP(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(sftpBinary); err != nil {
		t.Fatal(err) // comes with sshd
	}
	newRig(t, "", "Subsystem sftp-binary "+sftpBinary).bothWays(t, func(t *testing.T, r *rig) {
		for _, subsystem := range []string{"sftp", "sftp-binary"} {
			t.Run(subsystem, func(t *testing.T) {
				t.Parallel()
				from, there, back := sample(t), open(t), open(t)
				batch := strings.Join([]string{
					"lcd " + from, "cd " + there, "put -rp " + from + " .", "rename " + filepath.Base(from) + " copy", "ls copy", "mkdir other", "rmdir other",
					"symlink copy link", "get -rp copy " + back, "get -p link/*.txt " + back, "rm copy/a.txt", "-rm copy/a.txt", "df", "exit", "",
				}, "\n")
				got := run(t, command(t, r.login(t), nil, "sftp", "-b", "-", "-s", subsystem, "env"), strings.NewReader(batch))
				if got.Code != 0 || !strings.Contains(got.Stdout, "copy/large") {
					t.Fatalf("sftp: %+v", got)
				}
				sameTree(t, "there and back", from, back+"/copy")
				if got := tree(t, back); len(got) != 9 {
					t.Errorf("a pattern brings another number of files: %v", got)
				}
				if _, err := os.Stat(there + "/copy/a.txt"); err == nil {
					t.Error("a removed file is there")
				}
			})
		}
	})
}
