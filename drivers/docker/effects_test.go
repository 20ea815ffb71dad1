//go:build linux

package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
)

// allocate makes an environment and removes it at the end of the test.
func (d *driver) allocate(t testing.TB, req drivers.Request) drivers.Environment {
	t.Helper()
	t.Cleanup(func() {
		if err := d.Deallocate(context.Background(), drivers.Ref{Token: req.Token}); err != nil {
			t.Errorf("Deallocate() at the end of the test = %v", err)
		}
	})
	env, err := d.Allocate(context.Background(), req)
	if err != nil {
		t.Fatalf("Allocate() = %v", err)
	}
	return env
}

// run makes an environment that does the commands of the guest.
func (d *driver) run(t testing.TB, commands string, more ...string) drivers.Environment {
	t.Helper()
	return d.allocate(t, request(guest(commands, more...)))
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// says waits until the environment has printed a line, and returns all it printed.
func (s site) says(t testing.TB, env drivers.Environment, line string) string {
	t.Helper()
	var text string
	eventually(t, env.Identifier+" prints "+line, func() bool {
		text = s.Logs(env.Identifier)
		return slices.Contains(strings.Split(text, "\n"), line)
	})
	return text
}

// failed reports whether the guest printed that a command failed.
func failed(text, command string) bool {
	return slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
		return strings.HasPrefix(strings.Join(strings.Fields(line), " "), "FAILED "+command)
	})
}

func (d *driver) raw(t testing.TB, env drivers.Environment) container.InspectResponse {
	t.Helper()
	c, err := d.inspect(context.Background(), env.Identifier)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatAContainerIsBoundTo(t *testing.T) {
	t.Parallel()
	s := newSite(t, "pids_limit: 64\noom_score_adj: 321\nlog_size: 64KB\n")
	d := s.start(t)
	env := d.run(t, "status ; read /proc/self/oom_score_adj ; fork 100 ; write /x text ; print done ; wait")
	c := d.raw(t, env)
	h := c.HostConfig
	type bounds struct {
		NanoCPUs, Memory, Swap, Pids int64
		OOM                          int
		Drop, Add, Security          []string
		Privileged, ReadOnly, Init   bool
		Restart, Log, Network        string
		LogConfig                    map[string]string
	}
	got := bounds{h.NanoCPUs, h.Memory, h.MemorySwap, *h.PidsLimit, h.OomScoreAdj, h.CapDrop, h.CapAdd, h.SecurityOpt,
		h.Privileged, h.ReadonlyRootfs, *h.Init, string(h.RestartPolicy.Name), h.LogConfig.Type, string(h.NetworkMode), h.LogConfig.Config}
	want := bounds{1e9, 1 << 30, got.Swap, 64, 321, []string{"CAP_ALL"}, nil, []string{"no-new-privileges"}, false, false, true, "no",
		"json-file", "aquarium-hostonly", map[string]string{"max-size": "32768", "max-file": "2"}}
	for _, name := range usualCapabilities() {
		want.Add = append(want.Add, "CAP_"+name)
	}
	want.Drop = got.Drop // ALL, with or without CAP_, as the engine likes
	if d.facts.swapLimit {
		want.Swap = 1 << 30
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got.Drop) != 1 || !strings.HasSuffix(got.Drop[0], "ALL") || h.AutoRemove || h.PublishAllPorts {
		t.Errorf("the container's bounds (-want +got):\n%s", diff)
	}
	text := s.says(t, env, "done")
	for _, line := range []string{"NoNewPrivs:\t1", "CapBnd:\t00000000000004fb", "CapEff:\t00000000000004fb", "Seccomp:\t2", "321"} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the container's own status does not say %q:\n%s", line, text)
		}
	}
	if !failed(text, "fork 100") {
		t.Errorf("100 processes were made in spite of pids_limit 64:\n%s", text)
	}
}

func TestReadOnlyUserAndCapabilities(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	env := d.run(t, "status ; write /x text ; write /tmp/x text ; read /tmp/x ; print done ; wait",
		`"read_only":true,"user":"1000:1001","capabilities":["cap_sys_chroot"]`)
	text := s.says(t, env, "done")
	if !failed(text, "write /x") || failed(text, "write /tmp") {
		t.Errorf("want a read-only root and a /tmp that can be written:\n%s", text)
	}
	if !strings.Contains(text, "Uid:\t1000\t") || !strings.Contains(text, "Gid:\t1001\t") || !strings.Contains(text, "CapBnd:\t00000000000404fb\n") {
		t.Errorf("want user 1000:1001 and one more capability:\n%s", text)
	}
}

// TestOutOfMemory: who takes more memory than it has is ended, and its user told why.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	req := request(guest("allocate 1300 ; print survived ; wait"))
	env := d.allocate(t, req)
	ending, err := d.Watch(t.Context(), drivers.Ref{Token: req.Token})
	if err != nil || !strings.Contains(ending, "out of memory") {
		t.Errorf("Watch() = %q, %v, want that it was out of memory\n%s", ending, err, s.Logs(env.Identifier))
	}
}

// TestMetadataInTheEnvironment: values arrive as they are, names that decide what
// runs do not.
func TestMetadataInTheEnvironment(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	req := request(guest("env ; print done ; wait"))
	req.Metadata = json.RawMessage(`{"A":"x y $HOME ` + "`id`" + ` \" ' \\ = ü","NESTED":{"ONE":1},"LD_PRELOAD":"/evil","path":"/evil","AQUARIUM_FISH_METADATA_URL":"http://evil/",
		"AQUARIUM_FISH_SOCKS_PROXY":"socks5h://evil","aquarium_fish_http_proxy":"http://evil","AQUARIUM_FISH_MORE":"evil",
		"LONG":"` + strings.Repeat("l", maxVariable-len("LONG=")) + `","EMPTY":""}`)
	req.LabelMetadata = json.RawMessage(`{"AQUARIUM_FISH_MORE":"evil"}`)
	req.Proxy = metadata.Proxy{Listener: netip.MustParseAddrPort("[::]:1080"), User: "evil", Password: "evil"}
	env := d.allocate(t, req)
	text := s.says(t, env, "done")
	gateway := env.IPAddr[:strings.LastIndex(env.IPAddr, ".")] + ".1"
	for _, line := range []string{
		"A=x y $HOME `id` \" ' \\ = ü", "NESTED_ONE=1", "LONG=" + strings.Repeat("l", maxVariable-len("LONG=")), "EMPTY=", "PATH=/",
		"AQUARIUM_FISH_METADATA_URL=https://" + gateway + ":8001/meta/v1/data/", "AQUARIUM_FISH_APPLICATION_UID=" + req.ApplicationUID.String(),
		"AQUARIUM_FISH_SOCKS_PROXY=socks5h://" + gateway + ":1080", "AQUARIUM_FISH_HTTP_PROXY=http://" + gateway + ":1080",
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %.80q in the environment", line)
		}
	}
	if strings.Contains(text, "evil") {
		t.Errorf("a protected name was set:\n%.3000s", text)
	}
}

// TestTooMuchMetadata: what no program could be started with is refused before
// anything is made, and the error tells names and no values.
func TestTooMuchMetadata(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	long, many := strings.Repeat("l", maxVariable-len("N=")+1), []string{}
	for n := range 1 + maxVariables/(maxVariable/2) {
		many = append(many, fmt.Sprintf(`"N%d":%q`, n, long[:maxVariable/2]))
	}
	for _, text := range []string{`{"A":"","N":"` + long + `"}`, `{` + strings.Join(many, ",") + `}`} {
		req := request(guest("wait"))
		req.Metadata = json.RawMessage(text)
		_, err := d.Allocate(t.Context(), req)
		if err == nil || !strings.Contains(err.Error(), "shorten it") || strings.Contains(err.Error(), "lll") {
			t.Errorf("Allocate() = %.300v, want an error that says what to do", err)
		}
		if left := s.leftovers(); len(left) > 0 {
			t.Errorf("made: %v", left)
		}
	}
}

// TestNameTaken: a container of somebody else that has the name is left alone.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	req := request(guest("wait"))
	taken := identifier(hwAddress(req.Token, 0))
	dockerd.Must[any](s.Engine, "POST", "/containers/create?name="+taken, []byte(`{"Image":"guest:1"}`))
	env := d.allocate(t, req)
	if want := identifier(hwAddress(req.Token, 1)); env.Identifier != want || "fish-"+strings.ReplaceAll(env.HWAddr, ":", "") != want {
		t.Errorf("Allocate() = %+v, want the second name %s with its address", env, want)
	}
	for _, ref := range []drivers.Ref{{Identifier: taken}, {Token: req.Token}} {
		if err := d.Deallocate(t.Context(), ref); err != nil {
			t.Errorf("Deallocate(%+v) = %v", ref, err)
		}
	}
	if got := s.Containers(); len(got) != 1 || got[0].Name() != taken {
		t.Errorf("containers %v, want the other's alone", got)
	}
}

// TestLabelsOfAnImage: who starts a container from an image that was made from
// one of ours gets our labels with it. It is none of ours.
func TestLabelsOfAnImage(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	req := request(guest("wait"))
	env := d.allocate(t, req)
	dockerd.Must[any](s.Engine, "POST", "/commit?repo=copy&tag=1&container="+env.Identifier, nil)
	dockerd.Must[any](s.Engine, "POST", "/containers/create?name=theirs", []byte(`{"Image":"copy:1"}`))
	if refs, err := d.List(t.Context()); err != nil || len(refs) != 1 || refs[0].Identifier != env.Identifier {
		t.Errorf("List() = %v, %v, want ours alone", refs, err)
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Error(err)
	}
	if got := s.Containers(); len(got) != 1 || got[0].Name() != "theirs" {
		t.Errorf("containers %v, want theirs alone", got)
	}
}

// TestAdopted: a container that v0.7 made is known by its name and its address.
func TestAdopted(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	dockerd.Must[any](s.Engine, "POST", "/networks/create", []byte(`{"Name":"aquarium-hostonly","Internal":true}`))
	for name, hw := range map[string]string{"fish-0afec0ffee01": "0a:fe:c0:ff:ee:01", "fish-0afec0ffee02": "0a:fe:c0:ff:ee:77"} {
		dockerd.Must[any](s.Engine, "POST", "/containers/create?name="+name,
			fmt.Appendf(nil, `{"Image":"guest:1","MacAddress":%q,"HostConfig":{"NetworkMode":"aquarium-hostonly"}}`, hw))
		dockerd.Must[any](s.Engine, "POST", "/containers/"+name+"/start", nil)
		r, err := d.Inspect(t.Context(), drivers.Ref{Identifier: name})
		if want := strings.HasSuffix(name, "1"); err != nil || (r.Presence == drivers.Running) != want {
			t.Errorf("Inspect(%s) = %+v, %v, want one with its own address alone", name, r, err)
		}
		// One that ended has no address in its network any more.
		dockerd.Must[any](s.Engine, "POST", "/containers/"+name+"/kill", nil)
		dockerd.Must[any](s.Engine, "POST", "/containers/"+name+"/wait", nil)
		r, err = d.Inspect(t.Context(), drivers.Ref{Identifier: name})
		if want := strings.HasSuffix(name, "1"); err != nil || (r.Presence == drivers.Ended) != want {
			t.Errorf("Inspect(%s) when it ended = %+v, %v, want one with its own address alone", name, r, err)
		}
		if err := d.Deallocate(t.Context(), drivers.Ref{Identifier: name}); err != nil {
			t.Error(err)
		}
	}
	if refs, err := d.List(t.Context()); err != nil || len(refs) != 0 {
		t.Errorf("List() = %v, %v, want none: who made them is not proved", refs, err)
	}
	if got := s.Containers(); len(got) != 1 || got[0].Name() != "fish-0afec0ffee02" {
		t.Errorf("containers %v, want the one whose address is another's", got)
	}
}

func TestWhatCanNotStart(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	missing := definition("")
	missing.Options = json.RawMessage(`{"images":[{"name":"nothing","version":"1"}]}`)
	for name, tt := range map[string]struct {
		def  model.LabelDefinition
		want string
	}{
		"no such group": {guest("wait", `"user":"1000:nobodies"`), "nobodies"},
		"no such image": {missing, "nothing:1"},
		"no such user":  {guest("wait", `"user":"nobody"`), "nobody"},
	} {
		req := request(tt.def)
		_, err := d.Allocate(t.Context(), req)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Allocate() = %v, want an error with %q", name, err, tt.want)
		}
		if r, err := d.Inspect(t.Context(), drivers.Ref{Token: req.Token}); err != nil || r.Presence > drivers.Partial {
			t.Errorf("%s: Inspect() = %+v, %v, want no environment", name, r, err)
		}
		if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
			t.Errorf("%s: Deallocate() = %v", name, err)
		}
	}
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestVolumesOfAnImageAreRemoved(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	dockerd.Must[any](s.Engine, "POST", "/containers/create?name=base", []byte(`{"Image":"guest:1"}`))
	dockerd.Must[any](s.Engine, "POST", "/commit?repo=volume&tag=1&container=base", []byte(`{"Image":"guest:1","Volumes":{"/data":{}}}`))
	dockerd.Must[any](s.Engine, "DELETE", "/containers/base", nil)
	def := definition("")
	def.Options = json.RawMessage(`{"images":[{"name":"volume","version":"1"}],"command":"wait"}`)
	req := request(def)
	d.allocate(t, req)
	if len(s.Volumes()) != 1 {
		t.Fatalf("volumes %v, want the image's", s.Volumes())
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Error(err)
	}
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestImageRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	first := d.run(t, "wait")
	image := d.raw(t, first).Image
	if err := d.Deallocate(t.Context(), drivers.Ref{Identifier: first.Identifier}); err != nil {
		t.Fatal(err)
	}
	s.Load(dockerd.Image{Name: "guest", Version: "1", Env: []string{"OTHER=1"}})
	dockerd.Must[any](s.Engine, "DELETE", "/images/"+image, nil)
	if got := d.raw(t, d.run(t, "wait")).Image; got == image {
		t.Errorf("the container's image is %s, which was removed, want the new one", got)
	}
}

// TestReleaseDoesNotWaitForAPull: an image that somebody removed is pulled again
// while nobody else has to wait for the environment.
func TestReleaseDoesNotWaitForAPull(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	r := s.Registry("", "")
	r.Push(s.Engine, dockerd.Image{Name: "agent", Version: "1"})
	def := guest("wait")
	def.Options = json.RawMessage(`{"images":[{"name":"` + r.Host + `/agent","version":"1"}],"command":["wait"]}`)
	first, err := d.Allocate(t.Context(), request(def))
	if err != nil {
		t.Fatal(err)
	}
	image := d.raw(t, first).Image
	if err := d.Deallocate(t.Context(), drivers.Ref{Identifier: first.Identifier}); err != nil {
		t.Fatal(err)
	}
	dockerd.Must[any](s.Engine, "DELETE", "/images/"+image+"?force=true", nil)
	r.Hold()
	ctx, recall := context.WithCancel(t.Context())
	req, ended := request(def), make(chan error, 1)
	go func() {
		_, err := d.Allocate(ctx, req)
		ended <- err
	}()
	<-r.Stuck()
	release, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := d.Deallocate(release, drivers.Ref{Token: req.Token}); err != nil {
		t.Errorf("Deallocate() while the image is pulled: %v", err)
	}
	recall()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Allocate() that was cancelled = %v", err)
	}
}
