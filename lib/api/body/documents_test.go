package body

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDocuments(t *testing.T) {
	const yml, jsn = "application/yaml", "application/json"
	for _, tt := range []struct {
		name, kind, raw string
		want            []string
		err             string
	}{
		{"nothing", yml, "", nil, ""},
		{"empty documents", yml, "---\n---\n# no more\n", nil, ""},
		{"several", yml, "a: 1.10\n---\nb: [x]\n", []string{`{"a":1.10}`, `{"b":["x"]}`}, ""},
		{"a list", yml, "- {a: 1}\n- {a: 2}\n", []string{`{"a":1}`, `{"a":2}`}, ""},
		{"values", jsn, "{\"z\":1e3,\"a\":2}\n[{\"b\":1},{}]", []string{`{"z":1e3,"a":2}`, `{"b":1}`, `{}`}, ""},
		{"no object", yml, "hello", nil, "object 1 must be an object"},
		{"a list of lists", jsn, `[[{}]]`, nil, "object 1 must be an object"},
		{"a key twice", yml, "a: 1\n---\nb: 1\nb: 2\n", nil, `line 4: the key "b" is there twice`},
		{"a key twice in JSON", jsn, `{"b":1,"b":2}`, nil, `object 1 has the key "b" twice`},
		{"broken YAML", yml, "a: [\n", nil, "is not valid YAML"},
		{"broken JSON", jsn, `{"a":`, nil, "is not valid JSON at byte"},
		{"no UTF-8", yml, "a: \xff", nil, "UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			values, err := Documents(tt.kind, []byte(tt.raw))
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("Documents() error %v, want %q", err, tt.err)
			}
			var got []string
			for _, v := range values {
				got = append(got, string(v))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Documents() (-want +got):\n%s", diff)
			}
		})
	}
}
