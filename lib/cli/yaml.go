package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"
)

// writeYAML shows what writeJSON would: the same keys in the same order, numbers with their own text.
func writeYAML(w io.Writer, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	node, err := yamlNode(d)
	if err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(node); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	return e.Close()
}

// yamlNode reads the next JSON value.
func yamlNode(d *json.Decoder) (*yaml.Node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	scalar := func(tag, value string) (*yaml.Node, error) {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}, nil
	}
	switch v := token.(type) {
	case json.Delim:
		return yamlChildren(d, v)
	case string:
		return stringNode(v), nil
	case json.Number:
		return numberNode(v), nil
	case bool:
		return scalar("!!bool", fmt.Sprint(v))
	case nil:
		return scalar("!!null", "null")
	}
	return nil, errors.New("unknown JSON token")
}

// stringNode quotes what the encoder would write so that it reads as something else.
func stringNode(text string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	if text == "<<" || text == "\n" || !legible(text) {
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}

// legible reports whether the text, of one line or many, can be shown as it is: it begins and ends with something to
// see, but for one newline at its end, and holds nothing that does not print.
func legible(text string) bool {
	text = strings.TrimSuffix(text, "\n")
	return text == strings.TrimSpace(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsPrint(r) && r != '\n' && r != '\t'
	})
}

// numberNode keeps the text of a number, which YAML may have to be told the type of: 1e3 is a string there.
func numberNode(n json.Number) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Value: n.String()}
	if tag := node.ShortTag(); tag != "!!int" && tag != "!!float" {
		node.Tag = "!!float"
	}
	return node
}

// yamlChildren reads the rest of an object or an array.
func yamlChildren(d *json.Decoder, open json.Delim) (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.MappingNode}
	if open == '[' {
		node.Kind = yaml.SequenceNode
	}
	for d.More() {
		child, err := yamlNode(d) // the keys of an object are values of the stream too
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, child)
	}
	if len(node.Content) == 0 {
		node.Style = yaml.FlowStyle // {} and []
	}
	_, err := d.Token()
	return node, err
}
