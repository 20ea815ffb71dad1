package store

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var nodeOneKey = []byte{0x30, 1} // as in oldDatabase

// oursAt makes a database of ours for a node.
func oursAt(t *testing.T, folder, name string, key []byte) {
	t.Helper()
	s := openStore(t, Options{Folder: folder, Node: testNode, Logger: quiet()})
	if _, err := s.PutNode(t.Context(), model.Node{UID: testNode, Name: name, Pubkey: key}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

func TestLocate(t *testing.T) {
	const address = "127.0.0.1:8001"
	for _, tt := range []struct {
		name  string
		make  func(t *testing.T, dir string)
		moved string // the folder that has to be moved
		err   string
		warns bool
	}{
		{name: "nothing there", make: func(*testing.T, string) {}},
		{name: "in its place", make: func(t *testing.T, dir string) {
			oursAt(t, filepath.Join(dir, address), "node-1", nodeOneKey)
			oursAt(t, filepath.Join(dir, "old:1"), "node-1", nodeOneKey)
		}},
		{name: "one other of ours", moved: "old:1", make: func(t *testing.T, dir string) {
			oursAt(t, filepath.Join(dir, "old:1"), "node-1", nodeOneKey)
			oursAt(t, filepath.Join(dir, "other:1"), "node-2", []byte{2})
		}},
		{name: "one of v0.7 with its log", moved: "old:1", make: func(t *testing.T, dir string) {
			oldDatabase(t, filepath.Join(dir, "old:1"))
		}},
		{name: "an empty folder gives way", moved: "old:1", make: func(t *testing.T, dir string) {
			oursAt(t, filepath.Join(dir, "old:1"), "node-1", nodeOneKey)
			if err := os.Mkdir(filepath.Join(dir, address), 0o750); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a full one does not", err: "in the way", make: func(t *testing.T, dir string) {
			oursAt(t, filepath.Join(dir, "old:1"), "node-1", nodeOneKey)
			writeFile(t, filepath.Join(dir, address, "notes"), "x")
		}},
		{name: "another key", make: func(t *testing.T, dir string) {
			oursAt(t, filepath.Join(dir, "old:1"), "node-1", []byte{9})
		}},
		{name: "several", err: "a:1, ", make: func(t *testing.T, dir string) {
			oursAt(t, filepath.Join(dir, "b:1"), "node-1", nodeOneKey)
			oursAt(t, filepath.Join(dir, "a:1"), "node-1", nodeOneKey)
		}},
		{name: "a corrupt one beside", moved: "old:1", warns: true, make: func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "bad:1", fileName), strings.Repeat("no database ", 1000))
			oursAt(t, filepath.Join(dir, "old:1"), "node-1", nodeOneKey)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, log := t.TempDir(), new(bytes.Buffer)
			tt.make(t, dir)
			folder, err := Locate(t.Context(), LocateOptions{
				Directory: dir, NodeAddress: address, NodeName: "node-1", NodeKeyDER: nodeOneKey, Logger: slog.New(slog.NewTextHandler(log, nil)),
			})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("Locate = %v, want an error with %q", err, tt.err)
				}
				return
			}
			if want := filepath.Join(dir, address); err != nil || folder != want {
				t.Fatalf("Locate = %s, %v, want %s", folder, err, want)
			}
			if warned := strings.Contains(log.String(), "can not be read"); warned != tt.warns {
				t.Errorf("log = %s, want a warning: %v", log, tt.warns)
			}
			checkMoved(t, dir, tt.moved, folder, log.String())
		})
	}
}

// checkMoved checks that a moved database is whole, and said so once.
func checkMoved(t *testing.T, dir, from, folder, log string) {
	t.Helper()
	if moved := strings.Count(log, "database moved"); moved != min(1, len(from)) {
		t.Errorf("log = %s, has %d lines on a move", log, moved)
	}
	if from == "" {
		return
	}
	if _, err := os.Stat(filepath.Join(dir, from)); !os.IsNotExist(err) {
		t.Errorf("old folder is still there: %v", err)
	}
	s := openStore(t, Options{Folder: folder, Node: testNode, Logger: quiet()})
	if n, ok := s.Node(); !ok || n.Name != "node-1" {
		t.Errorf("node in the moved database = %+v, %v", n, ok)
	}
}

func TestLocateRefusesAStrangeAddress(t *testing.T) {
	for _, address := range []string{"", "..", "a/b", "/etc"} {
		if folder, err := Locate(t.Context(), LocateOptions{Directory: t.TempDir(), NodeAddress: address, Logger: quiet()}); err == nil {
			t.Errorf("Locate(%q) = %s, want an error", address, folder)
		}
	}
}
