// Package logging prints the node's console output: log lines in the format that supervisors of the original parse
// (contract 4), and the access log. Both go through one [Console], so that lines stay whole and in order, and so that a
// reader of the output that stops reading never stops the node.
package logging

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// MaxLine is the longest line in bytes, its newline included. Line readers with the usual buffer of 64 KiB stop at
	// the first longer one, and then the pipe fills (contract 4); some need room for what they add.
	MaxLine = 60 << 10
	// maxQueue bounds the bytes that wait for a slow reader: about 5,000 access log lines.
	maxQueue = 1 << 20
	// accessDelay is how long an access log line may wait for company: a writer that wakes up for each of the 60 lines a
	// second that 300 polling agents make takes more than the lines, and at 20,000 requests a second one write per line
	// would cost as much as the requests.
	accessDelay = 500 * time.Millisecond
	// accessBatch is how many bytes of access log are worth a write at once.
	accessBatch = 32 << 10
)

// Console is the queue of whole lines before an output that may block, such as a pipe whose reader hangs. Lines are
// queued and never wait: what does not fit is dropped, counted, and told in a line of its own as soon as the output
// moves again. Run writes; without it lines only queue up.
type Console struct {
	out io.Writer

	mu      sync.Mutex
	queue   []byte
	dropped int
	render  func(slog.Record) []byte

	wake chan struct{} // capacity 1: there is something to write now
	soon chan struct{} // capacity 1: there is something to write within accessDelay
}

// NewConsole makes a console that writes to out.
func NewConsole(out io.Writer) *Console {
	return &Console{
		out: out, wake: make(chan struct{}, 1), soon: make(chan struct{}, 1),
		render: func(r slog.Record) []byte { return []byte(r.Message + "\n") },
	}
}

// setRender says how the console's own lines look.
func (c *Console) setRender(render func(slog.Record) []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.render = render
}

// WriteLine queues one line that ends with a newline, to be written at once.
func (c *Console) WriteLine(line []byte) {
	c.enqueue(line)
	poke(c.wake)
}

// WriteLater queues one line that may wait a moment for others.
func (c *Console) WriteLater(line []byte) {
	if c.enqueue(line) >= accessBatch {
		poke(c.wake)
		return
	}
	poke(c.soon)
}

// enqueue appends the line or counts it as dropped, and returns how many bytes wait.
func (c *Console) enqueue(line []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped > 0 || len(c.queue)+len(line) > maxQueue {
		c.dropped++
	} else {
		c.queue = append(c.queue, line...)
	}
	return len(c.queue)
}

// poke leaves one token in a channel of capacity 1.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Run writes what is queued until ctx is done, then once more what is left. It returns only when the last write came
// back, which a stuck output may prevent for ever: see [Console.RunDetached].
func (c *Console) Run(ctx context.Context) {
	var spare []byte
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-c.soon:
			c.linger(ctx)
		}
		spare = c.flush(spare)
	}
	c.flush(spare)
}

// linger waits for company of an access log line, but no longer than accessDelay.
func (c *Console) linger(ctx context.Context) {
	timer := time.NewTimer(accessDelay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-c.wake:
	case <-timer.C:
	}
}

// flush writes the queue with as few calls as possible, each of whole lines, and returns a buffer to use again.
func (c *Console) flush(spare []byte) []byte {
	c.mu.Lock()
	lines := c.queue
	c.queue = spare[:0]
	if c.dropped > 0 {
		notice := slog.NewRecord(time.Now(), slog.LevelWarn, "console reader was too slow, lines are missing", 0)
		notice.AddAttrs(slog.Int("lines", c.dropped))
		lines = append(lines, c.render(notice)...)
		c.dropped = 0
	}
	c.mu.Unlock()
	if len(lines) > 0 {
		// There is nowhere to tell that telling does not work; a closed pipe must not stop the node.
		_, _ = c.out.Write(lines)
	}
	return lines
}

// RunDetached runs the console in its own goroutine and returns the function that stops it: it writes what is left and
// waits for that, but no longer than the given time, as an output that is stuck may never come back.
func (c *Console) RunDetached() (stop func(atMost time.Duration)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
	return func(atMost time.Duration) {
		cancel()
		select {
		case <-done:
		case <-time.After(atMost):
		}
	}
}

// cutLine shortens a line to MaxLine and ends it with exactly one newline.
func cutLine(line []byte) []byte {
	line = bytes.TrimRight(line, "\n")
	if len(line) >= MaxLine {
		const mark = "...(cut)"
		end := MaxLine - 1 - len(mark)
		for !utf8.RuneStart(line[end]) {
			end--
		}
		line = append(line[:end], mark...)
	}
	return append(line, '\n')
}
