package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// The limits of what a neighbour may send. A frame of MaxFrame bytes can cost
// at most a few tens of megabytes of memory, whatever is in it.
const (
	// MaxFrame is the largest frame: a batch of rows is cut well below it.
	MaxFrame = 4 << 20
	// MaxControl is the largest message of the control stream: the LSAs of
	// 500 nodes are a quarter of it.
	MaxControl = 1 << 20
	// maxArray bounds each array in a message.
	maxArray = 1 << 16
	// maxDepth is how deep a message may nest: ours reach 4; the rest is room
	// for what later versions add.
	maxDepth = 12
	// maxPairs bounds the fields of a message.
	maxPairs = 64
)

// ErrMalformed says that bytes are no message, or one that breaks the limits:
// the neighbour is broken, not merely newer.
var ErrMalformed = errors.New("malformed message")

// malformed says so of what the reader of a link finds.
func malformed(err error) error { return fmt.Errorf("%w: %w", ErrMalformed, err) }

// Unknown stands for a message of a later version of the protocol: skip it.
type Unknown struct {
	Type uint64
}

// The modes are set up once and never change.
var (
	encoding = must(cbor.EncOptions{Sort: cbor.SortCoreDeterministic, IndefLength: cbor.IndefLengthForbidden}.EncMode()) //nolint:gochecknoglobals // constant
	decoding = must(cbor.DecOptions{                                                                                     //nolint:gochecknoglobals // constant
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		NaN:              cbor.NaNDecodeForbidden,
		Inf:              cbor.InfDecodeForbidden,
		MaxNestedLevels:  maxDepth,
		MaxArrayElements: maxArray,
		MaxMapPairs:      maxPairs,
	}.DecMode())
)

// must returns the mode: the options above are constants, and each test would
// see a panic.
func must[T any](mode T, err error) T {
	if err != nil {
		panic(err)
	}
	return mode
}

// Encode writes one of this package's messages: its number as a varint, then
// its fields in CBOR. What Encode returns fits a frame, or it is an error.
func Encode(message any) ([]byte, error) {
	e, known := byType[reflect.TypeOf(message)]
	if !known {
		return nil, fmt.Errorf("encode message: %T is none", message)
	}
	body, err := e.encode(message)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", message, err)
	}
	out := append(binary.AppendUvarint(make([]byte, 0, len(body)+2), e.number), body...)
	if len(out) > e.limit {
		return nil, fmt.Errorf("encode %T: %d bytes are more than the %d that a neighbour takes: send it in parts", message, len(out), e.limit)
	}
	return out, nil
}

// Decode reads what Encode wrote and returns the message by value. A message
// of an unknown number is an Unknown, and fields of unknown numbers are
// skipped: both come from a newer program. An error is ErrMalformed.
func Decode(data []byte) (any, error) {
	number, n := binary.Uvarint(data)
	if n <= 0 {
		return nil, fmt.Errorf("%w: no number", ErrMalformed)
	}
	e, known := byNumber[number]
	if !known {
		return Unknown{Type: number}, nil
	}
	if len(data) > e.limit {
		return nil, fmt.Errorf("%w: type %d of %d bytes, at most %d", ErrMalformed, number, len(data), e.limit)
	}
	message, err := e.decode(data[n:])
	if err != nil {
		return nil, fmt.Errorf("%w: type %d: %w", ErrMalformed, number, err)
	}
	return message, nil
}
