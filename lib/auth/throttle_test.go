package auth

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestFailuresElsewhereThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := New(Options{Users: &fakeUsers{}, Limits: Limits{Login: Rate{2, time.Minute}}})
		if err != nil {
			t.Fatal(err)
		}
		const here, there = "192.0.2.1:4000", "192.0.2.2:4000"
		for range 2 {
			if wait := a.Throttled(here, "eve"); wait != 0 {
				t.Fatalf("Throttled() = %v within the limit", wait)
			}
			a.Failed(here, "eve")
		}
		if wait := a.Throttled(here, "eve"); wait != time.Minute {
			t.Errorf("Throttled() = %v past the limit, want a minute", wait)
		}
		if a.Throttled(there, "eve") != 0 || a.Throttled(here, "adam") != 0 {
			t.Error("others are throttled too")
		}
		time.Sleep(time.Minute)
		if wait := a.Throttled(here, "eve"); wait != 0 {
			t.Errorf("Throttled() = %v after its time", wait)
		}
	})
}
