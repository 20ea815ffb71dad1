package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func drawVotes(t *rapid.T) Votes {
	return Votes{
		Node: model.UID{rapid.ByteRange(1, 5).Draw(t, "node")}, Boot: rapid.Uint64Max(2).Draw(t, "boot"), Seq: rapid.Uint64().Draw(t, "seq"),
		Location: rapid.SampledFrom([]string{"", "Office"}).Draw(t, "location"), Load: rapid.Byte().Draw(t, "load"),
		Votes: rapid.SliceOfN(rapid.Custom(drawVote), 0, 4).Draw(t, "votes"),
	}
}

// TestPackedVotes: what one end of a link packs the other unpacks, message by
// message.
func TestPackedVotes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Packer
		var u Unpacker
		for range rapid.IntRange(1, 10).Draw(t, "messages") {
			want := rapid.SliceOfN(rapid.Custom(drawVotes), 0, 8).Draw(t, "batches")
			data, err := Encode(p.Pack(want))
			if err != nil {
				t.Fatal(err)
			}
			message, err := Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := u.Unpack(message.(Ballots))
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
				t.Fatalf("%v, -want +got:\n%s", err, diff)
			}
		}
	})
}

// TestManyVoters: processes come and go for years on one link.
func TestManyVoters(t *testing.T) {
	var p Packer
	var u Unpacker
	for boot := range uint64(3 * mostVoters) {
		want := []Votes{{Node: model.UID{1}, Boot: boot, Seq: boot}, {Node: model.UID{2}, Boot: 7, Seq: boot}}
		got, err := u.Unpack(p.Pack(want))
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("process %d: %v, -want +got:\n%s", boot, err, diff)
		}
	}
	if len(u.voters) > mostVoters {
		t.Errorf("%d voters are remembered", len(u.voters))
	}
}

// TestVoteSize states what a vote costs on a link of a farm of 100 nodes that
// all vote for the same: gathered for 100 ms at ten applications a second, and
// alone, as a node casts it.
func TestVoteSize(t *testing.T) {
	size := func(p *Packer, batches []Votes) int {
		data, err := Encode(p.Pack(batches))
		if err != nil {
			t.Fatal(err)
		}
		return len(data)
	}
	var p Packer
	batches := make([]Votes, 100)
	for round := range 2 {
		for i := range batches {
			batches[i] = Votes{
				Node: model.UID{byte(i + 1), 2, 3}, Boot: math.MaxUint64 - uint64(i), Seq: uint64(5000 + round), Location: "Cupertino", Load: 40,
				Votes: []Vote{{Application: model.UID{9, byte(round)}, Round: 1, Available: -1}},
			}
		}
		if got := size(&p, batches); round == 1 && got > 9*len(batches) {
			t.Errorf("%d votes take %d bytes, want 9 each at most", len(batches), got)
		} else {
			t.Logf("%d votes take %d bytes", len(batches), got)
		}
	}
	if got := size(&p, batches[:1]); got > 36 {
		t.Errorf("a vote alone takes %d bytes, want 36 at most", got)
	}
}

// TestEarlierVersionsReadPastComing: one that knows nothing of images on their
// way reads all else of the same message.
func TestEarlierVersionsReadPastComing(t *testing.T) {
	type earlier struct {
		Forget       bool        `cbor:"1,keyasint,omitempty"`
		Voters       []Voter     `cbor:"2,keyasint,omitempty"`
		Applications []model.UID `cbor:"3,keyasint,omitempty"`
		Batches      []byte      `cbor:"4,keyasint"`
	}
	rapid.Check(t, func(t *rapid.T) {
		var p Packer
		var u Unpacker
		want := rapid.SliceOfN(rapid.Custom(drawVotes), 0, 8).Draw(t, "batches")
		data, err := Encode(p.Pack(want))
		if err != nil {
			t.Fatal(err)
		}
		_, number := binary.Uvarint(data)
		var e earlier
		if err := decoding.Unmarshal(data[number:], &e); err != nil {
			t.Fatal(err)
		}
		for _, v := range want {
			for i := range v.Votes {
				v.Votes[i].Coming = false
			}
		}
		got, err := u.Unpack(Ballots{Forget: e.Forget, Voters: e.Voters, Applications: e.Applications, Batches: e.Batches})
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("%v, -want +got:\n%s", err, diff)
		}
	})
}

func TestUnpackRefuses(t *testing.T) {
	voters, apps := []Voter{{Node: model.UID{1}}}, []model.UID{{9}}
	for name, b := range map[string]Ballots{
		"unknown voter":       {Voters: voters, Batches: []byte{1, 0, 0, 0}},
		"no end":              {Voters: voters, Batches: []byte{0, 0, 0}},
		"endless number":      {Voters: voters, Batches: []byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		"load above a byte":   {Voters: voters, Batches: []byte{0, 0, 0x80, 2, 0}},
		"more than there is":  {Voters: voters, Applications: apps, Batches: []byte{0, 0, 0, 9, 0, 0, 0}},
		"unknown application": {Voters: voters, Applications: apps, Batches: []byte{0, 0, 0, 1, 1, 0, 0}},
		"too high a round":    {Voters: voters, Applications: apps, Batches: []byte{0, 0, 0, 1, 0, 0x80, 0x80, 4, 0}},
		"too high an index":   {Voters: voters, Applications: apps, Batches: []byte{0, 0, 0, 1, 0, 0, 0x80, 0x80, 1}},
		"half a vote":         {Voters: voters, Applications: apps, Batches: []byte{0, 0, 0, 1, 0, 0}},
		"too many voters":     {Voters: make([]Voter, mostVoters+1)},
		"coming of nobody":    {Coming: []byte{0}},
		"coming past the end": {Voters: voters, Applications: apps, Batches: []byte{0, 0, 0, 1, 0, 0, 0}, Coming: []byte{1}},
		"coming twice":        {Voters: voters, Applications: apps, Batches: []byte{0, 0, 0, 1, 0, 0, 0}, Coming: []byte{0, 0}},
		"coming endlessly":    {Voters: voters, Applications: apps, Batches: []byte{0, 0, 0, 1, 0, 0, 0}, Coming: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
	} {
		var u Unpacker
		if got, err := u.Unpack(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v, want ErrMalformed", name, got, err)
		}
	}
}

// FuzzUnpack: no bytes panic, and what was read is written and read the same.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte{0, 10, 40, 2, 0, 1, 2, 1, 0xac, 2, 5}, []byte{1})
	f.Fuzz(func(t *testing.T, data, coming []byte) {
		b := Ballots{Voters: []Voter{{Node: model.UID{1}}, {Node: model.UID{2}, Boot: 3, Location: "x"}}, Applications: []model.UID{{9}, {8}}, Batches: data, Coming: coming}
		var u, again Unpacker
		want, err := u.Unpack(b)
		if err != nil {
			return
		}
		var p Packer
		got, err := again.Unpack(p.Pack(want))
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("%v, -want +got:\n%s", err, diff)
		}
	})
}
