package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// member is one key and value of a JSON object, in the order it was written.
type member struct {
	key   string
	value json.RawMessage
}

// object is a JSON object that remembers the order of its keys.
type object struct {
	members []member
	index   map[string]int
}

func mergeObjects(base, over json.RawMessage) (json.RawMessage, error) {
	merged, err := parseObject(base)
	if err != nil {
		return nil, fmt.Errorf("application metadata: %w", err)
	}
	top, err := parseObject(over)
	if err != nil {
		return nil, fmt.Errorf("label metadata: %w", err)
	}
	for _, m := range top.members {
		merged.set(m)
	}
	return merged.encode(), nil
}

// parseObject reads an object's members in order; a repeated key keeps its
// first place and its last value. Nothing at all is the empty object.
func parseObject(raw json.RawMessage) (*object, error) {
	o := &object{index: make(map[string]int)}
	if len(bytes.TrimSpace(raw)) == 0 {
		return o, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if tok, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	} else if tok != json.Delim('{') {
		return nil, errors.New("is not a JSON object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("is not JSON: %w", err)
		}
		m := member{key: key.(string)} // the decoder yields only strings here
		if err := dec.Decode(&m.value); err != nil {
			return nil, fmt.Errorf("is not JSON: %w", err)
		}
		o.set(m)
	}
	return o, nil
}

func (o *object) set(m member) {
	if i, ok := o.index[m.key]; ok {
		o.members[i].value = m.value
		return
	}
	o.index[m.key] = len(o.members)
	o.members = append(o.members, m)
}

func (o *object) encode() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o.members {
		if i > 0 {
			b.WriteByte(',')
		}
		key, _ := json.Marshal(m.key) // a string always marshals
		b.Write(key)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}
