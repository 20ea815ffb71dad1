//go:build linux

package native

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// lateVariable names the folder of a site in which this test binary allocates,
// to be killed meanwhile.
const lateVariable = "FISH_NATIVE_TEST_LATE"

// slowUseradd says that it is there and then waits, with the right to go on
// given by a file. It does not warn, which it could not survive: nobody is left
// to read that.
const slowUseradd = `#!/bin/sh
if [ "$1" = --help ]; then exit 0; fi
touch DIR/waits
until [ -e DIR/go ]; do sleep 0.01; done
for try in $(seq 200); do # another one may hold the lock of /etc/passwd
	useradd "$@" 2>/dev/null && exit 0
	sleep 0.05
done
exit 1
`

// TestUserThatComesLate kills a node while useradd runs, and removes the
// environment before useradd has come to its end.
func TestUserThatComesLate(t *testing.T) {
	const token = "1a7e1a7e1a7e1a7e1a7e1a7e1a7e1a7e"
	cfg := func(dir string) string { return "useradd_path: " + filepath.Join(dir, "useradd") + "\n" }
	if dir := os.Getenv(lateVariable); dir != "" {
		req := drivers.Request{ApplicationUID: uuid.New(), Token: token, Definition: definition(`{"entry":"true","groups":["users"]}`)}
		_, err := site{dir, cfg(dir)}.open(t, "native", node).Allocate(context.Background(), req)
		t.Fatalf("Allocate() = %v, want to be killed in it", err)
	}
	needsUsers(t)
	s := newSite(t, "")
	write(t, filepath.Join(s.dir, "useradd"), strings.ReplaceAll(slowUseradd, "DIR", s.dir), 0o755)
	killed := exec.Command(os.Args[0], "-test.run", "^TestUserThatComesLate$")
	killed.Env = append(os.Environ(), lateVariable+"="+s.dir)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "useradd", func() bool { there, _ := exists(filepath.Join(s.dir, "waits")); return there })
	kill(t, killed.Process.Pid)
	_ = killed.Wait() // killed

	d := s.start(t)
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: token}); err != nil {
		t.Fatal(err)
	}
	if refs, err := d.List(t.Context()); err != nil || len(refs) != 0 {
		t.Errorf("List() before useradd ends = %v, %v, want nothing", refs, err)
	}
	write(t, filepath.Join(s.dir, "go"), "", 0o644)
	name := identifiers(token)[0]
	waitFor(t, "user", func() bool { _, err := user.Lookup(name); return err == nil })

	orphan := drivers.Ref{Identifier: name}
	if refs, err := d.List(t.Context()); err != nil || !cmp.Equal(refs, []drivers.Ref{orphan}) {
		t.Errorf("List() = %v, %v, want the user alone", refs, err)
	}
	other := s.open(t, "native", uuid.New())
	defer func() { _ = other.Close() }()
	elsewhere := newSite(t, "").start(t)
	for of, d := range map[string]*driver{"node": other, "workspace": elsewhere} {
		if refs, err := d.List(t.Context()); err != nil || len(refs) != 0 {
			t.Errorf("List() of another %s = %v, %v, want nothing", of, refs, err)
		}
	}
	if r, err := d.Inspect(t.Context(), orphan); err != nil || r.Presence != drivers.Partial {
		t.Errorf("Inspect() = %+v, %v, want Partial", r, err)
	}
	if err := d.Deallocate(t.Context(), orphan); err != nil {
		t.Fatal(err)
	}
	if left := s.leftovers(t); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if r, err := d.Inspect(t.Context(), orphan); err != nil || r.Presence != drivers.Absent {
		t.Errorf("Inspect() after Deallocate = %+v, %v, want Absent", r, err)
	}
}
