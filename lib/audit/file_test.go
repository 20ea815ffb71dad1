package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestALooseFileIsTightened(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no such modes")
	}
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, Options{Path: path}).stop()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v, want 0600", info.Mode(), err)
	}
}

// TestCrashTearsALine: what kill -9 or a power loss leaves does no harm, and the next start tells.
func TestCrashTearsALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	whole := Event{Seq: 7, Action: "label.create", Result: ResultOK, Count: 1}.line()
	for name, torn := range map[string]string{
		"half a line": `{"seq":8,"time":"2026-11-`, "zeros": "\x00\x00\x00\x00", "nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, append(bytes.Clone(whole), torn...), 0o600); err != nil {
				t.Fatal(err)
			}
			l := start(t, Options{Path: path})
			if l.EndedInOrder() {
				t.Error("EndedInOrder() = true without a stop")
			}
			l.Note(Event{Action: "after", Result: ResultOK})
			l.stop()
			var got []string
			for _, e := range events(t, path, 1) {
				got = append(got, fmt.Sprint(e.Seq, " ", e.Action))
			}
			if diff := cmp.Diff([]string{"7 label.create", "8 after", "9 node.stop"}, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := start(t, Options{Path: path, Size: 2000, Keep: 3})
	const count = 100
	for i := range count {
		l.Note(Event{Action: "a", ObjectName: fmt.Sprint(i), Result: ResultOK})
		waitWritten(t, l.Log, path, int64(i+1))
	}
	l.stop()
	full, err := fullFiles(path)
	if err != nil || len(full) != 3 {
		t.Fatalf("full files = %v, %v, want 3", full, err)
	}
	for _, f := range full {
		info, err := os.Stat(f.path)
		if err != nil || info.Size() > 2000 || info.Size() < 1000 {
			t.Errorf("%s: %v, %v, want it full", f.path, info.Size(), err)
		}
	}
	for _, limit := range []int{1, 3, 1000} { // pages end inside of files and between them
		got := events(t, path, limit)
		if got[len(got)-1].Seq != count+1 {
			t.Errorf("the newest is %d, want %d", got[len(got)-1].Seq, count+1)
		}
		for i, e := range got {
			if e.Seq != got[0].Seq+int64(i) {
				t.Fatalf("limit %d: number %d after %d", limit, e.Seq, got[i-1].Seq)
			}
		}
		if len(got) < 20 || got[0].Seq != full[2].first {
			t.Errorf("limit %d: %d events from %d, want all from %d", limit, len(got), got[0].Seq, full[2].first)
		}
	}
}

// TestADiskThatRefuses: a folder in the way of the file stands for a disk that takes nothing. What is lost meanwhile is
// counted, told once to the operator, and it goes on when there is room.
func TestADiskThatRefuses(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "audit.log")
	l, told := opened(t, Options{Path: path})
	l.Note(Event{Action: "before", Result: ResultOK})
	l.flush()
	if err := errors.Join(os.Rename(path, path+".aside"), os.Mkdir(path, 0o700)); err != nil { // writes fail from here on
		t.Fatal(err)
	}
	for range 3 {
		l.Note(Event{Action: "lost", Result: ResultOK})
		l.flush()
	}
	if n := strings.Count(told.String(), "takes no events"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, told)
	}
	if err := errors.Join(os.Remove(path), os.Rename(path+".aside", path)); err != nil {
		t.Fatal(err)
	}
	l.Note(Event{Action: "after", Result: ResultOK})
	l.flush()
	if err := l.file.close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events(t, path, 0) {
		got = append(got, fmt.Sprint(e.Seq, " ", e.Action, " ", e.Count))
	}
	if diff := cmp.Diff([]string{"1 before 1", "2 after 1", "3 audit.dropped 3"}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if !strings.Contains(told.String(), "takes events again") {
		t.Errorf("the end of it is not told:\n%s", told)
	}
}

// TestWholeLines: what a full disk took of a text.
func TestWholeLines(t *testing.T) {
	const text = "{1}\n{2}\n"
	for n, want := range []int{0, 0, 0, 1, 1, 1, 1, 2, 2} {
		if got := wholeLines([]byte(text), n); got != want {
			t.Errorf("%d bytes of %q: %d whole lines, want %d", n, text, got, want)
		}
	}
}

// TestOnlyTheNewlineIsLost: an event that a full disk took up to its newline is not counted as lost, and its number is
// not given again.
func TestOnlyTheNewlineIsLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	f, _, err := openFile(Options{Path: path, Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	line := func(seq int64) []byte {
		return Event{Seq: seq, Time: day, Action: "a", Result: ResultOK, Count: 1}.line()
	}
	text := append(line(1), line(2)...)
	if _, err := f.out.Write(text[:len(text)-1]); err != nil { // as Write does before it says ENOSPC
		t.Fatal(err)
	}
	f.torn = true
	if n := wholeLines(text, len(text)-1); n != 2 {
		t.Fatalf("%d lines are whole, want 2", n)
	}
	if whole, err := f.append(line(3), 3); whole != 1 || err != nil {
		t.Errorf("append() = %d, %v", whole, err)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	if got := numbers(events(t, path, 0)); !cmp.Equal(got, []int64{1, 2, 3}) {
		t.Errorf("events %d, want 1 to 3", got)
	}
}

// TestAFileThatIsMovedAway is what a foreign rotation does: by rename, by removal, by cutting.
func TestAFileThatIsMovedAway(t *testing.T) {
	for name, tt := range map[string]struct {
		move   func(path string) error
		settle bool // it is noticed between two events; else the next one must not be lost with the file
	}{
		"renamed":          {func(path string) error { return os.Rename(path, path+".old") }, true},
		"removed":          {os.Remove, true},
		"cut":              {func(path string) error { return os.Truncate(path, 0) }, true},
		"removed just now": {os.Remove, false},
		"cut just now":     {func(path string) error { return os.Truncate(path, 0) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.log")
			l, told := opened(t, Options{Path: path})
			l.Note(Event{Action: "before", Result: ResultOK})
			l.flush()
			if err := tt.move(path); err != nil {
				t.Fatal(err)
			}
			if tt.settle {
				if err := l.file.settle(); err != nil {
					t.Fatal(err)
				}
			}
			l.Note(Event{Action: "after", Result: ResultOK})
			l.flush()
			got := events(t, path, 0)
			if len(got) != 1 || got[0].Seq != 2 || got[0].Action != "after" {
				t.Errorf("events = %+v, want the second alone", got)
			}
			if n := strings.Count(told.String(), "by somebody else"); n != 1 {
				t.Errorf("told %d times, want once:\n%s", n, told)
			}
			if err := l.file.close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestAFullFileThatCanNotBePutAside grows, and the operator is told once.
func TestAFullFileThatCanNotBePutAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l, told := opened(t, Options{Path: path, Size: 300})
	if err := os.MkdirAll(filepath.Join(fullName(path, 1), "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		l.Note(Event{Action: "a", Result: ResultOK})
		l.flush()
	}
	if err := l.file.close(); err != nil {
		t.Fatal(err)
	}
	if got := events(t, path, 0); len(got) != 5 {
		t.Errorf("%d events, want all 5", len(got))
	}
	if n := strings.Count(told.String(), "it grows"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, told)
	}
}
