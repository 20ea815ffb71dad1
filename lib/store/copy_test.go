package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// nodeNamed makes the store's node known, as every start does.
func nodeNamed(t *testing.T, s *Store, name string, key []byte) {
	t.Helper()
	if _, err := s.PutNode(t.Context(), model.Node{UID: testNode, Name: name, Address: "127.0.0.1:8001", Pubkey: key, Definition: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
}

func backup(t *testing.T, s *Store, now time.Time) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "copy.db")
	if _, err := Backup(t.Context(), BackupOptions{Folder: s.opts.Folder, File: file, Now: now}); err != nil {
		t.Fatalf("Backup: %v", err)
	}
	return file
}

func findings(t *testing.T, file string) []string {
	t.Helper()
	r, err := Check(t.Context(), CheckOptions{File: file, Node: testNode})
	if err != nil || r.Findings == nil { // nil would be null in JSON
		t.Fatalf("Check = %v, %v", r.Findings, err)
	}
	return r.Findings
}

func TestBackupBesideARunningStore(t *testing.T) {
	s := openStore(t, testOptions(t))
	label := newLabel(t, s)
	newApplication(t, s, label.UID, "admin")
	now := time.Now()
	file := backup(t, s, now)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("copy: %v, %v, want mode 0600", info.Mode(), err)
	}
	newApplication(t, s, label.UID, "admin") // the store goes on
	r, err := Check(t.Context(), CheckOptions{File: file, Node: testNode})
	if err != nil || len(r.Findings) > 0 || r.Stats.Applications != 1 || r.Stats.Open != 1 || r.Stats.Labels != 1 {
		t.Errorf("Check of the copy = %+v, %v, want one application and no findings", r, err)
	}
	if r.Stats.Restored == nil || !r.Stats.Restored.Equal(now) {
		t.Errorf("the copy says it is of %v, want %v", r.Stats.Restored, now)
	}
	if _, err := Backup(t.Context(), BackupOptions{Folder: s.opts.Folder, File: file, Now: now}); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("Backup over a file = %v, want that it is there already", err)
	}
}

func TestBackupThatFailsLeavesNothing(t *testing.T) {
	s := openStore(t, testOptions(t))
	for range 200 {
		newLabel(t, s)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Backup(ctx, BackupOptions{Folder: s.opts.Folder, File: filepath.Join(dir, "copy.db"), Now: time.Now()}); err == nil {
		t.Error("Backup under a cancelled context succeeds")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := Backup(t.Context(), BackupOptions{Folder: t.TempDir(), File: filepath.Join(dir, "copy.db"), Now: time.Now()}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Backup of no database = %v, want %v", err, os.ErrNotExist)
	}
}

func TestRestoreReplacesAndKeeps(t *testing.T) {
	key := []byte("key of the node")
	s := openStore(t, testOptions(t))
	nodeNamed(t, s, "fish", key)
	old := newLabel(t, s)
	file := backup(t, s, time.Now())
	young := newLabel(t, s)
	o := RestoreOptions{Folder: s.opts.Folder, File: file, NodeName: "fish", NodeKeyDER: key, Now: time.Now()}
	if _, _, err := Restore(t.Context(), o); !errors.Is(err, ErrInUse) {
		t.Errorf("Restore under a running node = %v, want %v", err, ErrInUse)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	kept, stats, err := Restore(t.Context(), o)
	if err != nil || stats.Labels != 1 {
		t.Fatalf("Restore = %q, %+v, %v", kept, stats, err)
	}
	again := openStore(t, s.opts)
	if _, ok := again.Label(young.UID); ok || len(again.Labels()) != 1 || again.Labels()[0].UID != old.UID {
		t.Errorf("labels after the restore: %v", again.Labels())
	}
	r, err := Check(t.Context(), CheckOptions{File: kept})
	if err != nil || len(r.Findings) > 0 || r.Stats.Labels != 2 {
		t.Errorf("what was kept: %+v, %v, want both labels", r, err)
	}
	if _, restored := again.Restored(); !restored {
		t.Error("Restored = false after a restore")
	}
	confirm := func() Confirmation {
		t.Helper()
		c, err := Confirm(t.Context(), again.opts.Folder, ChoiceNone)
		if err != nil {
			t.Fatalf("Confirm: %v", err)
		}
		return c
	}
	if c := confirm(); c.Taken.IsZero() {
		t.Errorf("Confirm = %+v, want the time of the copy", c)
	}
	newLabel(t, again) // the writer does not mind that another process wrote
	if err := again.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, restored := again.Restored(); restored {
		t.Error("Restored = true after Confirm")
	}
	if c := confirm(); !c.Taken.IsZero() {
		t.Errorf("second Confirm = %+v, want nothing", c)
	}
}

// TestRestoreOverWhatIsDamaged: what a log holds is kept with its database, and
// never replayed into the new one; what can not be read is kept as it is.
func TestRestoreOverWhatIsDamaged(t *testing.T) {
	key := []byte("key")
	s := openStore(t, testOptions(t))
	nodeNamed(t, s, "fish", key)
	file := backup(t, s, time.Now())
	newLabel(t, s)
	log, err := os.ReadFile(s.db.path + "-wal")
	if err != nil || len(log) == 0 {
		t.Fatalf("log: %d bytes, %v", len(log), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	restoreOver := func(database, log []byte, now time.Time) string {
		t.Helper()
		for name, text := range map[string][]byte{s.db.path: database, s.db.path + "-wal": log} {
			if err := os.WriteFile(name, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		kept, _, err := Restore(t.Context(), RestoreOptions{Folder: s.opts.Folder, File: file, NodeName: "fish", NodeKeyDER: key, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		again := openStore(t, s.opts)
		if len(again.Labels()) != 0 {
			t.Error("the old log was replayed into the restored database")
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		return kept
	}
	kept := restoreOver([]byte("rubbish"), log, time.Now())
	if r, err := Check(t.Context(), CheckOptions{File: kept}); err != nil || r.Stats.Labels != 1 {
		t.Errorf("the label of the log is lost: %+v, %v", r, err)
	}
	kept = restoreOver([]byte("rubbish"), []byte("waste"), time.Now().Add(time.Second))
	if text, err := os.ReadFile(kept); err != nil || string(text) != "rubbish" {
		t.Errorf("kept %d bytes, %v, want what was there", len(text), err)
	}
}

func TestRestoreRefuses(t *testing.T) {
	key := []byte("key")
	s := openStore(t, testOptions(t))
	nodeNamed(t, s, "fish", key)
	label := newLabel(t, s)
	good := backup(t, s, time.Now())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.db")
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(t.TempDir(), "newer.db")
	if err := os.WriteFile(newer, text, 0o600); err != nil {
		t.Fatal(err)
	}
	alter(t, newer, "INSERT INTO migrations (id) VALUES ('29991231_other')")
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	alter(t, foreign, "CREATE TABLE t (a)")
	for _, tt := range []struct{ name, file, node, key, want string }{
		{"no file", "/no/such.db", "fish", "key", "find the database"},
		{"half a file", cut, "fish", "key", ""},
		{"a foreign file", foreign, "fish", "key", "no database of this version"},
		{"a newer one", newer, "fish", "key", "newer than this program"},
		{"another node's", good, "other", "key", `knows no node "other"`},
		{"another key", good, "fish", "lost", "with another key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Restore(t.Context(), RestoreOptions{
				Folder: s.opts.Folder, File: tt.file, NodeName: tt.node, NodeKeyDER: []byte(tt.key), Now: time.Now(),
			})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Restore = %v, want %q", err, tt.want)
			}
		})
	}
	again := openStore(t, s.opts)
	if _, ok := again.Label(label.UID); !ok {
		t.Error("a refused restore changed the database")
	}
	files, err := os.ReadDir(s.opts.Folder)
	if err != nil || slices.ContainsFunc(files, func(f os.DirEntry) bool { return f.Name() == halfName }) {
		t.Errorf("left: %v, %v", files, err)
	}
}

func TestCheckFinds(t *testing.T) {
	s := openStore(t, testOptions(t))
	label := newLabel(t, s)
	app := newApplication(t, s, label.UID, "admin").Application.UID
	for range checkPage + 1 { // more than one page
		newApplication(t, s, label.UID, "admin")
	}
	if got := findings(t, s.db.path); len(got) > 0 {
		t.Fatalf("a sound database: %v", got)
	}
	good := backup(t, s, time.Now())
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprintf("x'%x'", key(app))
	for _, tt := range []struct{ name, query, want string }{
		{"closed", "UPDATE applications SET closed_at = 1 WHERE uid = " + where, "but noted as over"},
		{"no state", "DELETE FROM application_states WHERE application_uid = " + where, "has no state"},
		{"stray", "DELETE FROM applications WHERE uid = " + where, "1 rows of application_states belong to no application"},
		{"rows", "UPDATE sync_origins SET seq = 1", "newer than what the database says"},
		{"clock", "UPDATE meta SET value = 1 WHERE key = 'hlc'", "newer than the clock"},
		{"no environment", "UPDATE application_states SET status = 'ALLOCATED', epoch = 1 WHERE application_uid = " + where, "no record of its environment"},
		{"newer", "INSERT INTO migrations (id) VALUES ('29991231_other')", "newer than this program"},
		{"foreign", "DROP TABLE migrations", "no database of this version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "bad.db")
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			alter(t, file, tt.query)
			if got := strings.Join(findings(t, file), "\n"); !strings.Contains(got, tt.want) {
				t.Errorf("findings %q, want %q", got, tt.want)
			}
		})
	}
	rotten := filepath.Join(t.TempDir(), "rotten.db")
	for i := len(text) / 2; i < len(text)/2+8192; i++ {
		text[i] = 0xa5
	}
	if err := os.WriteFile(rotten, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := findings(t, rotten); len(got) == 0 {
		t.Error("a rotten page is not found")
	}
}
