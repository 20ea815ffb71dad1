//go:build !windows

package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// killAction names what the process does that is killed.
const killAction = "FISH_TEST_KILL_ACTION"

// killActions do what an operator's command, or an upgrade, does. The copy lies
// beside the folder.
func killActions() map[string]func(folder string) error {
	return map[string]func(folder string) error{
		"backup": told(func(folder string) error {
			_, err := Backup(context.Background(), BackupOptions{Folder: folder, File: folder + ".copy", Now: time.Now()})
			return err
		}),
		"restore": told(func(folder string) error {
			_, _, err := Restore(context.Background(), RestoreOptions{
				Folder: folder, File: folder + ".copy", NodeName: "fish", NodeKeyDER: []byte("key"), Now: time.Now(),
			})
			return err
		}),
		"restamp": told(func(folder string) error {
			s, err := Open(context.Background(), Options{Folder: folder, Node: testNode, Logger: quiet()})
			if err != nil {
				return err
			}
			_, err = s.Restamp(context.Background())
			return errors.Join(err, s.Close())
		}),
		"adopt": told(func(folder string) error {
			s, err := Open(context.Background(), Options{Folder: folder, Node: testNode, Logger: quiet()})
			if err != nil {
				return err
			}
			return s.Close()
		}),
		killUse: useForEver,
		"rebuild": told(func(folder string) error {
			_, err := Rebuild(context.Background(), Options{Folder: folder, Node: testNode, Logger: quiet()})
			return err
		}),
	}
}

// told says when the work begins, so that no kill is spent on the start of the
// process.
func told(work func(folder string) error) func(folder string) error {
	return func(folder string) error {
		fmt.Println("go")
		return work(folder)
	}
}

// killAfter runs an action and kills it after a while. It returns how long the
// action took, if it was done before.
func killAfter(t *testing.T, action, folder string, after time.Duration) (took time.Duration, done bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), killFolder+"="+folder, killAction+"="+action)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !bufio.NewScanner(out).Scan() {
		t.Fatalf("%s does not begin: %v", action, cmd.Wait())
	}
	start := time.Now()
	kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // one that has ended is what we look for
	defer kill.Stop()
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.Exited()) {
		t.Fatalf("%s: %v, want it done or killed", action, err)
	}
	return time.Since(start), err == nil
}

// killThroughout kills an action at moments all over it, each on a folder of
// its own, and lets check look at what is left.
func killThroughout(t *testing.T, action string, prepare, check func(t *testing.T, folder string)) {
	moments := 8
	if raceEnabled {
		moments = 3
	}
	round := func(t *testing.T, after time.Duration) time.Duration {
		folder := filepath.Join(t.TempDir(), "n:1")
		prepare(t, folder)
		took, _ := killAfter(t, action, folder, after)
		check(t, folder)
		if _, done := killAfter(t, action, folder, time.Minute); !done {
			t.Error("it can not be done after a kill")
		}
		check(t, folder)
		return took
	}
	whole := round(t, time.Minute)
	for i := range moments {
		after := whole * time.Duration(i) / time.Duration(moments)
		t.Run(after.String(), func(t *testing.T) { round(t, after) })
	}
}

// fillFolder makes a database with the labels and applications that a check counts.
func fillFolder(t *testing.T, folder string, labels int) {
	t.Helper()
	s, err := Open(t.Context(), Options{Folder: folder, Node: testNode, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	nodeNamed(t, s, "fish", []byte("key"))
	for range labels {
		newApplication(t, s, newLabel(t, s).UID, "admin")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// wantSound checks a database file and returns what it holds.
func wantSound(t *testing.T, file string) Stats {
	t.Helper()
	r, err := Check(t.Context(), CheckOptions{File: file, Node: testNode})
	if err != nil || len(r.Findings) > 0 {
		t.Fatalf("%s: %v, %v", file, r.Findings, err)
	}
	return r.Stats
}

func TestKilledBackup(t *testing.T) {
	killThroughout(t, "backup", func(t *testing.T, folder string) { fillFolder(t, folder, 30) }, func(t *testing.T, folder string) {
		wantSound(t, filepath.Join(folder, fileName))
		if _, err := os.Stat(folder + ".copy"); errors.Is(err, os.ErrNotExist) {
			return
		}
		if got := wantSound(t, folder+".copy"); got.Labels != 30 || got.Restored == nil {
			t.Errorf("the copy has a name and %+v", got)
		}
		if err := os.Remove(folder + ".copy"); err != nil {
			t.Error(err)
		}
	})
}

func TestKilledRestore(t *testing.T) {
	prepare := func(t *testing.T, folder string) {
		fillFolder(t, folder, 10)
		if _, err := Backup(t.Context(), BackupOptions{Folder: folder, File: folder + ".copy", Now: time.Now()}); err != nil {
			t.Fatal(err)
		}
		fillFolder(t, folder, 20)
	}
	killThroughout(t, "restore", prepare, func(t *testing.T, folder string) {
		got := wantSound(t, filepath.Join(folder, fileName))
		if got.Labels != 30 && got.Labels != 10 || (got.Restored != nil) != (got.Labels == 10) {
			t.Errorf("neither the old database nor the new one: %+v", got)
		}
		kept, err := filepath.Glob(filepath.Join(folder, "*before-restore*Z"))
		if err != nil || got.Labels == 10 && len(kept) == 0 {
			t.Errorf("the old database was not kept: %v, %v", kept, err)
		}
		s := openStore(t, Options{Folder: folder, Node: testNode, Logger: quiet()})
		if left, err := filepath.Glob(filepath.Join(folder, halfName+"*")); err != nil || len(left) > 0 {
			t.Errorf("a start leaves %v, %v", left, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestKilledAdoption(t *testing.T) {
	killThroughout(t, "adopt", func(t *testing.T, folder string) { oldDatabase(t, folder) }, func(t *testing.T, folder string) {
		copies, err := filepath.Glob(filepath.Join(folder, fileName+".v0.7-*Z"))
		if err != nil || len(copies) > 1 {
			t.Errorf("copies: %v, %v, want one at most", copies, err)
		}
		s := openStore(t, Options{Folder: folder, Node: testNode, Logger: quiet()})
		if n, err := countRows(s, "applications"); err != nil || n != len(oldLives) {
			t.Errorf("%d applications, %v, want %d", n, err, len(oldLives))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		wantSound(t, filepath.Join(folder, fileName))
	})
}

// TestKilledRebuild: the tables are as they were, or as the rows say.
func TestKilledRebuild(t *testing.T) {
	prepare := func(t *testing.T, folder string) {
		fillFolder(t, folder, 100)
		alter(t, filepath.Join(folder, fileName), "DELETE FROM labels", "DELETE FROM applications", "DELETE FROM application_states")
	}
	killThroughout(t, "rebuild", prepare, func(t *testing.T, folder string) {
		r, err := Check(t.Context(), CheckOptions{File: filepath.Join(folder, fileName), Node: testNode})
		if err != nil || len(r.Findings) > 0 {
			t.Fatalf("%v, %v", r.Findings, err)
		}
		if s := r.Stats; s.Labels != s.Applications || s.Labels != 0 && s.Labels != 100 {
			t.Errorf("neither what it was nor what it has to be: %+v", s)
		}
	})
}

// TestKilledEnrolment: the upgrade that makes a row of everything alive begins
// again, and leaves no part of it.
func TestKilledEnrolment(t *testing.T) {
	prepare := func(t *testing.T, folder string) {
		fillFolder(t, folder, 150)
		alter(t, filepath.Join(folder, fileName), append(unenrolled(), "DELETE FROM meta WHERE key = 'session'")...)
		if err := os.Remove(filepath.Join(folder, markerName)); err != nil { // the version before had none
			t.Fatal(err)
		}
	}
	killThroughout(t, "adopt", prepare, func(t *testing.T, folder string) {
		s := openStore(t, Options{Folder: folder, Node: testNode, Logger: quiet()})
		rows, err := countRows(s, "sync_rows")
		if want := 3*150 + 1; err != nil || rows != want || s.Vector()[s.Origin()] != uint64(want) {
			t.Errorf("%d rows, %v, up to %d, want %d: a label, an application and its state each, and the node", rows, err, s.Vector()[s.Origin()], want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		wantSound(t, filepath.Join(folder, fileName))
	})
}
