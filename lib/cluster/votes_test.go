package cluster

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
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

// TestTakeVotes: at once, then gathered, in messages that a neighbour takes.
func TestTakeVotes(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	n := &neighbour{}
	for i := range 30 {
		n.votes = append(n.votes, wire.Votes{Node: model.UID{1}, Seq: uint64(i), Votes: make([]wire.Vote, castMost)})
	}
	messages, due := n.takeVotes(now)
	total := 0
	var votes wire.Unpacker
	for _, m := range messages {
		if _, err := wire.Encode(m); err != nil {
			t.Error(err)
		}
		batches, err := votes.Unpack(m.(wire.Ballots))
		if err != nil {
			t.Error(err)
		}
		total += len(batches)
	}
	if total != 30 || !due.IsZero() || len(n.votes) != 0 {
		t.Errorf("took %d batches, %d left, due %v", total, len(n.votes), due)
	}
	n.votes = []wire.Votes{{Node: model.UID{2}}}
	if messages, due := n.takeVotes(now); len(messages) != 0 || !due.Equal(now.Add(castBeat)) {
		t.Errorf("took %v right after the last, due %v", messages, due)
	}
	if messages, _ := n.takeVotes(now.Add(castBeat)); len(messages) != 1 {
		t.Errorf("took %v when due, want the one", messages)
	}
}
