package images

import (
	"archive/tar"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func keep() ExtractOptions { return ExtractOptions{UID: -1, GID: -1, MinFree: 1} }

// extract lays out an archive of the bytes in a new folder beside a file that
// must stay as it is.
func extract(t testing.TB, raw []byte, opts ExtractOptions) (into string, err error) {
	t.Helper()
	dir := t.TempDir()
	into = filepath.Join(dir, "into")
	if err := os.Mkdir(into, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{"archive": string(raw), "outside": "untouched"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err = Extract(deadline(t), filepath.Join(dir, "archive"), into, opts)
	if got := readFile(t, dir, "outside"); got != "untouched" {
		t.Errorf("a file outside of the folder is now %q", got)
	}
	return into, err
}

// tree describes all that is below a folder.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		got[rel] = info.Mode().String()
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			got[rel], err = os.Readlink(path)
		case info.Mode().IsRegular():
			got[rel] += " " + readFile(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func link(name, to string) member { return member{name: name, link: to, kind: tar.TypeSymlink} }
func hard(name, to string) member { return member{name: name, link: to, kind: tar.TypeLink} }

func TestExtract(t *testing.T) {
	members := []member{
		{name: "./", mode: 0o700},
		{name: "./bin/run", body: "run", mode: 0o755},
		{name: "bin/suid", body: "s", mode: 0o6755},
		{name: "closed/", mode: 0o500},
		{name: "closed/file", body: "f", mode: 0o400},
		{name: "empty/", mode: 0o775},
		link("latest", "bin/run"),
		link("bin/up", "../closed/file"),
		link("dangling", "nowhere"),
		hard("again", "bin/run"),
	}
	want := map[string]string{
		"bin": "drwxr-xr-x", "bin/run": "-rwxr-xr-x run", "bin/suid": "-rwxr-xr-x s", "closed": "drwx------",
		"closed/file": "-r-------- f", "empty": "drwxrwxr-x", "latest": "bin/run", "bin/up": "../closed/file",
		"dangling": "nowhere", "again": "-rwxr-xr-x run",
	}
	for _, ext := range []string{"", ".gz", ".xz", ".zst"} {
		t.Run("tar"+ext, func(t *testing.T) {
			into, err := extract(t, packed(t, ext, tarOf(t, members...)), keep())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, tree(t, into)); diff != "" {
				t.Error(diff)
			}
			info, _ := os.Stat(into)
			if info.Mode().Perm() != 0o755 {
				t.Errorf("the folder itself has now %v", info.Mode())
			}
			for _, path := range []string{"bin/run", "closed", "closed/file"} {
				if info, err := os.Stat(filepath.Join(into, path)); err != nil || !info.ModTime().Equal(time.Unix(1e9, 0)) {
					t.Errorf("%s is of %v, %v", path, info.ModTime(), err)
				}
			}
		})
	}
	t.Run("zip", func(t *testing.T) {
		into, err := extract(t, zipOf(t, member{name: "d/run", body: "run", mode: 0o755}, link("l", "d/run")), keep())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"d": "drwxr-xr-x", "d/run": "-rwxr-xr-x run", "l": "d/run"}, tree(t, into)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestExtractRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		members []member
		want    string
	}{
		{"parent", []member{{name: "../outside", body: "x"}}, "leads out"},
		{"parent inside", []member{{name: "a/../../outside", body: "x"}}, "leads out"},
		{"absolute", []member{{name: "/etc/passwd", body: "x"}}, "leads out"},
		{"link to a parent", []member{link("l", "../outside")}, "leads out"},
		{"absolute link", []member{link("l", "/etc/passwd")}, "leads out"},
		{"deep link", []member{link("a/b/l", "../../../outside")}, "leads out"},
		{"through a link", []member{link("l", "."), link("m", "l/..")}, "escapes"},
		{"link that turns", []member{link("m", "l/.."), link("l", ".")}, "escapes"},
		{"empty link", []member{link("l", "")}, "leads out"},
		{"hard link out", []member{hard("h", "../outside")}, "leads out"},
		{"hard link to nothing", []member{hard("h", "nothing")}, "no file"},
		{"hard link to a folder", []member{{name: "d/"}, hard("h", "d")}, "no file"},
		{"device", []member{{name: "null", kind: tar.TypeChar}}, "device node"},
		{"disk", []member{{name: "sda", kind: tar.TypeBlock}}, "device node"},
		{"pipe", []member{{name: "p", kind: tar.TypeFifo}}, "named pipe"},
		{"below a file", []member{{name: "f", body: "x"}, {name: "f/g", body: "x"}}, "something else"},
		{"file for a full folder", []member{{name: "d/f", body: "x"}, {name: "d", body: "x"}}, "not empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := extract(t, tarOf(t, tt.members...), keep())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Extract = %v, want an error with %q", err, tt.want)
			}
		})
	}
	if _, err := extract(t, zipOf(t, member{name: "../outside", body: "x"}), keep()); err == nil {
		t.Error("a zip may lead out of the folder")
	}
	if _, err := extract(t, zipOf(t, link("l", "/etc")), keep()); err == nil {
		t.Error("a zip's link may lead out of the folder")
	}
}

func TestBadArchives(t *testing.T) {
	whole := tarOf(t, member{name: "f", body: noise(100_000, 1)})
	for name, raw := range map[string][]byte{
		"empty":      nil,
		"text":       []byte("<html>not found</html>" + strings.Repeat(" ", 1000)),
		"short tar":  whole[:50_000],
		"short gzip": packed(t, ".gz", whole)[:50_000],
		"short xz":   packed(t, ".xz", whole)[:50_000],
		"short zst":  packed(t, ".zst", whole)[:50_000],
		"gzip sum":   flip(packed(t, ".gz", whole), -6),
		"xz sum":     flip(packed(t, ".xz", whole), 60_000),
		"short zip":  zipOf(t, member{name: "f", body: noise(100_000, 1)})[:50_000],
		"zip sum":    flip(zipOf(t, member{name: "f", body: noise(100_000, 1)}), 50_000),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := extract(t, raw, keep()); !errors.Is(err, errArchive) {
				t.Errorf("Extract = %v, want a bad archive", err)
			}
		})
	}
}

func flip(raw []byte, at int) []byte {
	if at < 0 {
		at += len(raw)
	}
	raw[at] ^= 1
	return raw
}

// A link may lead out where that is allowed, but nothing is written through it.
func TestLinksOutside(t *testing.T) {
	opts := keep()
	opts.LinksOutside = true
	into, err := extract(t, tarOf(t, link("python", "/usr/bin/python3"), link("out", "../outside")), opts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"python": "/usr/bin/python3", "out": "../outside"}, tree(t, into)); diff != "" {
		t.Error(diff)
	}
	for _, tt := range []struct {
		name    string
		ok      bool
		members []member
	}{
		{"file for the link", true, []member{link("out", "../outside"), {name: "out", body: "mine"}}},
		{"file for its other name", true, []member{link("out", "../outside"), hard("h", "out"), {name: "h", body: "mine"}}},
		{"file through the link", false, []member{link("out", ".."), {name: "out/outside", body: "mine"}}},
		{"mode through the link", false, []member{link("out", ".."), {name: "out/", mode: 0o777}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			into, err := extract(t, tarOf(t, tt.members...), opts)
			if (err == nil) != tt.ok {
				t.Errorf("Extract = %v, want ok %v", err, tt.ok)
			}
			if info, err := os.Stat(filepath.Dir(into)); err != nil || info.Mode().Perm() == 0o777 {
				t.Errorf("the folder above is now %v, %v", info.Mode(), err)
			}
		})
	}
}

// What a reused disk holds is replaced where the archive names it, and no file
// is written into that has another name elsewhere.
func TestExtractAgain(t *testing.T) {
	dir := t.TempDir()
	archive, into, other := filepath.Join(dir, "a"), filepath.Join(dir, "into"), filepath.Join(dir, "other")
	for _, err := range []error{
		os.WriteFile(archive, tarOf(t, member{name: "f", body: "new"}, link("l", "f"), member{name: "d/f", body: "new"}, hard("h", "f")), 0o600),
		os.Mkdir(into, 0o755),
		os.WriteFile(other, []byte("other"), 0o600),
		os.Link(other, filepath.Join(into, "f")),
		os.Symlink(other, filepath.Join(into, "l")),
		os.WriteFile(filepath.Join(into, "h"), []byte("old"), 0o600),
		os.WriteFile(filepath.Join(into, "stays"), []byte("old"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := Extract(deadline(t), archive, into, keep()); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"f": "-rw-r--r-- new", "h": "-rw-r--r-- new", "l": "f", "d": "drwxr-xr-x", "d/f": "-rw-r--r-- new", "stays": "-rw------- old"}
	if diff := cmp.Diff(want, tree(t, into)); diff != "" {
		t.Error(diff)
	}
	if got := readFile(t, other); got != "other" {
		t.Errorf("a file elsewhere is now %q", got)
	}
}

// littered is a folder that its earlier user left in a way that hinders or
// harms who lays something out there. It lies beside a file that must stay.
func littered(t testing.TB) (into, outside string) {
	t.Helper()
	dir := t.TempDir()
	into, outside = filepath.Join(dir, "into"), filepath.Join(dir, "outside")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(into, "full", "deep"), 0o755),
		os.MkdirAll(filepath.Join(into, "closed"), 0o755),
		os.Mkdir(outside, 0o700),
		os.WriteFile(filepath.Join(outside, "f"), []byte("precious"), 0o600),
		os.WriteFile(filepath.Join(into, "file"), []byte("old"), 0o400),
		os.Symlink(outside, filepath.Join(into, "out")),
		os.Symlink("full", filepath.Join(into, "in")),
		os.Symlink("nowhere", filepath.Join(into, "dangling")),
		os.Chmod(filepath.Join(into, "closed"), 0o500),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return into, outside
}

// What stands in the way gives way, and links of others are not followed.
func TestReplace(t *testing.T) {
	opts := keep()
	opts.Replace, opts.LinksOutside = true, true
	for _, tt := range []struct {
		name    string
		members []member
		want    map[string]string // of what differs from the litter; "" is gone
		refused string
	}{
		{name: "folders for links", members: []member{{name: "out/", mode: 0o755}, {name: "out/f", body: "new"}, {name: "in/g/h", body: "new"}, {name: "dangling/f", body: "new"}},
			want: map[string]string{"out": "drwxr-xr-x", "out/f": "-rw-r--r-- new", "in": "drwxr-xr-x", "in/g": "drwxr-xr-x",
				"in/g/h": "-rw-r--r-- new", "dangling": "drwxr-xr-x", "dangling/f": "-rw-r--r-- new"}},
		{name: "folder for a file", members: []member{{name: "file/f", body: "new"}},
			want: map[string]string{"file": "drwxr-xr-x", "file/f": "-rw-r--r-- new"}},
		{name: "file for a full folder", members: []member{{name: "full", body: "new", mode: 0o755}},
			want: map[string]string{"full": "-rwxr-xr-x new", "full/deep": ""}},
		{name: "link for a full folder", members: []member{link("full", "in")}, want: map[string]string{"full": "in", "full/deep": ""}},
		{name: "hard link for a full folder", members: []member{{name: "f", body: "new"}, hard("full", "f")},
			want: map[string]string{"f": "-rw-r--r-- new", "full": "-rw-r--r-- new", "full/deep": ""}},
		{name: "files for a file and a link", members: []member{{name: "file", body: "new"}, {name: "out", body: "new"}},
			want: map[string]string{"file": "-rw-r--r-- new", "out": "-rw-r--r-- new"}},
		{name: "into a closed folder", members: []member{{name: "closed/f", body: "new"}},
			want: map[string]string{"closed": "drwx------", "closed/f": "-rw-r--r-- new"}},
		{name: "through a link of its own", members: []member{{name: "real/", mode: 0o755}, link("own", "real"), {name: "own/f", body: "new"}},
			want: map[string]string{"real": "drwxr-xr-x", "own": "real", "real/f": "-rw-r--r-- new"}},
		{name: "out through a link of its own", members: []member{link("own", "../outside"), {name: "own/f", body: "new"}}, refused: "can not be a folder"},
		{name: "its own full folder", members: []member{{name: "d/f", body: "x"}, {name: "d", body: "x"}}, refused: "not empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			into, outside := littered(t)
			want := tree(t, into)
			archive := filepath.Join(t.TempDir(), "a")
			if err := os.WriteFile(archive, tarOf(t, tt.members...), 0o600); err != nil {
				t.Fatal(err)
			}
			err := Extract(deadline(t), archive, into, opts)
			if (err != nil) != (tt.refused != "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("Extract = %v, want an error with %q", err, tt.refused)
			}
			if got := readFile(t, outside, "f"); got != "precious" {
				t.Errorf("the file outside is now %q", got)
			}
			if tt.refused != "" {
				return
			}
			for name, body := range tt.want {
				if want[name] = body; body == "" {
					delete(want, name)
				}
			}
			if diff := cmp.Diff(want, tree(t, into)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Without Replace the same is an error, and changes nothing outside.
func TestNothingGivesWay(t *testing.T) {
	for name, m := range map[string]member{
		"folder for a link": {name: "out/f", body: "new"}, "folder for a file": {name: "file/f", body: "new"}, "file for a full folder": {name: "full", body: "new"},
	} {
		into, outside := littered(t)
		archive := filepath.Join(t.TempDir(), "a")
		if err := os.WriteFile(archive, tarOf(t, m), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Extract(deadline(t), archive, into, keep()); err == nil {
			t.Errorf("%s: Extract = nil, want an error", name)
		}
		if got := readFile(t, outside, "f"); got != "precious" {
			t.Errorf("%s: the file outside is now %q", name, got)
		}
	}
}

func TestBombs(t *testing.T) {
	zeros := strings.Repeat("\x00", 2<<20)
	var many []member
	for i := range 200 {
		many = append(many, member{name: "d" + strings.Repeat("x", i) + "/"})
	}
	for _, tt := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"gzip", packed(t, ".gz", tarOf(t, member{name: "f", body: zeros})), "more than 1000000 bytes"},
		{"xz", packed(t, ".xz", tarOf(t, member{name: "f", body: zeros})), "more than 1000000 bytes"},
		{"zst", packed(t, ".zst", tarOf(t, member{name: "f", body: zeros})), "more than 1000000 bytes"},
		{"zip", zipOf(t, member{name: "f", body: zeros}), "more than 1000000 bytes"},
		{"in sum", zipOf(t, member{name: "f", body: zeros[:900_000]}, member{name: "g", body: zeros[:900_000]}), "more than 1000000 bytes"},
		{"entries", tarOf(t, many...), "more than 100 entries"},
		{"entries of a zip", zipOf(t, many...), "more than 100 entries"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := keep()
			opts.MaxBytes, opts.MaxEntries = 1_000_000, 100
			into, err := extract(t, tt.raw, opts)
			if !errors.Is(err, errArchive) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Extract = %v, want an error with %q", err, tt.want)
			}
			var total int
			for _, body := range tree(t, into) {
				total += len(body)
			}
			if total > 1_100_000 {
				t.Errorf("%d bytes were laid out", total)
			}
		})
	}
}

func TestExtractEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	archive := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(archive, tarOf(t, member{name: "f", body: "x"}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Extract(ctx, archive, t.TempDir(), keep()); !errors.Is(err, context.Canceled) {
		t.Errorf("Extract with an ended context = %v", err)
	}
	if err := Extract(t.Context(), archive, filepath.Join(t.TempDir(), "none"), keep()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Extract into nothing = %v", err)
	}
	full := keep()
	full.MinFree = 1 << 60
	if err := Extract(t.Context(), archive, t.TempDir(), full); !errors.Is(err, errDiskFull) {
		t.Errorf("Extract without room = %v", err)
	}
}

func TestLayOut(t *testing.T) {
	image := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(image, "d", "e"), 0o755),
		os.WriteFile(filepath.Join(image, "d", "run"), []byte("run"), 0o755),
		os.WriteFile(filepath.Join(image, markFile), []byte("{}"), 0o600),
		os.Symlink("d/run", filepath.Join(image, "l")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	laid := Laid{Folder: image, Name: "img", Version: "1"}
	into := t.TempDir()
	if err := laid.LayOut(deadline(t), into, keep()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"d": "drwxr-xr-x", "d/e": "drwxr-xr-x", "d/run": "-rwxr-xr-x run", "l": "d/run"}
	if diff := cmp.Diff(want, tree(t, into)); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(filepath.Join(image, "img.tar"), tarOf(t, member{name: "f", body: "x"}), 0o600); err != nil {
		t.Fatal(err)
	}
	into = t.TempDir()
	if err := laid.LayOut(deadline(t), into, keep()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"f": "-rw-r--r-- x"}, tree(t, into)); diff != "" {
		t.Error(diff)
	}
}
