package yamlconf

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Raw is a value handed on undecoded, as JSON that keeps the line numbers of the document: give it to [Parse].
// Keys keep their order and numbers their text. It is nil where the key was not given.
type Raw json.RawMessage

// Decode fills the struct that into points to. Fields are named by their `yaml` tag; fields without one are left alone, and
// those of an embedded struct are as the struct's own.
// What the document does not mention keeps its value, so defaults are set beforehand. Supported are structs, pointers,
// slices, maps with string keys, strings, booleans, integers, floats, [time.Duration] (see [ParseDuration]), [Raw] and
// every type with an UnmarshalText method. A null is no value, nor is an empty string for a duration or a [Size]. All errors are returned joined, each a [Problem].
func (d *Document) Decode(into any) error {
	if d.root == nil {
		return nil
	}
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("decode config into %T: want a pointer to a struct", into)
	}
	dec := &decoder{doc: d}
	dec.value(d.root, "", v.Elem(), 0)
	sort.SliceStable(d.warnings, func(i, j int) bool { return d.warnings[i].Line < d.warnings[j].Line })
	return errors.Join(dec.errs...)
}

// decoder walks a document and a Go value side by side and collects what does not fit.
type decoder struct {
	doc   *Document
	errs  []error
	spent budget
}

func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	d.errs = append(d.errs, Problem{Line: n.Line, Key: path, Text: fmt.Sprintf(format, args...)})
}

// value stores one node in one Go value.
func (d *decoder) value(n *yaml.Node, path string, v reflect.Value, depth int) {
	if err := d.spent.spend(n, path, depth); err != nil {
		if d.spent.used <= maxNodes+1 {
			d.errs = append(d.errs, err)
		}
		return
	}
	if path != "" {
		d.doc.lines[path] = n.Line
	}
	if isNull(n) {
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, path, v.Elem(), depth+1)
		return
	}
	if _, isRaw := v.Interface().(Raw); isRaw {
		d.raw(n, path, v)
		return
	}
	if v.Type() == secretType {
		d.secret(resolve(n), path, v)
		return
	}
	if _, isText := v.Addr().Interface().(encoding.TextUnmarshaler); isText || v.Type() == durationType {
		d.scalar(resolve(n), path, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(resolve(n), path, v, depth)
	case reflect.Slice:
		d.list(resolve(n), path, v, depth)
	case reflect.Map:
		d.mapping(resolve(n), path, v, depth)
	default:
		d.scalar(resolve(n), path, v)
	}
}

//nolint:gochecknoglobals // constants that Go can not declare as such
var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	secretType   = reflect.TypeFor[Secret]()
)

func (d *decoder) raw(n *yaml.Node, path string, v reflect.Value) {
	data, err := toJSON(n, path)
	if err != nil {
		d.errs = append(d.errs, err)
		return
	}
	v.SetBytes(data)
}

func (d *decoder) list(n *yaml.Node, path string, v reflect.Value, depth int) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "got %s, want a list", describe(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, fmt.Sprintf("%s[%d]", path, i), out.Index(i), depth+1)
	}
	v.Set(out)
}

func (d *decoder) mapping(n *yaml.Node, path string, v reflect.Value, depth int) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "got %s, want a mapping", describe(n))
		return
	}
	list, err := d.spent.pairs(n, path, false, depth)
	if err != nil {
		d.errs = append(d.errs, err)
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(list))
	for _, p := range list {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(p.value, join(path, p.name), item, depth+1)
		out.SetMapIndex(reflect.ValueOf(p.name).Convert(v.Type().Key()), item)
	}
	v.Set(out)
}

// structure matches keys with fields; a key without a field becomes a warning.
func (d *decoder) structure(n *yaml.Node, path string, v reflect.Value, depth int) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "got %s, want a mapping", describe(n))
		return
	}
	list, err := d.spent.pairs(n, path, true, depth)
	if err != nil {
		d.errs = append(d.errs, err)
		return
	}
	names, fields := fieldsOf(v.Type())
	for _, p := range list {
		field, known := fields[strings.ToLower(p.name)]
		if !known {
			d.doc.warnings = append(d.doc.warnings, Problem{Line: p.key.Line, Key: join(path, p.name),
				Text: "unknown key, ignored; known here: " + strings.Join(names, ", ")})
			continue
		}
		d.value(p.value, join(path, field.Tag.Get("yaml")), v.FieldByIndex(field.Index), depth+1)
	}
}

// fieldsOf lists the tagged fields of a struct, with those of embedded ones: their names in order, and by lower-case name.
func fieldsOf(t reflect.Type) ([]string, map[string]reflect.StructField) {
	var names []string
	fields := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(t) {
		if tag := f.Tag.Get("yaml"); tag != "" && tag != "-" {
			names = append(names, tag)
			fields[strings.ToLower(tag)] = f
		}
	}
	return names, fields
}
