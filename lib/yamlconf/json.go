package yamlconf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// JSON renders the whole document as one JSON object; see [Raw] for how.
func (d *Document) JSON() (json.RawMessage, error) {
	if d.root == nil {
		return json.RawMessage("{}"), nil
	}
	return toJSON(d.root, "")
}

// jsonWriter renders nodes as JSON in which every key stands on the line where the document had it.
type jsonWriter struct {
	buf   bytes.Buffer
	line  int
	spent budget
}

// toJSON renders a value as JSON. Key order and the text of numbers are kept (so 12345678901234567890 stays exact),
// and newlines put each key and list item on its line of the document: whoever parses the JSON with [Parse] can name
// the same lines.
func toJSON(n *yaml.Node, path string) (json.RawMessage, error) {
	w := &jsonWriter{line: 1}
	if err := w.value(n, path, 0); err != nil {
		return nil, err
	}
	return w.buf.Bytes(), nil
}

// moveTo writes newlines up to the given line; aliases name earlier lines, there is no way back for them.
func (w *jsonWriter) moveTo(line int) {
	for ; w.line < line; w.line++ {
		w.buf.WriteByte('\n')
	}
}

func (w *jsonWriter) value(n *yaml.Node, path string, depth int) error {
	n = resolve(n)
	if err := w.spent.spend(n, path, depth); err != nil {
		return err
	}
	w.moveTo(n.Line)
	switch n.Kind {
	case yaml.MappingNode:
		return w.object(n, path, depth)
	case yaml.SequenceNode:
		return w.array(n, path, depth)
	default:
		return w.scalar(n, path)
	}
}

func (w *jsonWriter) object(n *yaml.Node, path string, depth int) error {
	list, err := w.spent.pairs(n, path, false, depth)
	if err != nil {
		return err
	}
	w.buf.WriteByte('{')
	for i, p := range list {
		if i > 0 {
			w.buf.WriteByte(',')
		}
		w.moveTo(p.key.Line)
		w.text(p.name)
		w.buf.WriteByte(':')
		if err := w.value(p.value, join(path, p.name), depth+1); err != nil {
			return err
		}
	}
	w.buf.WriteByte('}')
	return nil
}

func (w *jsonWriter) array(n *yaml.Node, path string, depth int) error {
	w.buf.WriteByte('[')
	for i, item := range n.Content {
		if i > 0 {
			w.buf.WriteByte(',')
		}
		if err := w.value(item, fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
			return err
		}
	}
	w.buf.WriteByte(']')
	return nil
}

func (w *jsonWriter) scalar(n *yaml.Node, path string) error {
	switch n.ShortTag() {
	case "!!null":
		w.buf.WriteString("null")
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return Problem{Line: n.Line, Key: path, Text: err.Error()}
		}
		w.buf.WriteString(strconv.FormatBool(b))
	case "!!int", "!!float":
		return w.number(n, path)
	default:
		w.text(n.Value)
	}
	return nil
}

// number keeps the text where JSON allows it; hexadecimal, underscores and the like are rendered in decimal.
func (w *jsonWriter) number(n *yaml.Node, path string) error {
	if json.Valid([]byte(n.Value)) {
		w.buf.WriteString(n.Value)
		return nil
	}
	if i, err := strconv.ParseInt(strings.TrimPrefix(n.Value, "+"), 0, 64); err == nil {
		w.buf.WriteString(strconv.FormatInt(i, 10))
		return nil
	}
	var f float64
	if err := n.Decode(&f); err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return Problem{Line: n.Line, Key: path, Text: fmt.Sprintf("got %s, want a finite number", describe(n))}
	}
	w.buf.WriteString(strconv.FormatFloat(f, 'g', -1, 64))
	return nil
}

// text writes a JSON string on one line.
func (w *jsonWriter) text(s string) {
	data, err := json.Marshal(s)
	if err != nil { // a string always marshals; bad UTF-8 is replaced
		data = []byte(`""`)
	}
	w.buf.Write(data)
}
