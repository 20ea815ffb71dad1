package api

import (
	"html/template"
	"regexp"
	"strings"
)

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	bold     = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	emphasis = regexp.MustCompile(`\*([^*]+)\*`)
)

// codeMark stands for a code span while emphasis is looked for around it;
// escaping leaves no NUL in a text.
const codeMark = "\x00"

// markdown renders the little of Markdown that the specification uses:
// paragraphs, fenced code, code spans, bold and emphasis.
func markdown(text string) template.HTML {
	var out strings.Builder
	for i, part := range strings.Split(text, "```") {
		if i%2 == 1 {
			out.WriteString("<pre>" + template.HTMLEscapeString(strings.Trim(part, "\n")) + "</pre>")
			continue
		}
		for paragraph := range strings.SplitSeq(part, "\n\n") {
			if strings.TrimSpace(paragraph) != "" {
				out.WriteString("<p>" + string(inline(strings.TrimSpace(paragraph))) + "</p>")
			}
		}
	}
	return template.HTML(out.String()) //nolint:gosec // all text in it was escaped
}

// inline renders one paragraph; what is inside a code span stays as it is.
func inline(text string) template.HTML {
	var spans []string
	escaped := codeSpan.ReplaceAllStringFunc(template.HTMLEscapeString(text), func(span string) string {
		spans = append(spans, "<code>"+strings.Trim(span, "`")+"</code>")
		return codeMark
	})
	escaped = emphasis.ReplaceAllString(bold.ReplaceAllString(escaped, "<b>$1</b>"), "<em>$1</em>")
	for _, span := range spans {
		escaped = strings.Replace(escaped, codeMark, span, 1)
	}
	return template.HTML(escaped) //nolint:gosec // all text in it was escaped
}
