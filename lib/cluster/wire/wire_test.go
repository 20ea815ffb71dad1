package wire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

var update = flag.Bool("update", false, "write testdata/golden.txt for messages that it lacks")

// equal compares messages; bodies of megabytes at once, not byte by byte.
var equal = cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Voter{}, "_"),
	cmp.FilterValues(func(a, b []byte) bool { return len(a) > 0 && len(b) > 0 }, cmp.Comparer(bytes.Equal))}

// samples holds one full message of each type; the names stay.
func samples() map[string]any {
	node, other := model.UID{1, 2, 3, 4, 5, 6, 0x40, 8, 0x80}, model.UID{9, 9, 9, 9, 9, 9, 0x40, 8, 0x80}
	origin := replica.Origin{Node: node, Incarnation: 2}
	vector := replica.Vector{origin: 1000, {Node: other}: 7}
	rows := []replica.Row{
		{Kind: replica.KindUser, Key: []byte("admin"), Version: replica.Version{HLC: 1700000000000000000, Origin: origin, Seq: 41}, Body: []byte(`{"name":"admin"}`)},
		{Kind: replica.KindUser, Key: []byte("guest"), Version: replica.Version{HLC: 1700000000000000001, Origin: origin, Seq: 43}, Deleted: true},
	}
	strange := rows[0]
	strange.Version.Origin = replica.Origin{Node: other, Incarnation: 1}
	return map[string]any{
		"hello": Hello{ProtocolMin: 1, ProtocolMax: 2, Program: "1.2.3", Cluster: []byte{0xca}, Node: node, Name: "mac-1", Address: "mac-1:8001",
			Location: "Office", Incarnation: 2, Boot: 1 << 60, Wall: 1700000000000000000, Free: 3, Alone: true, Vector: vector},
		"refuse": Refuse{Code: CodeBusy, Text: "busy: try these", Try: []Member{{Node: other, Address: "mac-2:8001"}}},
		"topology": Topology{LSAs: []LSA{{Node: node, Boot: 1 << 60, Started: 1700000000000000000, Seq: 9, Neighbours: []Neighbour{{Node: other, RTT: 1500, Clock: -3}},
			Flags: FlagHealthy | FlagReady, Name: "mac-1", Location: "Office", Address: "mac-1:8001", ProtocolMin: 1, ProtocolMax: 1, Program: "1.2.3",
			Incarnation: 2, RowSeq: 1000, Load: Load{CPU: 50, Memory: 60, Disk: 70, Used: 2}, Free: 3, NotAfter: 1800000000, Shares: []string{"mac pool"}, Gone: true, Base: 8}},
			Pulses: []Pulse{{Node: other, Boot: 1 << 59, Seq: 12, RowSeq: 5, Load: Load{CPU: 1, Memory: 2, Disk: 3, Used: 4}, Base: 11}}},
		"topology ask": TopologyAsk{Nodes: []model.UID{node, other}},
		"ballots": Ballots{Forget: true, Voters: []Voter{{Node: node, Boot: 1 << 60, Location: "Office"}, {Node: other, Boot: 1 << 59}},
			Applications: []model.UID{other, node}, Batches: []byte{0, 10, 40, 2, 0, 1, 2, 1, 0xac, 2, 5, 1, 12, 0, 0}},
		"clock ask":   ClockAsk{Number: 7},
		"clock told":  ClockTold{Number: 7, Wall: 1700000000000000000},
		"advert":      Advert{Vector: vector},
		"rows":        Rows{Batch: replica.Batch{Origin: origin, From: 40, To: 44, Rows: rows}},
		"digest ask":  DigestAsk{ID: 3, Horizon: 1700000000000000000},
		"digests":     Digests{ID: 3, Horizon: 1700000000000000000, Vector: vector, Kinds: []DigestsOfKind{{Kind: replica.KindUser, Buckets: []uint64{1, 0, 1 << 63}}}},
		"bucket rows": BucketRows{ID: 3, Kind: replica.KindUser, Bucket: 255, Rows: []replica.Row{rows[0], strange}, More: true},
	}
}

// TestGolden holds the bytes of each message as earlier versions of the
// program wrote them: these must be read for ever, and be written the same
// until a field is added (then the old line stays under another name).
func TestGolden(t *testing.T) {
	golden := readGolden(t)
	for name, message := range samples() {
		data, err := Encode(message)
		if err != nil {
			t.Fatalf("Encode(%s): %v", name, err)
		}
		want, known := golden[name]
		if !known && *update {
			appendGolden(t, name, data)
			continue
		}
		if got := hex.EncodeToString(data); got != want {
			t.Errorf("%s is written as\n%s, earlier versions wrote\n%s", name, got, want)
		}
		old, err := hex.DecodeString(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(old)
		if err != nil {
			t.Fatalf("Decode(%s as of old): %v", name, err)
		}
		if diff := cmp.Diff(message, got, equal); diff != "" {
			t.Errorf("%s as of old (-want +got):\n%s", name, diff)
		}
	}
	if len(samples()) != len(entries()) {
		t.Errorf("%d samples for %d message types: each needs one", len(samples()), len(entries()))
	}
}

func readGolden(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	golden := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, data, _ := strings.Cut(lines.Text(), ": ")
		golden[name] = data
	}
	return golden
}

func appendGolden(t *testing.T, name string, data []byte) {
	t.Helper()
	f, err := os.OpenFile("testdata/golden.txt", os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "%s: %x\n", name, data)
}

func TestNumbersAreOnce(t *testing.T) {
	if len(byNumber) != len(entries()) || len(byType) != len(entries()) {
		t.Errorf("%d entries make %d numbers and %d types: one is used twice", len(entries()), len(byNumber), len(byType))
	}
}

// TestNewerIsSkipped: what a newer program adds is skipped, what an older one
// does not send is zero.
func TestNewerIsSkipped(t *testing.T) {
	type newer struct {
		Vector replica.Vector      `cbor:"1,keyasint"`
		Extra  map[string][]string `cbor:"77,keyasint"`
	}
	vector := replica.Vector{{Node: model.UID{1}}: 7}
	body, err := encoding.Marshal(newer{Vector: vector, Extra: map[string][]string{"a": {"b", "c"}}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		data []byte
		want any
	}{
		{"a field more", append([]byte{6}, body...), Advert{Vector: vector}},
		{"all fields less", []byte{6, 0xa0}, Advert{}},
		{"a type more", append([]byte{0xff, 0x01}, body...), Unknown{Type: 255}},
		{"a type more with another encoding", []byte{99, 0xff, 0xff}, Unknown{Type: 99}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode(tt.data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, equal); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	long := strings.Repeat("x", maxName+1)
	node := model.UID{1}
	tests := []struct {
		name string
		data []byte
	}{
		{"nothing", nil},
		{"endless number", []byte(strings.Repeat("\xff", 12))},
		{"no fields", []byte{6}},
		{"an array for a map", []byte{6, 0x80}},
		{"key twice", []byte{8, 0xa2, 1, 1, 1, 2}},
		{"indefinite map", []byte{8, 0xbf, 1, 1, 0xff}},
		{"a tag", []byte{8, 0xa1, 1, 0xc1, 1}},
		{"bytes behind", []byte{8, 0xa0, 0}},
		{"too deep", append([]byte{8, 0xa1, 0x18, 99}, strings.Repeat("\x81", 20)...)},
		{"node of 3 bytes", []byte{1, 0xa1, 5, 0x43, 1, 2, 3}},
		{"vector not in order", []byte{6, 0xa1, 1, 0x41, 0}},
		{"hello of nobody", []byte{1, 0xa0}},
		{"name too long", encoded(t, 1, Hello{Node: node, Name: long})},
		{"17 to try", encoded(t, 2, Refuse{Try: make([]Member, 17)})},
		{"base after seq", encoded(t, 3, Topology{LSAs: []LSA{{Node: node, Seq: 1, Base: 2}}})},
		{"too many neighbours", encoded(t, 3, Topology{LSAs: []LSA{{Node: node, Neighbours: make([]Neighbour, maxNeighbours+1)}}})},
		{"pulse of nobody", encoded(t, 3, Topology{Pulses: []Pulse{{}}})},
		{"ballots of nobody", encoded(t, 12, Ballots{Voters: make([]Voter, 1)})},
		{"voter in a long place", encoded(t, 12, Ballots{Voters: []Voter{{Node: node, Location: long}}})},
		{"257 buckets", encoded(t, 9, Digests{Kinds: []DigestsOfKind{{Buckets: make([]uint64, 257)}}})},
		{"rows of nobody", encoded(t, 7, batch{})},
		{"rows out of order", encoded(t, 7, batch{Node: node, To: 9, Rows: []row{{Key: []byte("k"), Seq: 5}, {Key: []byte("k"), Seq: 4}}})},
		{"row beyond the batch", encoded(t, 7, batch{Node: node, To: 9, Rows: []row{{Key: []byte("k"), Seq: 10}}})},
		{"row without key", encoded(t, 7, batch{Node: node, To: 9, Rows: []row{{Seq: 5}}})},
		{"deleted row with a body", encoded(t, 7, batch{Node: node, To: 9, Rows: []row{{Key: []byte("k"), Seq: 5, Deleted: true, Body: []byte("{}")}}})},
		{"bucket's row without origin", encoded(t, 10, bucket{Rows: []row{{Key: []byte("k"), Seq: 5}}})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode(tt.data)
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("Decode = %v, %v, want ErrMalformed", got, err)
			}
		})
	}
}

func encoded(t *testing.T, number byte, body any) []byte {
	t.Helper()
	data, err := encoding.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{number}, data...)
}

func TestEncodeRefuses(t *testing.T) {
	a, b := replica.Origin{Node: model.UID{1}}, replica.Origin{Node: model.UID{2}}
	tests := []struct {
		name    string
		message any
	}{
		{"no message", struct{}{}},
		{"a pointer", &Advert{}},
		{"nil", nil},
		{"a row of another origin", Rows{Batch: replica.Batch{Origin: a, Rows: []replica.Row{{Version: replica.Version{Origin: b}}}}}},
		{"a row of another kind", BucketRows{Kind: 1, Rows: []replica.Row{{Kind: 2}}}},
		{"more than a frame", Rows{Batch: replica.Batch{Origin: a, Rows: []replica.Row{{Version: replica.Version{Origin: a}, Body: make([]byte, MaxFrame)}}}}},
		{"more than the control stream takes", TopologyAsk{Nodes: make([]model.UID, MaxControl/16)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if data, err := Encode(tt.message); err == nil {
				t.Errorf("Encode = %d bytes, want an error", len(data))
			}
		})
	}
}

// TestRoundTrip draws messages of all types field by field.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		origin := replica.Origin{Node: drawUID(t), Incarnation: rapid.Uint32().Draw(t, "incarnation")}
		message := rapid.OneOf(
			rapid.Custom(func(t *rapid.T) any { return drawRows(t, origin) }),
			rapid.Custom(func(t *rapid.T) any { return drawBucket(t, origin) }),
			rapid.Custom(func(t *rapid.T) any {
				return Topology{LSAs: rapid.SliceOfN(rapid.Custom(drawLSA), 0, 4).Draw(t, "lsas")}
			}),
			rapid.Custom(func(t *rapid.T) any {
				var p Packer
				return p.Pack(rapid.SliceOfN(rapid.Custom(drawVotes), 0, 4).Draw(t, "batches"))
			}),
		).Draw(t, "message")
		data, err := Encode(message)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(message, got, equal); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	})
}

func drawUID(t *rapid.T) model.UID {
	var u model.UID
	copy(u[:], rapid.SliceOfN(rapid.Byte(), 15, 15).Draw(t, "uid"))
	u[15] = 1
	return u
}

func drawRow(t *rapid.T, origin replica.Origin, kind replica.Kind, seq uint64) replica.Row {
	r := replica.Row{Kind: kind, Key: rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "key"), Deleted: rapid.Bool().Draw(t, "deleted"),
		Version: replica.Version{HLC: model.HLC(rapid.Int64().Draw(t, "hlc")), Origin: origin, Seq: seq}}
	if !r.Deleted {
		r.Body = rapid.SliceOf(rapid.Byte()).Draw(t, "body")
	}
	return r
}

func drawRows(t *rapid.T, origin replica.Origin) Rows {
	b := replica.Batch{Origin: origin, From: rapid.Uint64Max(1<<50).Draw(t, "from")}
	b.To = b.From
	for range rapid.IntRange(0, 5).Draw(t, "rows") {
		b.To += rapid.Uint64Range(1, 1000).Draw(t, "step")
		b.Rows = append(b.Rows, drawRow(t, origin, replica.Kind(rapid.Uint16().Draw(t, "kind")), b.To))
	}
	return Rows{Batch: b}
}

func drawBucket(t *rapid.T, origin replica.Origin) BucketRows {
	b := BucketRows{Kind: replica.Kind(rapid.Uint16().Draw(t, "kind")), Bucket: rapid.Byte().Draw(t, "bucket"), More: rapid.Bool().Draw(t, "more")}
	for range rapid.IntRange(0, 5).Draw(t, "rows") {
		origin.Incarnation++
		b.Rows = append(b.Rows, drawRow(t, origin, b.Kind, rapid.Uint64Min(1).Draw(t, "seq")))
	}
	return b
}

func drawLSA(t *rapid.T) LSA {
	l := LSA{Node: drawUID(t), Boot: rapid.Uint64().Draw(t, "boot"), Started: rapid.Int64().Draw(t, "started"), Seq: rapid.Uint64().Draw(t, "seq"),
		Name: rapid.StringN(0, 40, maxName).Draw(t, "name"), Flags: Flags(rapid.Byte().Draw(t, "flags")), Gone: rapid.Bool().Draw(t, "gone"),
		Load: Load{CPU: rapid.Byte().Draw(t, "cpu"), Used: rapid.Uint16().Draw(t, "used")}}
	l.Base = rapid.Uint64Max(l.Seq).Draw(t, "base")
	for range rapid.IntRange(0, 8).Draw(t, "neighbours") {
		l.Neighbours = append(l.Neighbours, Neighbour{Node: drawUID(t), RTT: rapid.Uint32().Draw(t, "rtt"), Clock: rapid.Int32().Draw(t, "clock")})
	}
	return l
}

func drawVote(t *rapid.T) Vote {
	return Vote{Application: drawUID(t), Round: rapid.Uint16().Draw(t, "round"), Available: rapid.Int8().Draw(t, "available"),
		Cached: rapid.Bool().Draw(t, "cached"), Coming: rapid.Bool().Draw(t, "coming")}
}

// FuzzDecode: no bytes panic, and what was read is written and read the same.
func FuzzDecode(f *testing.F) {
	for _, message := range samples() {
		data, err := Encode(message)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		message, err := Decode(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v is not ErrMalformed", err)
			}
			return
		}
		if _, unknown := message.(Unknown); unknown {
			return
		}
		again, err := Encode(message)
		if err != nil {
			t.Fatalf("Encode(%+v): %v", message, err)
		}
		got, err := Decode(again)
		if err != nil {
			t.Fatalf("Decode of what Encode wrote: %v", err)
		}
		if diff := cmp.Diff(message, got, equal); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
		if reflect.TypeOf(message) != reflect.TypeOf(got) {
			t.Fatalf("%T became %T", message, got)
		}
	})
}
