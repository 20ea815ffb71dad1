package body

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	jsonType = "application/json"
	yamlType = "application/yaml"
)

func TestNormalize(t *testing.T) {
	tests := []struct {
		name, contentType, in, want string
	}{
		{"empty without type", "", "", `{}`},
		{"blank", "text/plain", " \n", `{}`},
		{"json as it came", jsonType, `{"b": 12345678901234567890, "a":1e400}`, `{"b": 12345678901234567890, "a":1e400}`},
		{"charset", "application/json; charset=utf-8", `{}`, `{}`},
		{"upper case type", "Application/JSON", `{}`, `{}`},
		{"yaml scalars", yamlType, "a: x\nb: 1\nc: 1.50\nd: true\ne: ~\nf: '1'\ng: 2021-01-01", `{"a":"x","b":1,"c":1.50,"d":true,"e":null,"f":"1","g":"2021-01-01"}`},
		{"yaml numbers keep their text", yamlType, "a: 12345678901234567890\nb: 123456789012345678901234567890\nc: 1.10e3", `{"a":12345678901234567890,"b":123456789012345678901234567890,"c":1.10e3}`},
		{"yaml numbers of other forms", yamlType, "a: 0x1F\nb: 0o17\nc: 017\nd: +5\ne: 1_000\nf: .5\ng: -.5\nh: 1.\ni: 0b11", `{"a":31,"b":15,"c":15,"d":5,"e":1000,"f":0.5,"g":-0.5,"h":1,"i":3}`},
		{"yaml key order", yamlType, "z: 1\na: {y: 1, b: 2}", `{"z":1,"a":{"y":1,"b":2}}`},
		{"yaml keys that are no text", yamlType, "1: a\ntrue: b", `{"1":"a","true":"b"}`},
		{"yaml list", yamlType, "a:\n  - 1\n  - [x, y]", `{"a":[1,["x","y"]]}`},
		{"yaml alias", yamlType, "a: &x {k: 1}\nb: *x", `{"a":{"k":1},"b":{"k":1}}`},
		{"yaml merge", yamlType, "a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}", `{"a":{"k":1,"l":2},"b":{"k":1,"l":3}}`},
		{"yaml merge of several", yamlType, "a: &x {k: 1}\nb: &y {k: 2, m: 3}\nc: {<<: [*x, *y]}", `{"a":{"k":1},"b":{"k":2,"m":3},"c":{"k":1,"m":3}}`},
		{"yaml block text", yamlType, "a: |\n  x\n  <y>\n", `{"a":"x\n\u003cy\u003e\n"}`},
		{"yaml comment only", yamlType, "# nothing\n", `{}`},
		{"yaml null", yamlType, "null", `{}`},
		{"json is yaml", yamlType, `{"a": [1, "b"]}`, `{"a":[1,"b"]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Normalize(tt.contentType, []byte(tt.in))
			if err != nil {
				t.Fatalf("Normalize(%q) error: %v", tt.in, err)
			}
			if string(got) != tt.want {
				t.Errorf("Normalize(%q) = %s, want %s", tt.in, got, tt.want)
			}
		})
	}
}

func TestNormalizeRefuses(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		p := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+p+",", 9) + "*" + p + "]\n"
	}
	merges := "a: &a {k: 1}\n"
	for c := 'b'; c < 'z'; c++ {
		p := string(c - 1)
		merges += string(c) + ": &" + string(c) + " {<<: [" + strings.Repeat("*"+p+",", 9) + "*" + p + "]}\n"
	}
	tests := []struct {
		name, contentType, in, want string
	}{
		{"no type", "", `{}`, "code=415"},
		{"other type", "text/plain", `{}`, "code=415"},
		{"syntax", jsonType, `{"a":}`, "at byte 6"},
		{"cut off", jsonType, `{"a":[1`, "not valid JSON"},
		{"two values", jsonType, `{} {}`, "not valid JSON"},
		{"array", jsonType, `[]`, "must be an object"},
		{"null", jsonType, `null`, "must be an object"},
		{"text", jsonType, `"x"`, "must be an object"},
		{"bad UTF-8", jsonType, "{\"a\":\"\xff\"}", "UTF-8"},
		{"key twice", jsonType, `{"a":{"b":1,"b":2}}`, `key "b" twice`},
		{"deep array", jsonType, `{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, "nested deeper"},
		{"very deep array", jsonType, `{"a":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `}`, "max depth"},
		{"deep object", jsonType, strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200), "nested deeper"},
		{"yaml syntax", yamlType, "a: [1", "not valid YAML"},
		{"yaml tab", yamlType, "a:\n\t- 1", "not valid YAML"},
		{"yaml bad UTF-8", yamlType, "a: \xff", "UTF-8"},
		{"yaml two documents", yamlType, "a: 1\n---\nb: 2", "more than one"},
		{"yaml text", yamlType, "just text", "must be an object"},
		{"yaml list", yamlType, "- 1", "must be an object"},
		{"yaml inf", yamlType, "a: .inf", "line 1: \".inf\" is no number"},
		{"yaml nan", yamlType, "b: 1\na: .NaN", "line 2"},
		{"yaml key twice", yamlType, "a: 1\na: 2", `line 2: the key "a"`},
		{"yaml complex key", yamlType, "? [a]\n: 1", "simple value"},
		{"yaml tag", yamlType, "a: !custom x", "tag !custom"},
		{"yaml binary", yamlType, "a: !!binary aGk=", "tag !!binary"},
		{"yaml merge of text", yamlType, "a: {<<: x}", "<< takes"},
		{"yaml merge loop", yamlType, "a: &a\n  <<: *a", ""},
		{"yaml loop", yamlType, "a: &a [*a]", ""},
		{"yaml deep", yamlType, "a: " + strings.Repeat("[", 300) + strings.Repeat("]", 300), "nested deeper"},
		{"yaml bomb", yamlType, bomb, "too large"},
		{"yaml merge bomb", yamlType, merges, "too large"},
		{"yaml long alias", yamlType, "a: &a " + strings.Repeat("x", 30000) + "\nb: [" + strings.Repeat("*a,", 5000) + "]", "too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Normalize(tt.contentType, []byte(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Normalize() = %.80s, %v, want an error with %q", got, err, tt.want)
			}
		})
	}
}

func TestNormalizeMediaType(t *testing.T) {
	if _, err := Normalize("application/xml", []byte("<a/>")); !errors.Is(err, ErrMediaType) {
		t.Errorf("Normalize() error = %v, want ErrMediaType", err)
	}
}

// FuzzNormalize checks that whatever comes out is one bounded JSON object, and
// that JSON comes out as it went in.
func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[1,{"b":null}]}`, "a: &x {k: 1}\nb: {<<: *x}", "? x\n: - y", "a: 0x1f\nb: .5\nc: |\n t", "<<: 1", "a: !!int x", "&a a: *a"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, in string, yaml bool) {
		contentType := jsonType
		if yaml {
			contentType = yamlType
		}
		out, err := Normalize(contentType, []byte(in))
		if err != nil {
			return
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(out, &object); err != nil || !utf8.Valid(out) {
			t.Fatalf("Normalize(%q) = %q, which is no JSON object: %v", in, out, err)
		}
		if len(out) > maxOutput+2*MaxSize {
			t.Fatalf("Normalize(%q) is %d bytes long", in, len(out))
		}
		if !yaml && strings.TrimSpace(in) != "" && string(out) != in {
			t.Fatalf("Normalize(%q) = %q, want it unchanged", in, out)
		}
	})
}
