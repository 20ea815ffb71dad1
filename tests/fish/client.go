package fish

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// requestTimeout bounds one request of a test.
const requestTimeout = 30 * time.Second

// Client speaks the REST API as one user.
type Client struct {
	URL      string // https://host:port
	User     string // empty: no credentials
	Password string
	HTTP     *http.Client

	t testing.TB
}

// NewClient makes a client that trusts nothing but the CA in the file.
func NewClient(url, caFile string) (Client, error) {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return Client{}, fmt.Errorf("read CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return Client{}, errors.New("read CA: no certificate in it")
	}
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost: 64,
	}
	return Client{URL: url, HTTP: &http.Client{Transport: transport, Timeout: requestTimeout}}, nil
}

// As is the same client with other credentials.
func (c Client) As(user, password string) Client {
	c.User, c.Password = user, password
	return c
}

// DialBy has the client connect in another way; nil is the usual one. It is for
// a client that was not used yet.
func (c Client) DialBy(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	c.HTTP.Transport.(*http.Transport).DialContext = dial
}

// TLS is a fresh copy of the TLS settings, for connections by hand.
func (c Client) TLS() *tls.Config { return c.HTTP.Transport.(*http.Transport).TLSClientConfig.Clone() }

// Fresh is the same client with connections of its own.
func (c Client) Fresh() Client {
	fresh := &http.Transport{TLSClientConfig: c.TLS(), MaxIdleConnsPerHost: 64}
	fresh.DialContext = c.HTTP.Transport.(*http.Transport).DialContext
	c.HTTP = &http.Client{Transport: fresh, Timeout: requestTimeout}
	return c
}

// Address is the host and port of the API.
func (c Client) Address() string { return strings.TrimPrefix(c.URL, "https://") }

// For is the same client for another test, which its failures then end.
func (c Client) For(t testing.TB) Client {
	c.t = t
	return c
}

// Response is a whole answer.
type Response struct {
	Proto  string // of HTTP
	Status int
	Header http.Header
	Body   []byte
}

// Do sends one request and reads the whole answer. A body without a content
// type is JSON.
func (c Client) Do(ctx context.Context, method, path string, body []byte, contentType string) (Response, error) {
	return c.send(ctx, Call{Method: method, Path: path, Body: string(body), Type: contentType})
}

func (c Client) send(ctx context.Context, call Call) (Response, error) {
	var body io.Reader
	if call.Body != "" {
		body = strings.NewReader(call.Body)
	}
	req, err := http.NewRequestWithContext(ctx, call.Method, c.URL+call.Path, body)
	if err != nil {
		return Response{}, fmt.Errorf("make request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", cmp.Or(call.Type, "application/json"))
	}
	for name, value := range call.Header {
		req.Header.Set(name, value)
	}
	if c.User != "" {
		req.SetBasicAuth(c.User, c.Password)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return Response{}, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end already
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return Response{}, fmt.Errorf("read answer: %w", err)
	}
	return Response{resp.Proto, resp.StatusCode, resp.Header, text}, nil
}

// Request sends JSON, if any, and returns the answer, whatever its status.
func (c Client) Request(method, path string, body []byte) Response {
	c.t.Helper()
	return c.Call(Call{Method: method, Path: path, Body: string(body)})
}

// Call is one request in full.
type Call struct {
	Method string // GET if empty
	Path   string // with the query
	Body   string
	Type   string            // Content-Type, JSON if empty
	Header map[string]string // further headers
}

// YAML is the content type of a YAML body.
const YAML = "application/yaml"

// Call sends the request and returns the answer, whatever its status.
func (c Client) Call(call Call) Response {
	c.t.Helper()
	resp, err := c.send(c.t.Context(), call)
	if err != nil {
		c.t.Fatalf("%s %s: %v", call.Method, call.Path, err)
	}
	return resp
}

// Get fetches an object that has to be there.
func Get[T any](c Client, path string) T {
	c.t.Helper()
	return decode[T](c, "GET "+path, c.Request(http.MethodGet, path, nil))
}

// Post sends a JSON text that has to be accepted.
func Post[T any](c Client, path, body string) T {
	c.t.Helper()
	return decode[T](c, "POST "+path, c.Request(http.MethodPost, path, []byte(body)))
}

func decode[T any](c Client, what string, resp Response) T {
	c.t.Helper()
	var v T
	if resp.Status != http.StatusOK {
		c.t.Fatalf("%s: status %d %s, want 200", what, resp.Status, resp.Body)
	}
	if err := json.Unmarshal(resp.Body, &v); err != nil {
		c.t.Fatalf("%s: %v in %s", what, err, resp.Body)
	}
	return v
}
