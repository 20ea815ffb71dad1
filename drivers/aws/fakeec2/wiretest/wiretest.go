// Package wiretest serves a cloud.API to tests on a port of loopback.
package wiretest

import (
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
)

// Server is a wire.Handler that listens until the end of the test.
type Server struct {
	*wire.Handler
	// URL is the endpoint of all services, such as "http://127.0.0.1:4321".
	URL string

	http *httptest.Server
}

// Serve serves the backend until the end of the test.
func Serve(t testing.TB, backend cloud.API, o wire.Options) *Server {
	t.Helper()
	h := wire.New(backend, o)
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		h.Close() // what hangs would keep the server
		server.CloseClientConnections()
		server.Close()
	})
	return &Server{Handler: h, URL: server.URL, http: server}
}

// Disconnect ends all connections, as a network that breaks.
func (s *Server) Disconnect() { s.http.CloseClientConnections() }

// Environment is that of this process for a client of AWS that may find nothing
// but the endpoint: neither a configuration nor credentials of this machine's
// user, and no other address than loopback.
func Environment(endpoint, region, keyID, secret string) []string {
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return strings.HasPrefix(name, "AWS_") || strings.HasSuffix(strings.ToUpper(name), "_PROXY")
	})
	return append(env,
		"AWS_ENDPOINT_URL="+endpoint,
		"AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
		"AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret,
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "AWS_CLI_AUTO_PROMPT=off",
	)
}
