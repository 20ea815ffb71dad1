package yamlconf

import (
	"bytes"
	"fmt"
	"regexp"

	"gopkg.in/yaml.v3"
)

// removed stands where something was that is not for everybody.
const removed = "(removed)"

// Redact returns the document without comments, the values of keys whose names
// say that they are secret, and what URLs carry before `@` and after `?`. The
// secrets that it removed are returned too, for whoever looks for them elsewhere.
func Redact(data []byte) (clean []byte, secrets []string, err error) {
	doc, err := Parse(data)
	if err != nil || doc.root == nil {
		return nil, nil, err
	}
	r := &redaction{name: secretName(), url: regexp.MustCompile(`://[^/@\s]*@|\?[^\s]*`), seen: map[*yaml.Node]bool{}}
	if err := r.visit(doc.root, 0); err != nil {
		return nil, nil, err
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(doc.root); err != nil {
		return nil, nil, fmt.Errorf("write YAML: %w", err)
	}
	return out.Bytes(), r.secrets, nil
}

type redaction struct {
	name    *regexp.Regexp
	url     *regexp.Regexp
	spent   budget
	seen    map[*yaml.Node]bool // an alias leads to what is done already
	secrets []string
}

func (r *redaction) visit(n *yaml.Node, depth int) error {
	n = resolve(n)
	if err := r.spent.spend(n, "", depth); err != nil {
		return err
	}
	n.HeadComment, n.LineComment, n.FootComment = "", "", "" // people note passwords there
	if r.seen[n] {
		return nil
	}
	r.seen[n] = true
	if n.Kind == yaml.ScalarNode {
		n.Value = r.url.ReplaceAllString(n.Value, "://"+removed)
		return nil
	}
	for i, item := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && r.name.MatchString(n.Content[i-1].Value) {
			n.Content[i] = r.hide(item)
			continue
		}
		if err := r.visit(item, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// hide replaces a secret, and keeps where one is that stands elsewhere. Of a
// list or a mapping it replaces the whole.
func (r *redaction) hide(n *yaml.Node) *yaml.Node {
	n = resolve(n)
	if isNull(n) || n.Kind == yaml.ScalarNode && n.Value == "" {
		return n
	}
	r.note(n, 0)
	if isReference(n) {
		n.HeadComment, n.LineComment, n.FootComment = "", "", ""
		return n
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: removed}
}

// note keeps every value in a secret, to be looked for elsewhere.
func (r *redaction) note(n *yaml.Node, depth int) {
	n = resolve(n)
	if r.spent.spend(n, "", depth) != nil {
		return // it is removed all the same
	}
	switch {
	case n.Kind == yaml.ScalarNode:
		r.secrets = append(r.secrets, n.Value)
	case isReference(n):
		d := &decoder{doc: &Document{lines: map[string]int{}}}
		if value, err := d.referred(n, ""); err == nil {
			r.secrets = append(r.secrets, value)
		}
	default:
		for i, item := range n.Content {
			if n.Kind != yaml.MappingNode || i%2 == 1 {
				r.note(item, depth+1)
			}
		}
	}
}
