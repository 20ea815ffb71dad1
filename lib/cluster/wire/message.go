package wire

import (
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// The protocol versions that this program speaks. A link uses the highest
// that both sides know; without one it is refused.
const (
	ProtocolMin = 1
	ProtocolMax = 1
)

// Hello is the first message of both sides of a link.
type Hello struct {
	ProtocolMin uint16         `cbor:"1,keyasint"`
	ProtocolMax uint16         `cbor:"2,keyasint"`
	Program     string         `cbor:"3,keyasint"` // version of the program, for people
	Cluster     []byte         `cbor:"4,keyasint"` // SHA-256 of the public key of the cluster's first CA
	Node        model.UID      `cbor:"5,keyasint"`
	Name        string         `cbor:"6,keyasint"`
	Address     string         `cbor:"7,keyasint"` // host:port where others reach the node
	Location    string         `cbor:"8,keyasint"`
	Incarnation uint32         `cbor:"9,keyasint"`
	Boot        uint64         `cbor:"10,keyasint"` // random, of this process
	Wall        int64          `cbor:"11,keyasint"` // time of day, Unix nanoseconds
	Free        uint8          `cbor:"12,keyasint"` // links that it would still take
	Alone       bool           `cbor:"13,keyasint"` // it has no other link
	Vector      replica.Vector `cbor:"14,keyasint"`
}

// Refuse is why a link ends, for both logs.
type Refuse struct {
	Code Code     `cbor:"1,keyasint"`
	Text string   `cbor:"2,keyasint"`           // for people; says what to do
	Try  []Member `cbor:"3,keyasint,omitempty"` // of CodeBusy: who may have room, at most 16
}

// Member is a node and where to reach it.
type Member struct {
	Node    model.UID `cbor:"1,keyasint"`
	Address string    `cbor:"2,keyasint"`
}

// Code is the reason of a Refuse.
type Code uint16

// The reasons.
const (
	CodeBusy        Code = 1  // no room for another link: see Try
	CodeProtocol    Code = 2  // no protocol version that both speak
	CodeCluster     Code = 3  // another cluster
	CodeClock       Code = 4  // the clocks differ by more than a minute
	CodeTwin        Code = 5  // another live process uses the same key
	CodeName        Code = 6  // the name belongs to another key
	CodeRetired     Code = 7  // the key was retired
	CodeAbsent      Code = 8  // away for so long that it has to begin anew
	CodeKey         Code = 9  // not the key that was expected at the address
	CodeSelf        Code = 10 // the node dialled itself
	CodeStopping    Code = 11 // the node stops
	CodeRedundant   Code = 12 // dropped in favour of another link
	CodeMisbehaving Code = 13 // it sent what can not be read, or too much
	CodeDuplicate   Code = 14 // there is a link between the two already
	CodeCertificate Code = 15 // no certificate, or one that is not valid now
)

// LSA (link state advertisement) is what a node says of itself to all, by
// flooding. A newer one replaces an older: within a Boot Seq grows, of two Boots
// the later Started counts (a node that finds one later than its own, because
// its clock was set back, raises its own above it).
type LSA struct {
	Node        model.UID   `cbor:"1,keyasint"`
	Boot        uint64      `cbor:"2,keyasint"`
	Started     int64       `cbor:"3,keyasint"` // when the process began by its own clock, Unix nanoseconds: orders boots
	Seq         uint64      `cbor:"4,keyasint"`
	Neighbours  []Neighbour `cbor:"5,keyasint,omitempty"`
	Flags       Flags       `cbor:"6,keyasint"`
	Name        string      `cbor:"7,keyasint"`
	Location    string      `cbor:"8,keyasint,omitempty"`
	Address     string      `cbor:"9,keyasint"`
	ProtocolMin uint16      `cbor:"10,keyasint"`
	ProtocolMax uint16      `cbor:"11,keyasint"`
	Program     string      `cbor:"12,keyasint"`
	Incarnation uint32      `cbor:"13,keyasint"`
	RowSeq      uint64      `cbor:"14,keyasint"` // newest durable row of the node's own origin
	Load        Load        `cbor:"15,keyasint"`
	Free        uint8       `cbor:"16,keyasint"`           // links that it would still take
	NotAfter    int64       `cbor:"17,keyasint"`           // when its certificate expires, Unix seconds
	Shares      []string    `cbor:"18,keyasint,omitempty"` // shared outside things that it is configured for (pools)
	Gone        bool        `cbor:"19,keyasint,omitempty"` // last word: the node stops in order
	Base        uint64      `cbor:"20,keyasint,omitempty"` // the Seq that later Pulses name; 0 means Seq itself
	Age         uint32      `cbor:"21,keyasint,omitempty"` // milliseconds since the node said it; counted on by who passes it on
	Succession  uint64      `cbor:"22,keyasint,omitempty"` // sum over the retirements that it knows, see model.SumOfRetirements
}

// Pulse renews an LSA: all is as the LSA of number Base said, but for what is
// here. It is a sixth of the size, and most of what a quiet cluster says. Who
// does not have Base asks for it with TopologyAsk.
type Pulse struct {
	Node   model.UID `cbor:"1,keyasint"`
	Boot   uint64    `cbor:"2,keyasint"`
	Seq    uint64    `cbor:"4,keyasint"`
	RowSeq uint64    `cbor:"14,keyasint"`
	Load   Load      `cbor:"15,keyasint"`
	Base   uint64    `cbor:"20,keyasint"`
}

// Neighbour is one end of a link; a link counts when both ends tell of it.
type Neighbour struct {
	Node  model.UID `cbor:"1,keyasint"`
	RTT   uint32    `cbor:"2,keyasint"` // microseconds
	Clock int32     `cbor:"3,keyasint"` // its clock against mine, milliseconds
}

// Flags are a node's own view of how it is.
type Flags uint8

// The flags.
const (
	FlagHealthy     Flags = 1 << iota // its database takes writes and its loops go round
	FlagReady                         // it has caught up and votes
	FlagMaintenance                   // it takes nothing new
	FlagSigner                        // it holds the CA's key
	FlagAvailable                     // election.safety is available
)

// Load is how busy a node is, for people and for the election's rule.
type Load struct {
	CPU    uint8  `cbor:"1,keyasint"` // percent of all cores, average of a minute
	Memory uint8  `cbor:"2,keyasint"` // percent
	Disk   uint8  `cbor:"3,keyasint"` // percent of the workspace's file system
	Used   uint16 `cbor:"4,keyasint"` // applications that it runs
}

// Topology is what is news of the network, or all of it at the start of a link
// and as the answer to TopologyAsk.
type Topology struct {
	LSAs   []LSA   `cbor:"1,keyasint,omitempty"`
	Pulses []Pulse `cbor:"2,keyasint,omitempty"`
}

// TopologyAsk asks the neighbour for the LSAs that it has of these nodes.
type TopologyAsk struct {
	Nodes []model.UID `cbor:"1,keyasint"`
}

// ClockAsk asks the neighbour for its time of day. Number is not 0, and grows.
type ClockAsk struct {
	Number uint64 `cbor:"1,keyasint"`
}

// ClockTold answers the ClockAsk of that Number.
type ClockTold struct {
	Number uint64 `cbor:"1,keyasint"`
	Wall   int64  `cbor:"2,keyasint"` // Unix nanoseconds
}

// Advert says what the sender knows; Vector holds only what changed since the
// link's last Advert or Hello.
type Advert struct {
	Vector replica.Vector `cbor:"1,keyasint"`
}

// Rows carries one batch.
type Rows struct {
	Batch replica.Batch `cbor:"1,keyasint"`
}

// DigestAsk asks for digests of the rows of applications that closed at
// Horizon or later, and of all other nouns.
type DigestAsk struct {
	ID      uint32 `cbor:"1,keyasint"`
	Horizon int64  `cbor:"2,keyasint"` // Unix nanoseconds
}

// Digests answers DigestAsk. Horizon may be later than what was asked: then
// the asker counts again with it.
type Digests struct {
	ID      uint32          `cbor:"1,keyasint"`
	Horizon int64           `cbor:"2,keyasint"`
	Vector  replica.Vector  `cbor:"3,keyasint"` // what the answer is based on
	Kinds   []DigestsOfKind `cbor:"4,keyasint"`
}

// DigestsOfKind are 256 buckets of one kind; Sum is empty for one without rows.
type DigestsOfKind struct {
	Kind    replica.Kind `cbor:"1,keyasint"`
	Buckets []uint64     `cbor:"2,keyasint"`
}

// BucketRows are all rows of one bucket, for the side that differs to merge.
type BucketRows struct {
	ID     uint32        `cbor:"1,keyasint"`
	Kind   replica.Kind  `cbor:"2,keyasint"`
	Bucket uint8         `cbor:"3,keyasint"`
	Rows   []replica.Row `cbor:"4,keyasint"`
	More   bool          `cbor:"5,keyasint,omitempty"` // other messages of this bucket follow
}

// Time returns the time of day of a Hello.
func (h Hello) Time() time.Time { return time.Unix(0, h.Wall) }
