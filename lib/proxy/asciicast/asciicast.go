// Package asciicast records what a terminal showed, in the format that asciinema and its players read (asciicast v2:
// lines of JSON, the first one is a header). What is typed is never recorded: passwords are. DESIGN.md says what is
// promised.
package asciicast

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// ErrFull is the answer to what does not fit into a recording any more. What was recorded until then is whole, and says
// that it ends early.
var ErrFull = errors.New("the recording has reached its limit")

// MinLimit is the smallest limit of a recording, in bytes: room for its header and a line that says why it ends.
const MinLimit = 4 << 10

const (
	// flushEach bounds how much of the recording a crash loses. 1 s: who looks at a running session sees it so late.
	flushEach = time.Second
	// reserved is room below the limit for the last line, which says that there is no more.
	reserved = 128
	// maxTerm bounds the name of the terminal, which a client tells as it likes. Those of terminfo are shorter.
	maxTerm = 64
	// maxCells bounds columns and rows: a client may tell any number, and a player makes so large a screen.
	maxCells = 4096
	// The size of a terminal of which none is known: that of a VT100.
	usualWidth, usualHeight = 80, 24
)

// Header says what is recorded.
type Header struct {
	// Width and Height are the columns and rows of the terminal, 0 if it has none.
	Width, Height int
	// Start is the time that those of events are counted from.
	Start time.Time
	// Term is the kind of the terminal, such as "xterm". Empty: there is none.
	Term string
}

// Stream is where output came from. Bytes of a character may arrive in two pieces, but not in two streams.
type Stream int

// The streams of a session. A recording shows both alike, as a terminal does.
const (
	Stdout Stream = iota
	Stderr
)

// Writer writes one recording. Its methods may be called by several goroutines. After an error it records nothing more
// and returns the same error again: who records decides whether the session goes on without.
type Writer struct {
	mu      sync.Mutex
	out     *bufio.Writer
	limit   int64
	written int64 // bytes of whole lines, in out or below
	start   time.Time
	last    time.Duration // of the last event: time never goes back within a recording
	flushed time.Time
	held    [2][]byte // of each Stream: the begin of a character whose rest is yet to come
	err     error
}

// NewWriter begins a recording with its header. limit bounds its size in bytes, and is at least MinLimit.
func NewWriter(w io.Writer, h Header, limit int64) (*Writer, error) {
	if limit < MinLimit {
		return nil, fmt.Errorf("a recording needs a limit of at least %d bytes, not %d", MinLimit, limit)
	}
	line, err := h.line()
	if err != nil {
		return nil, err
	}
	r := &Writer{out: bufio.NewWriter(w), limit: limit, start: h.Start, flushed: h.Start}
	if err := r.write(line); err != nil {
		return nil, err
	}
	return r, nil
}

// line is the header as JSON. Its order of keys is that of the format's own examples.
func (h Header) line() ([]byte, error) {
	type env struct {
		Term string `json:"TERM"`
	}
	header := struct {
		Version   int   `json:"version"`
		Width     int   `json:"width"`
		Height    int   `json:"height"`
		Timestamp int64 `json:"timestamp"`
		Env       *env  `json:"env,omitempty"`
	}{2, cells(h.Width, usualWidth), cells(h.Height, usualHeight), h.Start.Unix(), nil}
	if h.Term != "" {
		header.Env = &env{h.Term[:min(len(h.Term), maxTerm)]}
	}
	line, err := json.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("write header of recording: %w", err)
	}
	return append(line, '\n'), nil
}

// cells is a number of columns or rows as a player can take it.
func cells(told, usual int) int {
	if told <= 0 {
		return usual
	}
	return min(told, maxCells)
}

// Output records what was shown at a time.
func (r *Writer) Output(now time.Time, from Stream, p []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(p) == 0 {
		return r.err
	}
	whole := slices.Concat(r.held[from], p)
	n := len(whole) - unfinished(whole)
	text := string(whole[:n])
	r.held[from] = append(r.held[from][:0], whole[n:]...)
	return r.event(now, "o", text)
}

// unfinished is the number of bytes at the end that begin a character and may become one.
func unfinished(p []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if b := p[len(p)-i:]; utf8.RuneStart(b[0]) {
			if !utf8.FullRune(b) {
				return i
			}
			break
		}
	}
	return 0
}

// Resize records that the terminal has another size.
func (r *Writer) Resize(now time.Time, width, height int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.event(now, "r", fmt.Sprintf("%dx%d", cells(width, usualWidth), cells(height, usualHeight)))
}

// Flush passes on what is buffered, if it has waited for a second: who records calls it each second or so while nothing
// happens.
func (r *Writer) Flush(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flushDue(now)
}

// Close ends the recording, once, and passes on all of it.
func (r *Writer) Close(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rest := range r.held {
		if err := r.event(now, "o", string(rest)); err != nil { // a character whose rest never came
			return err
		}
	}
	if err := r.out.Flush(); err != nil {
		return r.fail(err)
	}
	r.err = fmt.Errorf("write recording: %w", fs.ErrClosed)
	return nil
}

// event writes one line, unless there is nothing to say.
func (r *Writer) event(now time.Time, kind, data string) error {
	if r.err != nil || data == "" {
		return r.err
	}
	r.last = max(r.last, now.Sub(r.start))
	line, err := eventLine(r.last, kind, data)
	if err != nil {
		return r.fail(err)
	}
	if r.written+int64(len(line)) > r.limit-reserved {
		return r.full()
	}
	if err := r.write(line); err != nil {
		return err
	}
	return r.flushDue(now)
}

// full says in the recording that it ends early, as a marker, which players show or ignore.
func (r *Writer) full() error {
	line, err := eventLine(r.last, "m", fmt.Sprintf("recording ends here: limit of %d bytes", r.limit))
	if err != nil {
		return r.fail(err)
	}
	if err := r.write(line); err != nil {
		return err
	}
	if err := r.out.Flush(); err != nil {
		return r.fail(err)
	}
	return r.fail(ErrFull)
}

func (r *Writer) flushDue(now time.Time) error {
	if r.err != nil || now.Sub(r.flushed) < flushEach {
		return r.err
	}
	r.flushed = now
	if err := r.out.Flush(); err != nil {
		return r.fail(err)
	}
	return nil
}

func (r *Writer) write(line []byte) error {
	if _, err := r.out.Write(line); err != nil {
		return r.fail(err)
	}
	r.written += int64(len(line))
	return nil
}

func (r *Writer) fail(err error) error {
	r.err = fmt.Errorf("write recording: %w", err)
	return r.err
}

// eventLine is [seconds, kind, data]. What is no UTF-8 in the data becomes U+FFFD, one for each byte, so that where the
// bytes were cut makes no difference.
func eventLine(at time.Duration, kind, data string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('[')
	b.WriteString(strconv.FormatFloat(at.Seconds(), 'f', 6, 64))
	b.WriteString(`, "` + kind + `", `)
	text := json.NewEncoder(&b)
	text.SetEscapeHTML(false)
	if err := text.Encode(data); err != nil {
		return nil, err
	}
	b.Truncate(b.Len() - 1) // the encoder ends its line
	b.WriteString("]\n")
	return b.Bytes(), nil
}
