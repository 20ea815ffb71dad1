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

// oldEngines lets the client speak to engines before API 1.44, of which the client
// knows no more. The hardware address of a container was the container's own
// then, and is an endpoint's since. A second network of one name was only refused
// where that was asked for.
type oldEngines struct{ base *http.Transport }

// RoundTrip implements http.RoundTripper.
func (o oldEngines) RoundTrip(req *http.Request) (*http.Response, error) {
	change := changeOf(req.URL.Path)
	if req.Method != http.MethodPost || req.Body == nil || change == nil {
		return o.base.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	_ = req.Body.Close() // all of it is read
	if err != nil {
		return nil, err
	}
	if body, err = change(body); err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return o.base.RoundTrip(req)
}

// CloseIdleConnections is what a client calls that is closed.
func (o oldEngines) CloseIdleConnections() { o.base.CloseIdleConnections() }

// changeOf is what has to be done to the body of a call by an API before 1.44;
// nil for most.
func changeOf(path string) func(body []byte) ([]byte, error) {
	m := regexp.MustCompile(`/v1\.(\d+)/(containers|networks)/create$`).FindStringSubmatch(path)
	if m == nil {
		return nil
	}
	if minor, err := strconv.Atoi(m[1]); err != nil || minor >= 44 {
		return nil
	}
	if m[2] == "networks" {
		return withUniqueName
	}
	return withOwnAddress
}

// withUniqueName asks for a refusal where a network of the name is there.
func withUniqueName(body []byte) ([]byte, error) {
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, err
	}
	all["CheckDuplicate"] = json.RawMessage("true")
	return json.Marshal(all)
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
