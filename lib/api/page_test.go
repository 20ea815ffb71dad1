package api

import (
	"regexp"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/openapi"
)

func TestPage(t *testing.T) {
	rendered, err := renderPage(openapi.Spec())
	if err != nil {
		t.Fatalf("renderPage() error: %v", err)
	}
	page := string(rendered)
	for _, m := range regexp.MustCompile(`operationId: (\w+)`).FindAllStringSubmatch(string(openapi.Spec()), -1) {
		if !strings.Contains(page, `<details id="`+m[1]+`">`) {
			t.Errorf("operation %s is not on the page", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		anchor, local := strings.CutPrefix(m[1], "#")
		if local && !strings.Contains(page, `id="`+anchor+`"`) {
			t.Errorf("link to %s leads nowhere", m[1])
		}
		if !local && m[1] != specPath {
			t.Errorf("link to %s leaves the node", m[1])
		}
	}
	for _, outside := range []string{"<script", "src=", "@import", "url("} {
		if strings.Contains(page, outside) {
			t.Errorf("the page has %s: it must load nothing", outside)
		}
	}
	if left := regexp.MustCompile(`\*\*\w`).FindString(page); left != "" {
		t.Errorf("unrendered text %q", left)
	}
}

// TestPageShowsHowToCall checks what a caller needs besides the paths.
func TestPageShowsHowToCall(t *testing.T) {
	rendered, err := renderPage([]byte(`
tags: [{name: t, description: d}]
paths:
  /x:
    post:
      operationId: X
      tags: [t]
      parameters: [{name: p, in: query, required: true, example: p=1, schema: {type: string, enum: [a, b]}}, {$ref: '#/components/parameters/Q'}]
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/XRequest'}}}}
      responses: {default: {description: All else.}}
components:
  parameters: {Q: {name: q, in: path, schema: {type: integer}}}
  schemas:
    XRequest: {type: object, required: [n], properties: {n: {type: integer, default: 7}}}
    Xs: {type: array, items: {$ref: '#/components/schemas/X'}}
    X: {type: object, required: [n], properties: {n: {type: boolean, default: false}}}
    Y: {type: object, properties: {n: {type: boolean}}}
`))
	if err != nil {
		t.Fatalf("renderPage() error: %v", err)
	}
	page := string(rendered)
	for _, want := range []string{
		`<code>p</code> *<br>in the query</td><td>a, b</td><td> Example: <code>p=1</code>`, `<code>q</code><br>in the path</td><td>integer</td>`,
		`XRequest</a>, as JSON or YAML`, `<td>other</td>`, `Default <code>7</code>`, `Default <code>false</code>`,
		`<b>Xs</b> — <a href="#schema-X">list of X</a>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for legend, want := range map[string]int{"<p>* required</p>": 1, "<p>* always present</p>": 1} {
		if got := strings.Count(page, legend); got != want {
			t.Errorf("%q is there %d times, want %d", legend, got, want)
		}
	}
}

func TestPageOfABadSpecification(t *testing.T) {
	for name, spec := range map[string]string{
		"no YAML":     "a: [",
		"no tag":      "paths: {/x: {get: {}}}",
		"unknown tag": "paths: {/x: {get: {tags: [t]}}}",
		"list":        "paths: [x]",
	} {
		if _, err := renderPage([]byte(spec)); err == nil {
			t.Errorf("renderPage(%s) gave no error", name)
		}
	}
}

func TestMarkdown(t *testing.T) {
	tests := []struct{ in, want string }{
		{"a\n\nb", "<p>a</p><p>b</p>"},
		{"a `<b> **c**` **d** *e*", "<p>a <code>&lt;b&gt; **c**</code> <b>d</b> <em>e</em></p>"},
		{"x\n\n```\n<y>\n```\n", "<p>x</p><pre>&lt;y&gt;</pre>"},
		{"<script>", "<p>&lt;script&gt;</p>"},
	}
	for _, tt := range tests {
		if got := string(markdown(tt.in)); got != tt.want {
			t.Errorf("markdown(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
