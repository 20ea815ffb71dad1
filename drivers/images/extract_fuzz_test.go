package images

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// extractor lays out archives of a fuzz test, one after the other: in memory
// where there is such a disk, as thousands of folders a second are too many for another.
type extractor struct {
	dir, into, archive, outside string
}

const untouched = "untouched"

func newExtractor(f *testing.F) extractor {
	f.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fish-fuzz-*")
	if err != nil {
		if dir, err = filepath.EvalSymlinks(f.TempDir()); err != nil {
			f.Fatal(err)
		}
	}
	f.Cleanup(func() { _ = os.RemoveAll(dir) })
	e := extractor{dir, filepath.Join(dir, "into"), filepath.Join(dir, "archive"), filepath.Join(dir, "outside")}
	if err := os.WriteFile(e.outside, []byte(untouched), 0o600); err != nil {
		f.Fatal(err)
	}
	return e
}

// run lays the archives out, one over the other, and checks what is there after
// each, whatever became of it.
func (e extractor) run(t *testing.T, opts ExtractOptions, archives ...[]byte) {
	t.Helper()
	if err := os.Mkdir(e.into, 0o755); err != nil {
		t.Fatal(err)
	}
	opts.UID, opts.GID, opts.MinFree, opts.MaxBytes, opts.MaxEntries = -1, -1, 1, 1<<20, 1000
	for _, raw := range archives {
		if err := os.WriteFile(e.archive, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		e.check(t, Extract(t.Context(), e.archive, e.into, opts) == nil && !opts.LinksOutside)
	}
	if err := os.RemoveAll(e.into); err != nil {
		t.Fatalf("what was laid out can not be removed: %v", err)
	}
}

// check walks over what is there: files, folders and links without bits that
// give rights and, with inside, no link that leads out.
func (e extractor) check(t *testing.T, inside bool) {
	t.Helper()
	if got := readFile(t, e.dir, "outside"); got != untouched {
		t.Fatalf("a file outside of the folder is now %q", got)
	}
	entries, err := os.ReadDir(e.dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("beside the folder there is %v, %v", entries, err)
	}
	err = filepath.WalkDir(e.into, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch mode := d.Type(); {
		case mode&fs.ModeSymlink != 0:
			if target, err := filepath.EvalSymlinks(path); inside && err == nil && target != e.into && !strings.HasPrefix(target, e.into+string(filepath.Separator)) {
				t.Errorf("link %q leads out, to %q", path, target)
			}
		case !mode.IsDir() && !mode.IsRegular():
			t.Errorf("%q is a %v", path, mode)
		default:
			info, err := d.Info()
			if err != nil || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
				t.Errorf("%q has %v, %v", path, info.Mode(), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("what was laid out can not be read: %v", err)
	}
}

// FuzzExtract gives it any bytes: laid out, or refused without a trace outside and
// without a crash. To make inputs small takes a minute for each of many by
// default: run it with -fuzzminimizetime 5x.
func FuzzExtract(f *testing.F) {
	members := []member{{name: "d/f", body: "body"}, {name: "d/g", body: "more"}}
	for _, ext := range []string{"", ".gz", ".xz", ".zst"} {
		f.Add(packed(f, ext, tarOf(f, append(members, link("l", "d"), hard("h", "d/f"))...)))
	}
	f.Add(zipOf(f, append(members, link("l", "d"))...))
	e := newExtractor(f)
	f.Fuzz(func(t *testing.T, raw []byte) { e.run(t, ExtractOptions{}, raw) })
}

// FuzzExtractEntries gives it whole archives with any entries, one over the
// other: of each line the first letter is the kind, then come name and target.
// Mere bytes hardly ever are a tar, whose headers have a checksum.
func FuzzExtractEntries(f *testing.F) {
	for _, script := range []string{
		"d a\nf a/b\nl c a/b\nh d a/b", "l a ..\nf a/outside", "l a b\nl b ..\nf a/outside", "h a ../outside\nf a",
		"l a/b ..\nh c a/b\nf c/outside", "f a\nd a/b\nf a/b/c", "l a .\nf a/a/a/x\nd a", "f /etc/x\nf x/../../y\nf ./.\nd .",
		"l a a\nf a/b", "l a ..", "l a/b ../../outside", "l a .\nl b a/..\nh c b", "l a/l ..\nh l a/l", "l a b\nd b\nl b/c ..\nf a/c/outside", "s a\nf b", "l d ../into\nf d/x",
	} {
		f.Add(script, "d a\nf a/b\nf c", uint8(0))
		f.Add(script, script, uint8(1))
	}
	e := newExtractor(f)
	f.Fuzz(func(t *testing.T, first, second string, how uint8) {
		opts := ExtractOptions{Replace: how&1 != 0, LinksOutside: how&2 != 0}
		e.run(t, opts, scriptTar(first), scriptTar(second))
	})
}

// scriptTar is the tar of a script; lines that no tar can hold are left out.
func scriptTar(script string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	kinds := map[string]byte{"f": tar.TypeReg, "d": tar.TypeDir, "l": tar.TypeSymlink, "h": tar.TypeLink, "s": tar.TypeFifo}
	for line := range strings.Lines(script) {
		kind, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		name, target, _ := strings.Cut(rest, " ")
		h := &tar.Header{Name: name, Linkname: target, Typeflag: kinds[kind], Mode: int64(len(line)) * 0o1111 & 0o7777}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(line))
		}
		if h.Typeflag == 0 || w.WriteHeader(h) != nil {
			continue
		}
		if _, err := w.Write([]byte(line)[:h.Size]); err != nil {
			break
		}
	}
	_ = w.Close()
	return b.Bytes()
}
