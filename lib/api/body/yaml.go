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

// fromYAML converts one YAML document into JSON text.
func fromYAML(raw []byte) (converted []byte, err error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("is not valid UTF-8")
	}
	doc, err := parseYAML(raw)
	if err != nil {
		return nil, err
	}
	if doc == nil {
		return []byte("{}"), nil
	}
	c := converter{}
	if err := c.value(doc); err != nil {
		return nil, err
	}
	return c.out.Bytes(), nil
}

// parseYAML reads exactly one document; nil stands for one without a value.
func parseYAML(raw []byte) (node *yaml.Node, err error) {
	// The parser reports most errors by panics that it catches itself; should
	// a strange text find another way out, it is still the client's mistake.
	defer func() {
		if p := recover(); p != nil {
			node, err = nil, fmt.Errorf("is not valid YAML: %v", p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("is not valid YAML: %w", err)
	}
	var rest yaml.Node
	if err := dec.Decode(&rest); err == nil {
		return nil, errors.New("has more than one YAML document")
	} else if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("is not valid YAML: %w", err)
	}
	if len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" {
		return nil, nil
	}
	return doc.Content[0], nil
}

// converter writes YAML nodes as JSON. It works on nodes and not on decoded
// values, because decoding loses key order and the digits of large numbers.
type converter struct {
	out   bytes.Buffer
	nodes int
	depth int
}

func (c *converter) value(n *yaml.Node) error {
	if err := c.enter(n); err != nil {
		return err
	}
	defer func() { c.depth-- }()
	switch n.Kind {
	case yaml.AliasNode:
		return c.value(n.Alias)
	case yaml.MappingNode:
		return c.mapping(n)
	case yaml.SequenceNode:
		return c.sequence(n)
	default:
		return c.scalar(n)
	}
}

// enter counts a value against the bounds. An alias inside its own anchor
// never ends, and so runs into them too.
func (c *converter) enter(n *yaml.Node) error {
	c.nodes++
	c.depth++
	switch {
	case c.nodes > maxNodes || c.out.Len() > maxOutput:
		return errors.New("is too large when its YAML aliases are expanded")
	case c.depth > 2*maxDepth: // an alias counts besides what it stands for
		return lineError(n, "is nested deeper than %d levels", maxDepth)
	}
	return nil
}

func (c *converter) sequence(n *yaml.Node) error {
	c.out.WriteByte('[')
	for i, item := range n.Content {
		if i > 0 {
			c.out.WriteByte(',')
		}
		if err := c.value(item); err != nil {
			return err
		}
	}
	c.out.WriteByte(']')
	return nil
}

func (c *converter) mapping(n *yaml.Node) error {
	pairs, err := c.pairs(n)
	if err != nil {
		return err
	}
	c.out.WriteByte('{')
	for i, p := range pairs {
		if i > 0 {
			c.out.WriteByte(',')
		}
		c.text(p.key)
		c.out.WriteByte(':')
		if err := c.value(p.value); err != nil {
			return err
		}
	}
	c.out.WriteByte('}')
	return nil
}

func (c *converter) scalar(n *yaml.Node) error {
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!timestamp":
		c.text(n.Value)
	case "!!null":
		c.out.WriteString("null")
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return lineError(n, "%q is no boolean", n.Value)
		}
		fmt.Fprint(&c.out, b)
	case "!!int", "!!float":
		text, ok := number(n.Value)
		if !ok {
			return lineError(n, "%q is no number that JSON can hold", n.Value)
		}
		c.out.WriteString(text)
	default:
		return lineError(n, "the tag %s is not supported", tag)
	}
	return nil
}

func (c *converter) text(s string) {
	quoted, _ := json.Marshal(s) // a string always marshals
	c.out.Write(quoted)
}

func lineError(n *yaml.Node, format string, a ...any) error {
	return fmt.Errorf("line %d: "+format, append([]any{n.Line}, a...)...)
}
