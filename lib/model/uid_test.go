package model

import (
	"testing"
	"time"
)

// TestUIDsAfterClockStep: while the wall clock is behind a reading that was wrong, each UID has a millisecond of its own.
// In one and the same, 32 random bits alone would tell them apart: of a million some hundred pairs are alike.
func TestUIDsAfterClockStep(t *testing.T) {
	src := NewUIDSource(UID{9})
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	last := src.New(now.Add(time.Hour))
	for i := range 1000 {
		u := src.New(now.Add(time.Duration(i) * 20 * time.Millisecond))
		if string(u[:12]) <= string(last[:12]) { // all but the random part
			t.Fatalf("UID %d is %s, want a later time than in %s", i, u, last)
		}
		last = u
	}
	later := now.Add(2 * time.Hour)
	if got, want := src.New(later), NewUIDSource(UID{9}).New(later); string(got[:12]) != string(want[:12]) {
		t.Errorf("once the clock is past what was wrong a UID is %s, want the time of %s", got, want)
	}
}
