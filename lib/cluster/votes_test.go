package cluster

import (
	"testing"

	"pgregory.net/rapid"
)

// TestWindow: each number is fresh once, in whatever order they come, unless
// it is more than 63 behind.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		seen, top := map[uint64]bool{}, uint64(0)
		for range rapid.IntRange(1, 200).Draw(t, "batches") {
			seq := top + rapid.Uint64Range(0, 100).Draw(t, "step") - min(top, rapid.Uint64Range(0, 90).Draw(t, "back"))
			seq = max(seq, 1)
			top = max(top, seq)
			want := !seen[seq] && top-seq < 64
			if got := w.fresh(seq); got != want {
				t.Fatalf("fresh(%d) = %v with the highest %d, want %v", seq, got, top, want)
			}
			seen[seq] = true
		}
	})
}
