package cloudtest

import (
	"fmt"
	"net"
	"net/http"
	"testing"
)

// Loopback is an HTTP client that fails the test when it is to send anything to
// another machine, and does not send it.
func Loopback(t testing.TB) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 10} // and no proxy
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: guard{t, transport}}
}

type guard struct {
	t    testing.TB
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if ip := net.ParseIP(r.URL.Hostname()); ip == nil || !ip.IsLoopback() {
		g.t.Errorf("a request to %s, which is not this machine", r.URL.Host)
		return nil, fmt.Errorf("%s is not this machine", r.URL.Host)
	}
	return g.next.RoundTrip(r)
}
