package yamlconf

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// pair is one key of a mapping with its value.
type pair struct {
	name       string
	key, value *yaml.Node
}

// budget bounds the work on one document: aliases make a small text arbitrarily large.
type budget struct{ used int }

// spend accounts one visited value at the given depth; past the bounds it is an error.
func (b *budget) spend(n *yaml.Node, path string, depth int) error {
	b.used++
	if depth <= maxDepth && b.used <= maxNodes {
		return nil
	}
	return Problem{Line: n.Line, Key: path,
		Text: fmt.Sprintf("nested deeper than %d levels or more than %d values", maxDepth, maxNodes)}
}

// pairs lists the keys of a mapping in their order, merge keys (`<<`) expanded: what the mapping says itself wins.
// The same name twice in the mapping itself is an error; fold says whether case makes a difference.
func (b *budget) pairs(n *yaml.Node, path string, fold bool, depth int) ([]pair, error) {
	if err := b.spend(n, path, depth); err != nil {
		return nil, err
	}
	norm := func(s string) string { return s }
	if fold {
		norm = strings.ToLower
	}
	seen := map[string]int{}
	var own, merged []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.ShortTag() == "!!merge" {
			more, err := b.mergedPairs(v, path, fold, depth+1)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		key := resolve(k)
		if key.Kind != yaml.ScalarNode {
			return nil, Problem{Line: k.Line, Key: path, Text: fmt.Sprintf("got %s as a key, want a word", describe(k))}
		}
		name := norm(key.Value)
		if first, dup := seen[name]; dup {
			return nil, Problem{Line: k.Line, Key: join(path, key.Value),
				Text: fmt.Sprintf("given twice, first in line %d; keep one", first)}
		}
		seen[name] = k.Line
		own = append(own, pair{key.Value, k, v})
	}
	for _, p := range merged {
		if _, taken := seen[norm(p.name)]; !taken {
			seen[norm(p.name)] = p.key.Line
			own = append(own, p)
		}
	}
	return own, nil
}

// mergedPairs lists what a `<<` value brings in: one mapping, or a list of them where the first wins.
func (b *budget) mergedPairs(v *yaml.Node, path string, fold bool, depth int) ([]pair, error) {
	v = resolve(v)
	switch v.Kind {
	case yaml.MappingNode:
		return b.pairs(v, path, fold, depth)
	case yaml.SequenceNode:
		var all []pair
		for _, item := range v.Content {
			if resolve(item).Kind != yaml.MappingNode {
				return nil, Problem{Line: item.Line, Key: path, Text: "`<<` takes mappings only"}
			}
			more, err := b.pairs(resolve(item), path, fold, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
		return all, nil
	}
	return nil, Problem{Line: v.Line, Key: path, Text: "`<<` takes a mapping or a list of mappings"}
}

// join appends a name to a key path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
