package images

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

func xzOf(t testing.TB, config xz.WriterConfig, raw string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := config.NewWriter(&b)
	if err == nil {
		_, err = w.Write([]byte(raw))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// greedy is the file with the size byte of its n-th dictionary set so that it
// asks for 4 GB.
func greedy(t testing.TB, raw []byte, n int) []byte {
	t.Helper()
	raw = bytes.Clone(raw)
	rest := raw
	for range n {
		at := bytes.Index(rest, []byte{0x21, 1})
		if at < 0 {
			t.Fatal("no dictionary")
		}
		rest = rest[at+2:]
	}
	rest[0] = 40
	return raw
}

func TestXZMemory(t *testing.T) {
	text := strings.Repeat("some text ", 30_000)
	one := xzOf(t, xz.WriterConfig{}, text)
	blocks := xzOf(t, xz.WriterConfig{BlockSize: 100_000, CheckSum: xz.SHA256}, text)
	hard := xzOf(t, xz.WriterConfig{NoCheckSum: true}, noise(200_000, 1))
	streams := bytes.Join([][]byte{one, make([]byte, 8), blocks, hard}, nil)
	for name, raw := range map[string][]byte{"one": one, "blocks": blocks, "incompressible": hard, "streams": streams} {
		t.Run(name, func(t *testing.T) {
			in := bufio.NewReader(bytes.NewReader(raw))
			if err := checkXZ(in); err != nil {
				t.Fatal(err)
			}
			if in.Buffered() > 0 {
				t.Error("the walk did not come to the end")
			}
		})
	}
	for name, raw := range map[string][]byte{
		"first": greedy(t, one, 1), "third block": greedy(t, blocks, 3), "third stream": greedy(t, streams, 5),
	} {
		t.Run("greedy "+name, func(t *testing.T) {
			if err := checkXZ(bufio.NewReader(bytes.NewReader(raw))); !errors.Is(err, errArchive) || !strings.Contains(err.Error(), "memory") {
				t.Errorf("checkXZ = %v, want a refusal", err)
			}
			if _, err := extract(t, raw, keep()); err == nil || !strings.Contains(err.Error(), "memory") {
				t.Errorf("Extract = %v, want a refusal", err)
			}
		})
	}
}

func TestZstdMemory(t *testing.T) {
	// A frame's header: magic, no content size, window of 2 GB; one raw block.
	raw := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x09, 0x00, 0x00, 'x'}
	if _, err := extract(t, raw, keep()); !errors.Is(err, errArchive) || !strings.Contains(err.Error(), "memory") {
		t.Errorf("Extract = %v, want a refusal", err)
	}
}

// The walk ends on any input.
func FuzzXZ(f *testing.F) {
	f.Add(xzOf(f, xz.WriterConfig{BlockSize: 100}, strings.Repeat("some text ", 30)))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		_ = checkXZ(bufio.NewReader(bytes.NewReader(raw)))
	})
}
