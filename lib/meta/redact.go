package meta

import (
	"net/http"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/caller"
)

// hidden stands in the access log for what may be a secret.
const hidden = "***"

// RedactURI is the request's URI for the access log, without what lets its
// reader in: the token of an environment, also in an address that was put
// together wrongly, and the password in an absolute URI.
func RedactURI(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/api/") { // most of what a node is asked; no token leads there
		return r.RequestURI
	}
	rest, ok := strings.CutPrefix(r.URL.Path, Root+"token/")
	if ok {
		_, tail, _ := strings.Cut(rest, "/")
		uri := Root + "token/" + hidden + "/" + tail
		if r.URL.RawQuery != "" {
			uri += "?" + r.URL.RawQuery
		}
		return hideTokens(uri)
	}
	uri := r.RequestURI
	if !strings.HasPrefix(uri, "/") {
		uri = r.URL.RequestURI()
	}
	return hideTokens(uri)
}

// hideTokens replaces whatever has the look of a token.
func hideTokens(uri string) string {
	var b strings.Builder
	kept, run := 0, 0 // where the part not yet copied begins, and how many hex digits end at i
	for i := 0; i <= len(uri); i++ {
		if i < len(uri) && isHex(uri[i]) {
			run++
			continue
		}
		if run >= caller.TokenLen {
			b.WriteString(uri[kept:i-run] + hidden)
			kept = i
		}
		run = 0
	}
	if kept == 0 {
		return uri
	}
	return b.String() + uri[kept:]
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
