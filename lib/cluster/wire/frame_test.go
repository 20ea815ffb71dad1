package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

func TestFrames(t *testing.T) {
	origin := replica.Origin{Node: model.UID{1}}
	big := Rows{Batch: replica.Batch{Origin: origin, To: 1, Rows: []replica.Row{
		{Key: []byte("k"), Version: replica.Version{Origin: origin, Seq: 1}, Body: bytes.Repeat([]byte("x"), MaxFrame-100)}}}}
	sent := []any{Advert{Vector: replica.Vector{origin: 1}}, big, DigestAsk{ID: 1}}
	var stream bytes.Buffer
	for _, message := range sent {
		if err := WriteFrame(&stream, message); err != nil {
			t.Fatal(err)
		}
	}
	r := iotest.HalfReader(bytes.NewReader(stream.Bytes()))
	for _, want := range sent {
		got, err := ReadFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, equal); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if _, err := ReadFrame(r); err != io.EOF { //nolint:errorlint // promised bare
		t.Errorf("after the last frame: %v, want io.EOF itself", err)
	}
}

func TestFrameRefused(t *testing.T) {
	tests := []struct {
		name string
		data []byte
		want error
	}{
		{"cut in the length", []byte{0, 0}, io.ErrUnexpectedEOF},
		{"cut before the message", []byte{0, 0, 0, 9}, io.ErrUnexpectedEOF},
		{"cut in the message", []byte{0, 0, 0, 9, 6, 0xa0}, io.ErrUnexpectedEOF},
		{"empty", []byte{0, 0, 0, 0}, ErrMalformed},
		{"too large", binary.BigEndian.AppendUint32(nil, MaxFrame+1), ErrMalformed},
		{"of nonsense", []byte{0, 0, 0, 2, 6, 0x80}, ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := ReadFrame(bytes.NewReader(tt.data)); !errors.Is(err, tt.want) {
				t.Errorf("ReadFrame = %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

// TestClaimedFrameTakesNoMemory: a length alone is worth 64 kB, not 4 MB.
func TestClaimedFrameTakesNoMemory(t *testing.T) {
	claim := binary.BigEndian.AppendUint32(nil, MaxFrame)
	if got := allocated(func() { _, _ = ReadFrame(bytes.NewReader(claim)) }); got > 2*chunk {
		t.Errorf("a frame that only claims to be large took %d bytes", got)
	}
}

// TestHostileMessagesAreBounded: the worst that fits a frame costs tens of
// megabytes at most.
func TestHostileMessagesAreBounded(t *testing.T) {
	empties := func(prefix string, n int) []byte { // an array of n empty maps behind the prefix
		out := binary.BigEndian.AppendUint32(append([]byte(prefix), 0x9a), uint32(n))
		return append(out, bytes.Repeat([]byte{0xa0}, n)...)
	}
	tests := []struct {
		name string
		data []byte
	}{
		{"a million LSAs", empties("\x03\xa1\x01", MaxControl-20)},
		{"65536 LSAs", empties("\x03\xa1\x01", maxArray)},
		{"an LSA with 65536 neighbours", append([]byte("\x03\xa1\x01\x81\xa1\x05"), empties("", maxArray)...)},
		{"four million rows", empties("\x07\xa1\x05", MaxFrame-20)},
		{"65536 rows", empties("\x07\xa1\x05", maxArray)},
		{"65536 rows of a bucket", empties("\x0a\xa1\x04", maxArray)},
		{"65536 kinds of digests", empties("\x09\xa1\x04", maxArray)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := allocated(func() { _, _ = Decode(tt.data) }); got > 64<<20 {
				t.Errorf("%d bytes took %d MB of memory", len(tt.data), got>>20)
			} else {
				t.Logf("%d bytes took %d kB of memory", len(tt.data), got>>10)
			}
		})
	}
}

// TestOpeningTakesLittleMemory: who has not proved anything yet can not make a
// node unpack what only neighbours send.
func TestOpeningTakesLittleMemory(t *testing.T) {
	const most = 64 << 10 // what is read of a stranger
	body := binary.BigEndian.AppendUint32([]byte("\x03\xa1\x01\x9a"), most-16)
	body = append(body, bytes.Repeat([]byte{0xa0}, most-16)...)
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	var m any
	var err error
	if got := allocated(func() { m, err = ReadOpening(bytes.NewReader(frame)) }); got > 4*most {
		t.Errorf("%d bytes took %d kB of memory", len(frame), got>>10)
	}
	if m != (Unknown{Type: 3}) || err != nil {
		t.Errorf("ReadOpening of a topology = %v, %v, want an Unknown", m, err)
	}
	for _, name := range []string{"hello", "refuse"} {
		var b bytes.Buffer
		want := samples()[name]
		if err := WriteFrame(&b, want); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadOpening(&b); err != nil || !cmp.Equal(want, got) {
			t.Errorf("ReadOpening = %v, %v, want %v", got, err, want)
		}
	}
	if _, err := ReadOpening(strings.NewReader("\x00\x00\x00\x02\xff\xff")); !errors.Is(err, ErrMalformed) {
		t.Errorf("ReadOpening of nonsense: %v, want ErrMalformed", err)
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// FuzzReadFrame: a stream of any bytes ends in an error, never in a panic.
func FuzzReadFrame(f *testing.F) {
	var two bytes.Buffer
	for _, message := range []any{samples()["advert"], samples()["refuse"]} {
		if err := WriteFrame(&two, message); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(two.Bytes())
	f.Add([]byte{0, 0, 0, 1, 0x7f})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for range len(data) + 1 {
			if _, err := ReadFrame(r); err != nil {
				return
			}
		}
		t.Fatal("more frames than bytes")
	})
}
