package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/filter"
)

// chunkSize is how much of a list is collected before it is sent.
const chunkSize = 32 << 10

// list is the answer of a collection: its elements are converted, encoded and
// sent as they come, so that a list of any length costs one chunk of memory.
type list[M any] struct {
	noun     string // for the message of a failure
	elements iter.Seq2[M, error]
	convert  func(M) any
	patience time.Duration // that a client may take for one chunk
}

// write sends the list. An error before the first byte is returned and becomes
// an answer of its own; after it the connection is cut, so that nobody takes a
// part for the whole.
func (l list[M]) write(w http.ResponseWriter) error {
	buf := bytes.NewBuffer(make([]byte, 0, 4<<10))
	enc := json.NewEncoder(buf)
	buf.WriteByte('[')
	sent, first := false, true
	for element, err := range l.elements {
		if err == nil {
			if !first {
				buf.WriteByte(',')
			}
			first = false
			err = enc.Encode(l.convert(element))
		}
		switch {
		case err != nil && sent:
			panic(http.ErrAbortHandler)
		case err != nil:
			return l.explain(err)
		}
		buf.Truncate(buf.Len() - 1) // the newline that Encode ends with
		if buf.Len() >= chunkSize {
			if err := l.send(w, buf); err != nil {
				return err
			}
			sent = true
		}
	}
	buf.WriteString("]\n")
	if sent {
		return l.send(w, buf)
	}
	w.(*exchange).setJSON(buf.Len()) //nolint:forcetypeassert // ServeHTTP made it
	_, err := buf.WriteTo(w)
	return err
}

// send writes one chunk of several. Each has its own deadline instead of the
// server's for the whole: a long list takes its time, a client that does not
// read does not.
func (l list[M]) send(w http.ResponseWriter, buf *bytes.Buffer) error {
	// A writer without deadlines does not block either.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(l.patience))
	w.Header().Set("Content-Type", jsonType)
	_, err := buf.WriteTo(w)
	return err
}

// explain gives a filter that names what can not exist contract 9's 500.
func (l list[M]) explain(err error) error {
	if errors.Is(err, filter.ErrUnresolved) {
		return &failure{status: http.StatusInternalServerError, message: "Unable to get the " + l.noun + " list: " + err.Error()}
	}
	return err
}
