package volume

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestTake(t *testing.T) {
	s := ShelfIn(t.TempDir())
	a, b := Holder{"fish-a", strings.Repeat("a", 32)}, Holder{"fish-b", strings.Repeat("b", 32)}
	alive := map[string]bool{a.Token: true, b.Token: true}
	lives := func(h Holder) bool { return alive[h.Token] }
	take := func(label string, h Holder, want string) {
		t.Helper()
		err := s.Take(label, h, lives)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Take(%s) by %s = %v, want %q", label, h.Identifier, err, want)
		}
	}
	if err := s.Release(a.Token); err != nil {
		t.Errorf("Release() before there is a shelf = %v", err)
	}
	take("/mnt/cache", a, "")
	take("/mnt/cache", a, "") // again after a kill
	take("/mnt/cache", b, `"/mnt/cache" is in use by environment fish-a`)
	take("other", b, "")
	if err := s.Release(a.Token); err != nil {
		t.Fatal(err)
	}
	take("/mnt/cache", b, "")
	take("/mnt/cache", a, "fish-b")
	alive[b.Token] = false // its release was cut short, and nothing else of it is left
	take("/mnt/cache", a, "")
	take("other", a, "")

}

// TestUnreadableNote: the disk is nobody's to take, and the environments of the
// workspace end all the same: each looks through all notes at its end.
func TestUnreadableNote(t *testing.T) {
	lives := func(Holder) bool { return true }
	a, b := Holder{"fish-a", strings.Repeat("a", 32)}, Holder{"fish-b", strings.Repeat("b", 32)}
	for _, text := range []string{"", "{", "null", "{}", `{"identifier":"fish-a"}`} {
		s := ShelfIn(t.TempDir())
		for _, label := range []string{"cache", "other"} {
			if err := s.Take(label, a, lives); err != nil {
				t.Fatal(err)
			}
		}
		note := filepath.Join(s.Folder("cache"), takenFile)
		if err := os.WriteFile(note, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Take("cache", b, lives); err == nil || !strings.Contains(err.Error(), note) || !strings.Contains(err.Error(), "remove the file") {
			t.Errorf("Take() beside the note %q = %v, want what to do", text, err)
		}
		for _, token := range []string{a.Token, strings.Repeat("c", 32)} {
			if err := s.Release(token); err != nil {
				t.Errorf("Release() beside the note %q = %v", text, err)
			}
		}
		if err := s.Take("other", b, lives); err != nil {
			t.Errorf("Take() of what was given back = %v", err)
		}
		if _, err := os.Stat(note); err != nil {
			t.Errorf("the note %q has gone: %v", text, err)
		}
	}
}

// TestTakeAtOnce: one of many gets it.
func TestTakeAtOnce(t *testing.T) {
	s := ShelfIn(t.TempDir())
	var group sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		group.Go(func() {
			errs[i] = s.Take("x", Holder{"e", strings.Repeat(string(rune('a'+i)), 32)}, func(Holder) bool { return true })
		})
	}
	group.Wait()
	got := 0
	for _, err := range errs {
		if err == nil {
			got++
		}
	}
	if got != 1 {
		t.Errorf("%d took it, want one: %v", got, errors.Join(errs...))
	}
}

// TestShelfOfAStoppedProcess: its lock is not waited for for ever.
func TestShelfOfAStoppedProcess(t *testing.T) {
	s := ShelfIn(t.TempDir())
	take := func() error { return s.Take("x", Holder{"e", "t"}, func(Holder) bool { return true }) }
	if err := take(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		err := s.locked(func() error {
			began := time.Now()
			err1, err2 := take(), s.Release("t")
			if took := time.Since(began); took != 2*lockLimit {
				t.Errorf("they waited %v, want %v each", took, lockLimit)
			}
			for _, err := range []error{err1, err2} {
				if err == nil || !strings.Contains(err.Error(), "another process holds it") {
					t.Errorf("error = %v, want who is to be looked for", err)
				}
			}
			return nil
		})
		if err := errors.Join(err, take(), s.Release("t")); err != nil {
			t.Errorf("once it goes on: %v", err)
		}
	})
}

// TestFolder: no two labels the same, none out of the shelf, and plain ones as
// they are, as there may be disks of an earlier version.
func TestFolder(t *testing.T) {
	s := Shelf{"/s"}
	seen := map[string]string{}
	long := strings.Repeat("x", 300)
	for label, want := range map[string]string{
		"cache": "/s/cache", "a.b-c_D9": "/s/a.b-c_D9", "..": "/s/%2E.", ".": "/s/%2E", "/a": "/s/%2Fa", "%2Fa": "/s/%252Fa",
		"a b": "/s/a%20b", "-x": "/s/%2Dx", long: "", long + "y": "", "": "/s",
	} {
		got := s.Folder(label)
		if other, twice := seen[got]; twice {
			t.Errorf("%q and %q are both in %s", label, other, got)
		}
		seen[got] = label
		if want != "" && got != want || len(filepath.Base(got)) > longestFolder {
			t.Errorf("Folder(%.20q) = %q, want %q", label, got, want)
		}
	}
}

// TestNeed: of a reused disk that is there what it may still grow.
func TestNeed(t *testing.T) {
	disks := map[string]model.Disk{
		"own": {Type: "raw", Size: 5}, "grows": {Type: "ext4", Size: 20, Reuse: true}, "full": {Type: "raw", Size: 3, Reuse: true},
		"folder": {Type: "dir", Size: 100, Reuse: true}, "nonsense": {Type: "raw", Size: 1 << 63, Label: "x", Reuse: true},
	}
	for _, tt := range []struct {
		name string
		kept Kept
		want uint
	}{
		{"nothing is known", nil, 5 + 20 + 3 + 100 + 1<<40},
		{"some are there", Kept{"grows": 15<<30 + 1, "full": 9 << 30, "folder": 0, "own": 5 << 30, "x": -1}, 5 + 5 + 1<<40},
	} {
		if got := Need(disks, tt.kept); got != tt.want {
			t.Errorf("%s: Need() = %d GB, want %d", tt.name, got, tt.want)
		}
	}
}

// TestExclusive: one folder is one shelf, by whatever path.
func TestExclusive(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	disks := map[string]model.Disk{"a": {Reuse: true}, "b": {Reuse: true, Label: "cache"}, "c": {}}
	got := ShelfIn(dir).Exclusive(disks)
	if len(got) != 2 || !strings.HasPrefix(got[0], "disk a in ") || !strings.HasPrefix(got[1], "disk cache in ") {
		t.Errorf("Exclusive() = %q, want the two reused ones", got)
	}
	if diff := cmp.Diff(got, ShelfIn(link).Exclusive(disks)); diff != "" {
		t.Errorf("Exclusive() by a link (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(got, ShelfIn(t.TempDir()).Exclusive(disks)); diff == "" {
		t.Error("Exclusive() of another workspace is the same")
	}
}

func TestKept(t *testing.T) {
	s := ShelfIn(t.TempDir())
	if kept, err := s.Kept(); err != nil || len(kept) > 0 {
		t.Errorf("Kept() without a shelf = %v, %v", kept, err)
	}
	if err := s.Take("taken", Holder{}, nil); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.Folder("/mnt/raw"), imageFile), 1<<20)
	write(t, filepath.Join(s.Folder("dir"), dataFolder, "f"), 1)
	kept, err := s.Kept()
	raw := filepath.Base(s.Folder("/mnt/raw"))
	if _, dir := kept["dir"]; err != nil || len(kept) != 2 || !dir || kept[raw] < 1<<20 || kept[raw] > 2<<20 {
		t.Errorf("Kept() = %v, %v, want the two that are made", kept, err)
	}
}
