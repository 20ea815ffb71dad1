package engine

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
)

// brought is an image that was loaded, a wanted one of each kind.
func (b *bench) brought(name, version string, kilobytes int) (images.Image, string) {
	b.t.Helper()
	i := image(name, version, strings.Repeat(name, kilobytes*1024/len(name)))
	label := b.archive(name+"-"+version+".tar", i, i.Archive(b.t))
	id := b.ensure(label)
	w, err := b.read(label)
	if err != nil {
		b.t.Fatal(err)
	}
	if s, ok := b.list()[w.id()]; !ok || s.Name != name || s.Version != version || s.UsedAt.IsZero() {
		b.t.Fatalf("list says %+v of %s", s, w.id())
	}
	return label, id
}

func (b *bench) listID(label images.Image) string {
	b.t.Helper()
	w, err := b.read(label)
	if err != nil {
		b.t.Fatal(err)
	}
	return w.id()
}

func TestRemoveTakesWhatIsOursAndFree(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	label, id := b.brought("agent", "1", 1)
	shown := b.listID(label)

	_, release, err := b.Ensure(b.ctx(), []images.Image{label})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(b.ctx(), shown); !errors.Is(err, drivers.ErrImageInUse) {
		t.Errorf("Remove of what is about to be used = %v", err)
	}
	release()
	release() // a second time is no one else's hold
	container := b.container(id)
	if err := b.Remove(b.ctx(), shown); !errors.Is(err, drivers.ErrImageInUse) {
		t.Errorf("Remove of what a container has = %v", err)
	}
	if s := b.list()[shown]; !s.InUse {
		t.Errorf("list says %+v, want in use", s)
	}
	dockerd.Must[any](b.engine, http.MethodDelete, "/containers/"+container, nil)
	if err := b.Remove(b.ctx(), shown); err != nil {
		t.Fatal(err)
	}
	if b.idOf(id) != "" {
		t.Error("the image is still in the engine")
	}
	if err := b.Remove(b.ctx(), shown); !errors.Is(err, drivers.ErrImageUnknown) {
		t.Errorf("second Remove = %v", err)
	}
	if err := b.Remove(b.ctx(), "guest:1"); !errors.Is(err, drivers.ErrImageUnknown) || b.idOf("guest:1") == "" {
		t.Errorf("Remove of another's image = %v", err)
	}
	if again := b.ensure(label); again != id {
		t.Errorf("after Remove: %s, want %s", again, id)
	}
}

func TestArchivesAreListedAndRemovedToo(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	label, id := b.brought("agent", "1", 1)
	list, err := b.List(b.ctx())
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(list, func(s drivers.ImageStatus) bool { return s.ID == "agent-1" })
	if at < 0 || len(list) != 2 || list[at].InUse {
		t.Fatalf("list = %+v", list)
	}
	if err := b.Remove(b.ctx(), "agent-1"); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	if again := b.ensure(label); again != id {
		t.Errorf("without its archive: %s, want %s", again, id)
	}
	gone := images.Image{URL: "file://" + b.archives + "/gone-1.tar"}
	b.fails("gone-1.tar", gone)
	list, err = b.List(b.ctx())
	if err != nil {
		t.Fatal(err)
	}
	if failed := slices.DeleteFunc(list, func(s drivers.ImageStatus) bool { return s.State != drivers.ImageFailed }); len(failed) != 1 {
		t.Errorf("failures = %+v, want one", failed)
	}
}

// Somebody may give the image we brought a name: then it is not ours to remove.
func TestRemoveLeavesWhatSomebodyNamed(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	label, id := b.brought("agent", "1", 1)
	if _, err := b.engine.Docker("tag", id, "mine:1"); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(b.ctx(), b.listID(label)); err != nil {
		t.Fatal(err)
	}
	if b.idOf("mine:1") != id {
		t.Error("it took the image from who named it")
	}
	if list := b.list(); len(list) != 0 {
		t.Errorf("list = %v", list)
	}
}

// A killed node, or an admin, leaves a claim without the name it was pulled under.
func TestPulledImageWhoseNameMovedCanBeRemoved(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	r := newRegistry(t, b.engine)
	i := image("agent", "1", "one")
	r.add(t, "agent", "1", i)
	label := images.Image{Name: r.host + "/agent", Version: "1"}
	id := b.ensure(label)
	if _, err := b.engine.Docker("tag", "guest:1", r.host+"/agent:1"); err != nil {
		t.Fatal(err)
	}
	if list := b.list(); len(list) != 1 {
		t.Fatalf("list = %v", list)
	}
	guest := b.idOf("guest:1")
	eventually(t, "votes notice what the admin gave the name to", func() bool {
		b.mu.Lock()
		b.asked = time.Time{} // as if a while had passed
		b.mu.Unlock()
		b.Cached([]images.Image{label})
		return b.ensure(label) == guest
	})
	b.reopen()
	if now := b.ensure(label); now != guest {
		t.Errorf("the name means %s after a restart, want what the admin gave it", now)
	}
	for shown := range b.list() {
		if err := b.Remove(b.ctx(), shown); err != nil {
			t.Error(err)
		}
	}
	if b.idOf(id) != "" {
		t.Error("what we pulled is still there")
	}
	if b.idOf("guest:1") == "" || b.idOf(r.host+"/agent:1") == "" {
		t.Error("the admin's image is gone")
	}
}

func TestPulledImageIsRemovedWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	r := newRegistry(t, b.engine)
	i := image("agent", "1", "one")
	r.add(t, "agent", "1", i)
	r.add(t, "other", "2", i)
	for _, label := range []images.Image{{Name: r.host + "/agent", Version: "1"}, {Name: r.host + "/other", Version: "2"}} {
		b.ensure(label)
	}
	if list := b.list(); len(list) != 1 {
		t.Errorf("one image is listed as %v", list)
	}
	if err := b.Remove(b.ctx(), r.host+"/agent:1"); err != nil {
		t.Fatal(err)
	}
	if b.idOf(i.ID(t)) != "" {
		t.Errorf("it is still there: %v", b.engine.Images())
	}
}

// An image that was there before us gets one more name by our pull, and no owner.
func TestPullOfWhatIsThereClaimsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	r := newRegistry(t, b.engine)
	i := image("agent", "1", "one")
	b.engine.Load(i)
	r.add(t, "agent", "1", i)
	b.ensure(images.Image{Name: r.host + "/agent", Version: "1"})
	if list := b.list(); len(list) != 0 {
		t.Errorf("list = %v", list)
	}
}

// What an archive brought is ours: pulled later, the pull's name goes with it.
func TestPullOfWhatAnArchiveBroughtIsClaimed(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	r := newRegistry(t, b.engine)
	i := image("agent", "1", "one")
	b.ensure(b.archive("agent-1.tar", i, i.Archive(t)))
	r.add(t, "agent", "1", i)
	id := b.ensure(images.Image{Name: r.host + "/agent", Version: "1"})
	if list := b.list(); len(list) != 1 || list[r.host+"/agent:1"].State != drivers.ImageReady {
		t.Errorf("list = %v", list)
	}
	if err := b.Remove(b.ctx(), r.host+"/agent:1"); err != nil {
		t.Error(err)
	}
	if b.idOf(id) != "" {
		t.Errorf("it is still there: %v", b.engine.Images())
	}
}

func TestEvictionTakesTheLongestUnused(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	base := b.list()
	if len(base) != 0 {
		t.Fatal(base)
	}
	a, idA := b.brought("aaaa", "1", 100)
	size := b.list()[b.listID(a)].Size
	c, idC := b.brought("cccc", "1", 100)
	_, idD := b.brought("dddd", "1", 100)
	b.container(idC)
	// Uses are noted every five minutes: here as if those had passed.
	b.mu.Lock()
	for key, k := range b.known {
		k.touched = time.Now().Add(-touchEvery)
		b.known[key] = k
	}
	b.mu.Unlock()
	before := b.list()[b.listID(a)].UsedAt
	b.ensure(a)
	eventually(t, "the use is noted in the engine", func() bool { return b.list()[b.listID(a)].UsedAt.After(before) })

	b.options.MaxSize = 3*size + size/2 // one of four has to go
	b.reopen()
	_, idE := b.brought("eeee", "1", 100)
	eventually(t, "the longest unused is evicted", func() bool { return b.idOf(idD) == "" })
	for name, id := range map[string]string{"used lately": idA, "has a container": idC, "new": idE} {
		if b.idOf(id) == "" {
			t.Errorf("evicted, though it is %s", name)
		}
	}
	if b.idOf("guest:1") == "" {
		t.Error("evicted what was there before us")
	}
	_ = c
}

func TestSurplus(t *testing.T) {
	at := func(n int, size int64, free, ours bool) kept {
		k := kept{size: size, brought: ours}
		k.status.ID, k.status.UsedAt, k.status.InUse = string(rune('a'+n)), time.Unix(int64(n), 0), !free
		return k
	}
	for _, tt := range []struct {
		name  string
		all   []kept
		limit int64
		want  string
	}{
		{"all fits", []kept{at(0, 5, true, true), at(1, 5, true, true)}, 10, ""},
		{"oldest first", []kept{at(2, 5, true, true), at(0, 5, true, true), at(1, 5, true, true)}, 7, "ab"},
		{"in use stays", []kept{at(0, 5, false, true), at(1, 5, true, true), at(2, 5, true, true)}, 10, "b"},
		{"all in use", []kept{at(0, 5, false, true)}, 1, ""},
		{"others' count for nothing", []kept{at(0, 50, true, false), at(1, 5, true, true)}, 10, ""},
		{"what tasks made stays", []kept{at(0, 50, true, false), at(1, 5, true, true)}, 1, "b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			for _, k := range surplus(tt.all, tt.limit) {
				got += k.status.ID
			}
			if got != tt.want {
				t.Errorf("surplus = %q, want %q", got, tt.want)
			}
		})
	}
}
