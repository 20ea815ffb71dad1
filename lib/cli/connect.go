package cli

import (
	"context"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// api connects to the node that the user means: every verb that asks one begins with it. Nothing is sent yet. It also
// checks the form of output, before a verb does what it then can not show.
func (s *shell) api(ctx context.Context) (client.ClientWithResponsesInterface, error) {
	if err := s.checkOutput(); err != nil {
		return nil, err
	}
	t, err := s.resolve()
	if err != nil {
		return nil, err
	}
	p, err := s.password(ctx, t)
	if err != nil {
		return nil, err
	}
	return s.connect(t, p)
}

// apiFor is api for a verb about one object, whose UID is the given text; what names the kind of object for who mistypes it.
func (s *shell) apiFor(ctx context.Context, what, text string) (client.ClientWithResponsesInterface, apiv1.UID, error) {
	uid, err := parseUID(what, text)
	if err != nil {
		return nil, uid, err
	}
	api, err := s.api(ctx)
	return api, uid, err
}

// connect makes the client for one target and password.
func (s *shell) connect(t target, password string) (client.ClientWithResponsesInterface, error) {
	hc, err := s.httpClient(t)
	if err != nil {
		return nil, err
	}
	return client.NewClientWithResponses("https://"+t.Address, client.WithHTTPClient(hc), client.WithBasicAuth(t.User, password))
}
