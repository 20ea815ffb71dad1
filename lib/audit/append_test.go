package audit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestAppend: a command notes what it did between two runs, and the next run
// still knows how the one before ended.
func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	reset := Event{Action: ActionUserReset, ObjectName: "admin", Result: ResultOK}
	if err := Append(path, reset); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v, want fs.ErrNotExist", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it made the file")
	}
	l := start(t, Options{Path: path})
	l.stop()
	for range 15 { // more than a page
		if err := Append(path, reset); err != nil {
			t.Fatal(err)
		}
	}
	l = start(t, Options{Path: path})
	if !l.EndedInOrder() {
		t.Error("the run before is said to have ended without a stop")
	}
	l.Note(Event{Action: "label.create", Result: ResultOK})
	waitWritten(t, l.Log, path, 17)
	if err := os.WriteFile(path, append(readAll(t, path), "{torn"...), 0o600); err != nil { // as a crash leaves it
		t.Fatal(err)
	}
	if err := Append(path, reset); err != nil {
		t.Fatal(err)
	}
	l = start(t, Options{Path: path})
	if l.EndedInOrder() {
		t.Error("a crash is not noticed behind what a command noted")
	}
	all := events(t, path, 0)
	want := reset
	want.Seq, want.Count = 18, 1
	if diff := cmp.Diff(want, all[17], cmpopts.IgnoreFields(Event{}, "Time")); diff != "" || all[17].Time.IsZero() {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func readAll(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
