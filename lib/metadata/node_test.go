package metadata

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPublic(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, metadata, want string }{
		{"nothing", ``, ``},
		{"untouched, spaces and all", `{ "b":1.50, "a" : [1 ,2]}`, `{ "b":1.50, "a" : [1 ,2]}`},
		{"order and values stay", `{"z":1.50,"AQUARIUM_FISH_CA":{"x":1},"é":"\u00e9","a":null}`, `{"z":1.50,"é":"\u00e9","a":null}`},
		{"keys are written as they were", `{ "a<b" :1,"\u00e9":2 , "\ud800":3,"AQUARIUM_FISH_CA":4}`, `{"a<b":1,"\u00e9":2,"\ud800":3}`},
		{"twice", `{"AQUARIUM_FISH_A":1,"b":2,"AQUARIUM_FISH_A":3}`, `{"b":2}`},
		{"escaped", `{"\u0041QUARIUM_FISH_A":1}`, `{}`},
		{"what cleans to it", `{"aquarium_fish_a":1,"AQUARIUM.FISH.B":2,"7AQUARIUM_FISH_-C":3,"AQUARIUM_FISH":4,"XAQUARIUM_FISH_D":5}`,
			`{"AQUARIUM_FISH":4,"XAQUARIUM_FISH_D":5}`},
		{"deeper keys are not under it", `{"a":{"AQUARIUM_FISH_A":1}}`, `{"a":{"AQUARIUM_FISH_A":1}}`},
		{"no object", `["AQUARIUM_FISH_A"]`, `["AQUARIUM_FISH_A"]`},
		{"no JSON", `{"AQUARIUM_FISH_A":`, `{"AQUARIUM_FISH_A":`},
	}
	for _, tt := range tests {
		if got := string(Public(json.RawMessage(tt.metadata))); got != tt.want {
			t.Errorf("%s: Public(%s) = %s, want %s", tt.name, tt.metadata, got, tt.want)
		}
	}
}

// TestRenderNode: the node's names are in every format, and instead of whatever
// an application or a label has there.
func TestRenderNode(t *testing.T) {
	t.Parallel()
	label := json.RawMessage(`{"AQUARIUM_FISH_HTTP_PROXY":"http://evil/","AQUARIUM_FISH_SSH_RECORD":true}`)
	app := json.RawMessage(`{"b":"1","AQUARIUM_FISH_SOCKS_PROXY":"evil","AQUARIUM_FISH_HTTP_PROXY":"http://evil/","AQUARIUM_FISH_SSH_RECORD":true,"aquarium_fish_http_proxy":"evil"}`)
	node := map[string]string{NameSOCKSProxy: "socks5h://10.0.0.1:1080", NameHTTPProxy: "http://it's"}
	tests := []struct {
		format Format
		node   map[string]string
		prefix string
		want   string
	}{
		{JSON, node, "ignored", `{"b":"1","AQUARIUM_FISH_HTTP_PROXY":"http://it's","AQUARIUM_FISH_SOCKS_PROXY":"socks5h://10.0.0.1:1080"}`},
		{JSON, nil, "", `{"b":"1"}`},
		{Env, nil, "", "b=1\n"},
		{Env, node, "", `AQUARIUM_FISH_HTTP_PROXY='http://it'"'"'s'` + "\nAQUARIUM_FISH_SOCKS_PROXY=socks5h://10.0.0.1:1080\nb=1\n"},
		{Export, node, "data", `export data_AQUARIUM_FISH_HTTP_PROXY='http://it'"'"'s'` + "\nexport data_AQUARIUM_FISH_SOCKS_PROXY=socks5h://10.0.0.1:1080\nexport data_b=1\n"},
		{PowerShell, node, "0", "$_AQUARIUM_FISH_HTTP_PROXY='http://it''s'\n$_AQUARIUM_FISH_SOCKS_PROXY='socks5h://10.0.0.1:1080'\n$_b='1'\n"},
	}
	for _, tt := range tests {
		got, _, err := Render(tt.format, app, label, tt.node, tt.prefix)
		if err != nil || string(got) != tt.want {
			t.Errorf("Render(%s, node %v, prefix %q) = %s, %v, want %s", tt.format, tt.node, tt.prefix, got, err, tt.want)
		}
	}
	if got, _, err := Render(JSON, nil, nil, node, ""); err != nil || !json.Valid(got) || !strings.Contains(string(got), NameHTTPProxy) {
		t.Errorf("Render(JSON) of no metadata = %s, %v", got, err)
	}
}

// drawKey draws keys that come close to the node's names, by all that cleaning
// takes away.
func drawKey(t *rapid.T) string {
	noise := rapid.SampledFrom([]string{"", "", "", "-", " ", "é", "\x00", "\u200b", "\"", "\\"})
	prefix := rapid.SampledFrom([]string{NodePrefix, "aquarium_fish_", "AQUARIUM.FISH.", "7AQUARIUM_FISH.", "Aquarium_Fish", "X", "", "data_AQUARIUM_FISH_", "FISH_"}).Draw(t, "prefix")
	name := rapid.SampledFrom([]string{"SOCKS_PROXY", "HTTP_PROXY", "http_proxy", "SSH_RECORD", "CA", "", "x"}).Draw(t, "name")
	var b strings.Builder
	for _, r := range prefix + name {
		b.WriteString(noise.Draw(t, "noise") + string(r))
	}
	return b.String()
}

// drawObject draws a JSON object as text: keys may be there twice.
func drawObject(t *rapid.T, depth int) string {
	members := make([]string, rapid.IntRange(0, 4).Draw(t, "members"))
	for i := range members {
		key, _ := json.Marshal(drawKey(t)) // a string always marshals
		value := rapid.SampledFrom([]string{`"evil"`, `true`, `1.50`, `null`, `["evil"]`}).Draw(t, "value")
		if depth > 0 && rapid.Bool().Draw(t, "nested") {
			value = drawObject(t, depth-1)
		}
		members[i] = string(key) + ":" + value
	}
	return "{" + strings.Join(members, ",") + "}"
}

// TestNobodyFakesTheNode: whatever metadata says, in no format does a name of
// the node's have another value than the node's, nor one that it does not set.
func TestNobodyFakesTheNode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all, label := json.RawMessage(drawObject(t, 2)), json.RawMessage(drawObject(t, 1))
		node := map[string]string{}
		if rapid.Bool().Draw(t, "listens") {
			node[NameSOCKSProxy], node[NameHTTPProxy] = "real", "real"
		}
		prefix := rapid.SampledFrom([]string{"", "data", "AQUARIUM", "AQUARIUM_FISH", "1", "aquarium"}).Draw(t, "before")
		text, _, err := Render(Env, all, label, node, prefix)
		if err != nil {
			t.Fatal(err)
		}
		checkLines(t, string(text), node, prefix)
		body, _, err := Render(JSON, all, label, node, "")
		if err != nil {
			t.Fatal(err)
		}
		checkObject(t, body, node)
		checkObject(t, Public(all), nil)
		keepsOthers(t, all)
	})
}

// checkLines: with the prefix or without it, a line that has a name of the node's
// is the node's.
func checkLines(t *rapid.T, text string, node map[string]string, prefix string) {
	before, seen := "", 0
	if prefix != "" {
		before = strings.TrimSuffix(Name(prefix+".x"), "x")
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		bare, had := strings.CutPrefix(name, before)
		if had && Reserved(bare) && value == "real" && node[bare] == "real" {
			seen++
			continue
		}
		if had && Reserved(bare) || Reserved(name) {
			t.Fatalf("prefix %q: the answer has %s", prefix, line)
		}
	}
	if seen != len(node) {
		t.Fatalf("prefix %q: %d of the node's names, want %d:\n%s", prefix, seen, len(node), text)
	}
}

func checkObject(t *rapid.T, body json.RawMessage, node map[string]string) {
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for key, value := range got {
		if Reserved(key) && (node[key] == "" || value != node[key]) {
			t.Fatalf("the object has %q: %v:\n%s", key, value, body)
		}
	}
	for name := range node {
		if got[name] != node[name] {
			t.Fatalf("the object has no %s:\n%s", name, body)
		}
	}
}

// keepsOthers: what is not reserved is there as it was, in its order.
func keepsOthers(t *rapid.T, all json.RawMessage) {
	want := slices.DeleteFunc(written(t, all), func(m pair) bool { return Reserved(m.key) })
	if diff := cmp.Diff(want, written(t, Public(all)), cmp.AllowUnexported(pair{})); diff != "" {
		t.Fatalf("other keys (-want +got):\n%s", diff)
	}
}

// pair is a member of an object with its key as it is read.
type pair struct {
	key   string
	value json.RawMessage
}

// written are the members of an object.
func written(t *rapid.T, object json.RawMessage) []pair {
	dec, list := json.NewDecoder(bytes.NewReader(object)), []pair{}
	_, _ = dec.Token() // opens it
	for dec.More() {
		key, _ := dec.Token()
		m := pair{key: key.(string)}
		if err := dec.Decode(&m.value); err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}
