package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
)

// worker is a container with much to commit, which counts in a file.
func (b *bench) worker() (id, counter string) {
	b.t.Helper()
	disk := b.t.TempDir()
	script := []string{"fill /big 256"}
	for n := range 600 {
		script = append(script, fmt.Sprintf("write /mnt/count %d", n), "sleep 100ms")
	}
	counter = filepath.Join(disk, "count")
	id = b.run("guest:1", strings.Join(script, ";"), []string{disk + ":/mnt"}, false)
	b.t.Cleanup(func() { // it writes into the disk until it ends, and the disk goes before the engine does
		if out, err := b.engine.Docker("rm", "--force", id); err != nil {
			b.t.Errorf("remove the worker: %v: %s", err, out)
		}
	})
	b.runs(counter)
	return id, counter
}

// runs fails unless the counter goes on.
func (b *bench) runs(counter string) {
	b.t.Helper()
	read := func() string { text, _ := os.ReadFile(counter); return string(text) }
	before := read()
	eventually(b.t, "the container makes progress", func() bool { return read() != before })
}

func (b *bench) paused(id string) bool {
	now, err := b.stateOf(b.ctx(), id)
	return err == nil && now != nil && now.Paused
}

// commits is how many commits the engine was asked for. It cuts times down to
// whole seconds: the one that goes on now is listened to until its end.
func (b *bench) commits(from time.Time) (n int) {
	b.t.Helper()
	out, err := b.engine.Docker("events", "--since", fmt.Sprint(from.Unix()), "--until", fmt.Sprint(time.Now().Unix()+1), "--filter", "event=commit")
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Count(out, "container commit")
}

func TestKilledInACommit(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"image", "snapshot"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			from := time.Now()
			id, counter := b.worker()
			req := b.task(name, `{"full":true}`, id)
			b.killed(childWork{Task: &req}, func(string) bool { return b.paused(id) })
			if _, err := b.RunTask(b.ctx(), req); err != nil {
				t.Fatal(err)
			}
			if b.paused(id) {
				t.Error("the container is left paused")
			}
			b.runs(counter)
			if n := b.commits(from); n != 1 {
				t.Errorf("%d commits, want that of the killed process alone", n)
			}
			b.noMarks()
		})
	}
}

func TestCommitsOfOneContainerTakeTurns(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	id, counter := b.worker()
	errs := make(chan error, 2)
	for range cap(errs) {
		req := b.task("snapshot", `{"full":true}`, id)
		go func() { _, err := b.RunTask(b.ctx(), req); errs <- err }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	b.runs(counter)
	b.noMarks()
}

// A commit whose engine was killed leaves the container as nobody wants it.
func TestContainerThatACommitLeftPausedIsResumed(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) { o.Limits.Task = 20 * time.Second })
	id, counter := b.worker()
	if err := b.mark(id); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * b.opts.Limits.Task)
	if err := os.Chtimes(b.markOf(id), old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := b.cli.ContainerPause(b.ctx(), id, client.ContainerPauseOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.RunTask(b.ctx(), b.task("snapshot", `{"full":true}`, id)); err != nil {
		t.Fatal(err)
	}
	b.runs(counter)
	b.noMarks()
}

func TestSuspendedStaysSuspendedAfterACommit(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	id, counter := b.worker()
	if _, err := b.cli.ContainerPause(b.ctx(), id, client.ContainerPauseOptions{}); err != nil {
		t.Fatal(err)
	}
	req := b.task("snapshot", `{"full":true}`, id)
	if _, err := b.RunTask(b.ctx(), req); err != nil {
		t.Fatal(err)
	}
	if !b.paused(id) {
		t.Error("the task resumed it")
	}
	b.ensure(images.Image{Name: snapshotsRepo, Version: req.UID.String()})
	b.noMarks()
	if _, err := b.cli.ContainerUnpause(b.ctx(), id, client.ContainerUnpauseOptions{}); err != nil {
		t.Fatal(err)
	}
	b.runs(counter)
}

func (b *bench) noMarks() {
	b.t.Helper()
	if left, _ := os.ReadDir(filepath.Join(b.opts.TasksPath, commitsFolder)); len(left) != 0 {
		b.t.Errorf("notes of commits are left: %v", left)
	}
}
