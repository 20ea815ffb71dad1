// Package body turns the body of a request, JSON or YAML, into one JSON object
// that is safe to bind: of bounded depth and size, valid UTF-8, without
// repeated keys, with the client's key order and the text of its numbers kept.
package body

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxSize bounds a request's body in bytes (contract 5).
const MaxSize = 64 << 10

// The bounds on what a body of MaxSize may unfold to. They keep every later
// reader, many of which recurse, cheap whoever sends the request.
const (
	// maxDepth bounds nesting; people write five levels, generators ten.
	maxDepth = 100
	// maxNodes bounds values after YAML aliases are expanded; JSON of MaxSize
	// can not hold more than 32,768.
	maxNodes = 32 << 10
	// maxOutput bounds the JSON that a YAML body becomes: quotes and aliases
	// make it longer than it came.
	maxOutput = 4 * MaxSize
)

// ErrMediaType says that the Content-Type is neither JSON nor YAML. The text is
// contract 5's.
var ErrMediaType = errors.New("code=415, message=Unsupported Media Type")

// Normalize returns the body as one JSON object. An empty body is the empty
// object, whatever its Content-Type. Every error is the client's.
func Normalize(contentType string, raw []byte) ([]byte, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return []byte("{}"), nil
	}
	mediaType := strings.ToLower(strings.TrimSpace(contentType))
	switch {
	case strings.HasPrefix(mediaType, "application/json"):
		if !utf8.Valid(raw) {
			return nil, errors.New("is not valid UTF-8")
		}
	case strings.HasPrefix(mediaType, "application/yaml"):
		converted, err := fromYAML(raw)
		if err != nil {
			return nil, err
		}
		raw = converted
	default:
		return nil, ErrMediaType
	}
	if err := checkJSON(raw); err != nil {
		return nil, err
	}
	return raw, nil
}

// checkJSON makes sure that raw is exactly one JSON object within the bounds
// and with no key twice in an object: readers disagree on which one counts.
func checkJSON(raw []byte) error {
	var whole json.RawMessage
	if err := json.Unmarshal(raw, &whole); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return fmt.Errorf("is not valid JSON at byte %d: %w", syntax.Offset, err)
		}
		return fmt.Errorf("is not valid JSON: %w", err)
	}
	if bytes.TrimSpace(raw)[0] != '{' {
		return errors.New("must be an object")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var w walker
	for !w.done {
		token, err := dec.Token()
		if err != nil {
			return fmt.Errorf("is not valid JSON: %w", err)
		}
		if err := w.step(token); err != nil {
			return err
		}
	}
	return nil
}

// walker follows the tokens of one JSON value.
type walker struct {
	open []level
	done bool
}

// level is an object or array that is not closed yet.
type level struct {
	keys  map[string]bool // nil for an array
	isKey bool            // the next token is a key or the end
}

func (w *walker) step(token json.Token) error {
	delim, _ := token.(json.Delim)
	switch delim {
	case '}', ']':
		w.open = w.open[:len(w.open)-1]
		w.valueEnded()
		return nil
	case '{', '[':
		if len(w.open) == maxDepth {
			return fmt.Errorf("is nested deeper than %d levels", maxDepth)
		}
		next := level{}
		if delim == '{' {
			next = level{keys: make(map[string]bool), isKey: true}
		}
		w.open = append(w.open, next)
		return nil
	}
	if top := &w.open[len(w.open)-1]; top.isKey {
		return top.key(token)
	}
	w.valueEnded()
	return nil
}

func (l *level) key(token json.Token) error {
	key, _ := token.(string) // the decoder yields only strings here
	if l.keys[key] {
		return fmt.Errorf("has the key %q twice in one object", key)
	}
	l.keys[key] = true
	l.isKey = false
	return nil
}

func (w *walker) valueEnded() {
	if len(w.open) == 0 {
		w.done = true
		return
	}
	if top := &w.open[len(w.open)-1]; top.keys != nil {
		top.isKey = true
	}
}
