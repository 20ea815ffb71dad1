package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/api/types/jsonstream"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
)

func image(name, version, text string) dockerd.Image {
	return dockerd.Image{Name: name, Version: version, Files: map[string][]byte{"text": []byte(text)}}
}

func TestArchiveIsLoadedOnceAndRunsByID(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	i := image("agent", "1", "one")
	label := b.archive("agent-1.tar", i, i.Archive(t))
	if b.Cached([]images.Image{label}) {
		t.Error("cached before it was loaded")
	}
	id := b.ensure(label)
	if id != i.ID(t) {
		t.Errorf("ID = %s, want %s", id, i.ID(t))
	}
	b.container(id)
	if !b.Cached([]images.Image{label}) {
		t.Error("not cached after it was loaded")
	}
	// What the engine has needs neither the archive nor what was unpacked of it.
	if err := os.RemoveAll(b.options.Cache.Path); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(strings.TrimPrefix(label.URL, "file://")); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	if again := b.ensure(label); again != id {
		t.Errorf("after a restart: %s, want %s", again, id)
	}
	b.reopen()
	eventually(t, "a vote knows the image after a restart", func() bool { return b.Cached([]images.Image{label}) })
}

func TestHotPathAsksTheEngineNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	i := image("agent", "1", "one")
	label := b.archive("agent-1.tar", i, i.Archive(t))
	id := b.ensure(label)
	b.engine.Stop()
	if again := b.ensure(label); again != id {
		t.Errorf("ID = %s, want %s", again, id)
	}
	b.Forget(id)
	b.fails("look for image", label)
}

// An archive states names. Those of the machine's owner must not move to it.
func TestLoadTakesNobodysName(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	guest := b.idOf("guest:1")
	evil := image("agent", "1", "evil")
	claims := image("guest", "1", "evil").Archive(t) // says that it is guest:1
	label := b.archive("agent-1.tar", evil, claims)
	id := b.ensure(label)
	if id == guest {
		t.Fatal("got the image whose name the archive states")
	}
	if now := b.idOf("guest:1"); now != guest {
		t.Errorf("guest:1 is %s now, was %s", now, guest)
	}
	if other := b.idOf("agent:1"); other != "" {
		t.Errorf("loading made the name agent:1 for %s", other)
	}
}

// A link to the archive's own top would lead a second table over ours.
func TestLoadTakesNobodysNameThroughALink(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	guest, i := b.idOf("guest:1"), image("agent", "1", "evil")
	table := `[{"Config":"c.json","RepoTags":["guest:1"],"Layers":["l.tar"]}]`
	saved, err := os.ReadFile(writeTar(t, member{name: manifestFile, body: table}, member{name: "c.json", body: string(i.Config(t))},
		member{name: "l.tar", body: string(i.Layer(t))}, member{name: "a", link: ".", kind: tar.TypeSymlink}, member{name: "a/" + manifestFile, body: table}))
	if err != nil {
		t.Fatal(err)
	}
	b.fails("behind its link", b.archive("agent-1.tar", i, saved))
	if now := b.idOf("guest:1"); now != guest {
		t.Errorf("guest:1 is %s now, was %s", now, guest)
	}
}

func TestSameNameAndAnotherSumIsAnotherImage(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	one, two := image("agent", "1", "one"), image("agent", "1", "two")
	a := b.archive("a.tar", one, one.Archive(t))
	z := b.archive("z.tar", two, two.Archive(t))
	if got := b.ensure(a); got != one.ID(t) {
		t.Errorf("first: %s, want %s", got, one.ID(t))
	}
	if got := b.ensure(z); got != two.ID(t) {
		t.Errorf("second: %s, want %s", got, two.ID(t))
	}
	b.reopen()
	if got := b.ensure(a); got != one.ID(t) {
		t.Errorf("first after a restart: %s, want %s", got, one.ID(t))
	}
}

// Two archives of one image: each label finds it without its archive.
func TestOneImageOfTwoArchives(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	i := image("agent", "1", "one")
	b.ensure(b.archive("a.tar", i, i.Archive(t)))
	label := b.archive("b.tar", i, append(i.Archive(t), make([]byte, 1024)...))
	if id := b.ensure(label); id != i.ID(t) {
		t.Errorf("ID = %s, want %s", id, i.ID(t))
	}
	if b.idOf(b.listID(label)) != i.ID(t) {
		t.Error("the second label has no claim on it")
	}
}

func TestWhatAnAdminLoadedIsNotLoadedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	i, other := image("agent", "1", "one"), image("agent", "1", "two")
	b.engine.Load(i)
	label := b.archive("agent-1.tar", i, i.Archive(t))
	if got := b.ensure(label); got != i.ID(t) {
		t.Errorf("ID = %s, want %s", got, i.ID(t))
	}
	if list := b.list(); len(list) != 0 {
		t.Errorf("it counts as ours: %v", list)
	}
	// With a sum its content counts; without one, its name.
	if got := b.ensure(b.archive("other.tar", other, other.Archive(t))); got != other.ID(t) {
		t.Errorf("with another sum: %s, want %s", got, other.ID(t))
	}
	gone := images.Image{URL: "file://" + b.archives + "/gone.tar", Name: "agent", Version: "1"}
	if got := b.ensure(gone); got != i.ID(t) {
		t.Errorf("without a sum: %s, want %s", got, i.ID(t))
	}
}

// What was pulled or loaded for other labels has no say in what runs.
func TestNameOfWhatWeBroughtIsNotBelieved(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	r := newRegistry(t, b.engine)
	i := image("agent", "1", "pulled")
	r.add(t, "agent", "1", i)
	b.ensure(images.Image{Name: r.host + "/agent", Version: "1"})
	b.engine.Docker("tag", r.host+"/agent:1", "agent:1")
	gone := images.Image{URL: "file://" + b.archives + "/gone.tar", Name: "agent", Version: "1"}
	b.fails("gone.tar", gone)
}

func TestLaterImagesBuildOnEarlierOnes(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	base, top := image("base", "1", "base"), image("top", "1", "top")
	// The top's archive lacks the layer that is in the base's.
	config := map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Entrypoint": []string{"/guest"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{sumOf(base.Layer(t)), sumOf(top.Layer(t))}},
	}
	raw, _ := json.Marshal(config)
	thin := rawTar(t, map[string][]byte{
		"c.json": raw, "top.tar": top.Layer(t),
		"manifest.json": []byte(`[{"Config":"c.json","RepoTags":null,"Layers":["base.tar","top.tar"]}]`),
	})
	list := []images.Image{b.archive("base.tar", base, base.Archive(t)), b.archive("top.tar", top, thin)}
	if _, _, err := b.Ensure(b.ctx(), list[1:]); err == nil {
		t.Fatal("the archive is whole: this test tests nothing")
	}
	id := b.ensure(list...)
	if id != sumOf(raw) {
		t.Errorf("ID = %s, want %s", id, sumOf(raw))
	}
	if !b.Cached(list) {
		t.Error("not cached")
	}
	b.container(id)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.held) != 0 {
		t.Errorf("held = %v", b.held)
	}
}

func TestBadArchives(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	i := image("agent", "1", "one")
	good := i.Archive(t)
	for _, tt := range []struct {
		name, want string
		saved      []byte
	}{
		{"empty", "no output of `docker save`", nil},
		{"no tar", "no output of `docker save`", []byte(strings.Repeat("nonsense", 1000))},
		{"no layer", "load image", rawTar(t, map[string][]byte{"c.json": i.Config(t), "manifest.json": []byte(`[{"Config":"c.json","Layers":["l.tar"]}]`)})},
		{"another layer", "load image", rawTar(t, map[string][]byte{
			"c.json": i.Config(t), "l.tar": image("x", "1", "x").Layer(t), "manifest.json": []byte(`[{"Config":"c.json","Layers":["l.tar"]}]`),
		})},
		{"cut off", "docker save", good[:len(good)/2]},
	} {
		t.Run(tt.name, func(*testing.T) {
			b.fails(tt.want, b.archive(strings.ReplaceAll(tt.name, " ", "")+".tar", i, tt.saved))
		})
	}
	if list := b.engine.Images(); len(list) != 1 {
		t.Errorf("images in the engine: %v, want the guest alone", list)
	}
	failed := 0
	for _, s := range b.list() {
		if s.State == "failed" && s.Error != "" {
			failed++
		}
	}
	if failed != 5 {
		t.Errorf("list shows %d failures, want 5", failed)
	}
}

// Nodes at one engine know of each other only what is in the engine.
func TestTwoNodesAtOneEngine(t *testing.T) {
	t.Parallel()
	b := anyBench(t, nil)
	options := b.options
	options.Client, options.Cache.Path = newClient(t, b.engine.Host()), t.TempDir()
	other, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	r := newRegistry(t, b.engine)
	pulled, loaded := image("pulled", "1", "one"), image("loaded", "1", "one")
	r.add(t, "pulled", "1", pulled)
	labels := []images.Image{{Name: r.host + "/pulled", Version: "1"}, b.archive("loaded-1.tar", loaded, loaded.Archive(t))}
	for n, want := range []string{pulled.ID(t), loaded.ID(t)} {
		var wg sync.WaitGroup
		for _, node := range []*Images{b.Images, other} {
			wg.Go(func() {
				id, release, err := node.Ensure(b.ctx(), labels[n:n+1])
				if err != nil || id != want {
					t.Errorf("%s: %s, %v, want %s", labels[n].Name, id, err, want)
					return
				}
				release()
			})
		}
		wg.Wait()
	}
	mine, err := b.List(b.ctx())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range mine {
		if strings.Contains(s.ID, ":") {
			if err := other.Remove(b.ctx(), s.ID); err != nil {
				t.Errorf("the other node's Remove of %s: %v", s.ID, err)
			}
		}
	}
	// What one removed is only in the other's memory: the engine tells at the create.
	b.Forget(pulled.ID(t))
	if id := b.ensure(labels[0]); id != pulled.ID(t) || b.idOf(id) == "" {
		t.Errorf("after the other removed it: %s", id)
	}
}

// A node that is killed sends half of an archive and hangs up.
func TestHalfALoadLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	i := image("agent", "1", strings.Repeat("one", 1_000_000))
	label := b.archive("agent-1.tar", i, i.Archive(t))
	ctx, kill := context.WithCancel(b.ctx())
	half := i.Archive(t)
	half = half[:len(half)/2]
	sent := &counted{Reader: io.MultiReader(bytes.NewReader(half), &bound{ctx, blocked{ctx}}), note: func(n int64) {
		if n == int64(len(half)) {
			kill()
		}
	}}
	if err := b.loadFrom(ctx, sent, func(jsonstream.Message) {}); err == nil {
		t.Fatal("half an archive was loaded")
	}
	if left := b.engine.Images(); len(left) != 1 {
		t.Errorf("left in the engine: %v", left)
	}
	if id := b.ensure(label); id != i.ID(t) {
		t.Errorf("ID = %s", id)
	}
}

// blocked is a reader that has nothing until its context ends.
type blocked struct{ ctx context.Context }

func (r blocked) Read([]byte) (int, error) {
	<-r.ctx.Done()
	return 0, r.ctx.Err()
}

func rawTar(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, body := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, bytes.NewReader(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
