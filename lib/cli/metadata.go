package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// readMetadata reads an object from the file (- is stdin) and lays the KEY=VALUE pairs over it. Values are strings.
func (s *shell) readMetadata(file string, pairs []string) (json.RawMessage, error) {
	object := map[string]json.RawMessage{}
	if file != "" {
		text, err := s.readJSON(file)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &object); err != nil || object == nil {
			return nil, usagef("metadata in %s: want an object of keys and values", file)
		}
		if len(pairs) == 0 {
			return text, nil // as it is written, keys in their order
		}
	}
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, usagef("bad --metadata %q: want KEY=VALUE", pair)
		}
		object[key], _ = json.Marshal(value) // a string always can be
	}
	if len(object) == 0 {
		return nil, nil // the node's default
	}
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("write metadata: %w", err)
	}
	return text, nil
}

// readJSON reads a JSON or YAML file, or stdin for -, as JSON.
func (s *shell) readJSON(file string) (json.RawMessage, error) {
	var text []byte
	var err error
	if file == "-" {
		text, err = readSmall(s.Stdin, "stdin")
	} else {
		text, err = readLimited(s.path(file))
	}
	if err != nil {
		return nil, usagef("read %s: %w", file, err)
	}
	var compact bytes.Buffer
	if json.Compact(&compact, text) == nil {
		return compact.Bytes(), nil
	}
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		return nil, usagef("%s is neither JSON nor YAML: %w", file, err)
	}
	converted, err := json.Marshal(value)
	if err != nil {
		return nil, usagef("%s has keys or values that JSON does not: %w", file, err)
	}
	return converted, nil
}
