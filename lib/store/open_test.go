package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// patch overwrites a closed database's bytes.
func patch(t *testing.T, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOpenRefuses opens what can not be used: the error says what to do, and
// the file is not touched.
func TestOpenRefuses(t *testing.T) {
	ours := func(t *testing.T, path string) {
		s := openStore(t, Options{Folder: filepath.Dir(path), Node: testNode, Logger: quiet()})
		newApplication(t, s, newLabel(t, s).UID, "u")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		make func(t *testing.T, path string)
		is   error
		want string
	}{
		{name: "garbage", want: "is corrupt", make: func(t *testing.T, path string) {
			writeFile(t, path, strings.Repeat("garbage ", 2000))
		}},
		{name: "first page destroyed", want: "is corrupt", make: func(t *testing.T, path string) {
			ours(t, path)
			patch(t, path, 100, make([]byte, 3900))
		}},
		{name: "cut short", want: "is corrupt", make: func(t *testing.T, path string) {
			ours(t, path)
			if err := os.Truncate(path, 3*4096); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "read-only", want: "check owner and mode", make: func(t *testing.T, path string) {
			ours(t, path)
			patch(t, path, 18, []byte{3, 2}) // a write version from the future: may be read, not written
		}},
		{name: "newer", is: ErrNewer, want: "start the version that wrote it", make: func(t *testing.T, path string) {
			s := openStore(t, Options{Folder: filepath.Dir(path), Node: testNode, Logger: quiet()})
			err := s.alone(t.Context(), func() error {
				_, err := s.db.writer.ExecContext(t.Context(), "INSERT INTO migrations VALUES ('29991231_later')")
				return err
			})
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "of another program", is: errForeign, want: "no database of Aquarium Fish", make: func(t *testing.T, path string) {
			s := openStore(t, Options{Folder: filepath.Dir(path), Node: testNode, Logger: quiet()})
			err := s.alone(t.Context(), func() error {
				_, err := s.db.writer.ExecContext(t.Context(), "DROP TABLE migrations; DROP TABLE labels")
				return err
			})
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a folder", want: "check owner and mode", make: func(t *testing.T, path string) {
			if err := os.MkdirAll(path, 0o750); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions(t)
			tt.make(t, filepath.Join(o.Folder, fileName))
			s, err := Open(t.Context(), o)
			if err == nil {
				t.Fatalf("Open succeeded: %v", s.Close())
			}
			if !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("Open = %v, want it to be %v and to say %q", err, tt.is, tt.want)
			}
		})
	}
}

// TestCorruptPageIsAnError destroys a page of history: it is an error, never
// half an entry.
func TestCorruptPageIsAnError(t *testing.T) {
	s := openStore(t, testOptions(t))
	label := newLabel(t, s).UID
	var apps []model.UID
	for range 50 {
		apps = append(apps, live(t, s, label))
	}
	root, err := column[int64](t.Context(), s.db.readers, "SELECT rootpage FROM sqlite_master WHERE name = 'application_states'")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	patch(t, s.db.path, (root[0]-1)*4096, make([]byte, 4096))
	s = openStore(t, s.opts) // what is alive is not affected
	_, err = s.Update(t.Context(), apps[0], func(*model.Entry) (model.Change, error) { return requested(), nil })
	if code(err) != codeCorrupt || s.Writable() != nil {
		t.Errorf("Update = %v, Writable() = %v, want it to concern nobody else", err, s.Writable())
	}
	if e, err := s.Application(t.Context(), apps[0]); err == nil || errors.Is(err, ErrNotFound) || code(err) != codeCorrupt {
		t.Errorf("Application = %+v, %v, want it to be corrupt", e, err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	s := openStore(t, testOptions(t))
	if second, err := Open(t.Context(), s.opts); !errors.Is(err, ErrInUse) {
		t.Errorf("Open = %v, %v, want %v", second, err, ErrInUse)
	}
	newLabel(t, s) // the first one does not mind
	reopen(t, s)
}

func TestFolderAndFileModes(t *testing.T) {
	s := openStore(t, testOptions(t))
	for path, want := range map[string]os.FileMode{s.opts.Folder: 0o700, s.db.path: 0o600, s.db.path + "-wal": 0o600, s.db.path + "-shm": 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^want != 0 {
			t.Errorf("mode of %s = %v, %v, want at most %o", path, info.Mode(), err, want)
		}
	}
}

func TestPathIsTakenLiterally(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a?mode=memory#%41 ü:8001")
	s := openStore(t, Options{Folder: folder, Node: testNode, Logger: quiet()})
	newLabel(t, s)
	if info, err := os.Stat(filepath.Join(folder, fileName)); err != nil || info.Size() == 0 {
		t.Errorf("database in %s: %v, %v", folder, info, err)
	}
	if s = reopen(t, s); len(s.Labels()) != 1 {
		t.Error("label is gone")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := testOptions(t)
	for name, spoil := range map[string]func(*Options){
		"no folder":      func(o *Options) { o.Folder = "" },
		"no node":        func(o *Options) { o.Node = model.NilUID },
		"no logger":      func(o *Options) { o.Logger = nil },
		"negative bound": func(o *Options) { o.Retention = -1 },
	} {
		o := good
		spoil(&o)
		if _, err := Open(t.Context(), o); err == nil {
			t.Errorf("%s: Open succeeded", name)
		}
	}
}

func TestPutNodeKeepsItsKey(t *testing.T) {
	s := openStore(t, testOptions(t))
	first, err := s.PutNode(t.Context(), model.Node{UID: testNode, Name: "n", Address: "a:1", Pubkey: []byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.PutNode(t.Context(), model.Node{UID: testNode, Name: "n", Address: "a:2", Pubkey: []byte{1}})
	if err != nil || second.CreatedAt != first.CreatedAt || second.HLC <= first.HLC {
		t.Errorf("PutNode = %+v, %v, want the same node, newer", second, err)
	}
	if _, err := s.PutNode(t.Context(), model.Node{UID: model.UID{3}, Name: "n", Pubkey: []byte{2}}); !errors.Is(err, ErrPubkeyChanged) {
		t.Errorf("PutNode with another key = %v, want %v", err, ErrPubkeyChanged)
	}
	s = reopen(t, s)
	if n, ok := s.Node(); !ok || n.Address != "a:2" {
		t.Errorf("Node() = %+v, %v", n, ok)
	}
	e := newApplication(t, s, newLabel(t, s).UID, "u")
	if got, want := e.States[0].Description, "Just created by Fish n"; got != want {
		t.Errorf("description = %q, want %q", got, want)
	}
	if _, err := s.CreateApplication(t.Context(), model.Application{LabelUID: model.UID{1}}); !errors.Is(err, ErrLabelUnknown) {
		t.Errorf("CreateApplication without a label = %v, want %v", err, ErrLabelUnknown)
	}
}
