package audit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// running is a log whose writer runs until stop.
type running struct {
	*Log
	stop func()
}

// opened is a log whose writer does not run, and what it logs.
func opened(t *testing.T, o Options) (l *Log, told *bytes.Buffer) {
	t.Helper()
	told = new(bytes.Buffer)
	o.Logger = slog.New(slog.NewTextHandler(told, nil))
	l, err := Open(o)
	if err != nil {
		t.Fatalf("Open() error: %v", err)
	}
	return l, told
}

func start(t *testing.T, o Options) running {
	t.Helper()
	l, _ := opened(t, o)
	r := running{Log: l}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v, want nil on cancel", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// events reads all, oldest first, page by page.
func events(t *testing.T, path string, limit int) []Event {
	t.Helper()
	var all []Event
	for q := (Query{Limit: limit}); ; {
		page, err := read(t.Context(), path, q)
		if err != nil {
			t.Fatalf("read(%+v) error: %v", q, err)
		}
		all = append(all, page.Events...)
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}

var ignoreTime = cmpopts.IgnoreFields(Event{}, "Time")

func TestEventsAreNumberedAcrossRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "audit.log")
	first := start(t, Options{Path: path})
	if !first.EndedInOrder() {
		t.Error("EndedInOrder() = false before the first run")
	}
	before := time.Now()
	want := Event{
		Seq: 1, Action: "label.create", User: "admin", Address: "10.0.0.1", RequestID: "r-1", ObjectUID: "u", ObjectName: "n",
		Result: ResultOK, Count: 1, Detail: "d",
	}
	first.Note(want)
	first.stop()
	second := start(t, Options{Path: path})
	if !second.EndedInOrder() {
		t.Error("EndedInOrder() = false after a stop")
	}
	second.Note(Event{Action: "user.remove", Result: ResultRefused})
	second.stop()
	got := events(t, path, 0)
	stop := Event{Action: ActionStop, Result: ResultOK, Count: 1}
	second1 := Event{Seq: 3, Action: "user.remove", Result: ResultRefused, Count: 1}
	stop2 := stop
	stop.Seq, stop2.Seq = 2, 4
	if diff := cmp.Diff([]Event{want, stop, second1, stop2}, got, ignoreTime); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if at := got[0].Time; at.Before(before.Add(-time.Second)) || at.After(time.Now()) || at.Location() != time.UTC {
		t.Errorf("time = %v, want now in UTC", at)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v, want mode 0600", info.Mode(), err)
	}
}

// waitWritten waits until the event with the number can be read.
func waitWritten(t *testing.T, l *Log, path string, seq int64) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		page, err := l.Read(t.Context(), Query{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Events) > 0 && page.Events[0].Seq >= seq {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("event %d is not in %s", seq, path)
		}
		runtime.Gosched()
	}
}

// TestCursorsOutliveRotation: a page asked for before a rotation goes on after it.
func TestCursorsOutliveRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := start(t, Options{Path: path, Size: 1000, Keep: 50})
	note := func(n int) {
		for range n {
			l.Note(Event{Action: "a", Result: ResultOK})
		}
	}
	note(4)
	waitWritten(t, l.Log, path, 4)
	page, err := l.Read(t.Context(), Query{Limit: 2})
	if err != nil || len(page.Events) != 2 || page.Next == "" {
		t.Fatalf("Read() = %+v, %v", page, err)
	}
	note(40)
	waitWritten(t, l.Log, path, 44)
	page, err = l.Read(t.Context(), Query{Cursor: page.Next})
	if err != nil || len(page.Events) != 2 || page.Events[0].Seq != 2 || page.Events[1].Seq != 1 || page.Next != "" {
		t.Errorf("the page after = %+v, %v, want 2 and 1", page, err)
	}
}

// TestTheWriterBehindALongQueue: what finds no place is counted, and the count is told.
func TestTheWriterBehindALongQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l, _ := opened(t, Options{Path: path})
	for range queueLength + 5 { // nobody writes: the disk hangs
		l.Note(Event{Action: "a", Result: ResultOK})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	got := events(t, path, MaxLimit)
	if len(got) != queueLength+2 {
		t.Fatalf("%d events, want %d, a count and the stop", len(got), queueLength)
	}
	if e := got[queueLength]; e.Action != ActionDropped || e.Count != 5 || e.Result != ResultFailed {
		t.Errorf("after them %+v, want 5 dropped", e)
	}
}

func TestLongTextsAreCut(t *testing.T) {
	long := strings.Repeat("\x01", 100_000)
	line := Event{
		Seq: 1, Action: long, User: long, Address: long, RequestID: long, ObjectUID: long, ObjectName: long, Result: ResultOK, Detail: long,
	}.line()
	if len(line) > maxLine {
		t.Errorf("a line has %d bytes, want at most %d", len(line), maxLine)
	}
	if _, ok := parse(line); !ok {
		t.Errorf("the line can not be read: %s", line)
	}
	if got := cut(strings.Repeat("ä", maxText), maxText); !strings.HasSuffix(got, "ä…") {
		t.Errorf("cut inside of a character: %q", got)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	folder := t.TempDir()
	for name, o := range map[string]Options{
		"no path": {Logger: log}, "no logger": {Path: "x"}, "negative size": {Path: "x", Size: -1, Logger: log},
		"negative keep": {Path: "x", Keep: -1, Logger: log}, "a folder": {Path: folder, Logger: log},
	} {
		if l, err := Open(o); err == nil {
			t.Errorf("%s: Open() = %v, want an error", name, l)
		}
	}
}

// TestAHangingDisk: the stop does not wait for it for long.
func TestAHangingDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, _ := opened(t, Options{Path: path})
	l.logins.mu.Lock() // the writer waits for it as for a system call that does not return
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err == nil || !strings.Contains(err.Error(), "hangs") {
		t.Errorf("Run() = %v, want an error about the disk", err)
	}
	l.logins.mu.Unlock()
	waitWritten(t, l, path, 1) // it makes the file, in a folder that is removed then
}

// TestReadersSeeWhatWasNotedBefore them, though nobody waits for the disk.
func TestReadersSeeWhatWasNotedBefore(t *testing.T) {
	l := start(t, Options{Path: filepath.Join(t.TempDir(), "audit.log")})
	for seq := range int64(300) {
		l.Note(Event{Action: "a", Result: ResultOK})
		page, err := l.Read(t.Context(), Query{Limit: 1})
		if err != nil || len(page.Events) != 1 || page.Events[0].Seq != seq+1 {
			t.Fatalf("Read() after event %d = %+v, %v", seq+1, page.Events, err)
		}
	}
}

// TestReadersDoNotHang where the disk does: they get what it has, or go when they like to.
func TestReadersDoNotHang(t *testing.T) {
	path := written(t, Event{Action: "before", Result: ResultOK})
	synctest.Test(t, func(t *testing.T) {
		l, _ := opened(t, Options{Path: path}) // nobody writes
		l.Note(Event{Action: "a", Result: ResultOK})
		began := time.Now()
		page, err := l.Read(t.Context(), Query{})
		if err != nil || len(page.Events) != 1 || time.Since(began) != readPatience {
			t.Errorf("Read() = %+v, %v after %v, want the one event that is there after %v", page.Events, err, time.Since(began), readPatience)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if page, err := l.Read(gone, Query{}); !errors.Is(err, context.Canceled) || time.Since(began) != readPatience {
			t.Errorf("Read() by who is gone = %+v, %v after %v", page, err, time.Since(began))
		}
		if err := l.file.close(); err != nil {
			t.Error(err)
		}
	})
}

// TestPagesOfAFreshFile: a page that begins while the file is new and empty ends at an event that the next one knows.
func TestPagesOfAFreshFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := start(t, Options{Path: path, Size: 1, Keep: 10_000}) // each event is a file
	var wg sync.WaitGroup
	wg.Go(func() {
		for seq := range int64(40) {
			l.Note(Event{Action: "a", Result: ResultOK})
			waitWritten(t, l.Log, path, seq+1)
		}
	})
	done := make(chan struct{})
	go func() { defer close(done); wg.Wait() }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		last := int64(1 << 62)
		q := Query{Limit: 1}
		for range 3 {
			page, err := read(t.Context(), path, q) // not Read, which would wait until the file has its event
			if err != nil {
				t.Error(err)
			}
			for _, e := range page.Events {
				if e.Seq >= last {
					t.Fatalf("event %d after %d", e.Seq, last)
				}
				last = e.Seq
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
	}
}

// TestNoteWhileRotating lets readers run beside the writer: no event is seen twice, none is missed between two pages.
func TestNoteWhileRotating(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := start(t, Options{Path: path, Size: 3000, Keep: 1000})
	const count = 2000
	var wg sync.WaitGroup
	wg.Go(func() {
		for range count {
			l.Note(Event{Action: "a", Result: ResultOK})
			runtime.Gosched()
		}
	})
	for range 20 {
		got := events(t, path, 7)
		for i, e := range got {
			if e.Seq != int64(i+1) {
				t.Fatalf("event %d has number %d of %d", i, e.Seq, len(got))
			}
		}
	}
	wg.Wait()
	l.stop()
	if got := events(t, path, MaxLimit); len(got) != count+1 {
		t.Errorf("%d events, want %d", len(got), count+1)
	}
}
