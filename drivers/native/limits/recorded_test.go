package limits

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// recorded is a kernel over a recorded tree of cgroup v2 in an ordinary folder.
type recorded struct {
	t        *testing.T
	root     string
	readOnly []string // below root: what the node may not write; a child of it may be open again
	open     []string
	killed   *[]int
	old      bool // a kernel before 5.14, without cgroup.kill
}

// newRecorded lays the tree out.
func newRecorded(t *testing.T) recorded {
	r := recorded{t: t, root: t.TempDir(), killed: new([]int)}
	for _, f := range fixture(t, "testdata/v2-tree.txt") {
		path := filepath.Join(r.root, f[0])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		put(t, path, f[1])
	}
	return r
}

// fixture reads lines of a path and a content.
func fixture(t *testing.T, file string) [][2]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list [][2]string
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "/") {
			path, content, _ := strings.Cut(strings.TrimSpace(line), " ")
			list = append(list, [2]string{path, content})
		}
	}
	return list
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// allowed tells whether the node may write to a path: the longest rule decides.
func (r recorded) allowed(path string) error {
	longest, denied := -1, false
	below := func(rule string) bool {
		rule = filepath.Join(r.root, rule)
		return (path == rule || strings.HasPrefix(path, rule+"/")) && len(rule) > longest
	}
	for _, rule := range r.readOnly {
		if below(rule) {
			longest, denied = len(filepath.Join(r.root, rule)), true
		}
	}
	for _, rule := range r.open {
		if below(rule) {
			longest, denied = len(filepath.Join(r.root, rule)), false
		}
	}
	if denied {
		return &os.PathError{Op: "open", Path: path, Err: syscall.EACCES}
	}
	return nil
}

func (r recorded) mkdir(path string) error {
	if err := r.allowed(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	controls := strings.Fields(get(r.t, filepath.Join(filepath.Dir(path), "cgroup.subtree_control")))
	for _, f := range fixture(r.t, "testdata/v2-group.txt") {
		control, _, _ := strings.Cut(strings.TrimPrefix(f[0], "/"), ".")
		if (control != "cgroup" && !slices.Contains(controls, control)) || (r.old && f[0] == "/cgroup.kill") {
			continue
		}
		content := f[1]
		if f[0] == "/cgroup.controllers" {
			content = strings.Join(controls, " ")
		}
		put(r.t, filepath.Join(path, f[0]), content)
	}
	return nil
}

func (r recorded) rmdir(path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	busy := get(r.t, filepath.Join(path, "cgroup.procs")) != ""
	for _, entry := range entries {
		busy = busy || entry.IsDir()
	}
	if busy {
		return &os.PathError{Op: "remove", Path: path, Err: syscall.EBUSY}
	}
	return os.RemoveAll(path)
}

func (r recorded) write(path, value string) error {
	if err := r.allowed(path); err != nil {
		return err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err // the kernel never makes a file because it is written to
	}
	dir := filepath.Dir(path)
	switch filepath.Base(path) {
	case "cgroup.subtree_control":
		if dir != r.root && get(r.t, filepath.Join(dir, "cgroup.procs")) != "" {
			return &os.PathError{Op: "write", Path: path, Err: syscall.EBUSY}
		}
		value = strings.TrimSpace(string(old)) + " " + strings.TrimPrefix(value, "+")
		for _, child := range r.children(dir) {
			put(r.t, filepath.Join(child, "cgroup.controllers"), value)
		}
	case "cgroup.kill":
		r.empty(dir)
		return nil
	}
	put(r.t, path, value)
	return nil
}

func (r recorded) children(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		r.t.Fatal(err)
	}
	var list []string
	for _, entry := range entries {
		if entry.IsDir() {
			list = append(list, filepath.Join(dir, entry.Name()))
		}
	}
	return list
}

// empty ends what is in a group and below.
func (r recorded) empty(dir string) {
	for _, child := range r.children(dir) {
		r.empty(child)
	}
	put(r.t, filepath.Join(dir, "cgroup.procs"), "")
	put(r.t, filepath.Join(dir, "cgroup.events"), "populated 0")
}

func (r recorded) writable(path string) error {
	if err := r.allowed(path); err != nil {
		return err
	}
	_, err := os.Stat(path)
	return err
}

// kill ends a process wherever it is in the tree.
func (r recorded) kill(pid int) error {
	*r.killed = append(*r.killed, pid)
	return filepath.WalkDir(r.root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.Name() != "cgroup.procs" {
			return err
		}
		left := slices.DeleteFunc(strings.Fields(get(r.t, path)), func(word string) bool { return word == itoa(pid) })
		put(r.t, path, strings.Join(left, "\n"))
		return nil
	})
}

// detect detects as a node in the given group would.
func (r recorded) detect(own string) *Limiter {
	self := filepath.Join(r.t.TempDir(), "cgroup")
	put(r.t, self, "0::"+own)
	return detect(Options{Root: r.root, Self: self}, r)
}
