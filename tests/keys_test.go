package tests

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// shape writes the keys of a JSON value in their order: `a b{c} d[e f] g=null`,
// a list by its first element.
func shape(t *testing.T, text []byte) string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var b strings.Builder
	writeShape(t, dec, &b)
	return b.String()
}

func writeShape(t *testing.T, dec *json.Decoder, b *strings.Builder) {
	t.Helper()
	token, err := dec.Token()
	if err != nil {
		t.Fatal(err)
	}
	switch token {
	case nil:
		b.WriteString("=null")
	case json.Delim('{'):
		b.WriteByte('{')
		for first := true; dec.More(); first = false {
			key, _ := dec.Token()
			if !first {
				b.WriteByte(' ')
			}
			b.WriteString(key.(string))
			writeShape(t, dec, b)
		}
		_, _ = dec.Token()
		b.WriteByte('}')
	case json.Delim('['):
		b.WriteByte('[')
		for first := true; dec.More(); first = false {
			var rest strings.Builder
			writeShape(t, dec, &rest)
			if first {
				b.WriteString(rest.String())
			}
		}
		_, _ = dec.Token()
		b.WriteByte(']')
	}
}

// The objects of contract 7, every key in its order.
const (
	userKeys        = `{created_at hash{algo prop{memory iterations threads} salt=null hash=null} name updated_at}`
	labelKeys       = `{UID created_at definitions[{driver options{} resources` + resourcesKeys + `}] metadata{L} name version}`
	adminLabelKeys  = `{UID created_at definitions[{authentication{key password port username} driver options{} resources` + resourcesKeys + `}] metadata{L} name version}`
	resourcesKeys   = `{cpu cpu_overbook disks{d{clone label reuse size type}} lifetime multitenancy network node_filter[] ram ram_overbook}`
	applicationKeys = `{UID created_at label_UID metadata{A} owner_name}`
	stateKeys       = `{UID application_UID created_at description status}`
	taskKeys        = `{UID application_UID created_at options{} result{} task updated_at when}`
	resourceKeys    = `{UID application_UID authentication{key password port username} created_at definition_index hw_addr identifier ip_addr label_UID metadata{A L} node_UID updated_at}`
	locationKeys    = `{created_at description name}`
	mappingKeys     = `{UID application_UID created_at location_name redirect service}`
	voteKeys        = `{UID application_UID available created_at node_UID rand round}`
)

// testKeys: strict clients break on a key that is not listed, on one that is
// missing, and, if they parse with sed, on another order (contract 26).
func testKeys(t *testing.T, w *world) {
	for _, tt := range []struct{ user, route, body, want string }{
		{"admin", "user/", "", "[" + userKeys + "]"}, {"admin", "user/owner", "", userKeys}, {"owner", "user/me/", "", userKeys},
		{"admin", "user/", `{"name":"{new}"}`, "{created_at name password updated_at}"},
		{"admin", "user/", `{"name":"{new}","hash":{"algo":"x","prop":{"memory":1,"iterations":2,"threads":3},"salt":"AA==","hash":"AA=="}}`,
			"{created_at hash{algo prop{memory iterations threads} salt hash} name password updated_at}"},
		{"admin", "label/{label}", "", adminLabelKeys}, {"owner", "label/{label}", "", labelKeys}, {"owner", "label/", "", "[" + labelKeys + "]"},
		{"admin", "label/", `{"name":"{new}","definitions":[{"driver":"d","resources":{"cpu":1,"ram":1}}]}`,
			`{UID created_at definitions[{driver options{} resources{cpu cpu_overbook disks=null lifetime multitenancy network node_filter[] ram ram_overbook}}] metadata{} name version}`},
		{"owner", "application/{live}", "", applicationKeys}, {"admin", "application/?filter=uid='{live}'", "", "[" + applicationKeys + "]"},
		{"owner", "application/", `{"label_UID":"{nowhere}","metadata":{"A":1}}`, applicationKeys},
		{"owner", "application/{live}/state", "", stateKeys}, {"owner", "application/{failed}/state", "", stateKeys},
		{"owner", "application/{live}/resource", "", resourceKeys}, {"admin", "resource/{resource}", "", resourceKeys},
		{"admin", "resource/?filter=uid='{resource}'", "", "[" + resourceKeys + "]"},
		{"owner", "task/{task}", "", taskKeys}, {"owner", "application/{live}/task/", "", "[" + taskKeys + "]"},
		{"owner", "application/{waiting}/task/", `{"task":"x"}`, taskKeys},
		{"admin", "location/", "", "[" + locationKeys + "]"}, {"admin", "location/", `{"name":"{new}"}`, locationKeys},
		{"admin", "servicemapping/", "", "[" + mappingKeys + "]"}, {"admin", "servicemapping/{mapping}", "", mappingKeys},
		{"admin", "vote/?filter=application_uid='{live}'", "", "[" + voteKeys + "]"},
		{"admin", "user/{absent}", "", "{message}"}, {"admin", "application/", "[]", "{error}"},
	} {
		method := "GET"
		if tt.body != "" {
			method = "POST"
		}
		got := w.as(tt.user).Call(fish.Call{Method: method, Path: w.path(tt.route), Body: w.fill(tt.body)})
		if keys := shape(t, got.Body); keys != tt.want {
			t.Errorf("%s %s as %s has the keys\n%s, want\n%s", method, tt.route, tt.user, keys, tt.want)
		}
	}
	testNodeKeys(t, w)
}

// testNodeKeys: the facts inside are as the machine has them; of their keys
// those are checked that every machine has.
func testNodeKeys(t *testing.T, w *world) {
	t.Helper()
	type object = map[string]json.RawMessage
	node := fish.Get[object](w.owner, "/api/v1/node/this/")
	if got, want := shape(t, node["definition"]), regexp.MustCompile(
		`^\{cpu\[\{cpu vendorId family model stepping physicalId coreId cores modelName mhz cacheSize flags\[\]? microcode\}\] `+
			`disks\{/\{path fstype total free used usedPercent inodesTotal inodesUsed inodesFree inodesUsedPercent\}\} `+
			`host\{hostname uptime bootTime procs os platform platformFamily platformVersion kernelVersion kernelArch virtualizationSystem virtualizationRole hostId\} `+
			`memory\{total available used usedPercent free active inactive .*\} nets\[\{index mtu name hardwareAddr flags\[\] addrs\[\{addr\}\]\}\]\}$`,
	); !want.MatchString(got) {
		t.Errorf("node definition has the keys\n%s, want\n%s", got, want)
	}
	delete(node, "definition")
	keys, _ := json.Marshal(node)
	if got, want := shape(t, keys), "{UID address created_at location_name name pubkey updated_at}"; got != want {
		t.Errorf("node has the keys %s and definition, want %s", got, want)
	}
	text := w.owner.Call(fish.Call{Path: "/api/v1/node/this/"}).Body
	order := regexp.MustCompile(`^\{"UID":"[^"]+","address":"[^"]+","created_at":"[^"]+","definition":\{.*\},"location_name":"lab","name":"test-node","pubkey":"[A-Za-z0-9+/=]+","updated_at":"[^"]+"\}\n$`)
	if !order.Match(text) {
		t.Errorf("node is %s, want its keys in the order of contract 7", text)
	}
}

// testAnswerFormat is contract 5: one compact line, its type, its escapes, its
// times.
func testAnswerFormat(t *testing.T, w *world) {
	for _, path := range []string{
		"label/?filter=name='fixture'", "application/{live}?", "application/{live}/state?", "label/{label}?", "label/{absent}?", // none of which changes
	} {
		path = w.path(path)
		got := w.owner.Call(fish.Call{Path: path})
		if kind := got.Header.Get("Content-Type"); kind != "application/json; charset=UTF-8" {
			t.Errorf("%s is %q", path, kind)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, got.Body); err != nil || compact.String()+"\n" != string(got.Body) {
			t.Errorf("%s is not one compact line: %v %.100q", path, err, got.Body)
		}
		pretty := w.owner.Call(fish.Call{Path: path + "&pretty"})
		var again bytes.Buffer
		if err := json.Compact(&again, pretty.Body); err != nil || again.Len() != compact.Len() || !strings.Contains(string(pretty.Body), "\n  ") {
			t.Errorf("%s&pretty: %v %.100q", path, err, pretty.Body)
		}
	}
	got := w.owner.Call(fish.Call{Path: w.path("application/{live}")})
	if !strings.Contains(string(got.Body), `{"A":"\u003cb\u003e"}`) {
		t.Errorf("< and > are not escaped in %s", got.Body)
	}
	var app map[string]any
	if err := json.Unmarshal(got.Body, &app); err != nil {
		t.Fatal(err)
	}
	if at, err := time.Parse(time.RFC3339Nano, app["created_at"].(string)); err != nil || time.Since(at) > time.Hour || at.Location() != time.UTC {
		t.Errorf("created_at is %v: %v", app["created_at"], err)
	}
	// A label's key order is the client's (contract 5).
	options := `{"z":1,"a":{"y":[1,{"c":1,"b":2}],"x":null},"m":"\u00fc"}`
	label := w.admin.Call(fish.Call{Method: "POST", Path: "/api/v1/label/", Body: w.fill(
		`{"name":"{new}","metadata":` + options + `,"definitions":[{"driver":"d","options":` + options + `,"resources":{"cpu":1,"ram":1}}]}`)})
	if label.Status != http.StatusOK || strings.Count(strings.ReplaceAll(string(label.Body), "ü", `\u00fc`), options) != 2 {
		t.Errorf("raw JSON comes back as %s, want %s", label.Body, options)
	}
	uids := regexp.MustCompile(`"UID":"([0-9a-f-]{36})"`)
	node := uids.FindSubmatch(w.owner.Call(fish.Call{Path: "/api/v1/node/this/"}).Body)[1]
	for _, path := range []string{"label/", "application/", "application/{live}/state", "application/{live}/resource", "task/{task}"} {
		for _, m := range uids.FindAllSubmatch(w.owner.Call(fish.Call{Path: w.path(path)}).Body, -1) {
			if !bytes.Equal(m[1][:13], node[:13]) || m[1][14] != '4' { // contract 20: its first 6 bytes, and v4
				t.Errorf("%s: UID %s on the node %s", path, m[1], node)
			}
		}
	}
}
