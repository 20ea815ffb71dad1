package replica

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Bodies. Each noun has an explicit struct for the wire whose keys never
// change meaning, so that neither the API's JSON nor a renamed field of the
// model can change what is stored on a hundred nodes. The rules for keys:
//
//   - A key is lower case and never used again once it was dropped. No two
//     keys differ by case only, because the decoder folds it.
//   - Nouns that are changed in place write all their keys always: Rewrite
//     takes a key that is missing for one that the program does not know.
//   - New keys are added at the top level, where Rewrite keeps them.

// ErrTooLarge says that a noun does not fit into a row.
var ErrTooLarge = errors.New("larger than a row may be")

// nanos is a time of day: Unix nanoseconds, 0 for none.
type nanos int64

func toNanos(t time.Time) nanos {
	if t.IsZero() {
		return 0
	}
	return nanos(t.UnixNano())
}

func (n nanos) time() time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n)).UTC()
}

// verbatim is a part that is JSON itself, such as metadata. It travels as a
// string: an encoder would take the white space out of nested JSON, and the
// owner of the part is to get it back byte for byte. "" is none.
type verbatim string

func (v verbatim) raw() json.RawMessage {
	if v == "" {
		return nil
	}
	return json.RawMessage(v)
}

// UnmarshalJSON refuses what is not JSON: it could be given to nobody.
func (v *verbatim) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s != "" && !json.Valid([]byte(s)) {
		return errors.New("a part is not JSON")
	}
	*v = verbatim(s)
	return nil
}

// encode writes the wire struct of a noun. Text that is not UTF-8 is written
// with replacement characters: JSON has no other way.
func encode(noun string, w any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // nobody reads it in a browser, and it is stored for years
	if err := enc.Encode(w); err != nil {
		return nil, fmt.Errorf("encode %s: %w", noun, err)
	}
	body := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(body) > MaxBody {
		return nil, fmt.Errorf("encode %s: %d bytes of at most %d: %w", noun, len(body), MaxBody, ErrTooLarge)
	}
	return body, nil
}

// decode reads a body into the wire struct of a noun and checks that it says
// which one it is.
func decode[W interface{ identified() bool }](noun string, body []byte) (W, error) {
	var w, none W
	if err := json.Unmarshal(body, &w); err != nil {
		return none, fmt.Errorf("decode %s: %w", noun, err)
	}
	if !w.identified() {
		return none, fmt.Errorf("decode %s: the body does not say which one it is", noun)
	}
	return w, nil
}

// Rewrite returns updated, the body that this program wrote for a noun that is
// changed in place, with the keys of old that this program does not know: they
// were written by a newer one and are not lost because an older one changed
// the noun. Values are kept byte for byte. If old can not be read, updated is
// returned as it is.
func Rewrite(old, updated []byte) ([]byte, error) {
	var before, after map[string]json.RawMessage
	if err := json.Unmarshal(updated, &after); err != nil {
		return nil, fmt.Errorf("rewrite body: %w", err)
	}
	if after == nil {
		return nil, errors.New("rewrite body: it is no JSON object")
	}
	if err := json.Unmarshal(old, &before); err != nil {
		return updated, nil //nolint:nilerr // what nobody can read is not worth keeping
	}
	strange := strangers(old, before, after)
	if len(strange) == 0 {
		return updated, nil
	}
	merged := bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(updated), []byte("}")))
	merged = bytes.Clone(merged)
	for _, key := range strange {
		if len(merged) > 1 {
			merged = append(merged, ',')
		}
		name, err := json.Marshal(key)
		if err != nil {
			return nil, fmt.Errorf("rewrite body: %w", err)
		}
		merged = append(append(append(merged, name...), ':'), before[key]...)
	}
	merged = append(merged, '}')
	if len(merged) > MaxBody {
		return nil, fmt.Errorf("rewrite body: %d bytes of at most %d: %w", len(merged), MaxBody, ErrTooLarge)
	}
	return merged, nil
}

// strangers are the keys that only the old body has, in its order.
func strangers(old []byte, before, after map[string]json.RawMessage) []string {
	known := make(map[string]bool, len(after))
	for key := range after {
		known[fold(key)] = true
	}
	var keys []string
	dec := json.NewDecoder(bytes.NewReader(old))
	if _, err := dec.Token(); err != nil {
		return nil
	}
	for dec.More() {
		token, err := dec.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return keys
		}
		var skipped json.RawMessage
		if dec.Decode(&skipped) != nil {
			return keys
		}
		if _, has := before[key]; has && !known[fold(key)] {
			known[fold(key)] = true
			keys = append(keys, key)
		}
	}
	return keys
}

// fold is what the decoder compares keys by: each rune becomes the lowest of
// those that differ from it by case only.
func fold(key string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, key)
}
