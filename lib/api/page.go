package api

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

//go:embed page.html
var pageTemplate string

// pagePolicy lets the page load nothing at all: it needs no script and no host.
const pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// document is the part of an OpenAPI document that the page shows.
type document struct {
	Info struct{ Title, Version, Description string }
	Tags []struct{ Name, Description string }
	// Paths and Schemas are read as nodes, to keep their order.
	Paths      yaml.Node
	Components struct {
		Parameters map[string]parameter
		Responses  map[string]response
		Schemas    yaml.Node
	}
}

type parameter struct {
	Ref                   string `yaml:"$ref"`
	Name, In, Description string
	Example               string
	Required              bool
	Schema                schema
}

// Kind says what the value looks like.
func (p parameter) Kind() string {
	kind, _ := p.Schema.kind()
	if len(p.Schema.Enum) > 0 {
		kind = strings.Join(p.Schema.Enum, ", ")
	}
	return kind
}

type response struct {
	Ref         string `yaml:"$ref"`
	Description string
	Content     map[string]struct{ Schema schema }
}

type schema struct {
	Ref                       string `yaml:"$ref"`
	Type, Format, Description string
	GoType                    string `yaml:"x-go-type"`
	Nullable                  bool
	Default                   string
	Enum                      []string
	Required                  []string
	Items                     *schema
	AdditionalProperties      *schema `yaml:"additionalProperties"`
	Properties                yaml.Node
}

type operation struct {
	Method, Path         string `yaml:"-"`
	OperationID          string `yaml:"operationId"`
	Summary, Description string
	Tags                 []string
	Parameters           []parameter
	RequestBody          *response `yaml:"requestBody"`
	Responses            map[string]response
	Answers              []answer `yaml:"-"`
	BodySchema           string   `yaml:"-"`
	Security             []any
}

// answer is one possible answer of an operation, as the page shows it.
type answer struct{ Status, Description, Schema string }

// section is a tag with its operations; named is a schema with its fields.
type (
	section struct {
		Name, Description string
		Operations        []operation
	}
	named struct {
		Name, Description, Kind, Link string
		Fields                        []field
	}
	field struct {
		Name, Kind, Link, Description, Default string
		Required                               bool
	}
)

// Mark says what the star at some of the fields means; "" without any.
func (n named) Mark() string {
	switch {
	case !slices.ContainsFunc(n.Fields, func(f field) bool { return f.Required }):
		return ""
	case strings.HasSuffix(n.Name, "Request"):
		return "required"
	}
	return "always present"
}

// renderPage turns the specification into one readable page.
func renderPage(spec []byte) ([]byte, error) {
	var doc document
	if err := yaml.Unmarshal(spec, &doc); err != nil {
		return nil, fmt.Errorf("parse specification: %w", err)
	}
	sections, err := doc.sections()
	if err != nil {
		return nil, err
	}
	schemas, err := doc.schemas()
	if err != nil {
		return nil, err
	}
	page, err := template.New("page").Funcs(template.FuncMap{"text": markdown, "line": inline}).Parse(pageTemplate)
	if err != nil {
		return nil, fmt.Errorf("parse page template: %w", err)
	}
	var out bytes.Buffer
	err = page.Execute(&out, map[string]any{"Info": doc.Info, "Sections": sections, "Schemas": schemas})
	if err != nil {
		return nil, fmt.Errorf("execute page template: %w", err)
	}
	return out.Bytes(), nil
}

// sections sorts the operations under their tags, in the document's order.
func (d *document) sections() ([]section, error) {
	byTag := make(map[string][]operation)
	err := eachPair(&d.Paths, func(path string, item *yaml.Node) error {
		return eachPair(item, func(method string, node *yaml.Node) error {
			if !slices.Contains([]string{"get", "post", "delete"}, method) {
				return nil
			}
			op := operation{Method: strings.ToUpper(method), Path: path}
			if err := node.Decode(&op); err != nil {
				return fmt.Errorf("%s %s: %w", method, path, err)
			}
			if len(op.Tags) == 0 {
				return fmt.Errorf("%s %s has no tag", method, path)
			}
			d.complete(&op)
			byTag[op.Tags[0]] = append(byTag[op.Tags[0]], op)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	sections := make([]section, 0, len(d.Tags))
	for _, tag := range d.Tags {
		sections = append(sections, section{tag.Name, tag.Description, byTag[tag.Name]})
		delete(byTag, tag.Name)
	}
	if len(byTag) > 0 {
		return nil, fmt.Errorf("tags without a description: %v", slices.Sorted(maps.Keys(byTag)))
	}
	return sections, nil
}

// complete replaces references by what they refer to.
func (d *document) complete(op *operation) {
	for i, p := range op.Parameters {
		if p.Ref != "" {
			op.Parameters[i] = d.Components.Parameters[refName(p.Ref)]
		}
	}
	if op.RequestBody != nil {
		op.BodySchema = refName(op.RequestBody.Content[plainJSON].Schema.Ref)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		r := op.Responses[status]
		if r.Ref != "" {
			r = d.Components.Responses[refName(r.Ref)]
		}
		op.Answers = append(op.Answers, answer{status, r.Description, refName(r.Content[plainJSON].Schema.Ref)})
	}
}

func (d *document) schemas() ([]named, error) {
	var schemas []named
	err := eachPair(&d.Components.Schemas, func(name string, node *yaml.Node) error {
		var s schema
		if err := node.Decode(&s); err != nil {
			return fmt.Errorf("schema %s: %w", name, err)
		}
		kind, link := s.kind()
		n := named{Name: name, Description: s.Description, Kind: kind, Link: link}
		if len(s.Enum) > 0 {
			n.Kind = strings.Join(s.Enum, ", ")
		}
		err := eachPair(&s.Properties, func(key string, node *yaml.Node) error {
			var p schema
			if err := node.Decode(&p); err != nil {
				return fmt.Errorf("schema %s, %s: %w", name, key, err)
			}
			kind, link := p.kind()
			n.Fields = append(n.Fields, field{key, kind, link, p.Description, p.Default, slices.Contains(s.Required, key)})
			return nil
		})
		schemas = append(schemas, n)
		return err
	})
	return schemas, err
}

// kind says what a value looks like, and which schema describes it.
func (s schema) kind() (kind, link string) {
	switch {
	case s.Ref != "":
		return refName(s.Ref), refName(s.Ref)
	case s.Items != nil:
		kind, link = s.Items.kind()
		return "list of " + kind, link
	case s.AdditionalProperties != nil:
		kind, link = s.AdditionalProperties.kind()
		return "map of " + kind, link
	case s.GoType == "json.RawMessage" || s.Type == "":
		return "any JSON", ""
	case s.Format != "":
		return s.Type + " (" + s.Format + ")", ""
	}
	return s.Type, ""
}

// refName is the last part of a reference.
func refName(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// eachPair calls do for each key of a mapping, in order.
func eachPair(n *yaml.Node, do func(key string, value *yaml.Node) error) error {
	if n.Kind == 0 {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return errors.New("specification has something else where a mapping should be")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if err := do(n.Content[i].Value, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}
