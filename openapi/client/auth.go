package client

import (
	"context"
	"net/http"
)

// WithBasicAuth sends the credentials of a user with every request.
func WithBasicAuth(name, password string) ClientOption {
	return WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.SetBasicAuth(name, password)
		return nil
	})
}
