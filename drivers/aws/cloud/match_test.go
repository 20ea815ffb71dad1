package cloud

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, value string
		want           bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "", false},
		{"mac2.metal", "mac2.metal", true}, {"mac2.metal", "mac2-metal", false},
		{"mac*", "mac2.metal", true}, {"*.metal", "mac2.metal", true}, {"*.metal", "mac2.metal.x", false},
		{"m?c*metal", "mac2.metal", true}, {"m?c", "mc", false},
		{`a\*b`, "a*b", true}, {`a\*b`, "axb", false}, {`a\?`, "ab", false},
		{"*a*b*", "xaxbx", true}, {"*a*b*", "xbxax", false}, {"**", "", true},
		{"Grün-?", "Grün-ß", true},
	} {
		if got := Match(tt.pattern, tt.value); got != tt.want {
			t.Errorf("Match(%q, %q) = %v, want %v", tt.pattern, tt.value, got, tt.want)
		}
	}
}

// TestMatchIsLikeRegexp holds Match against another way to say the same.
func TestMatchIsLikeRegexp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*?]{0,8}`).Draw(t, "pattern")
		value := rapid.StringMatching(`[ab]{0,10}`).Draw(t, "value")
		expr := "^" + strings.NewReplacer("*", ".*", "?", ".").Replace(pattern) + "$"
		if got, want := Match(pattern, value), regexp.MustCompile(expr).MatchString(value); got != want {
			t.Fatalf("Match(%q, %q) = %v, want %v", pattern, value, got, want)
		}
	})
}
