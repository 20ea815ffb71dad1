package aws

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
)

func render(t testing.TB, format metadata.Format, prefix string, all, label string) (string, *lines) {
	t.Helper()
	log := &lines{}
	text, err := renderUserdata(options{userdataFormat: format, userdataPrefix: prefix}, json.RawMessage(all), json.RawMessage(label),
		slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatalf("renderUserdata: %v", err)
	}
	return string(text), log
}

func TestUserdata(t *testing.T) {
	const all = `{"B": "it's", "A": {"x": 12345678901234567890}, "PATH": "/evil", "a-b": "one", "ab": "two"}`
	for _, tt := range []struct {
		name, prefix, want string
		format             metadata.Format
		dropped            []string
	}{
		{name: "none"},
		{name: "env", format: metadata.Env, want: "A_x=12345678901234567890\nB='it'\"'\"'s'\nab=one\n", dropped: []string{"key=PATH", "key=ab"}},
		{name: "env with prefix", format: metadata.Env, prefix: "data",
			want: "data_A_x=12345678901234567890\ndata_B='it'\"'\"'s'\ndata_PATH=/evil\ndata_ab=one\n", dropped: []string{"key=data.ab"}},
		{name: "ps1", format: metadata.PowerShell, want: "$A_x='12345678901234567890'\n$B='it''s'\n$ab='one'\n", dropped: []string{"key=PATH", "key=ab"}},
		{name: "json", format: metadata.JSON, want: `{"B":"it's","A":{"x":12345678901234567890},"PATH":"/evil","a-b":"one","ab":"two"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, log := render(t, tt.format, tt.prefix, all, `{}`)
			if got != tt.want {
				t.Errorf("userdata is %q, want %q", got, tt.want)
			}
			for _, key := range tt.dropped {
				if !strings.Contains(log.String(), key) {
					t.Errorf("the log does not tell of %s: %s", key, log)
				}
			}
			if n := strings.Count(log.String(), "left out"); n != len(tt.dropped) {
				t.Errorf("%d keys are told to be left out, want %d: %s", n, len(tt.dropped), log)
			}
			if strings.Contains(log.String(), "/evil") || strings.Contains(log.String(), "two") {
				t.Errorf("the log tells values: %s", log)
			}
		})
	}
}

// TestUserdataOfALabelMaySetProtectedNames: the label's own may.
func TestUserdataOfALabelMaySetProtectedNames(t *testing.T) {
	if got, _ := render(t, metadata.Env, "", `{"PATH": "/opt"}`, `{"PATH": "/opt"}`); got != "PATH=/opt\n" {
		t.Errorf("userdata is %q", got)
	}
}

// TestUserdataHasABound: EC2's, in bytes, and the error shows none of them.
func TestUserdataHasABound(t *testing.T) {
	size := func(n int) error {
		value := strings.Repeat("x", n-len("A=\n"))
		_, err := renderUserdata(options{userdataFormat: metadata.Env}, json.RawMessage(fmt.Sprintf(`{"A": %q}`, value)), nil, slog.New(slog.DiscardHandler))
		return err
	}
	if err := size(mostUserdata); err != nil {
		t.Errorf("userdata of %d bytes: %v", mostUserdata, err)
	}
	err := size(mostUserdata + 1)
	if err == nil || !strings.Contains(err.Error(), "16385 bytes") || strings.Contains(err.Error(), "xxx") || transient(err) {
		t.Errorf("userdata of a byte more: %v, want an error for good that names both sizes", err)
	}
}

// values are what users put into metadata, and what breaks shells.
func values() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"", " ", "it's", `a"b`, "$(id)", "`id`", "a\nb", "\\", "‘’", "a;b", "--", "#", "%PATH%", "$env:X", "\t", "é", "'; exit 1 #",
	}), rapid.StringOf(rapid.SampledFrom([]rune("'‘’‚‛\"“”$`\\\n\r;# {}()x=é𝄞")))).
		Filter(func(s string) bool { return !strings.ContainsRune(s, 0) })
}

// TestUserdataThroughAShell: what a real sh makes of it is what was given.
func TestUserdataThroughAShell(t *testing.T) {
	t.Parallel()
	roundTrip(t, metadata.Env, func(text string, names []string) (map[string]string, error) {
		for _, name := range names {
			text += fmt.Sprintf("printf '%%s\\000' \"$%s\"\n", name)
		}
		cmd := exec.Command("sh", "-s")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.Output()
		printed := strings.Split(string(out), "\x00")
		if err != nil || len(printed) != len(names)+1 {
			return nil, fmt.Errorf("sh printed %d values: %w", len(printed)-1, err)
		}
		got := map[string]string{}
		for i, name := range names {
			got[name] = printed[i]
		}
		return got, nil
	})
}

// TestUserdataThroughPowerShell: what PowerShell makes of it, by its language's
// grammar, is what was given. PowerShell itself is not to be had wherever tests run.
func TestUserdataThroughPowerShell(t *testing.T) {
	t.Parallel()
	roundTrip(t, metadata.PowerShell, func(text string, _ []string) (map[string]string, error) { return readPowerShell(text) })
}

// roundTrip has variables read of userdata, and compares them with what was given.
func roundTrip(t *testing.T, format metadata.Format, read func(text string, names []string) (map[string]string, error)) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		given := rapid.MapOfN(rapid.StringMatching(`[A-Z][A-Z0-9_]{0,8}X`), values(), 1, 8).Draw(rt, "metadata")
		all, err := json.Marshal(given)
		if err != nil {
			rt.Fatal(err)
		}
		want := map[string]string{}
		for name, value := range given {
			want["data_"+name] = strings.ToValidUTF8(value, "\uFFFD")
		}
		text, _ := render(t, format, "data", string(all), `{}`)
		got, err := read(text, slices.Sorted(maps.Keys(want)))
		if err != nil {
			rt.Fatalf("%v of\n%s", err, text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("variables (-want +got):\n%s\nof\n%s", diff, text)
		}
	})
}

// TestUserdataIsByteStable: the order in which keys come, which maps choose, is
// not to be seen, as a repeated request must be the same byte by byte.
func TestUserdataIsByteStable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z.-]{1,6}`), 1, 8, func(s string) string { return s }).Draw(rt, "keys")
		write := func(keys []string) string {
			var parts []string
			for _, k := range keys {
				parts = append(parts, fmt.Sprintf("%q: %q", k, k))
			}
			return "{" + strings.Join(parts, ",") + "}"
		}
		for _, format := range []metadata.Format{metadata.Env, metadata.PowerShell} {
			first, _ := render(t, format, "p", write(keys), `{}`)
			shuffled, _ := render(t, format, "p", write(rapid.Permutation(keys).Draw(rt, "order")), `{}`)
			if first != shuffled {
				rt.Fatalf("%q and %q", first, shuffled)
			}
		}
	})
}
