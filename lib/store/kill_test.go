//go:build !windows

package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// killFolder tells the test binary to be the process that is killed.
const killFolder = "FISH_TEST_KILL_FOLDER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(killFolder); folder != "" {
		work := writeForEver
		if action := killActions()[os.Getenv(killAction)]; action != nil {
			work = action
		}
		if err := work(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// writeForEver lives applications from many goroutines, and prints each write
// after it was answered: "<application> <number of states>".
func writeForEver(folder string) error {
	ctx := context.Background()
	s, err := Open(ctx, Options{Folder: folder, Node: testNode, Logger: quiet()})
	if err != nil {
		return err
	}
	label, err := s.CreateLabel(ctx, model.Label{Name: fmt.Sprint(time.Now().UnixNano())})
	if err != nil {
		return err
	}
	failed := make(chan error)
	for range 16 {
		go func() {
			for {
				if err := lifeOnPaper(ctx, s, label.UID); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

func lifeOnPaper(ctx context.Context, s *Store, label model.UID) error {
	e, err := s.CreateApplication(ctx, model.Application{LabelUID: label})
	for step := 0; err == nil; step++ {
		fmt.Printf("%s %d\n", e.Application.UID, len(e.States))
		app := e.Application.UID
		steps := []func(e *model.Entry) model.Change{
			func(*model.Entry) model.Change { return elected(app, 1) },
			func(*model.Entry) model.Change { return intent(1) },
			func(*model.Entry) model.Change { return allocated(1) },
			func(*model.Entry) model.Change { return requested() },
			func(e *model.Entry) model.Change { return deallocated(e, 1) },
		}
		if step == len(steps) {
			return nil
		}
		e, err = s.Update(ctx, app, func(e *model.Entry) (model.Change, error) { return steps[step](e), nil })
	}
	return err
}

// killRound runs the writing process until it was killed, and returns the
// highest number of states that it was promised for each application.
func killRound(t *testing.T, folder string, after int, extra ...string) map[string]int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), killFolder+"="+folder), extra...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	promised := map[string]int{}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		var app string
		var states int
		if _, err := fmt.Sscanf(lines.Text(), "%s %d", &app, &states); err != nil {
			break // the line was cut by the kill
		}
		promised[app] = max(promised[app], states)
		if n == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the writing process ended with %v, want it killed", err)
	}
	return promised
}

// checkPromises opens what a killed process left.
func checkPromises(t *testing.T, folder string, promised map[string]int) {
	t.Helper()
	s := openStore(t, Options{Folder: folder, Node: testNode, Logger: quiet()})
	wantIncarnation(t, s, 1, false) // it is the database of before
	for text, states := range promised {
		var uid model.UID
		if err := uid.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		e, err := s.Application(t.Context(), uid)
		if err != nil || len(e.States) < states {
			t.Errorf("application %s has %d states, %v, want the %d that were acknowledged", text, len(e.States), err, states)
			continue
		}
		checkInvariants(t, s, e)
	}
	if check, err := column[string](t.Context(), s.db.readers, "PRAGMA integrity_check"); err != nil || check[0] != "ok" {
		t.Errorf("integrity_check = %v, %v", check, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestKill kills the writing process again and again: nothing that it was
// answered is lost.
func TestKill(t *testing.T) {
	rounds := 6
	if raceEnabled {
		rounds = 2
	}
	folder := filepath.Join(t.TempDir(), "n:1")
	for round := range rounds {
		promised := killRound(t, folder, 20+round*200)
		if len(promised) == 0 {
			t.Fatal("nothing was written before the kill")
		}
		checkPromises(t, folder, promised)
	}
}
