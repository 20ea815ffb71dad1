package hostfacts

import (
	"math"
	"testing"
)

func TestPercent(t *testing.T) {
	for x, want := range map[float64]uint8{0: 0, -3: 0, 0.4: 0, 49.6: 50, 100: 100, 730: 100, math.Inf(1): 100} {
		if got := percent(x); got != want {
			t.Errorf("percent(%v) = %d, want %d", x, got, want)
		}
	}
	if got := percent(math.NaN()); got != 0 {
		t.Errorf("percent(NaN) = %d, want 0", got)
	}
}

func TestMeasure(t *testing.T) {
	got := Measure(t.Context(), t.TempDir())
	if got.Memory == 0 || got.Memory > 100 || got.Disk > 100 || got.CPU > 100 {
		t.Errorf("load = %+v, want percents, and some memory in use", got)
	}
}
