package logging

import (
	"net/url"
	"strings"
)

// MaskQuery hides, in a URI for the access log, the values of parameters that
// nobody asked for: clients put passwords and tokens there by mistake. shown
// are the names of the others.
func MaskQuery(uri string, shown map[string]bool) string {
	path, query, ok := strings.Cut(uri, "?")
	if !ok {
		return uri
	}
	var b strings.Builder
	b.WriteString(path)
	sep := byte('?')
	for pair := range strings.SplitSeq(query, "&") {
		name, _, hasValue := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		switch {
		case err == nil && shown[plain]:
		case hasValue:
			pair = name + "=***"
		case pair != "": // a value without a name
			pair = "***"
		}
		b.WriteByte(sep)
		b.WriteString(pair)
		sep = '&'
	}
	return b.String()
}
