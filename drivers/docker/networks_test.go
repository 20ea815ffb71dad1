//go:build linux

package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/moby/moby/api/types/network"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
)

// TestNetworksAreApart: hostonly reaches this machine and nothing else: not the
// world, not its neighbours, no names.
func TestNetworksAreApart(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.outside(t)
	d := s.start(t)
	l := s.Listen("0.0.0.0:8001")
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			_, _ = fmt.Fprintln(w, "caller", host)
		}))
	}()
	nat := guest("get http://192.0.2.1/ ; print done ; listen 0.0.0.0:80")
	nat.Resources.Network = "nat"
	inNat := d.allocate(t, request(nat))
	if text := s.says(t, inNat, "done"); !strings.Contains(text, "I am outside") {
		t.Errorf("nat does not reach the world: %s", text)
	}
	neighbour := d.run(t, "listen 0.0.0.0:80")
	script := fmt.Sprintf("get http://$GATEWAY:8001/ ; once http://%s/ ; once http://%s/ ; once http://192.0.2.1/ ; once http://example.org/ ; print done ; wait",
		inNat.IPAddr, neighbour.IPAddr)
	env := d.run(t, script)
	text := s.says(t, env, "done")
	if !strings.Contains(text, "caller "+env.IPAddr+"\n") {
		t.Errorf("the host does not see the container by its address %s:\n%s", env.IPAddr, text)
	}
	for _, url := range []string{inNat.IPAddr, neighbour.IPAddr, "192.0.2.1", "example.org"} {
		if !failed(text, "once http://"+url+"/") {
			t.Errorf("hostonly reaches %s:\n%s", url, text)
		}
	}
	for _, e := range []drivers.Environment{env, inNat} {
		address := netip.MustParseAddr(e.IPAddr)
		if got := d.MetadataNetworks(); len(got) != 2 || !slices.ContainsFunc(got, func(p netip.Prefix) bool { return p.Contains(address) }) {
			t.Errorf("MetadataNetworks() = %v, want two, and %s in one of them", got, address)
		}
	}
}

// outsideVariable makes this test binary a server at 192.0.2.1, in a network
// name space of its own.
const outsideVariable = "FISH_DOCKER_TEST_OUTSIDE"

// TestOutside is that server.
func TestOutside(t *testing.T) {
	if os.Getenv(outsideVariable) == "" {
		t.Skip("for TestNetworksAreApart")
	}
	ip := func(args ...string) error { return exec.Command("ip", args...).Run() }
	eventually(t, "the link to the engine is there", func() bool { return ip("address", "add", "192.0.2.1/24", "dev", "world") == nil })
	if err := ip("link", "set", "world", "up"); err != nil {
		t.Fatal(err)
	}
	t.Fatal(http.ListenAndServe("192.0.2.1:80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "I am outside")
	})))
}

// outside links the engine's network with a world of one server.
func (s site) outside(t *testing.T) {
	t.Helper()
	server := exec.Command("unshare", "--net", os.Args[0], "-test.run=^TestOutside$")
	server.Env = append(os.Environ(), outsideVariable+"=1")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait() // killed
	})
	own, _ := os.Readlink("/proc/self/ns/net")
	eventually(t, "the server has a network of its own", func() bool {
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", server.Process.Pid))
		return err == nil && theirs != own
	})
	for _, args := range [][]string{
		{"link", "add", "uplink", "type", "veth", "peer", "name", "world", "netns", fmt.Sprint(server.Process.Pid)},
		{"address", "add", "192.0.2.2/24", "dev", "uplink"}, {"link", "set", "uplink", "up"},
	} {
		argv := append(s.Wrap(), append([]string{"ip"}, args...)...)
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
}

// TestNamedNetworkConnects: the environments of a network with a name of its own
// reach each other, and one that is there is used as it is and left there.
func TestNamedNetworkConnects(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	dockerd.Must[any](s.Engine, "POST", "/networks/create", []byte(`{"Name":"aquarium-theirs"}`))
	for _, name := range []string{"lab", "theirs"} {
		server := guest("listen 0.0.0.0:80")
		server.Resources.Network = name
		first := request(server)
		env := d.allocate(t, first)
		client := guest(fmt.Sprintf("get http://%s/ ; print done ; wait", env.IPAddr))
		client.Resources.Network = name
		second := request(client)
		if text := s.says(t, d.allocate(t, second), "done"); !strings.Contains(text, "hello") {
			t.Errorf("network %s: %s", name, text)
		}
		for _, req := range []drivers.Request{first, second} {
			if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
				t.Error(err)
			}
		}
	}
	if diff := cmp.Diff([]string{"aquarium-theirs"}, s.Networks()); diff != "" {
		t.Errorf("networks after all are gone (-want +got):\n%s", diff)
	}
}

// TestNetworkReplaced: a network that somebody removed, or made anew, behind our
// back is noticed, and the environment told the right address.
func TestNetworkReplaced(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	_, release, err := d.networks.use(t.Context(), "aquarium-hostonly")
	if err != nil {
		t.Fatal(err)
	}
	for name, remake := range map[string]func(){
		"removed": func() {},
		"made anew": func() {
			dockerd.Must[any](s.Engine, "POST", "/networks/create",
				[]byte(`{"Name":"aquarium-hostonly","Internal":true,"IPAM":{"Config":[{"Subnet":"10.99.0.0/24"}]}}`))
		},
	} {
		dockerd.Must[any](s.Engine, "DELETE", "/networks/aquarium-hostonly", nil)
		release() // until now, so that no prune removes it
		remake()
		req := request(guest("env ; print done ; wait"))
		env := d.allocate(t, req)
		gateway := env.IPAddr[:strings.LastIndex(env.IPAddr, ".")] + ".1"
		if text := s.says(t, env, "done"); !strings.Contains(text, "METADATA_URL=https://"+gateway+":") {
			t.Errorf("%s: the environment at %s was told another network's address:\n%s", name, env.IPAddr, text)
		}
		address := netip.MustParseAddr(env.IPAddr)
		for when, networks := range map[string][]netip.Prefix{"now": d.MetadataNetworks(), "after a restart": s.start(t).MetadataNetworks()} {
			if !slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(address) }) {
				t.Errorf("%s: MetadataNetworks() %s = %v, want one with %s", name, when, networks, address)
			}
		}
		if n := len(s.Containers()); n != 1 {
			t.Errorf("%s: %d containers, want 1", name, n)
		}
		if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
			t.Error(err)
		}
		if _, release, err = d.networks.use(t.Context(), "aquarium-hostonly"); err != nil {
			t.Fatal(err)
		}
	}
	release()
}

// TestHostOnlyOfSomebodyElseMustBeInternal: also where it was there before the
// instance, and when it was seen meanwhile.
func TestHostOnlyOfSomebodyElseMustBeInternal(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	dockerd.Must[any](s.Engine, "POST", "/networks/create", []byte(`{"Name":"aquarium-hostonly"}`))
	refuses := func(when string, d *driver) {
		t.Helper()
		req := request(guest("wait"))
		if _, err := d.Allocate(t.Context(), req); err == nil || !strings.Contains(err.Error(), "leads outside") {
			t.Errorf("%s: Allocate() = %v, want a refusal of a network that leads outside", when, err)
		}
		if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
			t.Errorf("%s: Deallocate() = %v", when, err)
		}
	}
	refuses("made after the start", d)
	refuses("seen by a Deallocate", d)
	refuses("made before the start", s.start(t))
	dockerd.Must[any](s.Engine, "DELETE", "/networks/aquarium-hostonly", nil)
	d.run(t, "wait") // an admin has mended it
}

// through is the address of the engine behind a test that may answer in its place.
func (s site) through(t *testing.T, answers func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	socket := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.Socket())
	}}
	t.Cleanup(socket.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{Transport: socket, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine"
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answers(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return "tcp://" + server.Listener.Addr().String()
}

// TestHiddenNetwork: an engine that was killed between its two notes of a network
// refuses its interface ever after, and shows to nobody for what. Another one is
// used, by all nodes the same, and removed as any other.
func TestHiddenNetwork(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	var refused atomic.Int32
	hidden := strings.Repeat("d", 64)
	first := s.start(t).networks.bridgeName("aquarium-hostonly", 0)
	address := s.through(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/networks/create") {
			return false
		}
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var recipe struct{ Options map[string]string }
		_ = json.Unmarshal(body, &recipe) // the engine would say so
		if recipe.Options["com.docker.network.bridge.name"] != first {
			return false
		}
		refused.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, `{"message":"cannot create network %064d (%[2]s): conflicts with network %[3]s (%[2]s): networks have same bridge name"}`, refused.Load(), first, hidden)
		return true
	})
	open := func() *driver {
		cfg := s.config("docker", uuid.New())
		cfg.Cfg = bytes.Replace(cfg.Cfg, []byte(s.Host()), []byte(address), 1)
		d, err := New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		return d.(*driver)
	}
	nodes := []*driver{open(), open()}
	for turn, longest := range []time.Duration{time.Minute, hiddenAfter - time.Second} { // then it is known
		begin := time.Now()
		var wg sync.WaitGroup
		reqs := []drivers.Request{request(guest("wait")), request(guest("wait"))}
		for i, d := range nodes {
			wg.Go(func() {
				if _, err := d.Allocate(t.Context(), reqs[i]); err != nil {
					t.Errorf("turn %d: Allocate() = %v", turn, err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(begin); took > longest {
			t.Errorf("turn %d took %v, want less than %v", turn, took, longest)
		}
		if diff := cmp.Diff([]string{"aquarium-hostonly"}, s.Networks()); diff != "" {
			t.Errorf("turn %d: networks (-want +got):\n%s", turn, diff)
		}
		for i, d := range nodes {
			if err := d.Deallocate(t.Context(), drivers.Ref{Token: reqs[i].Token}); err != nil {
				t.Error(err)
			}
		}
		if left := s.leftovers(); len(left) > 0 {
			t.Errorf("turn %d left: %v", turn, left)
		}
	}
	if refused.Load() == 0 {
		t.Error("nothing was refused")
	}
}

// TestNetworkThatStays: one that the engine fails to remove holds up neither the
// release of an environment nor the start of an instance, and goes later.
func TestNetworkThatStays(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	var broken atomic.Bool
	address := s.through(t, func(w http.ResponseWriter, r *http.Request) bool {
		fails := broken.Load() && r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/networks/")
		if fails {
			http.Error(w, `{"message":"no such device"}`, http.StatusInternalServerError)
		}
		return fails
	})
	open := func() drivers.Driver {
		cfg := s.config("docker", node)
		cfg.Cfg = bytes.Replace(cfg.Cfg, []byte(s.Host()), []byte(address), 1)
		d, err := New(t.Context(), cfg)
		if err != nil {
			t.Fatalf("New() = %v", err)
		}
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		return d
	}
	d := open()
	req := request(guest("wait"))
	if _, err := d.Allocate(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Errorf("Deallocate() = %v, want nil: nothing of the environment is there", err)
	}
	d = open()
	if diff := cmp.Diff([]string{"aquarium-hostonly"}, s.Networks()); diff != "" {
		t.Fatalf("networks (-want +got):\n%s", diff)
	}
	broken.Store(false)
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil || len(s.leftovers()) > 0 {
		t.Errorf("Deallocate() = %v, left: %v", err, s.leftovers())
	}
}

// TestAddressesOfNetworks: an environment finds this machine at a bridge alone.
func TestAddressesOfNetworks(t *testing.T) {
	t.Parallel()
	subnet := netip.MustParsePrefix("192.0.2.0/24")
	for _, tt := range []struct {
		driver, gateway, want string
	}{
		{"bridge", "192.0.2.9", "192.0.2.9"}, {"bridge", "", "192.0.2.1"}, {"macvlan", "192.0.2.9", ""}, {"overlay", "", ""},
	} {
		config := network.IPAMConfig{Subnet: subnet}
		if tt.gateway != "" {
			config.Gateway = netip.MustParseAddr(tt.gateway)
		}
		b := bridgeOf(network.Network{Driver: tt.driver, IPAM: network.IPAM{Config: []network.IPAMConfig{config}}})
		got := ""
		if b.gateway.IsValid() {
			got = b.gateway.String()
		}
		if got != tt.want || (len(b.subnets) > 0) != (tt.want != "") {
			t.Errorf("bridgeOf(%s with gateway %q) = gateway %q, subnets %v, want %q", tt.driver, tt.gateway, got, b.subnets, tt.want)
		}
	}
}

// TestNoAddressesLeft: what only an admin can mend is told with how.
func TestNoAddressesLeft(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "--default-address-pool=base=10.214.0.0/24,size=24")
	d := s.start(t)
	for bits := 17; bits <= 24; bits++ { // nearly all of the pool, in a few networks
		body := fmt.Appendf(nil, `{"Name":"wide-%d","Internal":true,"IPAM":{"Config":[{"Subnet":"10.213.%d.0/%d"}]}}`, bits, 1<<(24-bits), bits)
		dockerd.Must[any](s.Engine, "POST", "/networks/create", body)
	}
	for n := range 300 {
		body := fmt.Appendf(nil, `{"Name":"other-%d","Internal":true}`, n)
		if status, _, err := s.Call("POST", "/networks/create", body); err != nil || status/100 != 2 {
			break
		}
	}
	_, err := d.Allocate(t.Context(), request(guest("wait")))
	if err == nil || !strings.Contains(err.Error(), "default-address-pools") {
		t.Errorf("Allocate() = %v, want what to do", err)
	}
}

// TestLateNetwork: one that the engine finishes for a killed node when its
// successor has looked already goes by itself, soon.
func TestLateNetwork(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	if _, err := d.engine.NetworkCreate(t.Context(), "aquarium-late", d.networks.recipe("aquarium-late", d.networks.bridgeName("aquarium-late", 0))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the network is gone", func() bool { return len(s.Networks()) == 0 })
}

// TestOneNetworkOfAName: an engine is asked to refuse a second one, which old ones
// do not by themselves.
func TestOneNetworkOfAName(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.start(t)
	dockerd.Must[any](s.Engine, "POST", "/networks/create", []byte(`{"Name":"aquarium-lab"}`))
	_, err := d.engine.NetworkCreate(t.Context(), "aquarium-lab", d.networks.recipe("aquarium-lab", "aq-another"))
	if !cerrdefs.IsConflict(err) {
		t.Errorf("NetworkCreate() of a name that is there = %v, want a conflict", err)
	}
}
