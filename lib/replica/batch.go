package replica

import (
	"errors"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The bounds of what is sent. A node must not write a row that breaks them:
// all others would refuse it for ever, and all that the node wrote after it.
const (
	// MaxKey bounds a key. A request has at most 64 KiB, so no name is longer.
	MaxKey = 64 << 10
	// MaxBody bounds a body: what was made from a request of 64 KiB with room
	// for its JSON in strings, an environment's metadata, or a decision with
	// the votes of some thousand nodes.
	MaxBody = 1 << 20
	// MaxBatchRows and MaxBatchBytes bound what a receiver holds in memory for
	// one batch. Bytes are counted by Row.Size.
	MaxBatchRows  = 4096
	MaxBatchBytes = 4 << 20
)

// rowOverhead is what a row takes beside key and body, about.
const rowOverhead = 64

// Limit bounds a batch that is read to be sent.
type Limit struct {
	Rows  int
	Bytes int // by Row.Size; a single row may exceed it
}

// Fits reports whether another row of that size may follow rows rows of bytes
// bytes. The first always fits: else nothing would ever come after it.
func (l Limit) Fits(rows, bytes, size int) bool {
	return rows == 0 || rows < l.Rows && bytes+size <= l.Bytes
}

// Size is what the row takes in memory and uncompressed on the wire, about.
func (r Row) Size() int { return rowOverhead + len(r.Key) + len(r.Body) }

// Size is the sum of the sizes of the batch's rows.
func (b Batch) Size() int {
	size := 0
	for _, r := range b.Rows {
		size += r.Size()
	}
	return size
}

// Validate checks what every node relies on; a sender of a row that fails is
// broken.
func (r Row) Validate() error {
	switch {
	case r.Kind == 0:
		return errors.New("row has no kind")
	case len(r.Key) == 0:
		return errors.New("row has no key")
	case len(r.Key) > MaxKey:
		return fmt.Errorf("row has a key of %d bytes of at most %d: %w", len(r.Key), MaxKey, ErrTooLarge)
	case len(r.Body) > MaxBody:
		return fmt.Errorf("row has a body of %d bytes of at most %d: %w", len(r.Body), MaxBody, ErrTooLarge)
	case r.Deleted && len(r.Body) != 0:
		return errors.New("deleted row has a body")
	case !r.Deleted && len(r.Body) == 0:
		return errors.New("row has no body")
	case r.Version.Seq == 0 || r.Version.HLC < 0 || r.Version.Origin.Node == model.NilUID:
		return errors.New("row has no version")
	}
	return nil
}

// Validate checks a batch that came from elsewhere.
func (b Batch) Validate() error {
	switch {
	case b.Origin.Node == model.NilUID:
		return errors.New("batch has no origin")
	case b.From >= b.To:
		return fmt.Errorf("batch covers nothing: from %d to %d", b.From, b.To)
	case len(b.Rows) > MaxBatchRows:
		return fmt.Errorf("batch has %d rows of at most %d", len(b.Rows), MaxBatchRows)
	}
	last, size := b.From, 0
	for i, r := range b.Rows {
		if err := r.Validate(); err != nil {
			return fmt.Errorf("batch row %d: %w", i, err)
		}
		if r.Version.Origin != b.Origin {
			return fmt.Errorf("batch row %d: it is of another origin", i)
		}
		if r.Version.Seq <= last || r.Version.Seq > b.To {
			return fmt.Errorf("batch row %d: sequence number %d is not after %d and up to %d", i, r.Version.Seq, last, b.To)
		}
		last = r.Version.Seq
		if size += r.Size(); size > MaxBatchBytes {
			return fmt.Errorf("batch has more than %d bytes", MaxBatchBytes)
		}
	}
	return nil
}
