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

// TestVotersAreForgotten: whoever invents voters makes this node forget, never
// grow; those that go on voting are remembered.
func TestVotersAreForgotten(t *testing.T) {
	b, now := newBallots(), time.Unix(1_800_000_000, 0)
	honest := wire.Votes{Node: model.UID{1}, Boot: 1}
	for i := range 10 * maxVoters {
		b.fresh(wire.Votes{Node: model.UID{2}, Boot: uint64(i), Seq: 1}, now)
		if i%(maxVoters/2) == 0 {
			honest.Seq++
			if !b.fresh(honest, now) || b.fresh(honest, now) {
				t.Fatalf("after %d voters batch %d is not new exactly once", i, honest.Seq)
			}
		}
	}
	if n := len(b.seen) + len(b.before); n > 2*maxVoters {
		t.Errorf("%d voters are remembered, want %d at most", n, 2*maxVoters)
	}
	quiet := wire.Votes{Node: model.UID{3}, Seq: 1}
	b.fresh(quiet, now)
	for i := range 3 {
		b.fresh(wire.Votes{Node: model.UID{4}, Boot: uint64(i), Seq: 1}, now.Add(time.Duration(i+1)*2*voterMemory))
	}
	if n := len(b.seen) + len(b.before); n > 2 {
		t.Errorf("%d voters are remembered hours later, want those of the last one", n)
	}
}
