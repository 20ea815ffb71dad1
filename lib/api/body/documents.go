package body

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Documents returns the objects of a text that may hold several, each as
// Normalize would: of YAML every document, of JSON every value after another,
// of both the items of a list at the top. Empty documents are left out. The
// caller bounds the text.
func Documents(contentType string, raw []byte) ([]json.RawMessage, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("is not valid UTF-8")
	}
	read := jsonValues
	if contentType == "application/yaml" {
		read = yamlValues
	}
	values, err := read(raw)
	if err != nil {
		return nil, err
	}
	var objects []json.RawMessage
	for _, value := range values {
		items := []json.RawMessage{value}
		if bytes.HasPrefix(bytes.TrimSpace(value), []byte("[")) {
			if err := json.Unmarshal(value, &items); err != nil {
				return nil, fmt.Errorf("is not valid JSON: %w", err)
			}
		}
		for _, item := range items {
			if err := checkJSON(item); err != nil {
				return nil, fmt.Errorf("object %d %w", len(objects)+1, err)
			}
			objects = append(objects, item)
		}
	}
	return objects, nil
}

func jsonValues(raw []byte) (values []json.RawMessage, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	for {
		var value json.RawMessage
		switch err := dec.Decode(&value); {
		case errors.Is(err, io.EOF):
			return values, nil
		case err != nil:
			return nil, fmt.Errorf("is not valid JSON at byte %d: %w", dec.InputOffset(), err)
		}
		values = append(values, value)
	}
}

func yamlValues(raw []byte) (values []json.RawMessage, err error) {
	defer func() { // as in parseYAML
		if p := recover(); p != nil {
			values, err = nil, fmt.Errorf("is not valid YAML: %v", p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	for {
		var doc yaml.Node
		switch err := dec.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return values, nil
		case err != nil:
			return nil, fmt.Errorf("is not valid YAML: %w", err)
		}
		if len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" {
			continue
		}
		c := converter{}
		if err := c.value(doc.Content[0]); err != nil {
			return nil, err
		}
		values = append(values, c.out.Bytes())
	}
}
