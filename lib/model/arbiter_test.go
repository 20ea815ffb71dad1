package model

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func handover(hlc HLC, from, to byte) Handover {
	return Handover{UID: UID{from, to, byte(hlc)}, NodeUID: UID{from}, Successor: UID{to}, HLC: hlc}
}

func retirement(hlc HLC, node, to byte) Retirement {
	return Retirement{NodeUID: UID{node}, Successor: UID{to}, HLC: hlc}
}

func TestArbiter(t *testing.T) {
	tests := []struct {
		name        string
		created     HLC
		retirements []Retirement
		handovers   []Handover
		want        byte // 0 = nobody
	}{
		{"its origin", 10, nil, nil, 1},
		{"others' do not count", 10, []Retirement{retirement(20, 2, 3)}, []Handover{handover(20, 2, 3)}, 1},
		{"handed over", 10, nil, []Handover{handover(20, 1, 2)}, 2},
		{"created after the handover", 30, nil, []Handover{handover(20, 1, 2)}, 1},
		{"created in the handover's last moment", 20, nil, []Handover{handover(20, 1, 2)}, 2},
		{"and back", 10, nil, []Handover{handover(20, 1, 2), handover(30, 2, 1)}, 1},
		{"and back, and away again", 10, nil, []Handover{handover(20, 1, 2), handover(30, 2, 1), handover(40, 1, 3)}, 3},
		{"the successor had given away others before", 10, nil, []Handover{handover(20, 1, 2), handover(15, 2, 3)}, 2},
		{"retired", 10, []Retirement{retirement(20, 1, 2)}, nil, 2},
		{"retired, also what was created later", 30, []Retirement{retirement(20, 1, 2)}, []Handover{handover(40, 1, 3)}, 2},
		{"a chain", 10, []Retirement{retirement(20, 1, 2), retirement(30, 2, 3)}, []Handover{handover(40, 3, 4)}, 4},
		{"to one that was retired already", 10, []Retirement{retirement(15, 2, 3)}, []Handover{handover(20, 1, 2)}, 3},
		{"retired after it had handed over", 10, []Retirement{retirement(30, 1, 3)}, []Handover{handover(20, 1, 2)}, 2},
		{"retired each other", 10, []Retirement{retirement(20, 1, 2), retirement(15, 2, 1)}, nil, 0},
		{"retired itself", 10, []Retirement{retirement(20, 1, 1)}, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			app := Application{Arbiter: UID{1}, HLC: tt.created}
			if got := Arbiter(app, tt.retirements, tt.handovers); got != (UID{tt.want}) {
				t.Errorf("Arbiter() = %d, want %d", got[0], tt.want)
			}
		})
	}
}

// TestArbiterIsOneEverywhere draws facts in any order: every node that knows
// them names the same arbiter, who is not retired and, if it is not the
// origin, was named by somebody.
func TestArbiterIsOneEverywhere(t *testing.T) {
	node := rapid.Map(rapid.IntRange(1, 5), func(n int) byte { return byte(n) })
	rapid.Check(t, func(t *rapid.T) {
		app := Application{Arbiter: UID{node.Draw(t, "origin")}, HLC: HLC(rapid.IntRange(0, 50).Draw(t, "created"))}
		var retirements []Retirement
		for n := byte(1); n <= 5; n++ {
			if rapid.IntRange(0, 3).Draw(t, "retired") == 0 {
				retirements = append(retirements, retirement(HLC(rapid.IntRange(0, 50).Draw(t, "at")), n, node.Draw(t, "to")))
			}
		}
		var handovers []Handover
		for range rapid.IntRange(0, 6).Draw(t, "handovers") {
			handovers = append(handovers, handover(HLC(rapid.IntRange(0, 50).Draw(t, "at")), node.Draw(t, "from"), node.Draw(t, "to")))
		}
		got := Arbiter(app, retirements, handovers)
		again := Arbiter(app, rapid.Permutation(retirements).Draw(t, "order"), rapid.Permutation(handovers).Draw(t, "order"))
		if got != again {
			t.Fatalf("the order decides: %v and %v", got, again)
		}
		if _, retired := Retired(got, retirements); retired {
			t.Fatalf("%v decides and is retired", got)
		}
		named := func(to UID) bool { return to == got }
		if got != app.Arbiter && got != NilUID &&
			!slices.ContainsFunc(retirements, func(r Retirement) bool { return named(r.Successor) }) &&
			!slices.ContainsFunc(handovers, func(h Handover) bool { return named(h.Successor) }) {
			t.Fatalf("%v decides and was named by nobody", got)
		}
	})
}

func TestHeir(t *testing.T) {
	retired := []Retirement{retirement(20, 1, 2), retirement(10, 2, 3), retirement(5, 4, 5), retirement(6, 5, 4)}
	for node, want := range map[byte]byte{1: 3, 2: 3, 3: 3, 4: 0, 9: 9} {
		if got := Heir(UID{node}, retired); got != (UID{want}) {
			t.Errorf("Heir(%d) = %d, want %d", node, got[0], want)
		}
	}
}
