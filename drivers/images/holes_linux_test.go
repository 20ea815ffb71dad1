package images

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func zeros(n int) string { return strings.Repeat("\x00", n) }

// TestExtractLeavesHoles: most of a disk image is empty, and that takes no room.
func TestExtractLeavesHoles(t *testing.T) {
	const mega = 1 << 20
	for _, tt := range []struct {
		name, body string
		most       int64 // allocated bytes
	}{
		{"empty", "", 0},
		{"one zero", zeros(1), 4 << 10},
		{"only zeros", zeros(8 * mega), 64 << 10},
		{"only zeros, no whole block", zeros(8*mega + 17), 64 << 10},
		{"ends with zeros", noise(mega, 7) + zeros(8*mega), mega + 128<<10},
		{"ends with zeros, no whole block", noise(mega+5, 7) + zeros(8*mega+3), mega + 256<<10},
		{"begins with zeros", zeros(8*mega) + noise(100, 7), 128 << 10},
		{"a byte in the middle", zeros(3*mega+1) + "x" + zeros(5*mega), 128 << 10},
		{"content between", noise(mega, 7) + zeros(4*mega) + noise(mega, 7) + zeros(4*mega) + "end", 2*mega + 256<<10},
		{"no zeros", noise(2*mega+9, 7), 2*mega + 128<<10},
	} {
		for _, ext := range []string{"", ".gz", ".zst", ".xz", ".zip"} {
			t.Run(tt.name+ext, func(t *testing.T) {
				m := member{name: "disk", body: tt.body, mode: 0o644}
				raw := zipOf(t, m)
				if ext != ".zip" {
					raw = packed(t, ext, tarOf(t, m))
				}
				into, err := extract(t, raw, keep())
				if err != nil {
					t.Fatal(err)
				}
				if readFile(t, into, "disk") != tt.body {
					t.Error("the content is another one")
				}
				info, err := os.Stat(filepath.Join(into, "disk"))
				if err != nil {
					t.Fatal(err)
				}
				if got := allocated(info); got > tt.most {
					t.Errorf("%d bytes take %d of the disk, want at most %d", info.Size(), got, tt.most)
				}
			})
		}
	}
}

// TestHolesCountAsWhatTheyStandFor: a limit is about what an archive unpacks to,
// as whoever uses the file may fill it.
func TestHolesCountAsWhatTheyStandFor(t *testing.T) {
	raw := packed(t, ".gz", tarOf(t, member{name: "disk", body: zeros(2 << 20)}))
	opts := keep()
	opts.MaxBytes = 1 << 20
	if _, err := extract(t, raw, opts); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("Extract = %v, want the limit", err)
	}
}

// TestCopyBlocks copies whole blocks whatever pieces come, and all that comes
// before an error.
func TestCopyBlocks(t *testing.T) {
	body := noise(100<<10, 7) + zeros(200<<10) + noise(3, 7)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"byte by byte": iotest.OneByteReader, "halves": iotest.HalfReader, "end at once": iotest.DataErrReader,
	} {
		var b bytes.Buffer
		if err := copyBlocks(&b, wrap(strings.NewReader(body)), make([]byte, 4*holeBlock)); err != nil || b.String() != body {
			t.Errorf("%s: %v, or another content", name, err)
		}
	}
	var b bytes.Buffer
	err := copyBlocks(&b, iotest.TimeoutReader(iotest.HalfReader(strings.NewReader(body))), make([]byte, 4*holeBlock))
	if err != iotest.ErrTimeout || b.Len() == 0 { //nolint:errorlint // the very same
		t.Errorf("copyBlocks = %v after %d bytes, want a timeout after some", err, b.Len())
	}
}
