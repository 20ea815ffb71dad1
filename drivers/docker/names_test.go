package docker

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestHWAddress(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, token := range []string{strings.Repeat("0", 32), strings.Repeat("a", 32), strings.Repeat("ab", 16)} {
		for hw := range hwAddresses(token) {
			name := identifier(hw)
			if seen[name] || len(hw) != 6 || hw[0]&1 != 0 || hw[0]&2 == 0 || !validIdentifier(name) || !isNameOf(name, token) {
				t.Errorf("address %s of %s: want a local unicast one, different from all others, whose name is its token's", hw, token)
			}
			if hwOf(name) != hw.String() {
				t.Errorf("hwOf(%s) = %s, want %s", name, hwOf(name), hw)
			}
			seen[name] = true
		}
	}
	if len(seen) != 3*candidates || isNameOf(identifier(hwAddress("other", 0)), "token") {
		t.Errorf("%d names, want %d", len(seen), 3*candidates)
	}
	if got := identifier(hwAddress(strings.Repeat("0", 32), 0)); got != "fish-4e5422a60d95" {
		t.Errorf("the first name of a token is %s: who changes it loses the environments of older versions", got)
	}
}

func TestPresence(t *testing.T) {
	t.Parallel()
	const never, once = "0001-01-01T00:00:00Z", "2026-11-23T02:09:01.5729Z"
	for _, tt := range []struct {
		state container.State
		want  drivers.Presence
		ends  string
	}{
		{container.State{Status: "created", StartedAt: never}, drivers.Partial, ""},
		{container.State{Status: "running", StartedAt: once}, drivers.Running, ""},
		{container.State{Status: "paused", StartedAt: once}, drivers.Running, ""},
		{container.State{Status: "exited", StartedAt: once, ExitCode: 1}, drivers.Ended, "exit code 1"},
		{container.State{Status: "exited", StartedAt: once, ExitCode: 137, OOMKilled: true}, drivers.Ended, "out of memory, exit code 137"},
		{container.State{Status: "exited", StartedAt: once, ExitCode: 143}, drivers.Ended, "exit code 143 (terminated)"},
		{container.State{Status: "exited", StartedAt: once, ExitCode: 255, Error: "shim died"}, drivers.Ended, "exit code 255: shim died"},
		{container.State{Status: "exited", StartedAt: never, ExitCode: 128, Error: "no network"}, drivers.Partial, ""},
		{container.State{Status: "exited", StartedAt: "nonsense"}, drivers.Partial, ""},
		{container.State{Status: "removing", StartedAt: once}, drivers.Partial, ""},
		{container.State{Status: "dead", StartedAt: once}, drivers.Partial, ""},
		{container.State{Status: "restarting", StartedAt: once}, drivers.Partial, ""},
		{container.State{}, drivers.Partial, ""},
	} {
		r := report(container.InspectResponse{State: &tt.state}, model.LabelDefinition{})
		if r.Presence != tt.want || r.Ending != tt.ends {
			t.Errorf("report(%+v) = %+v, want %d %q", tt.state, r, tt.want, tt.ends)
		}
	}
}

// TestOneOfTwoNetworks: who was brought into a second network by hand is still
// known by his address in the first.
func TestOneOfTwoNetworks(t *testing.T) {
	t.Parallel()
	ours := &network.EndpointSettings{IPAddress: netip.MustParseAddr("192.0.2.2"), MacAddress: network.HardwareAddr(hwAddress("token", 0))}
	theirs := &network.EndpointSettings{IPAddress: netip.MustParseAddr("198.51.100.2"), MacAddress: network.HardwareAddr(hwAddress("other", 0))}
	c := container.InspectResponse{
		Name: "/fish-1", HostConfig: &container.HostConfig{NetworkMode: "aquarium-nat"},
		NetworkSettings: &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{"aquarium-nat": ours, "a": theirs, "z": theirs}},
	}
	for range 20 { // maps have no order
		if env := environment(c, model.LabelDefinition{}); env.IPAddr != "192.0.2.2" || env.HWAddr != ours.MacAddress.String() {
			t.Fatalf("environment() = %+v, want the address in aquarium-nat", env)
		}
	}
}

func TestMetadataURL(t *testing.T) {
	t.Parallel()
	gateway := netip.MustParseAddr("172.18.0.1")
	for _, tt := range []struct {
		from string
		via  netip.Addr
		want string
	}{
		{"https://127.0.0.1:8001/meta/v1/token/secret/data/", gateway, "https://172.18.0.1:8001/meta/v1/data/"},
		{"https://node.example.org:9/meta/", gateway, "https://172.18.0.1:9/meta/v1/data/"},
		{"https://127.0.0.1:8001/", netip.Addr{}, ""},
		{"", gateway, ""},
		{"https://node.example.org/", gateway, ""},
		{"://", gateway, ""},
	} {
		if got := metadataURL(tt.from, tt.via); got != tt.want {
			t.Errorf("metadataURL(%q, %v) = %q, want %q", tt.from, tt.via, got, tt.want)
		}
	}
}

// TestVariablesOfTheNode: a container is told where its own address reaches the
// node, and nothing where it does not.
func TestVariablesOfTheNode(t *testing.T) {
	t.Parallel()
	gateway := netip.MustParseAddr("172.18.0.1")
	const own = "AQUARIUM_FISH_METADATA_URL=https://172.18.0.1:8001/meta/v1/data/"
	for _, tt := range []struct {
		name     string
		listener string // of the proxy, empty: it does not listen
		gateway  netip.Addr
		remote   bool
		want     []string
	}{
		{"all addresses", "[::]:1080", gateway, false, []string{
			"AQUARIUM_FISH_HTTP_PROXY=http://172.18.0.1:1080", own, "AQUARIUM_FISH_SOCKS_PROXY=socks5h://172.18.0.1:1080", "KEY=value"}},
		{"no proxy", "", gateway, false, []string{own, "KEY=value"}},
		{"a proxy on loopback", "127.0.0.1:1080", gateway, false, []string{own, "KEY=value"}},
		{"no bridge", "[::]:1080", netip.Addr{}, false, []string{"KEY=value"}},
		{"an engine elsewhere", "[::]:1080", gateway, true, []string{"KEY=value"}},
	} {
		req := drivers.Request{MetadataURL: "https://127.0.0.1:8001/meta/v1/token/secret/data/"}
		if tt.listener != "" {
			req.Proxy = metadata.Proxy{Listener: netip.MustParseAddrPort(tt.listener), User: "u", Password: "secret"}
		}
		d := &driver{settings: settings{IsRemote: tt.remote}}
		got := d.variables(plan{req: req, env: map[string]string{"KEY": "value"}, bridge: bridge{gateway: tt.gateway}})
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestOldEngines: what an engine gets by each API, and that nothing else is touched.
func TestOldEngines(t *testing.T) {
	t.Parallel()
	bodies := make(chan map[string]any, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var got map[string]any
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &got)
		bodies <- got
	}))
	t.Cleanup(server.Close)
	c := &http.Client{Transport: oldEngines{&http.Transport{}}}
	t.Cleanup(c.CloseIdleConnections)
	const body = `{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:00:00:00:00:01"}}}}`
	for path, want := range map[string]any{
		"/v1.41/containers/create?name=x": "02:00:00:00:00:01", "/v1.43/containers/create": "02:00:00:00:00:01",
		"/v1.44/containers/create": nil, "/v1.41/networks/create": nil,
	} {
		resp, err := c.Post(server.URL+path, "application/json", bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := <-bodies; got["MacAddress"] != want || got["Image"] != "a" {
			t.Errorf("%s: the engine got %v, want the address %v", path, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	const images = `"images":[{"name":"a","version":"1"}]`
	def := func(options string) model.LabelDefinition {
		return model.LabelDefinition{Options: json.RawMessage(options)}
	}
	o, err := readOptions(def(`{` + images + `,"Entrypoint":["/bin/sh","-c"],"command":"x","USER":"a:b","read_only":true,"capabilities":["cap_mknod","CHOWN"],"other":{},"nothing":null}`))
	if err != nil {
		t.Fatal(err)
	}
	want := options{images: o.images, entrypoint: []string{"/bin/sh", "-c"}, command: []string{"x"}, user: "a:b", readOnly: true, capabilities: []string{"MKNOD", "CHOWN"}}
	if diff := cmp.Diff(want, o, cmp.AllowUnexported(options{})); diff != "" {
		t.Errorf("readOptions (-want +got):\n%s", diff)
	}
	for options, want := range map[string]string{
		`{}`:                               "option images: got nothing",
		`{"images":{}}`:                    "option images: got {}",
		`[]`:                               "options: got [], want a JSON object",
		`{` + images + `,"user":"a b"}`:    "option user",
		`{` + images + `,"user":"a:b:c"}`:  "option user",
		`{` + images + `,"entrypoint":""}`: "option entrypoint: got nothing",
		`{` + images + `,"command":[1]}`:   "option command: got [1]",
		`{` + images + `,"capabilities":["NET_RAW"]}`:   `"NET_RAW" can not be added; allowed are AUDIT_WRITE`,
		`{` + images + `,"capabilities":["SYS_ADMIN"]}`: "can not be added",
		`{` + images + `,"read_only":1}`:                "option read_only: got 1, want true or false",
	} {
		if _, err := readOptions(def(options)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("readOptions(%s) = %v, want an error with %q", options, err, want)
		}
	}
	for _, network := range []string{"host", "none", "default", "container:x", "a b", "../x", "-x", "NAT", "HostOnly", strings.Repeat("n", 41)} {
		d := def(`{` + images + `}`)
		d.Resources.Network = network
		_, err := readOptions(d)
		if ok := network == "host" || network == "none" || network == "default"; (err == nil) != ok {
			t.Errorf("network %q: %v", network, err)
		}
		if got := networkName(d.Resources); !strings.HasPrefix(got, "aquarium-") {
			t.Errorf("network %q is %q in the engine, want one that is none of the engine's own", network, got)
		}
	}
}
