package metadata

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Format is a way to write metadata as text.
type Format string

// The formats of contract 17.
const (
	JSON       Format = "json"   // the object itself, prefix not used
	Env        Format = "env"    // KEY=value
	Export     Format = "export" // export KEY=value
	PowerShell Format = "ps1"    // $KEY='value'
)

// ParseFormat reads a format's name; an empty one is JSON. The error is for
// the client.
func ParseFormat(name string) (Format, error) {
	switch f := Format(name); f {
	case "":
		return JSON, nil
	case JSON, Env, Export, PowerShell:
		return f, nil
	}
	return "", fmt.Errorf("format %q is not known: use json, env, export or ps1", name)
}

// Render writes metadata in a format, with the names that the node itself sets
// (node, may be nil; all Reserved). JSON is the object with all that is in it
// but Reserved keys, the node's names behind them, without a newline at its
// end. The text formats are there to be evaluated in an environment: they hold
// what Environment gives and the node's names, with prefix (unless empty) and a
// dot before each key, in one newline-terminated line per name, sorted, more
// only where a value itself holds a newline.
func Render(format Format, metadata, label json.RawMessage, node map[string]string, prefix string) ([]byte, []Drop, error) {
	if format == JSON {
		text, err := renderJSON(withNode(metadata, node))
		return text, nil, err
	}
	flat, err := flatten(metadata, label, prefix)
	if err != nil {
		return nil, nil, err
	}
	flat.Pairs = append(flat.Pairs, nodePairs(node, prefix)...)
	slices.SortFunc(flat.Pairs, func(a, b Pair) int { return cmp.Compare(a.Name, b.Name) })
	var b strings.Builder
	for _, p := range flat.Pairs {
		switch format {
		case Env:
			b.WriteString(p.Name + "=" + QuoteShell(p.Value) + "\n")
		case Export:
			b.WriteString("export " + p.Name + "=" + QuoteShell(p.Value) + "\n")
		case PowerShell:
			b.WriteString("$" + p.Name + "=" + QuotePowerShell(p.Value) + "\n")
		default:
			return nil, nil, fmt.Errorf("format %q is not known", format)
		}
	}
	return []byte(b.String()), flat.Dropped, nil
}

// nodePairs are the node's names with a prefix. No user's key makes one of them.
func nodePairs(node map[string]string, prefix string) []Pair {
	pairs := make([]Pair, 0, len(node))
	for name, value := range node {
		if prefix != "" {
			name = Name(prefix + "." + name)
		}
		pairs = append(pairs, Pair{name, clean(value)})
	}
	return pairs
}

func renderJSON(metadata json.RawMessage) ([]byte, error) {
	if len(metadata) == 0 {
		return []byte("{}"), nil
	}
	text, err := json.Marshal(metadata)
	if err != nil {
		return nil, fmt.Errorf("metadata: is not JSON: %w", err)
	}
	return text, nil
}

// QuoteShell quotes a value for a POSIX shell, only if it has to.
func QuoteShell(value string) string {
	if value != "" && strings.IndexFunc(value, needsQuotes) < 0 {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'"'"'`) + "'"
}

func needsQuotes(r rune) bool {
	switch {
	case '0' <= r && r <= '9', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		return false
	}
	return !strings.ContainsRune("@%_-+=:,./", r)
}

// QuotePowerShell quotes a value as a PowerShell verbatim string. PowerShell
// takes the typographic single quotes for quotes as well, so those are doubled
// too: else a value could end its string and go on as a program.
func QuotePowerShell(value string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range value {
		if strings.ContainsRune("'\u2018\u2019\u201A\u201B", r) {
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String()
}
