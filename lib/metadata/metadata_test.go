package metadata

import (
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestFlatten(t *testing.T) {
	tests := []struct {
		name     string
		metadata string
		label    string
		prefix   string
		want     []Pair
		dropped  []string
	}{
		{name: "nothing", metadata: ``},
		{name: "sorted", metadata: `{"B":"2","A":"1"}`, want: []Pair{{"A", "1"}, {"B", "2"}}},
		{name: "nested", metadata: `{"a":{"b":{"c":"x"}}}`, want: []Pair{{"a_b_c", "x"}}},
		{name: "prefix", metadata: `{"JENKINS_URL":"u"}`, prefix: "data", want: []Pair{{"data_JENKINS_URL", "u"}}},
		{name: "prefix saves a digit", metadata: `{"1a":"u"}`, prefix: "data", want: []Pair{{"data_1a", "u"}}},
		{name: "numbers keep their text", metadata: `{"n":12345678901234567890,"f":1.50,"e":1E+400}`,
			want: []Pair{{"e", "1E+400"}, {"f", "1.50"}, {"n", "12345678901234567890"}}},
		{name: "bool and null", metadata: `{"t":true,"f":false,"z":null}`,
			want: []Pair{{"f", "false"}, {"t", "true"}, {"z", ""}}},
		{name: "arrays are JSON", metadata: `{"a":[1, "two", {"x":[1.0]}, null, "<&>"]}`,
			want: []Pair{{"a", `[1,"two",{"x":[1.0]},null,"<&>"]`}}},
		{name: "an empty object has no leaf", metadata: `{"a":{},"b":[]}`, want: []Pair{{"b", "[]"}}},
		{name: "cleaned", metadata: "{\"a-b c\":\"1\",\"12x\":\"2\",\"\u00e9t\u00e9\":\"3\"}",
			want: []Pair{{"abc", "1"}, {"t", "3"}, {"x", "2"}}},
		{name: "nothing left of a key", metadata: `{"---":"1","42":"2"}`, dropped: []string{"---", "42"}},
		{name: "two keys, one name", metadata: `{"a-b":"first","ab":"second"}`,
			want: []Pair{{"ab", "first"}}, dropped: []string{"ab"}},
		{name: "one joined key twice", metadata: `{"a.b":"y","a":{"b":"x"}}`,
			want: []Pair{{"a_b", "x"}}, dropped: []string{"a.b"}},
		{name: "the label's key wins the name", metadata: `{"a-b":"user","ab":"label"}`, label: `{"ab":"label"}`,
			want: []Pair{{"ab", "label"}}, dropped: []string{"a-b"}},
		{name: "NUL vanishes", metadata: `{"a":"x\u0000y"}`, want: []Pair{{"a", "xy"}}},
		{name: "long name", metadata: `{"` + strings.Repeat("k", maxName+1) + `":"1","a":"2"}`,
			want: []Pair{{"a", "2"}}, dropped: []string{strings.Repeat("k", 64) + "..."}},
		{name: "the node's names are nobody's", metadata: `{"AQUARIUM_FISH_CA":"a","aquarium_fish_ca":"b","AQUARIUM-.FISH_X":"c","9AQUARIUM_FISH_":"d","AQUARIUM":{"FISH":{"CA":"e"}},"a":"1"}`,
			label: `{"AQUARIUM_FISH_CA":"a"}`, want: []Pair{{"a", "1"}},
			dropped: []string{"9AQUARIUM_FISH_", "AQUARIUM-.FISH_X", "AQUARIUM.FISH.CA", "AQUARIUM_FISH_CA", "aquarium_fish_ca"}},
		{name: "nor behind a prefix", metadata: `{"AQUARIUM_FISH_CA":"a","b":"1"}`, prefix: "data",
			want: []Pair{{"data_b", "1"}}, dropped: []string{"data.AQUARIUM_FISH_CA"}},
		{name: "nor with one", metadata: `{"FISH_CA":"a","b":"1"}`, label: `{"FISH_CA":"a"}`, prefix: "AQUARIUM",
			want: []Pair{{"AQUARIUM_b", "1"}}, dropped: []string{"AQUARIUM.FISH_CA"}},
		{name: "a label's word to the node", metadata: `{"AQUARIUM_FISH_SSH_RECORD":true,"b":1}`, label: `{"AQUARIUM_FISH_SSH_RECORD":true}`, prefix: "data",
			want: []Pair{{"data_b", "1"}}},
		{name: "an application's is none", metadata: `{"AQUARIUM_FISH_SSH_RECORD":true}`, dropped: []string{"AQUARIUM_FISH_SSH_RECORD"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := flatten(json.RawMessage(tt.metadata), json.RawMessage(tt.label), tt.prefix)
			if err != nil {
				t.Fatalf("flatten: %v", err)
			}
			if diff := cmp.Diff(tt.want, got.Pairs); diff != "" {
				t.Errorf("pairs (-want +got):\n%s", diff)
			}
			var dropped []string
			for _, d := range got.Dropped {
				dropped = append(dropped, d.Key)
			}
			if diff := cmp.Diff(tt.dropped, dropped); diff != "" {
				t.Errorf("dropped (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFlattenIsDeterministic(t *testing.T) {
	raw := json.RawMessage(`{"a.b":"1","a":{"b":"2","-b":"3"},"a-.b":"4","c":"5","d.":"6","d":{"":"7"}}`)
	first, err := flatten(raw, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		again, _ := flatten(raw, nil, "")
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatalf("two answers for one input:\n%s", diff)
		}
	}
}

func TestFlattenRejects(t *testing.T) {
	for _, raw := range []string{`[]`, `"x"`, `null`, `{`, `{} {}`, `1`} {
		if got, err := flatten(json.RawMessage(raw), nil, ""); err == nil {
			t.Errorf("flatten(%s) = %v, want an error", raw, got)
		}
	}
}

func TestDeepMetadataStaysSmall(t *testing.T) {
	const depth = 9000
	raw := strings.Repeat(`{"a":`, depth) + `{"b":1,"c":2}` + strings.Repeat(`}`, depth)
	got, err := flatten(json.RawMessage(raw), nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Pairs) != 0 || len(got.Dropped) != 1 {
		t.Errorf("%d pairs, dropped %v; want none and one", len(got.Pairs), got.Dropped)
	}
}

func TestEnvironmentProtects(t *testing.T) {
	got, err := Environment(
		json.RawMessage(`{"PATH":"/evil","P-ATH":"/evil2","LD_PRELOAD":"x","HOME":"/label","LD":{"PRELOAD":"y"},"OK":"1"}`),
		json.RawMessage(`{"HOME":"/label"}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Pair{{"HOME", "/label"}, {"OK", "1"}}, got.Pairs); diff != "" {
		t.Errorf("pairs (-want +got):\n%s", diff)
	}
	if len(got.Dropped) != 4 {
		t.Errorf("dropped %v, want 4 keys", got.Dropped)
	}
}

func TestProtected(t *testing.T) {
	for _, name := range []string{
		"PATH", "HOME", "SHELL", "USER", "IFS", "ENV", "BASH_ENV", "NODE_OPTIONS", "Path",
		"LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "PERL5LIB", "GIT_SSH",
	} {
		if !Protected(name) {
			t.Errorf("Protected(%q) = false", name)
		}
	}
	for _, name := range []string{"JENKINS_URL", "PATHS", "USERNAME", "ENVIRONMENT", "LDFLAGS", "GITHUB_TOKEN", ""} {
		if Protected(name) {
			t.Errorf("Protected(%q) = true", name)
		}
	}
}

// TestTextsProtect: whoever evaluates a text gets the same names as a process
// does from its driver; with a prefix they are other names.
func TestTextsProtect(t *testing.T) {
	app, label := json.RawMessage(`{"PATH":"/evil","LD":{"PRELOAD":"x"},"HOME":"/label","OK":"1"}`), json.RawMessage(`{"HOME":"/label"}`)
	tests := []struct {
		format  Format
		prefix  string
		want    string
		dropped int
	}{
		{Env, "", "HOME=/label\nOK=1\n", 2},
		{Export, "", "export HOME=/label\nexport OK=1\n", 2},
		{PowerShell, "", "$HOME='/label'\n$OK='1'\n", 2},
		{Env, "p", "p_HOME=/label\np_LD_PRELOAD=x\np_OK=1\np_PATH=/evil\n", 0},
		{Env, "LD", "LD_HOME=/label\n", 3},
		{JSON, "", string(app), 0},
	}
	for _, tt := range tests {
		got, dropped, err := Render(tt.format, app, label, nil, tt.prefix)
		if err != nil || string(got) != tt.want || len(dropped) != tt.dropped {
			t.Errorf("Render(%s, prefix %q) = %q, dropped %v, %v, want %q", tt.format, tt.prefix, got, dropped, err, tt.want)
		}
	}
}

func TestRender(t *testing.T) {
	raw := json.RawMessage(`{ "u":"http://x/?a=1", "l":"label", "s":"x y", "q":"it's", "e":"", "n":12345678901234567890 }`)
	tests := []struct {
		format Format
		prefix string
		want   string
	}{
		{JSON, "ignored", `{"u":"http://x/?a=1","l":"label","s":"x y","q":"it's","e":"","n":12345678901234567890}`},
		{Env, "", "e=''\nl=label\nn=12345678901234567890\nq='it'\"'\"'s'\ns='x y'\nu='http://x/?a=1'\n"},
		{Export, "p", "export p_e=''\nexport p_l=label\nexport p_n=12345678901234567890\nexport p_q='it'\"'\"'s'\nexport p_s='x y'\nexport p_u='http://x/?a=1'\n"},
		{PowerShell, "", "$e=''\n$l='label'\n$n='12345678901234567890'\n$q='it''s'\n$s='x y'\n$u='http://x/?a=1'\n"},
	}
	for _, tt := range tests {
		got, _, err := Render(tt.format, raw, nil, nil, tt.prefix)
		if err != nil || string(got) != tt.want {
			t.Errorf("Render(%s) = %q, %v, want %q", tt.format, got, err, tt.want)
		}
	}
	if _, err := ParseFormat("xml"); err == nil {
		t.Error("ParseFormat(xml): no error")
	}
	if f, err := ParseFormat(""); f != JSON || err != nil {
		t.Errorf(`ParseFormat("") = %q, %v, want json`, f, err)
	}
}

// shellValues sources the text in a real sh and prints each name's value.
func shellValues(t *testing.T, text []byte, names []string) map[string]string {
	t.Helper()
	script := string(text)
	for _, name := range names {
		script += `printf '%s\0' "$` + name + `"` + "\n"
	}
	cmd := exec.Command("sh")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sh: %v\nscript:\n%s", err, script)
	}
	parts := strings.Split(string(out), "\x00")
	if len(parts) != len(names)+1 {
		t.Fatalf("sh printed %d values, want %d\nscript:\n%s", len(parts)-1, len(names), script)
	}
	values := make(map[string]string)
	for i, name := range names {
		values[name] = parts[i]
	}
	return values
}

// verbatim reads a PowerShell verbatim string by the language's rule: any
// single quote, typographic ones too, ends it unless another follows.
func verbatim(t *testing.T, quoted string) string {
	t.Helper()
	isQuote := func(r rune) bool { return strings.ContainsRune("'\u2018\u2019\u201A\u201B", r) }
	runes := []rune(quoted)
	if len(runes) < 2 || !isQuote(runes[0]) {
		t.Fatalf("%q is no verbatim string", quoted)
	}
	var b strings.Builder
	for i := 1; i < len(runes); i++ {
		if !isQuote(runes[i]) {
			b.WriteRune(runes[i])
			continue
		}
		if i == len(runes)-1 {
			return b.String()
		}
		if !isQuote(runes[i+1]) {
			t.Fatalf("%q ends early at %d", quoted, i)
		}
		b.WriteRune(runes[i])
		i++
	}
	t.Fatalf("%q does not end", quoted)
	return ""
}

func FuzzShell(f *testing.F) {
	for _, seed := range []string{
		"", "x y", "it's", "$(reboot)", "`id`", "a\nb", "a\r\nb\n", "\x00", "\xff\xfe", "\\", "!!", "~", "-n", "#",
		"\u2019;rm -rf /;\u2018", "''", "\t", "*", `"`, "\x1b[0m", "é", "a=b", "'\n'",
	} {
		f.Add("A", seed)
	}
	f.Add("a.b-c", "v")
	f.Add("9", "v")
	f.Fuzz(func(t *testing.T, key, value string) {
		raw, err := json.Marshal(map[string]any{key: value, "Z": []string{value}})
		if err != nil {
			t.Skip("no JSON")
		}
		want := map[string]string{}
		flat, err := flatten(raw, nil, "p")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range flat.Pairs {
			want[p.Name] = p.Value
			if !utf8.ValidString(p.Value) || strings.Contains(p.Value, "\x00") {
				t.Errorf("value %q is not clean", p.Value)
			}
			if got := verbatim(t, QuotePowerShell(p.Value)); got != p.Value {
				t.Errorf("PowerShell reads %q as %q", p.Value, got)
			}
		}
		name, exact := Name("p."+key), strings.ReplaceAll(value, "\x00", "")
		if name != "p_Z" && len(key) < maxName-2 && utf8.ValidString(value) && want[name] != exact {
			t.Errorf("value of %q is %q, want %q", name, want[name], exact)
		}
		text, _, err := Render(Export, raw, nil, nil, "p")
		if err != nil {
			t.Fatal(err)
		}
		names := slices.Sorted(maps.Keys(want))
		if diff := cmp.Diff(want, shellValues(t, text, names)); diff != "" {
			t.Errorf("sh (-want +got):\n%s", diff)
		}
	})
}
