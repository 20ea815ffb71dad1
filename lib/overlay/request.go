package overlay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// newRequest makes the HTTP request. Its host is the member's UID: that is how
// the transport knows whom to connect to.
func newRequest(ctx context.Context, member model.UID, r Request) (*http.Request, error) {
	path, err := url.PathUnescape(r.Path)
	if err != nil {
		return nil, fmt.Errorf("read path: %w", err)
	}
	var body io.Reader
	switch {
	case r.Body != nil:
		body = bytes.NewReader(r.Body)
	case r.Once:
		body = struct{ io.Reader }{http.NoBody} // what the transport does not know it can not send again
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, "http://"+member.String()+"/", body)
	if err != nil {
		return nil, err //nolint:wrapcheck // Do says what it is
	}
	req.URL.Path, req.URL.RawPath, req.URL.RawQuery = path, r.Path, r.Query
	for name, values := range r.Header {
		req.Header[name] = values
	}
	return req, nil
}
