package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestCheck holds each rule at its edge.
func TestCheck(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	me, other := model.UID{1}, model.UID{2}
	hello := func(change func(*wire.Hello)) wire.Hello {
		h := wire.Hello{ProtocolMin: 1, ProtocolMax: 1, Cluster: []byte("one"), Node: other, Name: "b", Boot: 2, Wall: now.UnixNano()}
		change(&h)
		return h
	}
	wall := func(off time.Duration) func(*wire.Hello) {
		return func(h *wire.Hello) { h.Wall = now.Add(off).UnixNano() }
	}
	tests := []struct {
		name   string
		change func(*wire.Hello)
		known  []Known
		want   wire.Code // 0: none
	}{
		{"fine", func(*wire.Hello) {}, nil, 0},
		{"itself", func(h *wire.Hello) { h.Node, h.Boot = me, 1 }, nil, wire.CodeSelf},
		{"its own key", func(h *wire.Hello) { h.Node, h.Boot = me, 9 }, nil, wire.CodeTwin},
		{"a twin of a neighbour", func(h *wire.Hello) { h.Boot = 66 }, nil, wire.CodeTwin},
		{"newer, speaks the old protocol too", func(h *wire.Hello) { h.ProtocolMax = 9 }, nil, 0},
		{"too new", func(h *wire.Hello) { h.ProtocolMin, h.ProtocolMax = 5, 9 }, nil, wire.CodeProtocol},
		{"too old", func(h *wire.Hello) { h.ProtocolMin, h.ProtocolMax = 0, 0 }, nil, wire.CodeProtocol},
		{"another oldest CA, as one is being replaced", func(h *wire.Hello) { h.Cluster = []byte("two") }, nil, 0},
		{"a minute ahead", wall(time.Minute), nil, 0},
		{"more ahead", wall(time.Minute + 1), nil, wire.CodeClock},
		{"more behind", wall(-time.Minute - 1), nil, wire.CodeClock},
		{"1970", func(h *wire.Hello) { h.Wall = 0 }, nil, wire.CodeClock},
		{"my name", func(h *wire.Hello) { h.Name = "a" }, nil, wire.CodeName},
		{"a member's name", func(h *wire.Hello) { h.Name = "taken" }, nil, wire.CodeName},
		{"its own name, known", func(*wire.Hello) {}, []Known{{Node: other, Name: "b"}}, 0},
		{"a known node's name", func(*wire.Hello) {}, []Known{{Node: model.UID{3}, Name: "b"}}, wire.CodeName},
		{"a retired node's name", func(*wire.Hello) {}, []Known{{Node: model.UID{3}, Name: "b", Retired: true}}, 0},
		{"retired", func(*wire.Hello) {}, []Known{{Node: other, Name: "b", Retired: true}}, wire.CodeRetired},
		{"away for a year", func(*wire.Hello) {}, []Known{{Node: other, Name: "b", Seen: now.Add(-maxAbsence)}}, 0},
		{"away for longer", func(*wire.Hello) {}, []Known{{Node: other, Name: "b", Seen: now.Add(-maxAbsence - 1)}}, wire.CodeAbsent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := view{
				mine: wire.Hello{ProtocolMin: 1, ProtocolMax: 1, Cluster: []byte("one"), Node: me, Name: "a", Boot: 1}, now: now, known: tt.known,
				twin: func(node model.UID, boot uint64) bool { return node == other && boot == 66 },
				owner: func(name string) (model.UID, bool) {
					return model.UID{7}, name == "taken"
				},
			}
			got := v.check(hello(tt.change))
			switch {
			case got == nil && tt.want != 0:
				t.Errorf("taken, want code %d", tt.want)
			case got != nil && got.Code != tt.want:
				t.Errorf("refused with %d %q, want code %d", got.Code, got.Text, tt.want)
			case got != nil && !strings.Contains(got.Text, ": "):
				t.Errorf("%q does not say what to do", got.Text)
			}
		})
	}
}
