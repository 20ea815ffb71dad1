package engine

import (
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"github.com/moby/moby/client"
)

// An engine that fails while it answers just ends, also with a good length.
func TestTasksNoticeHalfAnswers(t *testing.T) {
	whole, err := os.ReadFile(writeTar(t, member{name: manifestFile, body: oneImage}, member{name: "c.json", body: "{}"},
		member{name: "l/layer.tar", body: strings.Repeat("x", 100_000)}))
	if err != nil {
		t.Fatal(err)
	}
	zeros, err := os.ReadFile(writeTar(t, member{name: "disk.img", body: strings.Repeat("\x00", 100<<10)}))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		fail func(w http.ResponseWriter, q *http.Request)
		good bool
		want string
	}{
		{name: "whole", fail: answer(whole), good: true},
		{name: "half", fail: answer(whole[:len(whole)/2])},
		{name: "nothing", fail: answer(nil)},
		{name: "without its end", fail: answer(whole[:len(whole)-1024])},
		{name: "cut off in a file of zeros", fail: answer(zeros[:len(zeros)/2])},
		{name: "cut off after a file of zeros", fail: answer(zeros[:len(zeros)-1024])},
		{name: "silent", fail: hang, want: "said nothing for"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := broken(t, stallOf(tt.want), tt.fail)
			req := TaskRequest{UID: uuid.New(), Task: "snapshot", Container: "c", Disks: map[string]string{"d": "/mnt/d"}}
			got, err := i.RunTask(t.Context(), req)
			if tt.good != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("snapshot = %s, %v", got, err)
			}
			s, err := i.save(t.Context(), "name", t.TempDir()+"/saved")
			if s != nil {
				s.file.Close()
			}
			if tt.good != (err == nil) && tt.name != "without its end" {
				t.Errorf("save = %v", err) // a tar may lack its end if all members are whole
			}
			entries, err := os.ReadDir(i.opts.TasksPath)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.good && len(entries) != 0 {
				t.Errorf("left: %v", entries)
			}
		})
	}
}

func answer(body []byte) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Docker-Container-Path-Stat", base64.StdEncoding.EncodeToString([]byte(`{"name":"d"}`)))
		w.Write(body)
	}
}

// TestDamagedSnapshot is no engine that is away: nobody waits for it to come back.
func TestDamagedSnapshot(t *testing.T) {
	i := broken(t, time.Minute, say(""))
	whole, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := whole.EncodeAll([]byte(strings.Repeat("some text and more ", 100_000)), nil)
	for name, content := range map[string][]byte{"cut off": snapshot[:len(snapshot)/2], "other": []byte(strings.Repeat("x", 1000))} {
		uid := uuid.NewString()
		if err := os.MkdirAll(filepath.Join(i.opts.TasksPath, uid), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(i.opts.TasksPath, uid, diskFile("d")), content, 0o600); err != nil {
			t.Fatal(err)
		}
		err := i.FillDisk(t.Context(), uid+"/d", "c", "/mnt/d")
		if err == nil || client.IsErrConnectionFailed(err) || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: FillDisk() = %v, want that the snapshot is damaged and not that the engine is away", name, err)
		}
	}
}

// TestFillIsOverWhenItReturns: an engine that refuses while it is still sent to
// leaves nobody who reads the snapshot (the race detector tells).
func TestFillIsOverWhenItReturns(t *testing.T) {
	i := broken(t, time.Minute, func(w http.ResponseWriter, q *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusInternalServerError)
		_ = http.NewResponseController(w).Flush()
		io.Copy(io.Discard, q.Body)
	})
	packer, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	uid := uuid.NewString()
	if err := os.MkdirAll(filepath.Join(i.opts.TasksPath, uid), 0o700); err != nil {
		t.Fatal(err)
	}
	snapshot := packer.EncodeAll(make([]byte, 16<<20), nil)
	if err := os.WriteFile(filepath.Join(i.opts.TasksPath, uid, diskFile("d")), snapshot, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := i.FillDisk(t.Context(), uid+"/d", "c", "/mnt/d"); err == nil || strings.Contains(err.Error(), "damaged") {
			t.Fatalf("FillDisk() = %v, want what the engine says", err)
		}
	}
}
