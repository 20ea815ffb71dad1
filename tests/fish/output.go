package fish

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// output collects the lines of one stream of a process. It reads as existing
// supervisors do: with a line buffer of 64 KiB, past which it is stuck.
type output struct {
	mu    sync.Mutex
	lines []string      // guarded by mu
	grown chan struct{} // guarded by mu: closed at the next line or at the end
	ended bool          // guarded by mu
	err   error         // guarded by mu: why reading stopped, nil at the end of the stream
}

func newOutput() *output { return &output{grown: make(chan struct{})} }

// read collects until the stream ends. After a line that is too long the rest
// is thrown away, so that the process does not hang, and is an error.
func (o *output) read(stream io.Reader) {
	s := bufio.NewScanner(stream)
	for s.Scan() {
		o.note(func() { o.lines = append(o.lines, s.Text()) })
	}
	err := s.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		_, _ = io.Copy(io.Discard, stream) // the line itself is the finding
	}
	o.note(func() { o.ended, o.err = true, err })
}

func (o *output) note(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
	close(o.grown)
	o.grown = make(chan struct{})
}

// snapshot returns the lines so far, and a channel that tells of more.
func (o *output) snapshot() (lines []string, grown <-chan struct{}, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lines[:len(o.lines):len(o.lines)], o.grown, o.ended
}

func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// find waits for a line that holds the text.
func (o *output) find(text string, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for seen := 0; ; {
		lines, grown, ended := o.snapshot()
		for ; seen < len(lines); seen++ {
			if strings.Contains(lines[seen], text) {
				return lines[seen], nil
			}
		}
		if ended {
			return "", fmt.Errorf("the node ended without a line that holds %q", text)
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return "", fmt.Errorf("no line that holds %q within %v", text, timeout)
		}
	}
}
