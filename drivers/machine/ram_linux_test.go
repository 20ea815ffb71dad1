package machine

import (
	"strings"
	"testing"
)

func TestParseMeminfo(t *testing.T) {
	got, err := parseMeminfo(strings.NewReader("MemFree: 1 kB\nMemTotal:       16384256 kB\n"))
	if err != nil || got != 16384256<<10 {
		t.Errorf("parseMeminfo() = %d, %v", got, err)
	}
	for _, text := range []string{"", "MemTotal: lots kB\n"} {
		if got, err := parseMeminfo(strings.NewReader(text)); err == nil {
			t.Errorf("parseMeminfo(%q) = %d, want an error", text, got)
		}
	}
}
