package wire

import (
	"errors"
	"fmt"
	"reflect"
)

// entry is how messages of one type are written.
type entry struct {
	number uint64 // never changes, never used again
	kind   reflect.Type
	limit  int // bytes
	encode func(any) ([]byte, error)
	decode func([]byte) (any, error)
}

// The messages that open a connection, see ReadOpening.
const (
	numberHello  = 1
	numberRefuse = 2
)

// entries are all messages. Numbers below 128 take one byte.
func entries() []entry {
	return []entry{
		plain(numberHello, checkHello),
		plain(numberRefuse, checkRefuse),
		plain(3, checkTopology),
		plain(4, checkTopologyAsk),
		plain(6, func(Advert) error { return nil }),
		shaped(7, MaxFrame, packRows, unpackRows),
		plain(8, func(DigestAsk) error { return nil }),
		shaped(9, MaxFrame, keep[Digests], checkedDigests),
		shaped(10, MaxFrame, packBucket, unpackBucket),
		plain(12, checkBallots), // 5 and 11 were votes in another shape
		plain(13, func(ClockAsk) error { return nil }),
		plain(14, func(ClockTold) error { return nil }),
	}
}

// The tables follow from entries and never change.
var (
	byNumber = index(func(e entry) uint64 { return e.number })     //nolint:gochecknoglobals // constant
	byType   = index(func(e entry) reflect.Type { return e.kind }) //nolint:gochecknoglobals // constant
)

func index[K comparable](key func(entry) K) map[K]entry {
	table := map[K]entry{}
	for _, e := range entries() {
		table[key(e)] = e
	}
	return table
}

// plain is a control message that is written as it is.
func plain[T any](number uint64, check func(T) error) entry {
	return shaped(number, MaxControl, keep[T], func(m T) (T, error) { return m, check(m) })
}

// shaped is a message T that travels in the shape of W.
func shaped[T, W any](number uint64, limit int, pack func(T) (W, error), unpack func(W) (T, error)) entry {
	return entry{
		number: number,
		kind:   reflect.TypeFor[T](),
		limit:  limit,
		encode: func(m any) ([]byte, error) {
			w, err := pack(m.(T)) // the table is looked up by this type
			if err != nil {
				return nil, err
			}
			return encoding.Marshal(w)
		},
		decode: func(data []byte) (any, error) {
			var w W
			if err := decoding.Unmarshal(data, &w); err != nil {
				return nil, err
			}
			m, err := unpack(w)
			if err != nil {
				return nil, err
			}
			return m, nil
		},
	}
}

func keep[T any](m T) (T, error) { return m, nil }

// The bounds of what stays in memory for as long as the sender says so.
const (
	maxTry        = 16  // of a Refuse
	maxName       = 512 // bytes of a name, an address, a version
	maxText       = 4096
	maxNeighbours = 256
	maxShares     = 256
	buckets       = 256
)

var (
	errNode = errors.New("no node named")
	errLong = errors.New("a text or a list is too long")
)

// short reports whether all texts fit.
func short(texts ...string) bool {
	for _, text := range texts {
		if len(text) > maxName {
			return false
		}
	}
	return true
}

func checkHello(h Hello) error {
	switch {
	case h.Node == [16]byte{}:
		return errNode
	case !short(h.Name, h.Address, h.Location, h.Program, string(h.Cluster)):
		return errLong
	}
	return nil
}

func checkRefuse(r Refuse) error {
	if len(r.Text) > maxText || len(r.Try) > maxTry {
		return errLong
	}
	for _, m := range r.Try {
		if !short(m.Address) {
			return errLong
		}
	}
	return nil
}

func checkTopology(t Topology) error {
	for _, l := range t.LSAs {
		if err := checkLSA(l); err != nil {
			return err
		}
	}
	for _, p := range t.Pulses {
		if p.Node == [16]byte{} {
			return errNode
		}
	}
	return nil
}

func checkLSA(l LSA) error {
	switch {
	case l.Node == [16]byte{}:
		return errNode
	case len(l.Neighbours) > maxNeighbours, len(l.Shares) > maxShares,
		!short(l.Name, l.Location, l.Address, l.Program), !short(l.Shares...):
		return fmt.Errorf("of node %s: %w", l.Node, errLong)
	case l.Base > l.Seq:
		return fmt.Errorf("of node %s: base %d is after seq %d", l.Node, l.Base, l.Seq)
	}
	return nil
}

func checkTopologyAsk(TopologyAsk) error { return nil }

func checkedDigests(d Digests) (Digests, error) {
	for _, k := range d.Kinds {
		if len(k.Buckets) > buckets {
			return d, errLong
		}
	}
	return d, nil
}
