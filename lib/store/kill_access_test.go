//go:build !windows

package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// killUse is the action of a process that uses credentials up.
const killUse = "use"

// useForEver makes credentials and uses them from many goroutines, and prints each
// after the use was answered: "<credentials> <session>".
func useForEver(folder string) error {
	ctx := context.Background()
	s, err := Open(ctx, Options{Folder: folder, Node: testNode, Logger: quiet()})
	if err != nil {
		return err
	}
	label, err := s.CreateLabel(ctx, model.Label{Name: fmt.Sprint(time.Now().UnixNano())})
	if err != nil {
		return err
	}
	e, err := s.CreateApplication(ctx, model.Application{LabelUID: label.UID})
	for _, c := range []func() model.Change{
		func() model.Change { return elected(e.Application.UID, 1) }, func() model.Change { return intent(1) }, func() model.Change { return allocated(1) },
	} {
		if err == nil {
			e, err = s.Update(ctx, e.Application.UID, func(*model.Entry) (model.Change, error) { return c(), nil })
		}
	}
	if err != nil {
		return err
	}
	failed := make(chan error)
	for i := range 16 {
		go func() {
			for {
				a, err := s.CreateAccess(ctx, anAccess(s, e.Resource.UID, fmt.Sprint(i)))
				if err == nil {
					_, err = s.UseAccess(ctx, aUse(a.UID, byte(1+i)))
				}
				if err != nil {
					failed <- err
					return
				}
				fmt.Printf("%s %d\n", a.UID, 1+i)
			}
		}()
	}
	return <-failed
}

// checkUsed opens what a killed process left: what it was answered is used, by that
// session and no other.
func checkUsed(t *testing.T, folder string, promised map[string]int) {
	t.Helper()
	s := openStore(t, Options{Folder: folder, Node: testNode, Logger: quiet()})
	wantIncarnation(t, s, 1, false) // it is the database of before
	for text, session := range promised {
		var uid model.UID
		if err := uid.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.UseAccess(t.Context(), aUse(uid, 99)); !errors.Is(err, ErrAccessUsed) {
			t.Errorf("UseAccess of what was used before the kill = %v, want %v", err, ErrAccessUsed)
		}
		if _, err := s.UseAccess(t.Context(), aUse(uid, byte(session))); err != nil {
			t.Errorf("UseAccess by the same session = %v", err)
		}
		if v, found := s.Access(uid); found && !v.Used {
			t.Errorf("%+v is found unused", v)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestKillOfUse kills the process again and again that uses credentials up.
func TestKillOfUse(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "n:1")
	for round := range 2 {
		promised := killRound(t, folder, 20+round*200, killAction+"="+killUse)
		if len(promised) == 0 {
			t.Fatal("nothing was used before the kill")
		}
		checkUsed(t, folder, promised)
	}
}
