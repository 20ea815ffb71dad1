package logging

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestStamps: times are as time.RFC3339Nano prints them, whatever was printed
// before.
func TestStamps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s stamps
		zone := time.FixedZone("", rapid.SampledFrom([]int{0, 3600, -12600, 20700}).Draw(t, "offset"))
		nanos := rapid.OneOf(rapid.SampledFrom([]int64{0, 1, 10, 999_999_999, 500_000_000, 120_000}), rapid.Int64Range(0, 999_999_999))
		for range 20 {
			at := time.Unix(rapid.Int64Range(1_800_000_000, 1_800_000_002).Draw(t, "second"), nanos.Draw(t, "nanoseconds")).In(zone)
			if got, want := string(s.append(nil, at)), at.Format(time.RFC3339Nano); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
	})
}
