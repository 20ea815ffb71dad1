package images

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A hard link gives a symbolic link another place, from which it leads
// elsewhere.
func TestHardLinkMovesALink(t *testing.T) {
	for _, tt := range []struct {
		name string
		ok   bool
		want []member
	}{
		{"up", false, []member{{name: "a/b/f", body: "x"}, link("a/b/l", "../../outside"), hard("h", "a/b/l")}},
		{"twice", false, []member{link("a/b/c/l", "../../../outside"), hard("a/m", "a/b/c/l"), hard("a/b/n", "a/m")}},
		{"beside", true, []member{{name: "f", body: "x"}, link("a/l", "../f"), hard("a/m", "a/l")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			into, err := extract(t, tarOf(t, tt.want...), keep())
			if tt.ok != (err == nil) || err != nil && !errors.Is(err, errArchive) {
				t.Errorf("Extract = %v, want ok %v", err, tt.ok)
			}
			if tt.ok && readFile(t, into, "a", "m") != "x" {
				t.Error("the link leads elsewhere")
			}
		})
	}
}

// The same in an image would have the cache give out a folder of the host.
func TestHardLinkIsNoWayOut(t *testing.T) {
	body := tarOf(t, link("a/b/c/d/l", "../../../../host"), hard("img-1", "a/b/c/d/l"))
	s := newServer(t, false, map[string][]byte{"/img-1.tar": body})
	c := newCache(t, Options{Path: filepath.Join(t.TempDir(), "cache")})
	if err := os.Mkdir(filepath.Join(c.opts.Path, "host"), 0o755); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, c, Image{URL: s.URL + "/img-1.tar", Sum: sha(body)}, "leads out")
}

// What is skipped costs time too: an archive is read no further than what it
// may unpack to.
func TestSkippedBytesAreCounted(t *testing.T) {
	for _, tt := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"file in place of the folder", tarOf(t, member{name: "./.", body: strings.Repeat("\x00", 4<<20)}), "in place of the folder"},
		{"after the end", packed(t, ".gz", append(tarOf(t, member{name: "f"}), make([]byte, 4<<20)...)), "more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := keep()
			opts.MaxBytes, opts.MaxEntries = 1_000_000, 100
			if _, err := extract(t, tt.raw, opts); !errors.Is(err, errArchive) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Extract = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// sparse is an old GNU sparse tar: one file of the stated size that holds
// nothing.
func sparse(t testing.TB, name string, size int64) []byte {
	t.Helper()
	raw := tarOf(t, member{name: name})
	head := raw[:512]
	head[156] = tar.TypeGNUSparse
	copy(head[257:], "ustar  \x00")
	copy(head[386:], fmtOctal(size)) // one empty piece at the end
	copy(head[398:], fmtOctal(0))
	copy(head[483:], fmtOctal(size))
	clear(head[148:156])
	sum := int64(8 * ' ')
	for _, b := range head {
		sum += int64(b)
	}
	copy(head[148:], fmtOctal(sum)[5:11])
	head[155] = ' '
	return raw
}

func fmtOctal(n int64) string {
	digits := make([]byte, 11)
	for i := 10; i >= 0; i-- {
		digits[i] = byte('0' + n&7)
		n >>= 3
	}
	return string(digits) + "\x00"
}

func TestSparse(t *testing.T) {
	into, err := extract(t, sparse(t, "f", 100_000), keep())
	if err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, into, "f"); got != strings.Repeat("\x00", 100_000) {
		t.Errorf("f has %d bytes, want 100000 zeros", len(got))
	}
	opts := keep()
	opts.MaxBytes = 1 << 20
	if _, err := extract(t, sparse(t, "f", 8<<30-1), opts); !errors.Is(err, errArchive) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("Extract of 8 GB of holes = %v", err)
	}
}

// A zip states each size twice and both may lie.
func TestZipLies(t *testing.T) {
	body := strings.Repeat("zip", 100_000)
	raw := zipOf(t, member{name: "f", body: body})
	directory := bytes.LastIndex(raw, []byte("PK\x01\x02"))
	for name, size := range map[string]uint32{"less": 10, "more": 1 << 30, "zip64 without its field": 0xffffffff} {
		t.Run(name, func(t *testing.T) {
			lie := bytes.Clone(raw)
			binary.LittleEndian.PutUint32(lie[directory+24:], size)
			opts := keep()
			opts.MaxBytes = 1 << 20
			into, err := extract(t, lie, opts)
			if !errors.Is(err, errArchive) {
				t.Errorf("Extract = %v, want a bad archive", err)
			}
			if info, err := os.Stat(filepath.Join(into, "f")); err == nil && info.Size() > 1<<20 {
				t.Errorf("%d bytes were laid out", info.Size())
			}
		})
	}
}

// The list of a zip's files is read into memory before the first is seen.
func TestZipDirectoryIsBounded(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for range 40 {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: "f", Comment: strings.Repeat("x", 60_000)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := eachZip(t.Context(), bytes.NewReader(b.Bytes()), int64(b.Len()), 1<<20, nil); !errors.Is(err, errArchive) || !strings.Contains(err.Error(), "list of files") {
		t.Errorf("eachZip = %v, want a refusal of its list", err)
	}
}

func TestDuplicates(t *testing.T) {
	into, err := extract(t, tarOf(t, member{name: "f", body: "first"}, hard("h", "f"), member{name: "f", body: "second"}), keep())
	if err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, into, "f") + " " + readFile(t, into, "h"); got != "second first" {
		t.Errorf("the files hold %q", got)
	}
	_, err = extract(t, tarOf(t, link("l", "d"), member{name: "d/f", body: "x"}, member{name: "l", body: "mine"}, member{name: "l/f", body: "y"}), keep())
	if err == nil {
		t.Error("a file is a folder as well")
	}
}
