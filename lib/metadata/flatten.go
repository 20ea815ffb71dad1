// Package metadata turns the metadata of an environment, a JSON object, into
// names and values that a shell can take (contract 17), and says which names
// it may not set there (contract 32).
//
// Names under NodePrefix are the node's own: what it tells an environment of
// itself stands there, and nothing that a user wrote. They are made anew for
// each environment and each answer, and stored nowhere.
//
// It is pure: the metadata API and the drivers that hand metadata over as
// environment variables share it.
package metadata

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxName is the longest name, in bytes, that is made of nested keys. It keeps
// 64 KB of deeply nested metadata from growing into gigabytes of names.
const maxName = 512

// Pair is one name and value. The name is a valid shell name, the value is
// valid UTF-8 without NUL, which no environment can hold.
type Pair struct {
	Name  string
	Value string
}

// Drop says which key of the metadata was left out, and why. It never holds a
// value.
type Drop struct {
	Key    string
	Reason string
}

// Flat is metadata as names and values, sorted by name, each name once.
type Flat struct {
	Pairs   []Pair
	Dropped []Drop
}

// leaf is one value with the keys that lead to it.
type leaf struct {
	Pair
	key       string // keys joined with dots, as the user wrote them
	bare      string // key without the prefix that whoever asked wants before it
	fromLabel bool
}

// Environment returns metadata as the environment variables of a process. It
// joins the keys of nested objects with dots, cleans them into names and gives
// every leaf its text: strings as they are, numbers as they were written, true
// and false, null as nothing, arrays with all that is in them as JSON.
//
// Dropped is a key that makes a Reserved name; one that makes a Protected name,
// unless the label (the label's part of the metadata, may be nil) sets it; one
// of which nothing is left when cleaned; one over 512 bytes. Where two keys make the same name, the one at a
// top-level key that label holds wins, then the first in the order of the
// joined keys and values. An error says that one of the two is no JSON object.
func Environment(metadata, label json.RawMessage) (Flat, error) {
	return flatten(metadata, label, "")
}

// flatten is Environment with a prefix, unless empty, before all keys. It is
// part of the name and of its length, also where names are protected.
func flatten(metadata, label json.RawMessage, prefix string) (Flat, error) {
	leaves, dropped, err := collect(metadata, label, prefix)
	if err != nil {
		return Flat{}, err
	}
	leaves = slices.DeleteFunc(leaves, func(l leaf) bool {
		switch {
		case l.fromLabel && l.bare == SSHRecordKey: // a word to the node, which has heard it
			return true
		case Reserved(l.Name), Reserved(l.bare):
			dropped = append(dropped, Drop{l.key, "names that begin with " + NodePrefix + " are the node's own"})
			return true
		case !l.fromLabel && Protected(l.Name):
			dropped = append(dropped, Drop{l.key, "the name " + l.Name + " is protected, only a label may set it"})
			return true
		}
		return false
	})
	return settle(leaves, dropped), nil
}

// collect reads all leaves that have a name.
func collect(metadata, label json.RawMessage, prefix string) ([]leaf, []Drop, error) {
	top, err := parse(metadata)
	if err != nil {
		return nil, nil, fmt.Errorf("metadata: %w", err)
	}
	over, err := parse(label)
	if err != nil {
		return nil, nil, fmt.Errorf("label metadata: %w", err)
	}
	w := walker{}
	if prefix != "" {
		w.push(prefix)
		w.user = len(w.path)
	}
	for key, value := range top {
		_, w.fromLabel = over[key]
		w.walk(key, value)
	}
	return w.leaves, w.dropped, nil
}

// parse reads a JSON object, numbers as text. Nothing at all is the empty one.
func parse(raw json.RawMessage) (map[string]any, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("is more than one JSON value")
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("is not a JSON object")
	}
	return object, nil
}

// walker collects the leaves under one key after the other.
type walker struct {
	path      []string
	user      int // where in path the user's own keys begin, behind a prefix
	size      int // of the joined path in bytes, with a dot after each key
	fromLabel bool
	leaves    []leaf
	dropped   []Drop
}

func (w *walker) walk(key string, value any) {
	if w.size+len(key) > maxName {
		w.dropped = append(w.dropped, Drop{cut(append(w.path, key)), fmt.Sprintf("the name is over %d bytes", maxName)})
		return
	}
	w.push(key)
	defer w.pop()
	if object, ok := value.(map[string]any); ok {
		for k, v := range object {
			w.walk(k, v)
		}
		return
	}
	joined := strings.Join(w.path, ".")
	name := Name(joined)
	if name == "" {
		w.dropped = append(w.dropped, Drop{joined, "no letter is left of the name"})
		return
	}
	bare := strings.Join(w.path[w.user:], ".")
	w.leaves = append(w.leaves, leaf{Pair{name, text(value)}, joined, bare, w.fromLabel})
}

func (w *walker) push(key string) {
	w.path = append(w.path, key)
	w.size += len(key) + 1
}

func (w *walker) pop() {
	last := len(w.path) - 1
	w.size -= len(w.path[last]) + 1
	w.path = w.path[:last]
}

// cut shortens a long key to what a log line needs.
func cut(path []string) string {
	const enough = 64 // bytes
	key := path[0]
	if len(key) > enough {
		key = strings.ToValidUTF8(key[:enough], "")
	}
	return key + "..."
}

// settle sorts and lets one leaf win each name.
func settle(leaves []leaf, dropped []Drop) Flat {
	slices.SortFunc(leaves, func(a, b leaf) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), labelFirst(a, b), cmp.Compare(a.key, b.key), cmp.Compare(a.Value, b.Value))
	})
	flat := Flat{Dropped: dropped}
	for _, l := range leaves {
		if n := len(flat.Pairs); n > 0 && flat.Pairs[n-1].Name == l.Name {
			flat.Dropped = append(flat.Dropped, Drop{l.key, "another key makes the name " + l.Name + " too"})
			continue
		}
		flat.Pairs = append(flat.Pairs, l.Pair)
	}
	slices.SortFunc(flat.Dropped, func(a, b Drop) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Reason, b.Reason))
	})
	flat.Dropped = slices.Compact(flat.Dropped)
	return flat
}

func labelFirst(a, b leaf) int {
	switch {
	case a.fromLabel == b.fromLabel:
		return 0
	case a.fromLabel:
		return -1
	}
	return 1
}

// text is the value of a leaf.
func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return clean(v)
	case json.Number:
		return v.String()
	case bool:
		return fmt.Sprint(v)
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(value) // what the decoder made always encodes
	return clean(strings.TrimSuffix(b.String(), "\n"))
}

// clean makes a string fit for an environment and a text answer.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}
