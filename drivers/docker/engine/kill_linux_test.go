package engine

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
)

// asChild names the environment variable by which this test's binary becomes
// the process that is killed.
const asChild = "AQUARIUM_FISH_ENGINE_TEST_CHILD"

// childWork is what it does.
type childWork struct {
	Host, Work, Cache, Root string
	Ensure                  []images.Image
	Task                    *TaskRequest // instead
}

func TestMain(m *testing.M) {
	if work := os.Getenv(asChild); work != "" {
		if err := child(work); err != nil {
			slog.Error("child", "error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(work string) error {
	var w childWork
	if err := json.Unmarshal([]byte(work), &w); err != nil {
		return err
	}
	cli, err := client.New(client.WithHost(w.Host))
	if err != nil {
		return err
	}
	i, err := New(Options{
		Client: cli, Logger: slog.Default(), WorkPath: w.Work,
		Cache: images.Options{Path: w.Cache, FileRoots: []string{w.Root}},
	})
	if err != nil {
		return err
	}
	if w.Task != nil {
		_, err := i.RunTask(context.Background(), *w.Task)
		return err
	}
	return i.Pull(context.Background(), w.Ensure)
}

// killed runs the work in a process of its own and kills that at the moment.
// Work that was quicker is done: that too has to be found well.
func (b *bench) killed(w childWork, moment func(log string) bool) {
	b.t.Helper()
	w.Host, w.Work, w.Cache, w.Root = b.engine.Host(), b.options.WorkPath, b.options.Cache.Path, b.archives
	exe, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	work, err := json.Marshal(w)
	if err != nil {
		b.t.Fatal(err)
	}
	log := &logged{}
	cmd := exec.CommandContext(b.t.Context(), exe)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), asChild+"="+string(work)), log, log
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill(); <-ended }()
	eventually(b.t, "the moment of the kill, after "+log.String(), func() bool {
		select {
		case <-ended:
			b.t.Logf("the work was done before: %s", log)
			return true
		default:
			return moment(log.String())
		}
	})
}

// unnamed are the images that nobody would find again.
func (b *bench) unnamed() (ids []string) {
	b.t.Helper()
	for _, i := range dockerd.Must[[]struct{ ID string }](b.engine, http.MethodGet, `/images/json?filters={"dangling":["true"]}`, nil) {
		ids = append(ids, i.ID)
	}
	return ids
}

func TestKilledInAPull(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	r := newRegistry(t, b.engine)
	stuck := make(chan struct{})
	r.set(func() { r.stuck = stuck })
	r.add(t, "agent", "1", image("agent", "1", "one"))
	label := images.Image{Name: r.host + "/agent", Version: "1"}
	b.killed(childWork{Ensure: []images.Image{label}}, func(string) bool { return r.manifests() > 0 })
	close(stuck)
	b.ensure(label)
	b.nothingStaysOf(r.host + "/agent:1")
}

func TestKilledInALoad(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	i := image("agent", "1", strings.Repeat("one", 10<<20))
	label := b.archive("agent-1.tar", i, i.Archive(t))
	b.killed(childWork{Ensure: []images.Image{label}}, func(log string) bool { return strings.Contains(log, "image is loaded") })
	b.ensure(label)
	b.nothingStaysOf(b.listID(label))
}

// nothingStaysOf removes the only image that is ours, and looks what is left.
func (b *bench) nothingStaysOf(id string) {
	b.t.Helper()
	if err := b.Remove(b.ctx(), id); err != nil {
		b.t.Fatal(err)
	}
	if left := b.engine.Images(); len(left) != 1 || len(b.unnamed()) != 0 {
		b.t.Errorf("left in the engine: %v, %v", left, b.unnamed())
	}
}

// An engine commits on when who asked is gone, and gives the name to the last:
// here as it is found when both commits are over.
func TestCommitThatLostItsName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"image", "snapshot"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			req := b.task(name, `{"full":true}`, b.container("guest:1"))
			other := b.task(name, `{}`, req.Container)
			for _, of := range []TaskRequest{req, other} {
				if err := b.commit(b.ctx(), task{TaskRequest: of}, "lost:1"); err != nil {
					t.Fatal(err)
				}
				b.engine.Docker("tag", "guest:1", "lost:1")
				b.engine.Docker("rmi", "lost:1")
			}
			if n := len(b.unnamed()); n != 2 {
				t.Fatalf("%d images without a name, want 2", n)
			}
			if _, err := b.RunTask(b.ctx(), req); err != nil {
				t.Fatal(err)
			}
			if left := b.unnamed(); len(left) != 1 {
				t.Errorf("images without a name: %v, want that of the other task, which may run", left)
			}
		})
	}
}
