package labelfile

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

const plain = `name: linux
definitions:
- driver: native
  options: {z: 1.10, a: {y: [12345678901234567890, 1e3], b: "<x>"}}
  resources: {cpu: 2, ram: 4}
metadata: {B: 1, A: 2}
`

// one parses a file of one label.
func one(t testing.TB, text string) Label {
	t.Helper()
	labels, err := Parse("f.yaml", []byte(text))
	if err != nil || len(labels) != 1 {
		t.Fatalf("Parse(%q) = %d labels, %v, want one", text, len(labels), err)
	}
	return labels[0]
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, file, text, want string }{
		{"nothing", "f.yaml", "# none\n", "f.yaml holds no label"},
		{"no name", "f.yaml", "version: 1", "f.yaml: name can't be empty"},
		{"a misspelt field", "f.yaml", "name: x\ndefinition: []", `unknown field "definition"`},
		{"a misspelt field deep", "f.yaml", "name: x\ndefinitions: [{driver: d, resources: {cpu: 1, ram: 1, node_filters: []}}]", `unknown field "node_filters"`},
		{"the second of two", "f.yaml", "name: x\n---\nname: [x]", "f.yaml, label 2: name can't be a JSON array"},
		{"a negative size", "f.json", `{"name":"x","definitions":[{"driver":"d","resources":{"cpu":-1}}]}`, "cpu can't be a JSON number -1"},
		{"broken", "f.json", `{"name":`, "f.json is not valid JSON"},
		{"YAML in a file of JSON", "f.json", "name: x", "f.json is not valid JSON"},
	} {
		if _, err := Parse(tt.file, []byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Parse() error %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestParseTakesWhatTheAPIShows(t *testing.T) {
	labels, err := Parse("-", []byte(`[{"UID":"6f1ab1a8-2ce3-4e5d-a6a8-5d4b6a2d0c11","created_at":"2026-05-01T12:00:00Z",`+
		`"definitions":[],"metadata":{},"name":"a","version":3},{"name":"b"}]`))
	if err != nil || len(labels) != 2 || labels[0].Ref() != "a:3" || labels[1].Ref() != "b" {
		t.Errorf("Parse() = %+v, %v", labels, err)
	}
}

func TestSame(t *testing.T) {
	base := one(t, plain)
	for _, tt := range []struct {
		name, text string
		want       bool
	}{
		{"itself", plain, true},
		{"another order of keys", "metadata: {A: 2, B: 1}\nname: linux\nversion: 7\ndefinitions:\n- options: {a: {b: '<x>', y: [12345678901234567890, 1e3]}, z: 1.10}\n" +
			"  resources: {ram: 4, cpu: 2}\n  driver: native\n", true},
		{"defaults written out", strings.Replace(plain, "ram: 4", "ram: 4, disks: {}, node_filter: [], lifetime: '', multitenancy: false, network: ''", 1), true},
		{"another text of a number", strings.Replace(plain, "1.10", "1.1", 1), false},
		{"another digit far behind", strings.Replace(plain, "67890", "67891", 1), false},
		{"a number as text", strings.Replace(plain, "B: 1", "B: '1'", 1), false},
		{"another order of a list", strings.Replace(plain, "[12345678901234567890, 1e3]", "[1e3, 12345678901234567890]", 1), false},
		{"another cpu", strings.Replace(plain, "cpu: 2", "cpu: 3", 1), false},
		{"a filter", strings.Replace(plain, "ram: 4", "ram: 4, node_filter: [gpu]", 1), false},
		{"a login", strings.Replace(plain, "  resources", "  authentication: {}\n  resources", 1), false},
		{"another name", strings.Replace(plain, "linux", "linux2", 1), false},
		{"no metadata", strings.Replace(plain, "{B: 1, A: 2}", "{}", 1), false},
	} {
		if got := Same(base, one(t, tt.text)); got != tt.want {
			t.Errorf("%s: Same() = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestRequestKeepsWhatTheFileSays(t *testing.T) {
	r, err := one(t, plain).Request(4)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(r)
	want := `{"definitions":[{"driver":"native","options":{"z":1.10,"a":{"y":[12345678901234567890,1e3],"b":"\u003cx\u003e"}},` +
		`"resources":{"cpu":2,`
	if !strings.HasPrefix(string(got), want) || !strings.HasSuffix(string(got), `"metadata":{"B":1,"A":2},"name":"linux","version":4}`) {
		t.Errorf("Request() = %s", got)
	}
}

func TestPlan(t *testing.T) {
	at := func(version int, cpu string) Label {
		l := one(t, strings.Replace(plain, "cpu: 2", "cpu: "+cpu, 1))
		if version >= 0 {
			l.Version = &version
		}
		return l
	}
	existing := []Label{at(1, "1"), at(7, "2"), at(3, "3")}
	other := one(t, "name: mac\n")
	for _, tt := range []struct {
		name   string
		wanted []Label
		want   []Step // without the labels
		err    string
	}{
		{"as the newest", []Label{at(-1, "2")}, []Step{{Version: 7}}, ""},
		{"as an older one", []Label{at(-1, "1")}, []Step{{Version: 8, Create: true}}, ""},
		{"a new name", []Label{other}, []Step{{Version: 1, Create: true}}, ""},
		{"a version that is there", []Label{at(3, "3")}, []Step{{Version: 3}}, ""},
		{"a version that is other", []Label{at(3, "2")}, nil, "there is another linux:3, and labels never change"},
		{"a version that is not there", []Label{at(2, "2")}, []Step{{Version: 2, Create: true}}, ""},
		{"versions after another", []Label{at(8, "4"), at(-1, "5")}, []Step{{Version: 8, Create: true}, {Version: 9, Create: true}}, ""},
		{"twice", []Label{at(-1, "4"), at(-1, "5")}, nil, "label linux is in f.yaml too"},
		{"both errors", []Label{at(3, "2"), at(3, "2")}, nil, "label linux:3 is in f.yaml too"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			steps, err := Plan(tt.wanted, existing)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("Plan() error %v, want %q", err, tt.err)
				}
				return
			}
			for i := range steps {
				steps[i].Label = Label{}
			}
			if diff := cmp.Diff(tt.want, steps); err != nil || diff != "" {
				t.Errorf("Plan() error %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestAppliedIsUnchanged draws labels, applies them to what is there, and then
// once more: the second time there is nothing to do.
func TestAppliedIsUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var existing, wanted []Label
		draw := func(what string) Label {
			v := rapid.IntRange(0, 4).Draw(t, "version")
			return Label{Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, what), Version: &v, Source: what,
				Definitions: []apiv1.LabelDefinition{{Driver: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "driver")}}}
		}
		for range rapid.IntRange(0, 4).Draw(t, "there") {
			l := draw("there")
			if steps, err := Plan([]Label{l}, existing); err == nil && steps[0].Create {
				existing = append(existing, l)
			}
		}
		for range rapid.IntRange(0, 4).Draw(t, "files") {
			l := draw("file")
			if rapid.Bool().Draw(t, "no version") {
				l.Version = nil
			}
			wanted = append(wanted, l)
		}
		steps, err := Plan(wanted, existing)
		if err != nil {
			t.Skip("refused")
		}
		for _, s := range steps {
			if s.Create {
				l := s.Label
				l.Version = &s.Version
				existing = append(existing, l)
			}
		}
		for i, l := range wanted {
			if l.Version == nil && i < len(wanted)-1 {
				t.Skip("a later file may make a newer one")
			}
		}
		again, err := Plan(wanted, existing)
		if err != nil {
			t.Fatalf("the second time: %v", err)
		}
		for _, s := range again {
			if s.Create {
				t.Fatalf("the second time %+v is created", s)
			}
		}
	})
}

func TestFileNames(t *testing.T) {
	long := strings.Repeat("ä", 150)
	got := FileNames([]string{"linux", "Linux", "a/b", "..", "x y", "CON:1", long, "linux"})
	seen := map[string]bool{}
	for name, file := range got {
		if strings.ContainsAny(file, `/\: *?"<>|`) || strings.HasPrefix(file, ".") || len(file) > 255 || seen[strings.ToLower(file)] {
			t.Errorf("file of %q is %q", name, file)
		}
		seen[strings.ToLower(file)] = true
	}
	if got["linux"] != "linux.yaml" || got["a/b"] != "a%2Fb.yaml" || len(got) != 7 {
		t.Errorf("FileNames() = %v", got)
	}
}
