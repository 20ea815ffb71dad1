package replica

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func drawWireVector(t *rapid.T) Vector {
	v := Vector{}
	for range rapid.IntRange(0, 20).Draw(t, "origins") {
		o := Origin{Node: model.UID{rapid.Byte().Draw(t, "node")}, Incarnation: rapid.Uint32().Draw(t, "incarnation")}
		v[o] = rapid.Uint64().Draw(t, "seq")
	}
	return v
}

func TestVectorSurvivesTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawWireVector(t)
		data, err := want.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var got Vector
		if err := got.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("vector after a round trip (-want +got):\n%s", diff)
		}
	})
}

func TestVectorRefusesNonsense(t *testing.T) {
	one, _ := Vector{{Node: model.UID{1}}: 7}.MarshalBinary()
	two, _ := Vector{{Node: model.UID{2}}: 7}.MarshalBinary()
	tests := []struct {
		name string
		data []byte
	}{
		{"cut in the node", one[:9]},
		{"cut before the incarnation", one[:16]},
		{"cut before the sequence", one[:17]},
		{"one origin twice", append(append([]byte{}, one...), one...)},
		{"not in order", append(append([]byte{}, two...), one...)},
		{"incarnation of more than 32 bits", append(append([]byte{}, one[:16]...), 0xff, 0xff, 0xff, 0xff, 0x7f, 1)},
		{"endless varint", append(append([]byte{}, one[:17]...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			kept := Vector{{Node: model.UID{9}}: 1}
			if err := kept.UnmarshalBinary(tt.data); err == nil {
				t.Errorf("UnmarshalBinary(%x) took it: %v", tt.data, kept)
			}
			if len(kept) != 1 {
				t.Errorf("a refused vector changed what was there: %v", kept)
			}
		})
	}
}
