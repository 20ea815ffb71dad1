package tests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/store"
	"github.com/aquarium-fish/aquarium-fish/lib/store/storetest"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const (
	// livesPerSecond is what goes on during a backup.
	livesPerSecond = 100
	// grownBy is how many finished applications the database has; a million are
	// a gigabyte. BACKUP_APPLICATIONS sets another number, for measuring.
	grownBy = 20_000
)

// TestBackupUnderLoad copies a database while agents come and go: none of them
// fails, and the copy is sound.
func TestBackupUnderLoad(t *testing.T) { // not parallel: it is about load
	n := fish.Start(t, fish.Options{Config: "retention: 0\ndrivers: [{name: test}]\n"})
	label := n.CreateLabel(fish.TestLabel("linux", `{}`))
	first := n.CreateApplication(label, `{}`)
	n.WaitStatus(first, "ALLOCATED")
	n.Deallocate(first)
	n.WaitStatus(first, "DEALLOCATED")
	n.Stop()
	grow(t, n)
	n.Start()

	var lives, failed atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	ticker := time.NewTicker(time.Second / livesPerSecond)
	defer ticker.Stop()
	running.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			running.Go(func() {
				lives.Add(1)
				if err := live(context.WithoutCancel(ctx), n.Client, label); err != nil {
					failed.Add(1)
					t.Errorf("a life during the backup: %v", err)
				}
			})
		}
	})
	fish.Eventually(t, "agents come and go", func() bool { return lives.Load() > livesPerSecond/2 })
	file := filepath.Join(t.TempDir(), "copy.db")
	start, before := time.Now(), lives.Load()
	out, err := exec.CommandContext(t.Context(), os.Getenv(fish.BinaryEnv), "db", "backup", file, "--cfg", filepath.Join(n.Dir, "fish.yaml"), "--dir", filepath.Join(n.Dir, "fish_data")).CombinedOutput()
	if err != nil {
		t.Fatalf("backup: %v %s", err, out)
	}
	took, during := time.Since(start), lives.Load()-before
	cancel()
	running.Wait()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MB copied in %v, with %d lives meanwhile (%.0f/s), %d failed", info.Size()>>20, took, during, float64(during)/took.Seconds(), failed.Load())
	r, err := store.Check(t.Context(), store.CheckOptions{File: file})
	if err != nil || len(r.Findings) > 0 {
		t.Errorf("the copy: %v, %v", r.Findings, err)
	}
}

// grow fills the database of a stopped node.
func grow(t *testing.T, n *fish.Node) {
	t.Helper()
	count := grownBy
	if text := os.Getenv("BACKUP_APPLICATIONS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(n.Dir, "fish_data", "127.0.0.1:8001", "sqlite.db")
	if _, err := storetest.Fill(t.Context(), file, storetest.Copies{User: "admin", Applications: count}); err != nil {
		t.Fatal(err)
	}
}

// live is one agent, from its request until it is gone.
func live(ctx context.Context, c fish.Client, label string) error {
	ctx, cancel := context.WithTimeout(ctx, fish.WaitTimeout)
	defer cancel()
	r, err := c.Do(ctx, "POST", applicationsPath, []byte(fmt.Sprintf(`{"label_UID":%q}`, label)), "")
	if err != nil || r.Status != 200 {
		return fmt.Errorf("create: %d %s %w", r.Status, r.Body, err)
	}
	_, uid, _ := strings.Cut(string(r.Body), `"UID":"`)
	uid = uid[:36]
	if err := reach(ctx, c, uid, "ALLOCATED"); err != nil {
		return err
	}
	if r, err = c.Do(ctx, "GET", applicationsPath+uid+"/deallocate", nil, ""); err != nil || r.Status != 200 {
		return fmt.Errorf("deallocate: %d %s %w", r.Status, r.Body, err)
	}
	return reach(ctx, c, uid, "DEALLOCATED")
}

// reach polls as agents do.
func reach(ctx context.Context, c fish.Client, uid, status string) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		r, err := c.Do(ctx, "GET", applicationsPath+uid+"/state", nil, "")
		if err != nil || r.Status != 200 {
			return fmt.Errorf("state: %d %s %w", r.Status, r.Body, err)
		}
		if strings.Contains(string(r.Body), `"`+status+`"`) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", status, ctx.Err())
		}
	}
}
