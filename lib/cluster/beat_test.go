package cluster

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

func TestBeat(t *testing.T) {
	for votes, want := range map[int]time.Duration{0: castLeast, 1: castLeast, 4: 20 * time.Millisecond, 20: castBeat, 5000: castBeat} {
		if got := beat(votes); got != want {
			t.Errorf("after %d votes the pause is %v, want %v", votes, got, want)
		}
	}
	batches := []wire.Votes{{Votes: make([]wire.Vote, 3)}, {}, {Votes: make([]wire.Vote, 4)}}
	if got := voices(batches); got != 7 {
		t.Errorf("voices = %d, want 7", got)
	}
}
