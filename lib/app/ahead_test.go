package app

import (
	"net/http"
	"net/http/httptest"
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

// TestTimeOfDay: what one member answers another one reads.
func TestTimeOfDay(t *testing.T) {
	m, answer := storedOnly(t), httptest.NewRecorder()
	before := time.Now()
	m.serveMembers(http.NotFoundHandler(), nil).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, timePath, nil))
	got, err := readTime(answer.Body.Bytes())
	if answer.Code != http.StatusOK || err != nil || got.Before(before.Round(0)) || got.After(time.Now()) {
		t.Errorf("time of day is %v, %v, status %d, want now", got, err, answer.Code)
	}
	if _, err := readTime([]byte("not found")); err == nil {
		t.Error("readTime reads what is no time")
	}
}
