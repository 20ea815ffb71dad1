package aws

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

// TestForms: the forms are those of these expressions.
func TestForms(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		is   form
		want string
	}{
		"token": {isToken, `^[0-9a-f]{32}$`}, "text": {anyText, `^[^\x00-\x1f\x7f]{1,255}$`}, "id": {isID, `^[a-z]+-[0-9a-f]{8,17}$`},
		"zone": {zoneName, `^[a-z]{2,10}(-[a-z0-9]+)+$`}, "type": {typeName, `^[a-z0-9-]+\.[a-z0-9-]+$`},
		"image": {imageName, `^[A-Za-z0-9()\[\] ./'@_-]{3,100}$`}, "key": {keyName, `^[A-Za-z0-9:/_-]+$`},
		"profile": {profileName, `^[\w+=,.@:/-]+$`}, "pool": {poolName, `^[A-Za-z0-9_.-]+$`},
	} {
		want := regexp.MustCompile(tt.want)
		inner := tt.want[1 : len(tt.want)-1]
		rapid.Check(t, func(rt *rapid.T) {
			s := rapid.OneOf(rapid.StringMatching(inner), rapid.Custom(func(rt *rapid.T) string { // nearly so
				r := []rune(rapid.StringMatching(inner).Draw(rt, "good"))
				i := rapid.IntRange(0, len(r)).Draw(rt, "at")
				cut := rapid.IntRange(i, min(i+2, len(r))).Draw(rt, "to")
				return string(r[:i]) + rapid.SampledFrom([]string{"", "-", ".", "A", "g", "é", "\n", "\x7f", "/", "aa"}).Draw(rt, "odd") + string(r[cut:])
			}), rapid.String()).Draw(rt, "text")
			if got := tt.is(s); got != want.MatchString(s) {
				rt.Errorf("as a %s %q is %v", name, s, got)
			}
		})
	}
}
