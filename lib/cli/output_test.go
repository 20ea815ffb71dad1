package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
	"pgregory.net/rapid"
)

func TestAge(t *testing.T) {
	for _, tt := range []struct {
		ago  time.Duration
		want string
	}{
		{-time.Hour, "0s"}, {0, "0s"}, {119 * time.Second, "119s"}, {2*time.Minute + 5*time.Second, "2m5s"},
		{90 * time.Minute, "90m"}, {3*time.Hour + 10*time.Minute, "3h10m"}, {30 * time.Hour, "30h"}, {49 * time.Hour, "2d"},
	} {
		if got := age(testNow(), testNow().Add(-tt.ago)); got != tt.want {
			t.Errorf("age of %v = %q, want %q", tt.ago, got, tt.want)
		}
	}
	if got := age(testNow(), time.Time{}); got != "-" {
		t.Errorf("age of no time = %q, want -", got)
	}
}

func TestWriteTable(t *testing.T) {
	var b bytes.Buffer
	writeTable(&b, []string{"NAME", "X", "LAST"}, [][]string{{"a", "12345", "x"}, {"żółć-long", "", "two\nlines\x1b[31m"}})
	want := "NAME       X      LAST\na          12345  x\nżółć-long  -      two lines?[31m\n"
	if got := b.String(); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
}

func TestCellWidth(t *testing.T) {
	for text, want := range map[string]int{"": 0, "linux": 5, "żółć": 4, "日本語": 6, "ｗｉｄｅ": 8, "e\u0301": 1, "…": 1} {
		if got := cellWidth(text); got != want {
			t.Errorf("cellWidth(%q) = %d, want %d", text, got, want)
		}
	}
}

// What -o yaml shows is what -o json does, key by key, whatever strings and numbers are in it.
func TestYAMLIsTheSameAsJSON(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`[ -~\n\tżé☃😀]{0,12}`)
		word := rapid.OneOf(text, rapid.SampledFrom([]string{"true", "null", "12", "1e3", "0x1f", "~", "- a", "a: b", "2026-11-22", "", " ", "#", "<<", "no", "'", "\"", "|"}))
		value := map[string]any{}
		for range rapid.IntRange(0, 5).Draw(rt, "keys") {
			value[word.Draw(rt, "key")] = rapid.OneOf(
				rapid.Map(word, func(s string) any { return s }), rapid.Map(rapid.Float64Range(-1e9, 1e9), func(f float64) any { return f }),
				rapid.Just[any](nil), rapid.Just[any](true), rapid.Just[any]([]any{}), rapid.Just[any]([]any{"x", map[string]any{}}),
			).Draw(rt, "value")
		}
		var b bytes.Buffer
		if err := writeYAML(&b, value); err != nil {
			rt.Fatal(err)
		}
		var back any
		if err := yaml.Unmarshal(b.Bytes(), &back); err != nil {
			rt.Fatalf("%v in %q", err, b.String())
		}
		want, got := normal(rt, value), normal(rt, back)
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("from %q (-want +got):\n%s", b.String(), diff)
		}
	})
}

// normal is a value as JSON has it.
func normal(t *rapid.T, v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestYAMLKeepsOrderAndNumbers(t *testing.T) {
	var b bytes.Buffer
	raw := json.RawMessage(`{"z":12345678901234567890,"a":1.50,"m":{"list":[1,"1",{}],"e":1e3}}`)
	if err := writeYAML(&b, raw); err != nil {
		t.Fatal(err)
	}
	want := "z: 12345678901234567890\na: 1.50\nm:\n  list:\n    - 1\n    - \"1\"\n    - {}\n  e: 1e3\n"
	if got := b.String(); got != want {
		t.Errorf("yaml = %q, want %q", got, want)
	}
}

func TestFirstLine(t *testing.T) {
	if got := firstLine("\n one \ntwo"); got != "one " {
		t.Errorf("firstLine = %q", got)
	}
	if got := firstLine(strings.Repeat("ż", 1000)); len([]rune(got)) != 203 {
		t.Errorf("a long line has %d runes", len([]rune(got)))
	}
}
