package replica

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The votes of a decision are most of what an ELECTED row of a large farm holds,
// and follow from little: they are packed, as base64 of
//
//	1 (the shape), how many places, each with its length; then per vote:
//	node (16 bytes), process (8), round, available, cached, load, place, and when
//	it was cast, as nanoseconds after the state was made
//
// with all numbers but the first two as varints.
const packedShape = 1

// mostPacked bounds what a body may make of little.
const mostPacked = 1 << 16

var errPacked = errors.New("votes can not be read")

// packVotes is "" for votes of which something does not follow from what is
// packed, as in the decisions of older programs.
func packVotes(votes []model.Vote, state model.ApplicationState) string {
	var places []string
	for _, v := range votes {
		uid := model.VoteUID(state.ApplicationUID, v.NodeUID, v.Boot, v.Round)
		if v.UID != uid || v.ApplicationUID != state.ApplicationUID || v.Rand != model.VoteRand(uid) || v.CreatedAt.IsZero() {
			return ""
		}
		if !slices.Contains(places, v.Location) {
			places = append(places, v.Location)
		}
	}
	if len(votes) == 0 || len(votes) > mostPacked {
		return ""
	}
	b := binary.AppendUvarint([]byte{packedShape}, uint64(len(places)))
	for _, p := range places {
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	}
	for _, v := range votes {
		b = binary.BigEndian.AppendUint64(append(b, v.NodeUID[:]...), v.Boot)
		b = binary.AppendUvarint(b, uint64(v.Round))
		b = binary.AppendVarint(b, int64(v.Available))
		cached := uint64(0)
		if v.Cached {
			cached = 1
		}
		b = binary.AppendUvarint(b, cached)
		b = binary.AppendUvarint(b, uint64(v.Load))
		b = binary.AppendUvarint(b, uint64(slices.Index(places, v.Location))) //nolint:gosec // it is there
		b = binary.AppendVarint(b, int64(toNanos(v.CreatedAt)-toNanos(state.CreatedAt)))
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

// unpackVotes reads what packVotes wrote for the state.
func unpackVotes(text string, app model.UID, made nanos) ([]model.Vote, error) {
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(b) == 0 || b[0] != packedShape {
		return nil, errPacked
	}
	r := packed{rest: b[1:]}
	var places []string
	for range r.number(uint64(len(b))) {
		places = append(places, string(r.bytes(r.number(uint64(len(b))))))
	}
	var votes []model.Vote
	for !r.bad && len(r.rest) > 0 && len(votes) < mostPacked {
		v := model.Vote{ApplicationUID: app, NodeUID: model.UID(r.bytes(16)), Boot: binary.BigEndian.Uint64(r.bytes(8))}
		v.Round, v.Available = uint16(r.number(1<<16-1)), int(r.signed()) //nolint:gosec // bounded
		v.Cached, v.Load = r.number(1) == 1, uint8(r.number(1<<8-1))      //nolint:gosec // bounded
		place := r.number(uint64(len(places)))
		v.CreatedAt = (made + nanos(r.signed())).time()
		if r.bad || place >= uint64(len(places)) {
			return nil, errPacked
		}
		v.Location = places[place]
		v.UID = model.VoteUID(app, v.NodeUID, v.Boot, v.Round)
		v.Rand = model.VoteRand(v.UID)
		votes = append(votes, v)
	}
	if r.bad || len(r.rest) > 0 {
		return nil, errPacked
	}
	return votes, nil
}

// tellComing returns the votes as they are told, and the places of those whose
// image is on its way.
//
// Programs that do not know of such images find the winner by the rest, so the
// rest has to lead them to the same one: with them an image on its way is one at
// hand, unless another vote for the same definition has it at hand indeed, as
// next to that it counts for nothing. Ours take it back by the places.
func tellComing(votes []model.Vote) (told []model.Vote, places []int) {
	atHand := map[int]bool{}
	for i, v := range votes {
		atHand[v.Available] = atHand[v.Available] || v.Cached
		if v.Coming && !v.Cached {
			places = append(places, i)
		}
	}
	if len(places) == 0 {
		return votes, nil
	}
	told = slices.Clone(votes)
	for _, i := range places {
		told[i].Cached = !atHand[told[i].Available]
	}
	return told, places
}

// readComing undoes tellComing in the votes.
func readComing(votes []model.Vote, places []int) error {
	for i, place := range places {
		if place < 0 || place >= len(votes) || i > 0 && place <= places[i-1] {
			return errPacked
		}
		votes[place].Cached, votes[place].Coming = false, true
	}
	return nil
}

// packed reads numbers and bytes; bad stays once there were none.
type packed struct {
	rest []byte
	bad  bool
}

func (p *packed) number(most uint64) uint64 {
	v, n := binary.Uvarint(p.rest)
	return p.take(v, n, v <= most)
}

func (p *packed) signed() int64 {
	v, n := binary.Varint(p.rest)
	return int64(p.take(uint64(v), n, true)) //nolint:gosec // as bits
}

func (p *packed) take(v uint64, n int, fits bool) uint64 {
	if n <= 0 || !fits {
		p.bad, p.rest = true, nil
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

// bytes are n zeros where there are not so many.
func (p *packed) bytes(n uint64) []byte {
	if n > uint64(len(p.rest)) {
		p.bad, p.rest = true, nil
		return make([]byte, min(n, 16))
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}
