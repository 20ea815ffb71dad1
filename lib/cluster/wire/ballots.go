package wire

import (
	"encoding/binary"
	"errors"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Votes are votes of one node, flooded to all. On a link they travel packed
// into Ballots.
type Votes struct {
	Node     model.UID
	Boot     uint64
	Seq      uint64 // grows within Boot: tells what was seen
	Location string
	Load     uint8 // percent: applications' share of the node
	Votes    []Vote
}

// Vote is one vote of a batch.
type Vote struct {
	Application model.UID
	Round       uint16
	Available   int8 // index of the first definition that fits, -1 for none
	Cached      bool // the image is there already
	Coming      bool // it is being fetched there
}

// Ballots are batches of votes, of several nodes, as they travel on a link: who
// votes is told once per link and then named by a number, an application once
// per message. A Packer makes them and an Unpacker reads them, each message of
// a link in its order.
type Ballots struct {
	Forget       bool        `cbor:"1,keyasint,omitempty"` // the numbers of all voters that were told before
	Voters       []Voter     `cbor:"2,keyasint,omitempty"` // that were not told before; they get the next numbers
	Applications []model.UID `cbor:"3,keyasint,omitempty"`
	// Batches is for each batch: the voter's number, how far its Seq is after the
	// last one of that voter (signed), load, how many votes; and for each vote:
	// the application's place in Applications, the round, and Available (signed)
	// with Cached as its lowest bit. All are varints.
	Batches []byte `cbor:"4,keyasint"`
	// Coming names the votes of which it is true, in the order in which they stand
	// in Batches: for each how many others are before it, after the last one that
	// was named. These are varints, too. Earlier versions skip it, and a vote that
	// went through one of them has lost it.
	Coming []byte `cbor:"5,keyasint,omitempty"`
}

// Voter is a process that votes.
type Voter struct {
	_        struct{} `cbor:",toarray"`
	Node     model.UID
	Boot     uint64
	Location string
}

const (
	// mostVoters are known by number on a link: 500 nodes that start anew some
	// times. Past it all are told again.
	mostVoters = 4096
	// mostVotes bounds what one message holds.
	mostVotes = 1 << 16
)

// Packer packs the votes that go over a link. The zero Packer is ready.
type Packer struct {
	voters map[Voter]uint64
	last   []uint64 // Seq by voter
}

// Pack makes the next message of the link. It must be sent, or the link ended.
func (p *Packer) Pack(batches []Votes) Ballots {
	var b Ballots
	if len(p.last)+len(batches) > mostVoters && len(p.last) > 0 {
		*p, b.Forget = Packer{}, true
	}
	if p.voters == nil {
		p.voters = map[Voter]uint64{}
	}
	apps := map[model.UID]uint64{}
	others := uint64(0) // since the last vote that Coming names
	for _, v := range batches {
		voter := Voter{Node: v.Node, Boot: v.Boot, Location: v.Location}
		number, known := p.voters[voter]
		if !known {
			number = uint64(len(p.last))
			p.voters[voter], p.last, b.Voters = number, append(p.last, 0), append(b.Voters, voter)
		}
		b.Batches = binary.AppendUvarint(b.Batches, number)
		b.Batches = binary.AppendVarint(b.Batches, int64(v.Seq-p.last[number])) //nolint:gosec // wraps round, as the way back does
		p.last[number] = v.Seq
		b.Batches = binary.AppendUvarint(b.Batches, uint64(v.Load))
		b.Batches = binary.AppendUvarint(b.Batches, uint64(len(v.Votes)))
		for _, vote := range v.Votes {
			place, told := apps[vote.Application]
			if !told {
				place = uint64(len(b.Applications))
				apps[vote.Application], b.Applications = place, append(b.Applications, vote.Application)
			}
			b.Batches = binary.AppendUvarint(b.Batches, place)
			b.Batches = binary.AppendUvarint(b.Batches, uint64(vote.Round))
			b.Batches = binary.AppendVarint(b.Batches, int64(vote.Available)<<1|int64(bit(vote.Cached)))
			if others++; vote.Coming {
				b.Coming, others = binary.AppendUvarint(b.Coming, others-1), 0
			}
		}
	}
	return b
}

func bit(on bool) uint8 {
	if on {
		return 1
	}
	return 0
}

// Unpacker reads the votes that come over a link. The zero Unpacker is ready.
type Unpacker struct {
	voters []Voter
	last   []uint64
}

var (
	errVoters = errors.New("too many voters, or one without a node")
	errBallot = errors.New("votes that can not be read")
)

// Unpack reads the next message of the link. After an error, which is
// ErrMalformed, the link is of no use.
func (u *Unpacker) Unpack(b Ballots) ([]Votes, error) {
	if b.Forget {
		*u = Unpacker{}
	}
	u.voters, u.last = append(u.voters, b.Voters...), append(u.last, make([]uint64, len(b.Voters))...)
	if len(u.voters) > mostVoters {
		return nil, malformed(errVoters)
	}
	r := reader{rest: b.Batches}
	var batches []Votes
	for left := mostVotes; len(r.rest) > 0; {
		v, err := u.batch(&r, b.Applications, left)
		if err != nil {
			return nil, malformed(err)
		}
		left -= len(v.Votes)
		batches = append(batches, v)
	}
	if err := markComing(batches, b.Coming); err != nil {
		return nil, malformed(err)
	}
	return batches, nil
}

// markComing marks the votes that Ballots.Coming names.
func markComing(batches []Votes, coming []byte) error {
	if len(coming) == 0 {
		return nil
	}
	var all []*Vote
	for _, v := range batches {
		for i := range v.Votes {
			all = append(all, &v.Votes[i])
		}
	}
	r := reader{rest: coming}
	for at := 0; len(r.rest) > 0; at++ {
		at += int(r.below(uint64(len(all) - at))) //nolint:gosec // bounded
		if r.bad {
			return errBallot
		}
		all[at].Coming = true
	}
	return nil
}

// batch reads one batch of at most so many votes.
func (u *Unpacker) batch(r *reader, apps []model.UID, most int) (Votes, error) {
	number := r.below(uint64(len(u.voters)))
	seq := r.signed()
	load, count := r.below(1<<8), r.below(uint64(most)+1)
	if r.bad || count > uint64(len(r.rest)) {
		return Votes{}, errBallot
	}
	voter := u.voters[number]
	u.last[number] += uint64(seq)                                                                                                                //nolint:gosec // wraps round
	v := Votes{Node: voter.Node, Boot: voter.Boot, Location: voter.Location, Seq: u.last[number], Load: uint8(load), Votes: make([]Vote, count)} //nolint:gosec // bounded
	for i := range v.Votes {
		app, round, available := r.below(uint64(len(apps))), r.below(1<<16), r.signed()
		if r.bad || available>>1 != int64(int8(available>>1)) { //nolint:gosec // that is what is checked
			return Votes{}, errBallot
		}
		v.Votes[i] = Vote{Application: apps[app], Round: uint16(round), Available: int8(available >> 1), Cached: available&1 == 1} //nolint:gosec // bounded
	}
	return v, nil
}

// reader reads varints; bad stays once one was none.
type reader struct {
	rest []byte
	bad  bool
}

// below reads a number that has to be less than the limit.
func (r *reader) below(limit uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	return r.read(v, n, v < limit)
}

func (r *reader) signed() int64 {
	v, n := binary.Varint(r.rest)
	return int64(r.read(uint64(v), n, true)) //nolint:gosec // as bits
}

func (r *reader) read(v uint64, n int, fits bool) uint64 {
	if n <= 0 || !fits {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func checkBallots(b Ballots) error {
	for _, v := range b.Voters {
		switch {
		case v.Node == model.NilUID:
			return errNode
		case !short(v.Location):
			return errLong
		}
	}
	return nil
}
