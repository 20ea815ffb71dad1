package replica

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// readingKey is the key of every body under which the noun's clock reading is.
const readingKey = "hlc"

// Reading is the clock reading that a body holds, 0 if it holds none.
func Reading(body []byte) model.HLC {
	var w struct {
		HLC model.HLC `json:"hlc"`
	}
	if json.Unmarshal(body, &w) != nil {
		return 0
	}
	return w.HLC
}

// Restamp returns the body with another clock reading. All else stays byte for
// byte, also what this program does not know. A body without a reading, or one
// that can not be read, is returned as it is.
func Restamp(body []byte, reading model.HLC) ([]byte, error) {
	from, to, err := findReading(body)
	if err != nil || from == to {
		return body, nil //nolint:nilerr // what nobody can read is passed on
	}
	var b bytes.Buffer
	b.Write(body[:from])
	b.WriteString(strconv.FormatInt(int64(reading), 10))
	b.Write(body[to:])
	if b.Len() > MaxBody {
		return nil, fmt.Errorf("stamp body again: %d bytes of at most %d: %w", b.Len(), MaxBody, ErrTooLarge)
	}
	return b.Bytes(), nil
}

var errNoObject = errors.New("the body is no JSON object")

// findReading is where the reading stands in the body; from == to if nowhere.
// Of several the last counts, as for the decoder.
func findReading(body []byte) (from, to int, err error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return 0, 0, errors.Join(errNoObject, err)
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return 0, 0, fmt.Errorf("read body: %w", err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return 0, 0, fmt.Errorf("read body: %w", err)
		}
		if key, ok := token.(string); ok && fold(key) == fold(readingKey) {
			to = int(dec.InputOffset())
			from = to - len(value)
		}
	}
	return from, to, nil
}
