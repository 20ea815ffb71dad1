package store

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestSetAside: what was there is kept whole, what comes then is new, and a second call, as after a crash, moves nothing.
func TestSetAside(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "db")
	var log bytes.Buffer
	open := func() *Store {
		t.Helper()
		s, err := Open(t.Context(), Options{Folder: folder, Node: model.UID{1}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	create := func(s *Store, name string) {
		t.Helper()
		if _, err := s.CreateLabel(t.Context(), model.Label{Name: name, Version: 1}); err != nil {
			t.Fatal(err)
		}
	}
	s := open()
	create(s, "old")
	if err := SetAside(t.Context(), folder, "kept"); err == nil {
		t.Error("the database of a node that runs was set aside")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := SetAside(t.Context(), folder, "kept"); err != nil {
		t.Fatal(err)
	}
	s = open()
	if got := s.Labels(); len(got) != 0 {
		t.Errorf("the new database has %v", got)
	}
	if got := s.Origin().Incarnation; got != 2 {
		t.Errorf("the new database has incarnation %d, want 2: no number of the old one is used again", got)
	}
	if _, lapsed := s.Lapsed(); lapsed || strings.Contains(log.String(), "WARN") {
		t.Errorf("the new database lacks something (%v), as it was lost: %s", lapsed, &log)
	}
	create(s, "new")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := SetAside(t.Context(), folder, "kept"); err != nil {
		t.Fatal(err)
	}
	s = open()
	if got := s.Origin().Incarnation; got != 2 {
		t.Errorf("started again it has incarnation %d, want 2", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, fileName)); err != nil {
		t.Fatal(err)
	}
	s = open()
	if _, lapsed := s.Lapsed(); !lapsed {
		t.Error("a database that was removed later is no loss")
	}
	create(s, "new")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{fileName: "new", "kept": "old"} {
		other := filepath.Join(t.TempDir(), fileName)
		data, err := os.ReadFile(filepath.Join(folder, file))
		if err := errors.Join(err, os.WriteFile(other, data, 0o600)); err != nil {
			t.Fatal(err)
		}
		c, err := Open(t.Context(), Options{Folder: filepath.Dir(other), Node: model.UID{1}, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Labels(); len(got) != 1 || got[0].Name != want {
			t.Errorf("%s has %v, want the label %s", file, got, want)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := SetAside(t.Context(), t.TempDir(), "kept"); err != nil {
		t.Errorf("without a database: %v", err)
	}
}
