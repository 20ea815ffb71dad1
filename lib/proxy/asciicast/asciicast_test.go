package asciicast

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 23, 15, 4, 5, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func newWriter(t rapid.TB, limit int64) (*Writer, *bytes.Buffer) {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, Header{Width: 80, Height: 24, Start: start, Term: "xterm"}, limit)
	if err != nil {
		t.Fatal(err)
	}
	return w, &b
}

// TestGolden: what players read, to the byte.
func TestGolden(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, Header{Width: 120, Height: 40, Start: start, Term: "xterm-256color"}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		w.Output(at(0.25), Stdout, []byte("$ ")),
		w.Output(at(0.5), Stdout, []byte("\x1b[1mü")[:5]),    // a character in two pieces,
		w.Output(at(0.6), Stderr, []byte("\"<&>\"\\\t\r\n")), // the other stream between them,
		w.Output(at(0.75), Stdout, []byte("ü")[1:]),
		w.Output(at(0.1), Stdout, []byte("the clock went back")),
		w.Resize(at(1.5), 100, 30),
		w.Output(at(1.625), Stdout, []byte{'a', 0xff, 0xc3, 'b', 0, 0xe2, 0x82}), // and one that is never complete
		w.Close(at(2)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile("testdata/golden.cast")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), b.String()); diff != "" {
		t.Errorf("recording (-want +got):\n%s", diff)
	}
	if err := w.Output(at(3), Stdout, []byte("x")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("output after the end: %v, want fs.ErrClosed", err)
	}
}

// recorded is what a player would show, and fails on a line that it could not read.
func recorded(t rapid.TB, cast []byte) (text string, others []string) {
	t.Helper()
	lines := strings.SplitAfter(string(cast), "\n")
	if lines[len(lines)-1] != "" {
		t.Fatalf("the last line is torn: %q", lines[len(lines)-1])
	}
	var header struct{ Version, Width, Height int }
	if err := json.Unmarshal([]byte(lines[0]), &header); err != nil || header.Version != 2 || header.Width < 1 || header.Height < 1 {
		t.Fatalf("header %q: %v", lines[0], err)
	}
	last := 0.0
	for _, line := range lines[1 : len(lines)-1] {
		var event []any
		if err := json.Unmarshal([]byte(line), &event); err != nil || len(event) != 3 {
			t.Fatalf("event %q: %v", line, err)
		}
		if now := event[0].(float64); now < last {
			t.Fatalf("time goes back from %v to %v", last, now)
		} else {
			last = now
		}
		if event[1] == "o" {
			text += event[2].(string)
		} else {
			others = append(others, fmt.Sprint(event[1:]))
		}
	}
	return text, others
}

// TestAnySplit: however output is cut, the recording shows the same.
func TestAnySplit(t *testing.T) {
	pieces := rapid.SampledFrom([]string{"a", "ü", "€", "🐟", "\x00", "\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x90", "\xed\xa0\x80", "\x80", "\r\n", "\ufffd"})
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(strings.Join(rapid.SliceOf(pieces).Draw(t, "text"), ""))
		w, b := newWriter(t, 1<<20)
		for rest := text; len(rest) > 0; {
			n := rapid.IntRange(0, len(rest)).Draw(t, "cut")
			if err := w.Output(at(1), Stdout, rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(at(2)); err != nil {
			t.Fatal(err)
		}
		want := string([]rune(string(text))) // one U+FFFD for each byte that is no UTF-8
		if got, _ := recorded(t, b.Bytes()); got != want {
			t.Fatalf("recorded %q, want %q", got, want)
		}
	})
}

// TestLimit: a recording ends within its limit, by a whole line that says so, and what came before is there.
func TestLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := int64(rapid.IntRange(MinLimit, 3*MinLimit).Draw(t, "limit"))
		w, b := newWriter(t, limit)
		var err error
		var want string
		for i := 0; err == nil; i++ {
			piece := strings.Repeat("\x01", rapid.IntRange(1, 400).Draw(t, "size")) // each takes 6 bytes
			if err = w.Output(at(float64(i)), Stdout, []byte(piece)); err == nil {
				want += piece
			}
		}
		if !errors.Is(err, ErrFull) || !errors.Is(w.Resize(at(1), 2, 2), ErrFull) || !errors.Is(w.Close(at(1)), ErrFull) {
			t.Fatalf("error %v, want ErrFull", err)
		}
		got, others := recorded(t, b.Bytes())
		if got != want || int64(b.Len()) > limit {
			t.Fatalf("%d bytes (limit %d) with %d characters, want %d", b.Len(), limit, len(got), len(want))
		}
		if want := fmt.Sprintf("[m recording ends here: limit of %d bytes]", limit); len(others) != 1 || others[0] != want {
			t.Fatalf("the recording does not say that it ends early: %q", others)
		}
	})
	if _, err := NewWriter(&bytes.Buffer{}, Header{Start: start}, MinLimit-1); err == nil {
		t.Error("a limit without room for anything is accepted")
	}
}

// TestNonsense: what a client tells of its terminal makes no file that a player can not show.
func TestNonsense(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, Header{Width: -1, Height: 1 << 31, Start: start, Term: "\xff\"\n" + strings.Repeat("x", 1<<20)}, MinLimit)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Resize(at(1), 0, 1<<31), w.Output(at(1), Stdout, nil), w.Close(at(1))); err != nil {
		t.Fatal(err)
	}
	if _, others := recorded(t, b.Bytes()); len(others) != 1 || others[0] != "[r 80x4096]" {
		t.Errorf("events %q", others)
	}
	if !strings.Contains(b.String(), `"width":80,"height":4096,`) {
		t.Errorf("header %s", b.String())
	}
}

// TestTwoGoroutines: both directions of a session may record at once.
func TestTwoGoroutines(t *testing.T) {
	w, b := newWriter(t, 1<<20)
	var both sync.WaitGroup
	for from, piece := range []string{"ä", "ö"} {
		both.Go(func() {
			for i := range 500 {
				_ = w.Output(at(float64(i)), Stream(from), []byte(piece)[i%2:][:1])
				_ = w.Flush(at(float64(i)))
			}
		})
	}
	both.Wait()
	if err := w.Close(at(1000)); err != nil {
		t.Fatal(err)
	}
	got, _ := recorded(t, b.Bytes())
	if strings.Count(got, "ä") != 250 || strings.Count(got, "ö") != 250 || len(got) != 1000 {
		t.Errorf("recorded %q", got)
	}
}

// brokenDisk takes so many bytes.
type brokenDisk struct{ left int }

var errDiskFull = errors.New("no space left on device")

func (d *brokenDisk) Write(p []byte) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, errDiskFull
	}
	return len(p), nil
}

// TestDiskFull: the error comes, stays, and nothing is written behind the hole.
func TestDiskFull(t *testing.T) {
	disk := &brokenDisk{200}
	w, err := NewWriter(disk, Header{Start: start}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err = w.Output(at(float64(i)), Stdout, []byte("0123456789")); err != nil {
			break
		}
	}
	disk.left = 1 << 20
	if !errors.Is(err, errDiskFull) || !errors.Is(w.Flush(at(200)), errDiskFull) || !errors.Is(w.Close(at(200)), errDiskFull) {
		t.Errorf("error %v, want %v", err, errDiskFull)
	}
	if disk.left != 1<<20 {
		t.Error("something was written behind a hole")
	}
}

// TestFlush: a second is all that a crash may cost.
func TestFlush(t *testing.T) {
	w, b := newWriter(t, 1<<20)
	_ = w.Output(at(0.5), Stdout, []byte("early"))
	if err := w.Flush(at(0.9)); err != nil || b.Len() != 0 {
		t.Errorf("%d bytes are passed on after 0.9 s (%v)", b.Len(), err)
	}
	if err := w.Flush(at(1)); err != nil || !strings.Contains(b.String(), "early") {
		t.Errorf("after a second only this is passed on: %q (%v)", b.String(), err)
	}
	_ = w.Output(at(2), Stdout, []byte("late"))
	if !strings.Contains(b.String(), "late") {
		t.Errorf("output a second later is passed on with nothing but a Flush: %q", b.String())
	}
}
