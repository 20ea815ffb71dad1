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
