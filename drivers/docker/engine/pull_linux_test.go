package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

func TestPullOnceByTag(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	r := newRegistry(t, b.engine)
	one, two := image("agent", "1", "one"), image("agent", "1", "two")
	r.add(t, "team/agent", "1", one)
	label := images.Image{Name: r.host + "/team/agent", Version: "1"}
	if id := b.ensure(label); id != one.ID(t) {
		t.Errorf("ID = %s, want %s", id, one.ID(t))
	}
	r.add(t, "team/agent", "1", two) // the tag moves
	asked := r.manifests()
	b.reopen()
	if id := b.ensure(label); id != one.ID(t) {
		t.Errorf("after the tag moved: %s, want %s", id, one.ID(t))
	}
	if r.manifests() != asked {
		t.Error("the registry was asked again")
	}
	s := b.list()[r.host+"/team/agent:1"]
	if s.State != drivers.ImageReady || s.Size == 0 || s.Name != r.host+"/team/agent" || s.Version != "1" || s.UsedAt.IsZero() {
		t.Errorf("list says %+v", s)
	}
}

func TestPullByDigest(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	r := newRegistry(t, b.engine)
	one, two := image("agent", "1", "one"), image("agent", "1", "two")
	digest := r.add(t, "agent", "1", one)
	r.add(t, "agent", "1", two)
	label := images.Image{Name: r.host + "/agent@" + digest}
	if id := b.ensure(label); id != one.ID(t) {
		t.Errorf("ID = %s, want %s", id, one.ID(t))
	}
	if !b.Cached([]images.Image{label}) {
		t.Error("not cached")
	}
	id := r.host + "/agent@" + digest
	if _, ok := b.list()[id]; !ok {
		t.Errorf("list = %v, want %s", b.list(), id)
	}
	if err := b.Remove(b.ctx(), id); err != nil {
		t.Error(err)
	}
	if got := b.idOf(one.ID(t)); got != "" {
		t.Error("the image is still there")
	}
	// A registry that gives something else for a digest.
	r.set(func() { r.blobs[sumA] = r.blobs[digest] })
	b.fails("pull", images.Image{Name: r.host + "/agent@" + sumA})
}

func TestLogins(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	r := newRegistry(t, b.engine)
	for n, tt := range []struct {
		name, auth, user, password string
		want                       string // in the error; "" is none
	}{
		{"basic", "basic", pullUser, pullPassword, ""},
		{"bearer", "bearer", pullUser, pullPassword, ""},
		{"basic, wrong password", "basic", pullUser, "wrong-secret", "refuses user " + pullUser},
		{"bearer, wrong password", "bearer", pullUser, "wrong-secret", "refuses user " + pullUser},
		{"basic without login", "basic", "", "", "add the registry with user and password"},
		{"bearer without login", "bearer", "", "", "add the registry with user and password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.t, b.options.Registries = t, nil
			r.set(func() { r.auth = tt.auth })
			if tt.user != "" {
				b.options.Registries = []Registry{{Host: r.host, User: tt.user, Password: yamlconf.Secret(tt.password)}}
			}
			b.reopen()
			name := fmt.Sprint("agent-", n) // which no earlier login brought
			r.add(t, name, "1", image(name, "1", name))
			label := images.Image{Name: r.host + "/" + name, Version: "1"}
			said := ""
			if tt.want == "" {
				b.ensure(label)
			} else {
				said = b.fails(tt.want, label).Error()
				for _, s := range b.list() {
					said += s.Error
				}
			}
			for _, secret := range []string{"wrong-secret", pullPassword, "token-1"} {
				if strings.Contains(b.log.String()+said, secret) {
					t.Errorf("%q is in the log or in an error", secret)
				}
			}
		})
	}
}

func TestPullErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	r := newRegistry(t, b.engine)
	r.add(t, "agent", "1", image("agent", "1", "one"))
	b.fails("has no such image", images.Image{Name: r.host + "/agent", Version: "2"})
	b.fails("is not found", images.Image{Name: "registry.invalid/agent", Version: "1"})
	b.fails("can not be reached", images.Image{Name: "127.0.0.1:1/agent", Version: "1"})
	b.fails("no registry has it", images.Image{Name: snapshotsRepo, Version: "x"})
	r.set(func() { r.limit = true })
	b.fails("no more pulls", images.Image{Name: r.host + "/agent", Version: "1"})
	r.set(func() { r.limit = false })
	b.ensure(images.Image{Name: r.host + "/agent", Version: "1"}) // a failure is not remembered
	if s := b.list()[r.host+"/agent:1"]; s.State != drivers.ImageReady {
		t.Errorf("status = %+v", s)
	}
}

func TestOnePullForManyWhoMayLeave(t *testing.T) {
	t.Parallel()
	b := anyBench(t, nil)
	r := newRegistry(t, b.engine)
	stuck := make(chan struct{})
	r.set(func() { r.stuck = stuck })
	r.add(t, "agent", "1", image("agent", "1", "one"))
	list := []images.Image{{Name: r.host + "/agent", Version: "1"}}
	id := r.host + "/agent:1"

	ctx, recall := context.WithCancel(b.ctx())
	first := make(chan error, 1)
	go func() { first <- b.Pull(ctx, list) }()
	eventually(t, "the registry is asked", func() bool { return r.manifests() > 0 })
	if s := b.list()[id]; s.State != drivers.ImageDownloading {
		t.Errorf("status = %+v", s)
	}
	if err := b.Remove(b.ctx(), id); !errors.Is(err, drivers.ErrImageInUse) {
		t.Errorf("Remove of what is on its way = %v", err)
	}
	recall()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("recalled waiter: %v", err)
	}
	asked := r.manifests()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := b.Pull(b.ctx(), list); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "all wait", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, f := range b.flights {
			return f.waiters == 20
		}
		return false
	})
	close(stuck)
	wg.Wait()
	if now := r.manifests(); now != asked {
		t.Errorf("manifests asked for: %d, then %d: more than one pull", asked, now)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.held) != 0 || len(b.flights) != 0 {
		t.Errorf("left: held %v, flights %v", b.held, b.flights)
	}
}

// TestPullUnderWayIsComing: also when nobody waits for it any more.
func TestPullUnderWayIsComing(t *testing.T) {
	t.Parallel()
	b := anyBench(t, nil)
	r := newRegistry(t, b.engine)
	stuck := make(chan struct{})
	r.set(func() { r.stuck, r.begun = stuck, true })
	noise := make([]byte, 16<<20) // that no packer makes smaller
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	r.add(t, "agent", "1", image("agent", "1", string(noise)))
	list := []images.Image{{Name: r.host + "/agent", Version: "1"}}
	if b.Coming(list) {
		t.Error("it comes, and nobody asked for it")
	}
	ctx, recall := context.WithCancel(b.ctx())
	waiter := make(chan error, 1)
	go func() { waiter <- b.Pull(ctx, list) }()
	eventually(t, "it comes", func() bool { return b.Coming(list) })
	recall()
	if err := <-waiter; !errors.Is(err, context.Canceled) || !b.Coming(list) {
		t.Errorf("recalled waiter: %v, and it comes: %v", err, b.Coming(list))
	}
	close(stuck)
	eventually(t, "it is there", func() bool { return b.Cached(list) })
	if b.Coming(list) {
		t.Error("it comes, and is there")
	}
}

func TestCloseEndsPulls(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	r := newRegistry(t, b.engine)
	stuck := make(chan struct{})
	r.set(func() { r.stuck = stuck })
	r.add(t, "agent", "1", image("agent", "1", "one"))
	waiter := make(chan error, 1)
	go func() { waiter <- b.Pull(b.ctx(), []images.Image{{Name: r.host + "/agent", Version: "1"}}) }()
	eventually(t, "the registry is asked", func() bool { return r.manifests() > 0 })
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiter; !errors.Is(err, ErrClosed) {
		t.Errorf("waiter: %v, want ErrClosed", err)
	}
	if _, _, err := b.Ensure(b.ctx(), []images.Image{{Name: "a", Version: "1"}}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if left := b.engine.Images(); len(left) != 1 {
		t.Errorf("left in the engine: %v", left)
	}
	close(stuck) // an engine waits for what hangs in the wire, also for a pull that is over
	b.reopen()
	b.ensure(images.Image{Name: r.host + "/agent", Version: "1"})
}

func TestEngineLocalImageIsNotPulled(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	i := image("agent", "1", "one")
	b.engine.Load(i)
	if id := b.ensure(images.Image{Name: "agent", Version: "1"}); id != i.ID(t) {
		t.Errorf("ID = %s, want %s", id, i.ID(t))
	}
	if list := b.list(); len(list) != 0 {
		t.Errorf("what was there before us is listed: %v", list)
	}
}
