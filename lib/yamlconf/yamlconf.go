// Package yamlconf decodes YAML (and JSON, which is YAML) configuration into Go structs so that a person can mend what is
// wrong: every problem names its line, its key and what is allowed there.
//
// Keys match case-insensitively. A key that nothing reads is a warning, because a config file may be shared with a
// newer version; a wrong type, a value out of range or a key given twice is an error. A null value means "not given".
//
// The node and each driver decode their own part: the node hands a driver its part as JSON made by [Document.JSON],
// which keeps the line numbers of the file, so that the driver's complaints point to the same place.
package yamlconf

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"gopkg.in/yaml.v3"
)

const (
	// maxDepth bounds how deep a document may nest: an alias that contains itself would never end.
	maxDepth = 100
	// maxNodes bounds how many values are visited, aliases expanded: ten lines of aliases can name a billion values.
	maxNodes = 100_000
)

// Problem is one complaint about a document: an error, or an entry of [Document.Warnings].
type Problem struct {
	// Line counts from 1; 0 means that the complaint has no place in the document.
	Line int
	// Key is the path of the key, such as `drivers[0].cfg.cpu_limit`; empty for the whole document.
	Key string
	// Text says what is wrong and what is allowed.
	Text string
}

// Error renders the problem as `line 7: drivers[0].name: text`.
func (p Problem) Error() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Document is one parsed document. It is not safe for concurrent use.
type Document struct {
	root     *yaml.Node
	lines    map[string]int
	warnings []Problem
}

// Parse reads one YAML document whose top level is a mapping. No input, or only comments, is an empty mapping.
func Parse(data []byte) (*Document, error) {
	doc := &Document{lines: map[string]int{}}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var top yaml.Node
	if err := dec.Decode(&top); errors.Is(err, io.EOF) {
		return doc, nil
	} else if err != nil {
		return nil, syntaxError(err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return nil, Problem{Line: second.Line, Text: "a second document starts here; only one is allowed"}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(err)
	}
	root := top.Content[0]
	if isNull(root) {
		return doc, nil
	}
	if resolve(root).Kind != yaml.MappingNode {
		return nil, Problem{Line: root.Line, Text: fmt.Sprintf("got %s, want `key: value` lines", describe(root))}
	}
	doc.root = root
	return doc, nil
}

// syntaxError rewords the parser's error, which carries the line in its own way.
func syntaxError(err error) error {
	return fmt.Errorf("parse YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
}

// Warnings lists the keys that Decode did not know, in the order of the document.
func (d *Document) Warnings() []Problem { return d.warnings }

// Line returns the line of the key with the given path (the field's name as the struct tag spells it), 0 if not given.
func (d *Document) Line(key string) int { return d.lines[key] }

// Problem makes an error about a key that Decode accepted, but that a later check refuses.
func (d *Document) Problem(key, format string, args ...any) Problem {
	return Problem{Line: d.lines[key], Key: key, Text: fmt.Sprintf(format, args...)}
}

// resolve follows an alias to what it names.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// isNull tells whether the value is `~`, `null` or nothing at all.
func isNull(n *yaml.Node) bool {
	n = resolve(n)
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// describe names a value for an error message; a long one is cut.
func describe(n *yaml.Node) string {
	n = resolve(n)
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	kind := map[string]string{
		"!!null": "null", "!!bool": "the boolean", "!!int": "the integer", "!!float": "the number", "!!str": "the string",
	}[n.ShortTag()]
	if kind == "" {
		kind = "the value"
	}
	value := []rune(n.Value)
	if len(value) > 40 {
		value = append(value[:40], '…')
	}
	return fmt.Sprintf("%s %q", kind, string(value))
}
