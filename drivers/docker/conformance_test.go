//go:build linux

package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
)

// node is an arbitrary one.
var node = uuid.MustParse("11111111-2222-4333-8444-555555555555")

// site is an engine, and what instances that use it have in common.
type site struct {
	*dockerd.Engine
	dir, cfg string
}

// newSite starts an engine, not in short runs.
func newSite(t testing.TB, cfg string, flags ...string) site {
	t.Helper()
	needs.Unhurried(t, "starts an engine of its own")
	return anySite(t, cfg, flags...)
}

// anySite starts an engine.
func anySite(t testing.TB, cfg string, flags ...string) site {
	t.Helper()
	return site{dockerd.Start(t, dockerd.Options{Flags: flags}), t.TempDir(), cfg}
}

func (s site) workspace() string { return filepath.Join(s.dir, "workspace") }

func (s site) config(instance string, uid model.UID) drivers.Config {
	return drivers.Config{
		Instance: instance, NodeUID: uid, Directory: filepath.Join(s.dir, "node"), Logger: discard(),
		Cfg: fmt.Appendf(nil, "docker_host: %q\nworkspace_path: %q\nimages_path: %q\ntasks_path: %q\n%s",
			s.Host(), s.workspace(), filepath.Join(s.dir, "images"), filepath.Join(s.dir, "tasks"), s.cfg),
	}
}

func (s site) open(t testing.TB, instance string, uid model.UID) *driver {
	t.Helper()
	d, err := New(context.Background(), s.config(instance, uid))
	if err != nil {
		t.Fatal(err)
	}
	return d.(*driver)
}

// start opens an instance for one test.
func (s site) start(t testing.TB) *driver {
	t.Helper()
	d := s.open(t, "docker", node)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// definition is one of the guest. options are more members of the object.
func definition(options string) model.LabelDefinition {
	if options != "" {
		options = "," + options
	}
	return model.LabelDefinition{
		Driver: "docker", Options: json.RawMessage(`{"images":[{"name":"guest","version":"1"}]` + options + `}`),
		Resources:      model.Resources{CPU: 1, RAM: 1},
		Authentication: &model.Authentication{Username: "user", Password: "secret", Port: 22},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	s := anySite(t, "stop_grace: 3s\n")
	drivertest.Run(t, s.harness())
}

// TestAnotherNode: what another node of the same engine made is left alone, as
// the conformance suite has it of another instance.
func TestAnotherNode(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d, other := s.start(t), s.open(t, "docker", uuid.New())
	t.Cleanup(func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
	req := request(guest("wait"))
	req.Definition.Resources.Network = "nat"
	env := d.allocate(t, req)
	if refs, err := other.List(t.Context()); err != nil || len(refs) > 0 {
		t.Errorf("List() of another node = %v, %v, want nothing", refs, err)
	}
	for _, ref := range []drivers.Ref{{Token: req.Token, Identifier: env.Identifier}, {Token: req.Token}, {Identifier: env.Identifier}} {
		if r, err := other.Inspect(t.Context(), ref); err != nil || r.Presence != drivers.Absent {
			t.Errorf("Inspect(%+v) by another node = %+v, %v, want Absent", ref, r, err)
		}
		if err := other.Deallocate(t.Context(), ref); err != nil {
			t.Errorf("Deallocate(%+v) by another node = %v, want nil: nothing of its own exists", ref, err)
		}
	}
	if r, err := d.Inspect(t.Context(), drivers.Ref{Token: req.Token}); err != nil || r.Presence != drivers.Running {
		t.Errorf("Inspect() = %+v, %v, want Running", r, err)
	}
}

func TestConformanceWithDisks(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	needsFileSystems(t)
	h := s.harness()
	h.Definition = withDisks(h.Definition, `{"cache":{"type":"dir","label":"/work"},"data":{"type":"ext4","size":1}}`)
	h.Interrupt = s.diskInterrupts()
	drivertest.Run(t, h)
}

func (s site) harness() drivertest.Harness {
	return drivertest.Harness{
		New:        func(t testing.TB) drivers.Driver { return s.open(t, "docker", node) },
		Neighbour:  func(t testing.TB) drivers.Driver { return s.open(t, "docker/other", node) },
		Definition: definition(""),
		Malformed: map[string]json.RawMessage{
			"no images":                json.RawMessage(`{}`),
			"an empty list":            json.RawMessage(`{"images":[]}`),
			"a word as images":         json.RawMessage(`{"images":"guest:1"}`),
			"a number as user":         json.RawMessage(`{"images":[{"name":"guest","version":"1"}],"user":5}`),
			"an option as user":        json.RawMessage(`{"images":[{"name":"guest","version":"1"}],"user":"--privileged"}`),
			"all capabilities":         json.RawMessage(`{"images":[{"name":"guest","version":"1"}],"capabilities":["ALL"]}`),
			"an empty command":         json.RawMessage(`{"images":[{"name":"guest","version":"1"}],"command":[]}`),
			"a word as read_only":      json.RawMessage(`{"images":[{"name":"guest","version":"1"}],"read_only":"yes"}`),
			"a file of the node":       json.RawMessage(`{"images":[{"url":"file:///etc/a-1.tar.gz"}]}`),
			"an object as entrypoint":  json.RawMessage(`{"images":[{"name":"guest","version":"1"}],"entrypoint":{}}`),
			"a NUL byte as entrypoint": json.RawMessage(`{"images":[{"name":"guest","version":"1"}],"entrypoint":"a\u0000"}`),
		},
		Task: "snapshot", TaskOptions: json.RawMessage(`{"full":true}`),
		Count:     func(testing.TB) int { return len(s.leftovers()) },
		Interrupt: s.interrupts(),
		End: func(_ testing.TB, env drivers.Environment) {
			dockerd.Must[any](s.Engine, "POST", "/containers/"+env.Identifier+"/kill", nil)
		},
		Stands: func(_ testing.TB, env drivers.Environment) bool {
			type container struct{ State struct{ Paused bool } }
			return dockerd.Must[container](s.Engine, "GET", "/containers/"+env.Identifier+"/json", nil).State.Paused
		},
		Timeout:  time.Minute,
		Patience: 10 * time.Second,
	}
}

// leftovers is everything in the engine, and in the workspace.
func (s site) leftovers() []string {
	var found []string
	for _, c := range s.Containers() {
		found = append(found, "container "+c.Name()+" "+c.State)
	}
	for _, n := range s.Networks() {
		found = append(found, "network "+n)
	}
	for _, v := range s.Volumes() {
		found = append(found, "volume "+v)
	}
	folders, _ := filepath.Glob(filepath.Join(s.workspace(), "*")) // a good pattern
	found = append(found, folders...)
	mounts, _ := volume.MountsBelow(s.workspace()) // none then, and a test that counts says so
	return append(found, mounts...)
}

// interrupts are the moments between the calls of an allocation.
func (s site) interrupts() map[string]func(testing.TB, drivers.Request) {
	return map[string]func(testing.TB, drivers.Request){
		"before anything": func(testing.TB, drivers.Request) {},
		"with the network made": func(t testing.TB, req drivers.Request) {
			d := s.start(t)
			_, _, err := d.networks.use(context.Background(), networkName(req.Definition.Resources))
			if err != nil {
				t.Fatal(err)
			}
		},
		"with the container made": func(t testing.TB, req drivers.Request) { s.half(t, req) },
		"with the container made and its network removed by another node": func(t testing.TB, req drivers.Request) {
			d, _ := s.half(t, req)
			if err := d.networks.prune(context.Background()); err != nil {
				t.Fatal(err)
			}
		},
		"while the container starts": func(t testing.TB, req drivers.Request) {
			d, id := s.half(t, req)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer cancel()
			if _, err := d.engine.ContainerStart(ctx, id, client.ContainerStartOptions{}); err == nil {
				t.Log("the start was quicker")
			}
		},
		"before the answer": func(t testing.TB, req drivers.Request) {
			if _, err := s.start(t).Allocate(context.Background(), req); err != nil {
				t.Fatal(err)
			}
		},
		"with the container paused": func(t testing.TB, req drivers.Request) {
			d := s.start(t)
			if _, err := d.Allocate(context.Background(), req); err != nil {
				t.Fatal(err)
			}
			if err := d.Suspend(context.Background(), drivers.Ref{Token: req.Token}); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// half makes the container of a request and does not start it.
func (s site) half(t testing.TB, req drivers.Request) (*driver, string) {
	t.Helper()
	ctx := context.Background()
	d := s.start(t)
	m := d.making(t, req)
	b, release, err := d.networks.use(ctx, m.plan.network)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	m.plan.bridge = b
	id, err := m.create(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return d, id
}

func (d *driver) making(t testing.TB, req drivers.Request) *making {
	t.Helper()
	o, err := d.options(req.Definition)
	if err != nil {
		t.Fatal(err)
	}
	image, release, err := d.images.Ensure(context.Background(), o.images)
	if err != nil {
		t.Fatal(err)
	}
	release()
	return &making{driver: d, plan: plan{req: req, options: o, image: image, network: networkName(req.Definition.Resources)}}
}

// request makes one with a fresh token.
func request(def model.LabelDefinition) drivers.Request {
	return drivers.Request{
		ApplicationUID: uuid.New(), Token: strings.ReplaceAll(uuid.NewString(), "-", ""), Definition: def,
		Metadata: json.RawMessage(`{"KEY":"value"}`), LabelMetadata: json.RawMessage(`{}`),
		MetadataURL: "https://127.0.0.1:8001/meta/v1/token/0123456789abcdef0123456789abcdef/data/",
	}
}

// guest is a definition whose container does the commands.
func guest(commands string, more ...string) model.LabelDefinition {
	words, _ := json.Marshal(strings.Fields(commands)) // words are always JSON
	return definition(strings.Join(slices.Concat([]string{`"command":` + string(words)}, more), ","))
}
