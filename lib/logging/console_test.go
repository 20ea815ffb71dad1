package logging

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// output is a writer that keeps what it got, call by call; while gate is not nil, writes wait for it.
type output struct {
	mu     sync.Mutex
	writes []string
	gate   chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	if o.gate != nil {
		<-o.gate
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writes = append(o.writes, string(p))
	return len(p), nil
}

func (o *output) all() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.writes, "")
}

func TestConsoleWritesLogLinesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &output{}
		c := NewConsole(out)
		stop := c.RunDetached()
		start := time.Now()
		c.WriteLine([]byte("a\n"))
		synctest.Wait()
		if got := out.all(); got != "a\n" || time.Since(start) > 0 {
			t.Errorf("written %q after %v, want the line at once", got, time.Since(start))
		}
		stop(time.Second)
	})
}

func TestConsoleGathersAccessLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &output{}
		c := NewConsole(out)
		stop := c.RunDetached()
		for range 3 {
			c.WriteLater([]byte("r\n"))
		}
		time.Sleep(accessDelay - 1)
		synctest.Wait()
		if got := out.all(); got != "" {
			t.Errorf("written %q before the delay is over, want nothing", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if len(out.writes) != 1 || out.writes[0] != "r\nr\nr\n" {
			t.Errorf("writes = %q, want one of three lines", out.writes)
		}
		c.WriteLater([]byte("r\n"))
		c.WriteLine([]byte("log\n"))
		synctest.Wait()
		if got := out.all(); !strings.HasSuffix(got, "r\nlog\n") {
			t.Errorf("written %q, want the log line to take the waiting line along", got)
		}
		c.WriteLater(bytes.Repeat([]byte("x"), accessBatch))
		synctest.Wait()
		if got := len(out.all()); got < accessBatch {
			t.Errorf("%d bytes written, want a full batch at once", got)
		}
		stop(time.Second)
	})
}

func TestConsoleNeverWaitsForAStuckReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &output{gate: make(chan struct{})}
		c := NewConsole(out)
		log := slog.New(NewHandler(c, Options{Level: slog.LevelInfo}))
		stop := c.RunDetached()
		line := append(bytes.Repeat([]byte("x"), 1023), '\n')
		c.WriteLine(line)
		synctest.Wait() // the writer is stuck with the first line now
		for range maxQueue/len(line) + 10 {
			c.WriteLater(line)
		}
		log.Info("dropped as well")
		start := time.Now()
		stop(3 * time.Second)
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("stop took %v with a stuck reader, want its bound of 3 s", took)
		}
		close(out.gate)
		synctest.Wait()
		got := out.all()
		if !strings.HasSuffix(got, "x\nWARN:\tconsole reader was too slow, lines are missing lines=11\n") {
			t.Errorf("end of output = %q, want the count of 11 missing lines", got[max(0, len(got)-100):])
		}
		if want := maxQueue/len(line) + 2; strings.Count(got, "\n") != want {
			t.Errorf("%d lines written, want %d", strings.Count(got, "\n"), want)
		}
	})
}

func TestConsoleStopWritesTheRest(t *testing.T) {
	out := &output{}
	c := NewConsole(out)
	c.WriteLine([]byte("before\n"))
	stop := c.RunDetached()
	c.WriteLater([]byte("last\n"))
	stop(time.Minute)
	if got := out.all(); got != "before\nlast\n" {
		t.Errorf("written %q, want both lines", got)
	}
}

// Many writers at once: every line arrives whole, those of one writer in order.
func TestConsoleKeepsLinesWhole(t *testing.T) {
	r, w := io.Pipe()
	c := NewConsole(w)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx); _ = w.Close() })
	got := make(chan string)
	go func() {
		data, _ := io.ReadAll(r)
		got <- string(data)
	}()
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for n := range 200 {
				write := c.WriteLine
				if n%2 == 0 {
					write = c.WriteLater
				}
				write([]byte(strings.Repeat(string(rune('a'+i)), n+1) + "\n"))
			}
		})
	}
	writers.Wait()
	cancel()
	running.Wait()
	next := [8]int{}
	for line := range strings.Lines(<-got) {
		i := line[0] - 'a'
		if want := strings.Repeat(line[:1], next[i]+1) + "\n"; line != want {
			t.Fatalf("line = %q, want %q", line, want)
		}
		next[i]++
	}
	for i, n := range next {
		if n != 200 {
			t.Errorf("writer %d: %d lines, want 200", i, n)
		}
	}
}
