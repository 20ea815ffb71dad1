package store

import (
	"bytes"
	"sync"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// arrived is a row of another node, read outside of the writer, for which the
// writes of this node would wait.
type arrived struct {
	replica.Row
	authentic bool
	noun      any // what the body says; nil for the rare kinds, and if it can not be read
}

// arrive reads a row. What fails is read again by the writer, which says so.
func arrive(r replica.Row) arrived {
	read, authentic := replica.Examine(r)
	a := arrived{Row: r, authentic: authentic}
	if r.Deleted || !authentic {
		return a
	}
	switch r.Kind {
	case replica.KindApplication:
		a.noun = nounOf(r, replica.DecodeApplication)
	case replica.KindApplicationState:
		a.noun = nounRead[model.ApplicationState](r, read)
	case replica.KindApplicationTask:
		a.noun = nounOf(r, replica.DecodeApplicationTask)
	case replica.KindResource:
		a.noun = nounRead[model.Resource](r, read)
	case replica.KindResourceAccess:
		a.noun = nounRead[model.ResourceAccess](r, read)
	case replica.KindAccessUse:
		a.noun = nounRead[model.AccessUse](r, read)
	}
	return a
}

// nounRead is nounOf of what was read already.
func nounRead[T replica.Noun](r replica.Row, read any) any {
	noun, ok := read.(T)
	if !ok {
		return nil
	}
	if _, key := replica.KeyOf(noun); !bytes.Equal(key, r.Key) {
		return nil
	}
	return read
}

// nounOf is what a row says, nil if it can not be read.
func nounOf[T replica.Noun](r replica.Row, decode func([]byte) (T, error)) any {
	if noun, err := decodeRow(arrived{Row: r}, decode); err == nil {
		return noun
	}
	return nil
}

// arrivals is a batch, read.
type arrivals struct {
	replica.Batch
	rows []arrived
}

func arriveAll(batches []replica.Batch) []arrivals {
	all := make([]arrivals, len(batches))
	for i, b := range batches {
		all[i] = arrivals{Batch: b, rows: make([]arrived, len(b.Rows))}
		for j, r := range b.Rows {
			all[i].rows[j] = arrive(r)
		}
	}
	return all
}

// readAhead yields the pieces, read; while one is used the next is read beside it.
func readAhead(all [][]replica.Batch) func(yield func([]arrivals) bool) {
	return func(yield func([]arrivals) bool) {
		if len(all) == 1 {
			yield(arriveAll(all[0]))
			return
		}
		ready, stop := make(chan []arrivals), make(chan struct{})
		var reader sync.WaitGroup
		reader.Go(func() {
			defer close(ready)
			for _, p := range all {
				select {
				case ready <- arriveAll(p):
				case <-stop:
					return
				}
			}
		})
		defer reader.Wait()
		defer close(stop)
		for p := range ready {
			if !yield(p) {
				return
			}
		}
	}
}

// inPieces makes pieces of maxPiece rows of what is to be taken in, each for one
// request of the writer.
func inPieces(batches []replica.Batch) (all [][]replica.Batch) {
	var piece []replica.Batch
	rows := 0
	for _, b := range batches {
		for part := range pieces(b) {
			piece = append(piece, part)
			if rows += len(part.Rows); rows >= maxPiece {
				all = append(all, piece)
				piece, rows = nil, 0
			}
		}
	}
	if len(piece) > 0 {
		all = append(all, piece)
	}
	return all
}

// pieces cuts a batch where it is too large for one request.
func pieces(b replica.Batch) func(yield func(replica.Batch) bool) {
	return func(yield func(replica.Batch) bool) {
		for len(b.Rows) > maxPiece {
			part := b
			part.Rows = b.Rows[:maxPiece]
			part.To = part.Rows[maxPiece-1].Version.Seq
			if !yield(part) {
				return
			}
			b.From, b.Rows = part.To, b.Rows[maxPiece:]
		}
		if b.From < b.To {
			yield(b)
		}
	}
}

// storedNoun is what the row says, read already if it came just now.
func storedNoun[T replica.Noun](r *syncRow, decode func([]byte) (T, error)) (T, error) {
	if noun, read := r.noun.(T); read {
		return noun, nil
	}
	return decode(r.Body)
}
