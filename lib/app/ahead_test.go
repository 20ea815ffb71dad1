package app

import (
	"strings"
	"testing"
	"time"
)

func TestOutOfTime(t *testing.T) {
	for _, tt := range []struct {
		name         string
		held, linked bool
		want         bool
	}{
		{"in time", false, true, false},
		{"alone", true, false, false}, // or the clock is behind until it is set, when nobody takes a link either
		{"held back", true, true, true},
	} {
		err := outOfTime(26*time.Hour, tt.held, func() bool { return tt.linked })
		if (err != nil) != tt.want || err != nil && !strings.Contains(err.Error(), "26h0m0s ahead") {
			t.Errorf("%s: %v, want an error: %v", tt.name, err, tt.want)
		}
	}
}
