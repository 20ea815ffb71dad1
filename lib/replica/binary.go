package replica

import (
	"encoding/binary"
	"errors"
	"slices"
)

// maxOrigins bounds a vector that comes from elsewhere: 500 nodes with a
// hundred lives each are less.
const maxOrigins = 1 << 16

// errVector says that bytes are no vector.
var errVector = errors.New("vector: bytes are cut short, not in order, or too many")

// MarshalBinary writes the vector in the order of its origins, each as 16 bytes
// of the node and two varints: incarnation and sequence number. So equal
// vectors are equal bytes, and an origin takes about 20 of them.
func (v Vector) MarshalBinary() ([]byte, error) {
	out := make([]byte, 0, 24*len(v))
	for _, origin := range v.Origins() {
		out = append(out, origin.Node[:]...)
		out = binary.AppendUvarint(out, uint64(origin.Incarnation))
		out = binary.AppendUvarint(out, v[origin])
	}
	return out, nil
}

// UnmarshalBinary reads what MarshalBinary wrote and refuses all else.
func (v *Vector) UnmarshalBinary(data []byte) error {
	read := Vector{}
	var last Origin
	for len(data) > 0 {
		origin, seq, rest, err := readOrigin(data)
		if err != nil {
			return err
		}
		if len(read) > 0 && origin.Compare(last) <= 0 || len(read) == maxOrigins {
			return errVector
		}
		read[origin], last, data = seq, origin, rest
	}
	*v = read
	return nil
}

// readOrigin reads one entry of a vector.
func readOrigin(data []byte) (origin Origin, seq uint64, rest []byte, err error) {
	if len(data) < len(origin.Node) {
		return origin, 0, nil, errVector
	}
	rest = data[copy(origin.Node[:], data):]
	incarnation, n := binary.Uvarint(rest)
	if n <= 0 || incarnation > 1<<32-1 {
		return origin, 0, nil, errVector
	}
	origin.Incarnation, rest = uint32(incarnation), rest[n:]
	seq, n = binary.Uvarint(rest)
	if n <= 0 {
		return origin, 0, nil, errVector
	}
	return origin, seq, rest[n:], nil
}

// Origins are the origins that the vector names, in order.
func (v Vector) Origins() []Origin {
	origins := make([]Origin, 0, len(v))
	for origin := range v {
		origins = append(origins, origin)
	}
	slices.SortFunc(origins, Origin.Compare)
	return origins
}
