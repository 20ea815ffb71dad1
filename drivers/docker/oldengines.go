package docker

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strconv"

	"github.com/moby/moby/api/types/container"
)

// oldEngines lets the client speak to engines before API 1.44. The hardware
// address of a container is an endpoint's since then, and was the container's
// own before; the client only knows the new place.
type oldEngines struct{ base *http.Transport }

// RoundTrip implements http.RoundTripper.
func (o oldEngines) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodPost || req.Body == nil || !wantsOwnAddress(req.URL.Path) {
		return o.base.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	_ = req.Body.Close() // all of it is read
	if err != nil {
		return nil, err
	}
	if body, err = withOwnAddress(body); err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return o.base.RoundTrip(req)
}

// CloseIdleConnections is what a client calls that is closed.
func (o oldEngines) CloseIdleConnections() { o.base.CloseIdleConnections() }

// wantsOwnAddress reports whether the path creates a container by an API before
// 1.44.
func wantsOwnAddress(path string) bool {
	m := regexp.MustCompile(`/v1\.(\d+)/containers/create$`).FindStringSubmatch(path)
	if m == nil {
		return false
	}
	minor, err := strconv.Atoi(m[1])
	return err == nil && minor < 44
}

// withOwnAddress copies the endpoint's hardware address to where old engines
// look for it.
func withOwnAddress(body []byte) ([]byte, error) {
	var req container.CreateRequest
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, err
	}
	if req.NetworkingConfig == nil {
		return body, nil
	}
	for _, endpoint := range req.NetworkingConfig.EndpointsConfig {
		if endpoint != nil && len(endpoint.MacAddress) > 0 {
			all["MacAddress"] = json.RawMessage(strconv.Quote(endpoint.MacAddress.String()))
		}
	}
	return json.Marshal(all)
}
