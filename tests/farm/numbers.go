package farm

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Latencies are measured times, in no order.
type Latencies []time.Duration

// At is the time within which that share was done: At(0.99) is p99. 0 where
// nothing was measured.
func (l Latencies) At(share float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(l))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

func (l Latencies) String() string {
	return fmt.Sprintf("p50 %v p99 %v max %v", l.At(0.5).Round(time.Millisecond), l.At(0.99).Round(time.Millisecond), l.At(1).Round(time.Millisecond))
}

// Series is one figure over time, evenly sampled.
type Series []int64

// Flat says what is wrong with a series that ought to stay: the median of its
// last third is compared with that of the third before. It may be larger by
// slack (0.1 is a tenth), or by the floor, whichever is more.
func (s Series) Flat(slack float64, floor int64) error {
	const least = 9
	if len(s) < least {
		return fmt.Errorf("%d samples, want %d or more to tell", len(s), least)
	}
	third := len(s) / 3
	before, after := median(s[third:2*third]), median(s[2*third:])
	if after == 0 {
		return errors.New("nothing was measured")
	}
	if grown := after - before; grown > max(floor, int64(slack*float64(before))) {
		return fmt.Errorf("grows: %d, then %d", before, after)
	}
	return nil
}

// thirds are the medians of the three parts of the time, of bytes in MB.
func (s Series) thirds() [3]int64 {
	var medians [3]int64
	for i := range medians {
		if part := s[len(s)*i/3 : len(s)*(i+1)/3]; len(part) > 0 {
			medians[i] = median(part) >> 20
		}
	}
	return medians
}

func median(s Series) int64 {
	sorted := slices.Sorted(slices.Values(s))
	return sorted[len(sorted)/2]
}
