package asciicast

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func openFolder(t *testing.T, limits Limits) (*Folder, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "recordings")
	d, err := OpenFolder(path, limits)
	if err != nil {
		t.Fatal(err)
	}
	return d, path
}

// record makes a finished recording.
func record(t *testing.T, d *Folder, session string, text string) string {
	t.Helper()
	f, err := d.Create(Name{Resource: "res", Session: session}, Header{Start: start}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Output(at(1), Stdout, []byte(text)), f.Close(at(2))); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(f.Path())
}

func TestFile(t *testing.T) {
	d, path := openFolder(t, Limits{})
	name := record(t, d, "0197-ab", "hello")
	if name != "20261123T150405Z_res_0197-ab_0.cast" {
		t.Errorf("name %s", name)
	}
	file := filepath.Join(path, name)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := recorded(t, text); got != "hello" {
		t.Errorf("recorded %q", got)
	}
	if runtime.GOOS != "windows" { // which knows no such modes
		for p, want := range map[string]fs.FileMode{path: 0o700, file: 0o600} {
			if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
				t.Errorf("mode of %s: %v, %v, want %v", p, info.Mode().Perm(), err, want)
			}
		}
	}
	if _, err := d.Create(Name{Resource: "res", Session: "0197-ab"}, Header{Start: start}, 1<<20); !errors.Is(err, fs.ErrExist) {
		t.Errorf("one of the same name: %v, want fs.ErrExist", err)
	}
	if after, _ := os.ReadFile(file); string(after) != string(text) {
		t.Error("the one that was there is changed")
	}
	for _, bad := range []Name{{"", "s", 0}, {"r", "../s", 0}, {"r", "s/..", 0}, {"r", "s", -1}} {
		if _, err := d.Create(bad, Header{Start: start}, 1<<20); err == nil {
			t.Errorf("the name %+v is accepted", bad)
		}
	}
	if _, err := d.Create(Name{Resource: "r", Session: "s"}, Header{Start: start}, 1); err == nil {
		t.Error("a limit of 1 byte is accepted")
	}
	if left, _ := os.ReadDir(path); len(left) != 1 {
		t.Errorf("a recording that never began left something: %v", left)
	}
}

// TestFolderKeepsOthersOut also where it was there, open to all.
func TestFolderKeepsOthersOut(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows knows no such modes")
	}
	path := t.TempDir()
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFolder(path, Limits{}); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want 0700", info.Mode().Perm())
	}
}

func TestPrune(t *testing.T) {
	d, path := openFolder(t, Limits{Age: time.Hour})
	old, young := record(t, d, "old", "a"), record(t, d, "young", "b")
	open, err := d.Create(Name{Resource: "res", Session: "open"}, Header{Start: start}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	others := []string{"notes.cast", "20261123T150405Z_res_x_0.cast.bak", "20261123T150405Z_res_folder_0.cast"}
	for _, name := range others[:2] {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(path, others[2]), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(others, old, filepath.Base(open.Path())) {
		if err := os.Chtimes(filepath.Join(path, name), now, now.Add(-61*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := d.Prune(now)
	if diff := cmp.Diff([]string{old}, got); diff != "" || err != nil {
		t.Errorf("pruned (-want +got): %v\n%s", err, diff)
	}
	for _, name := range append(others, young, filepath.Base(open.Path())) {
		if _, err := os.Stat(filepath.Join(path, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := open.Close(at(3)); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Prune(now.Add(2 * time.Hour)); len(got) != 2 || err != nil { // with the one that has ended
		t.Errorf("later it pruned %v, %v, want 2", got, err)
	}
}

// TestSurplus: nothing too old stays, no more than the bound stays, and what stays is the newest.
func TestSurplus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{
			Age:   time.Duration(rapid.IntRange(0, 50).Draw(t, "age")) * time.Minute,
			Bytes: int64(rapid.IntRange(0, 500).Draw(t, "bytes")),
		}
		var all []Recording
		for i, age := range rapid.SliceOfN(rapid.IntRange(-5, 100), 0, 20).Draw(t, "ages") { // a clock may go back
			size := int64(rapid.IntRange(0, 100).Draw(t, "size"))
			all = append(all, Recording{fmt.Sprintf("r%02d", i), start.Add(-time.Duration(age) * time.Minute), size})
		}
		surplus := limits.Surplus(all, start)
		var kept int64
		oldest, newestGone := start.Add(time.Hour), time.Time{}
		var gone []Recording
		for _, r := range all {
			if slices.Contains(surplus, r.Name) {
				gone = append(gone, r)
				if r.End.After(newestGone) {
					newestGone = r.End
				}
				continue
			}
			kept += r.Bytes
			if r.End.Before(oldest) {
				oldest = r.End
			}
			if limits.Age > 0 && start.Sub(r.End) > limits.Age {
				t.Fatalf("%+v stays", r)
			}
		}
		if limits.Bytes > 0 && kept > limits.Bytes || newestGone.After(oldest) {
			t.Fatalf("%d bytes stay of %+v without %v", kept, all, surplus)
		}
		if limits == (Limits{}) && len(gone) > 0 {
			t.Fatalf("without a bound these go: %+v", gone)
		}
		// No more than needed: the newest that goes is too old, or did not fit.
		for _, r := range gone {
			tooOld := limits.Age > 0 && start.Sub(r.End) > limits.Age
			if r.End.Equal(newestGone) && !tooOld && limits.Bytes > 0 && sumSince(all, r.End) <= limits.Bytes {
				t.Fatalf("%+v goes without need", r)
			}
		}
	})
}

func sumSince(all []Recording, end time.Time) (sum int64) {
	for _, r := range all {
		if !r.End.Before(end) {
			sum += r.Bytes
		}
	}
	return sum
}
