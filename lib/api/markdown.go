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
	escaped := template.HTMLEscapeString(text)
	var out strings.Builder
	last := 0
	for _, span := range codeSpan.FindAllStringSubmatchIndex(escaped, -1) {
		out.WriteString(emphasize(escaped[last:span[0]]))
		out.WriteString("<code>" + escaped[span[2]:span[3]] + "</code>")
		last = span[1]
	}
	out.WriteString(emphasize(escaped[last:]))
	return template.HTML(out.String()) //nolint:gosec // all text in it was escaped
}

func emphasize(escaped string) string {
	return emphasis.ReplaceAllString(bold.ReplaceAllString(escaped, "<b>$1</b>"), "<em>$1</em>")
}
