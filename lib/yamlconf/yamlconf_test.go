package yamlconf_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

type inner struct {
	Name string       `yaml:"name"`
	Cfg  yamlconf.Raw `yaml:"cfg"`
}

type sample struct {
	Text    string            `yaml:"text"`
	Flag    bool              `yaml:"flag"`
	Small   uint16            `yaml:"small_number"`
	Signed  int8              `yaml:"signed"`
	Ratio   float64           `yaml:"ratio"`
	Wait    time.Duration     `yaml:"wait"`
	Memory  yamlconf.Size     `yaml:"memory"`
	List    []string          `yaml:"list"`
	Map     map[string]uint   `yaml:"map"`
	Maybe   *int              `yaml:"maybe"`
	Items   []inner           `yaml:"items"`
	Deep    map[string]sample `yaml:"deep"`
	private int
	Other   int
}

func decode(t *testing.T, text string) (sample, *yamlconf.Document, error) {
	t.Helper()
	doc, err := yamlconf.Parse([]byte(text))
	if err != nil {
		return sample{}, nil, err
	}
	s := sample{Text: "default", private: 1}
	return s, doc, doc.Decode(&s)
}

func TestDecodeFillsEveryKind(t *testing.T) {
	doc, err := yamlconf.Parse([]byte(`
text: hello
FLAG: yes
Small_Number: 0x10
signed: -128
ratio: 3
wait: 1d12h
memory: 512mb
list: [a, "1"]
map: {one: 1, ONE: 2}
maybe: 5
items:
  - name: test
    cfg: {b: 12345678901234567890, a: [~, yes, "yes"]}
  - name: other
deep:
  x: {text: inside}
`))
	if err != nil {
		t.Fatal(err)
	}
	var got sample
	if err := doc.Decode(&got); err != nil {
		t.Fatal(err)
	}
	five := 5
	want := sample{
		Text: "hello", Flag: true, Small: 16, Signed: -128, Ratio: 3, Wait: 36 * time.Hour, Memory: 512 << 20,
		List: []string{"a", "1"}, Map: map[string]uint{"one": 1, "ONE": 2}, Maybe: &five,
		Items: []inner{{Name: "test", Cfg: got.Items[0].Cfg}, {Name: "other"}},
		Deep:  map[string]sample{"x": {Text: "inside"}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(sample{})); diff != "" {
		t.Errorf("decoded sample (-want +got):\n%s", diff)
	}
	wantRaw := `{"b":12345678901234567890,"a":[null,"yes","yes"]}`
	if raw := strings.TrimLeft(string(got.Items[0].Cfg), "\n"); raw != wantRaw {
		t.Errorf("raw cfg = %s, want %s", raw, wantRaw)
	}
	if line := doc.Line("items[0].name"); line != 13 {
		t.Errorf("Line(items[0].name) = %d, want 13", line)
	}
}

func TestDecodeKeepsDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "~", "text:\n", "text: null", "flag: true", "wait: ''\nmemory: \"\""} {
		doc, err := yamlconf.Parse([]byte(text))
		if err != nil {
			t.Fatalf("Parse(%q) = %v", text, err)
		}
		s := sample{Text: "default", Wait: time.Second, Memory: 1}
		if err := doc.Decode(&s); err != nil || s.Text != "default" || s.Wait != time.Second || s.Memory != 1 {
			t.Errorf("Decode(%q) = %+v, %v, want the defaults", text, s, err)
		}
	}
}

// TestEmbeddedStructs: their keys are as the struct's own, and so are they in warnings and errors.
func TestEmbeddedStructs(t *testing.T) {
	type Folders struct {
		Images string `yaml:"images_path"`
		Size   uint8  `yaml:"size"`
	}
	type settings struct {
		First string `yaml:"first"`
		Folders
	}
	doc, err := yamlconf.Parse([]byte("IMAGES_PATH: /i\nother: 1\nsize: 3\n"))
	s := settings{First: "default"}
	if err == nil {
		err = doc.Decode(&s)
	}
	if diff := cmp.Diff(settings{"default", Folders{"/i", 3}}, s); err != nil || diff != "" {
		t.Errorf("Decode = %v (-want +got):\n%s", err, diff)
	}
	if w := doc.Warnings(); len(w) != 1 || !strings.Contains(w[0].Text, "first, images_path, size") {
		t.Errorf("warnings = %v, want the other key, and all that are known", w)
	}
	if doc.Line("images_path") != 1 {
		t.Errorf("Line(images_path) = %d, want 1", doc.Line("images_path"))
	}
	doc, err = yamlconf.Parse([]byte("\nsize: many\n"))
	if err == nil {
		err = doc.Decode(&s)
	}
	if err == nil || !strings.HasPrefix(err.Error(), "line 2: size: ") {
		t.Errorf("Decode of a word = %v, want its line and key", err)
	}
}

func TestErrorsNameLineKeyAndWhatIsAllowed(t *testing.T) {
	raw, merged := "items:\n- cfg: &m0 [a]\n", "deep:\n  k0: &m0 {text: a}\n"
	for i := 1; i < 12; i++ {
		again := strings.Repeat(fmt.Sprintf("*m%d, ", i-1), 9)
		raw += fmt.Sprintf("- cfg: &m%d [%s]\n", i, again)
		merged += fmt.Sprintf("  k%d: &m%d {<<: [%s]}\n", i, i, again)
	}
	tests := []struct{ name, text, want string }{
		{"word for number", "text: a\nsmall_number: many", `line 2: small_number: got the string "many", want an integer from 0 to 65535`},
		{"too large", "small_number: 65536", `line 1: small_number: got the integer "65536", want an integer from 0 to 65535`},
		{"negative", "small_number: -1", "from 0 to 65535"},
		{"quoted number", `small_number: "5"`, `got the string "5", want an integer`},
		{"signed range", "signed: 128", "an integer from -128 to 127"},
		{"number for text", "text: 123", `line 1: text: got the integer "123", want a string (put it in quotes)`},
		{"list for text", "text: [a]", "line 1: text: got a list, want a string"},
		{"text for list", "list: a", `line 1: list: got the string "a", want a list`},
		{"text for mapping", "map: a", "want a mapping"},
		{"word for bool", "flag: maybe", `got the string "maybe", want true or false`},
		{"quoted bool", `flag: "true"`, "want true or false"},
		{"not finite", "ratio: .inf", "want a finite number"},
		{"duration", "wait: soon", "want a duration such as 30s, 10m, 2h or 7d"},
		{"duration without unit", "wait: 30", "want a duration"},
		{"mapping for duration", "wait: {}", "got a mapping, want a duration"},
		{"size", "memory: 5 apples", "want a size: digits and one of B, KB, MB"},
		{"size overflow", "memory: 16EB", "below 16EB"},
		{"list for size", "memory: []", "got a list, want one word"},
		{"key path", "items:\n  - name: a\n  - name: {}", "line 3: items[1].name: got a mapping"},
		{"twice", "text: a\nflag: true\nTEXT: b", "line 3: TEXT: given twice, first in line 1; keep one"},
		{"twice in a map", "map: {a: 1, a: 2}", "map.a: given twice"},
		{"key is a list", "[a]: b", "got a list as a key"},
		{"top is a list", "- a", "line 1: got a list, want `key: value` lines"},
		{"two documents", "text: a\n---\ntext: b", "a second document starts here"},
		{"bad second document", "text: a\n---\n\t{", "parse YAML"},
		{"tab", "text: a\n\tflag: b", "parse YAML: line "},
		{"open bracket", "list: [a\n", "parse YAML: line "},
		{"merge of text", "<<: a", "`<<` takes a mapping"},
		{"merge list of text", "<<: [a]", "`<<` takes mappings only"},
		{"alias to itself", "deep: &d {x: *d, y: {deep: *d}}", "nested deeper than"},
		{"raw alias to itself", "items: [{cfg: &d {x: *d}}]", "nested deeper than"},
		{"raw infinity", "items: [{cfg: {x: -.inf}}]", "items[0].cfg.x: got the number"},
		{"aliases of aliases", raw, "more than 100000 values"},
		{"merges of merges", merged, "more than 100000 values"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := decode(t, tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, _, err := decode(t, "text: 1\nflag: 2\nsigned: x")
	if got := strings.Count(fmt.Sprint(err), "line "); got != 3 {
		t.Errorf("error names %d lines, want 3: %v", got, err)
	}
}

func TestUnknownKeysWarn(t *testing.T) {
	s, doc, err := decode(t, "txet: a\ntext: b\nitems: [{nmae: x}]\nprivate: 7")
	if err != nil || s.private != 1 {
		t.Fatalf("Decode = %+v, %v", s, err)
	}
	var got []string
	for _, w := range doc.Warnings() {
		got = append(got, w.Error())
	}
	want := []string{
		"line 1: txet: unknown key, ignored; known here: text, flag, small_number, signed, ratio, wait, memory, list, map, maybe, items, deep",
		"line 3: items[0].nmae: unknown key, ignored; known here: name, cfg",
		"line 4: private: unknown key, ignored; known here: text, flag, small_number, signed, ratio, wait, memory, list, map, maybe, items, deep",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestMergeKeys(t *testing.T) {
	s, _, err := decode(t, `
deep:
  base: &base {text: base, signed: 1}
  more: &more {text: more, small_number: 2}
  all: {<<: [*base, *more], signed: 3}
`)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Deep["all"]; got.Text != "base" || got.Signed != 3 || got.Small != 2 {
		t.Errorf("merged = %+v, want text base, signed 3, small 2", got)
	}
}

// A driver gets its part as JSON and must be able to name the lines of the file.
func TestRawKeepsLines(t *testing.T) {
	s, _, err := decode(t, "items:\n- name: a\n  cfg:\n    # a comment\n    text: fine\n    list:\n    - a\n    signed: 300\n")
	if err != nil {
		t.Fatal(err)
	}
	var plain map[string]any
	if err := json.Unmarshal(s.Items[0].Cfg, &plain); err != nil {
		t.Fatalf("cfg is no JSON: %v", err)
	}
	_, _, err = decode(t, string(s.Items[0].Cfg))
	if want := "line 8: signed:"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error = %v, want %q in it", err, want)
	}
}

func TestProblemOfALaterCheck(t *testing.T) {
	_, doc, err := decode(t, "\n\nSMALL_number: 5")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := doc.Problem("small_number", "want at most %d", 4).Error(), "line 3: small_number: want at most 4"; got != want {
		t.Errorf("Problem = %q, want %q", got, want)
	}
	if got, want := doc.Problem("text", "missing").Error(), "text: missing"; got != want {
		t.Errorf("Problem = %q, want %q", got, want)
	}
}

func TestDecodeNeedsAStruct(t *testing.T) {
	doc, err := yamlconf.Parse([]byte("a: 1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Decode(sample{}); err == nil {
		t.Error("Decode into a value succeeded, want an error")
	}
}

func TestParseDuration(t *testing.T) {
	tests := []struct {
		in   string
		want time.Duration
	}{
		{"0", 0}, {"7d", 168 * time.Hour}, {"1d12h", 36 * time.Hour}, {"-1d12h", -36 * time.Hour}, {"1h30m", 90 * time.Minute},
	}
	for _, tt := range tests {
		if got, err := yamlconf.ParseDuration(tt.in); err != nil || got != tt.want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{"", "d", "1", "1d1", "1d-1h", "1d24h", "200000d", "-200000d", "1w", "1.5d"} {
		if got, err := yamlconf.ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", in, got)
		}
	}
}

func TestSize(t *testing.T) {
	tests := []struct {
		in   string
		want yamlconf.Size
		text string
	}{
		{"0", 0, "0"}, {"4096", 4096, "4KB"}, {"5B", 5, "5B"}, {"1kb", 1024, "1KB"}, {"512MB", 512 << 20, "512MB"},
		{"3 GB", 3 << 30, "3GB"}, {"1TB", 1 << 40, "1TB"}, {"1PB", 1 << 50, "1PB"}, {"15EB", 15 << 60, "15EB"},
	}
	for _, tt := range tests {
		var got yamlconf.Size
		if err := got.UnmarshalText([]byte(tt.in)); err != nil || got != tt.want || got.String() != tt.text {
			t.Errorf("size %q = %d (%s), %v, want %d (%s)", tt.in, got, got, err, tt.want, tt.text)
		}
	}
	for _, in := range []string{"", "MB", "-1", "1.5GB", "1XB", "16EB", "99999999999999999999"} {
		var got yamlconf.Size
		if err := got.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("size %q = %d, want an error", in, got)
		}
	}
}

func TestSizeTextReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := yamlconf.Size(rapid.Uint64().Draw(t, "bytes"))
		var got yamlconf.Size
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Fatalf("%s reads back as %d, %v, want %d", want, got, err, want)
		}
	})
}

// Whatever JSON goes in comes out the same, and nothing panics.
func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		object := rapid.MapOf(rapid.StringMatching(`[ -~äπ]{0,12}`), rapid.OneOf(
			rapid.Map(rapid.Int64(), func(i int64) any { return json.Number(fmt.Sprint(i)) }),
			rapid.Map(rapid.StringMatching(`[ -~\t\näπ😀]{0,20}`), func(s string) any { return s }),
			rapid.Map(rapid.Bool(), func(b bool) any { return b }),
			rapid.Map(rapid.SliceOfN(rapid.Float64(), 0, 3), func(f []float64) any { return f }),
		)).Draw(t, "object")
		want, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := yamlconf.Parse(want)
		if err != nil {
			t.Fatalf("Parse(%s) = %v", want, err)
		}
		got, err := doc.JSON()
		if err != nil {
			t.Fatalf("JSON of %s: %v", want, err)
		}
		var a, b any
		if json.Unmarshal(want, &a) != nil || json.Unmarshal(got, &b) != nil || !cmp.Equal(a, b) {
			t.Fatalf("JSON = %s, want %s", got, want)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("text: a\nitems: [{cfg: &a {b: *a}}]")
	f.Add("<<: {text: b}\nwait: 7d")
	f.Fuzz(func(_ *testing.T, text string) {
		doc, err := yamlconf.Parse([]byte(text))
		if err != nil {
			return
		}
		var s sample
		_ = doc.Decode(&s)
		_, _ = doc.JSON()
	})
}
