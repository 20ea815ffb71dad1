//go:build linux

package docker

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// entries are the names in a folder, none if there is no folder.
func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// TestDisks: a folder and a disk of a size are where the label says, and gone
// with their environment; what is reused is there for the next one alone.
func TestDisks(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	label := s.label("disks", "write /mnt/scratch/a one; fill /mnt/sized/b 2; read /cache/seen; write /cache/seen before; mounts; print ready; wait",
		`,"disks":{"scratch":{"type":"dir"},"sized":{"type":"ext4","size":1},"kept":{"type":"dir","label":"/cache","reuse":true}}`)
	first := s.run(label, `{}`)
	first.prints("ready")
	for _, want := range []string{"\nfilled 2\n", " /mnt/scratch ", " /mnt/sized ", " /cache ", "\nFAILED  read /cache/seen"} {
		if !strings.Contains("\n"+first.printed(), want) {
			t.Errorf("the environment does not say %q:\n%s", want, first.printed())
		}
	}
	second := s.CreateApplication(label, `{}`)
	if got := s.State(second); got.Status != "NEW" {
		t.Errorf("a second environment of a reused disk is %+v, want NEW", got)
	}
	first.release()
	s.WaitStatus(second, "ALLOCATED")
	e := environment{s, second, s.Resource(second)}
	e.prints("ready")
	if !e.says("before\n") {
		t.Errorf("the reused disk forgot:\n%s", e.printed())
	}
	if e.says("FAILED") {
		t.Errorf("the second environment:\n%s", e.printed())
	}
	s.Kill()
	s.Start()
	e.release()
	s.nothingLeft()
}
