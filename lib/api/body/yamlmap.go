package body

import "gopkg.in/yaml.v3"

// pair is a key of a mapping with its value.
type pair struct {
	key   string
	value *yaml.Node
}

// pairs returns the mapping's keys in order, with `<<` merged in where it
// stands: keys written out win over merged ones, earlier merges over later.
func (c *converter) pairs(n *yaml.Node) ([]pair, error) {
	written, err := ownKeys(n)
	if err != nil {
		return nil, err
	}
	var pairs []pair
	merged := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !isMerge(key) {
			pairs = append(pairs, pair{resolve(key).Value, value})
			continue
		}
		from, err := c.mergeSources(value)
		if err != nil {
			return nil, err
		}
		for _, p := range from {
			if !written[p.key] && !merged[p.key] {
				merged[p.key] = true
				pairs = append(pairs, p)
			}
		}
	}
	return pairs, nil
}

// ownKeys returns the keys that the mapping itself writes out.
func ownKeys(n *yaml.Node) (map[string]bool, error) {
	written := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolve(n.Content[i])
		switch {
		case isMerge(n.Content[i]):
		case key == nil || key.Kind != yaml.ScalarNode:
			return nil, lineError(n.Content[i], "a key must be a simple value")
		case written[key.Value]:
			return nil, lineError(n.Content[i], "the key %q is there twice", key.Value)
		default:
			written[key.Value] = true
		}
	}
	return written, nil
}

// mergeSources returns what `<<` brings: one mapping, or several in a list.
func (c *converter) mergeSources(value *yaml.Node) ([]pair, error) {
	if err := c.enter(value); err != nil {
		return nil, err
	}
	defer func() { c.depth-- }()
	source := resolve(value)
	switch {
	case source != nil && source.Kind == yaml.MappingNode:
		pairs, err := c.pairs(source)
		c.nodes += len(pairs)
		return pairs, err
	case source != nil && source.Kind == yaml.SequenceNode:
		var all []pair
		for _, item := range source.Content {
			pairs, err := c.mergeSources(item)
			if err != nil {
				return nil, err
			}
			all = append(all, pairs...)
		}
		return all, nil
	}
	return nil, lineError(value, "<< takes a mapping or a list of mappings")
}

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge"
}

// resolve follows an alias; the parser never makes an alias of an alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
