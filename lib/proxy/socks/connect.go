package socksproxy

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// connectFront is HTTP's CONNECT.
type connectFront struct{}

var _ front = connectFront{}

// negotiate implements front.
func (f connectFront) negotiate(s *session) (early []byte, err error) {
	r, err := http.ReadRequest(s.read)
	if err != nil {
		switch {
		case s.left.N <= 0:
			f.answer(s, http.StatusRequestHeaderFieldsTooLarge, "the headers are longer than the proxy reads")
		case errors.Is(err, os.ErrDeadlineExceeded):
			f.answer(s, http.StatusRequestTimeout, "the request did not come in time")
		default:
			f.answer(s, http.StatusBadRequest, "this is no request of HTTP/1.1")
		}
		return nil, errors.New("no request of HTTP") // err quotes it, with the password that may be in it
	}
	if r.Method != http.MethodConnect {
		f.answer(s, http.StatusMethodNotAllowed, "this proxy knows CONNECT only: for http:// use curl --proxytunnel, "+
			"or the same address as a SOCKS5 proxy (socks5h://)")
		return nil, errors.New("other method than CONNECT")
	}
	to, ok := target(r)
	if !ok {
		f.answer(s, http.StatusBadRequest, "CONNECT takes host:port, such as mirror.lab:443 or [2001:db8::1]:443")
		return nil, errors.New("no host and port to connect to")
	}
	if err := f.connect(s, r, to); err != nil {
		f.refuse(s, err)
		return nil, err
	}
	s.soon()
	if _, err := s.conn.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	return s.read.Peek(s.read.Buffered()) //nolint:wrapcheck // of what is there already
}

// connect lets the client in and connects it. Only clients of this host show a
// credential: of others the address says who they are.
func (connectFront) connect(s *session, r *http.Request, to Destination) error {
	if user, password, ok := proxyAuth(r); ok && s.own {
		if err := s.login(user, password); err != nil {
			return err
		}
	}
	return s.connect(to)
}

// target reads where to connect to.
func target(r *http.Request) (Destination, bool) {
	host, port, err := net.SplitHostPort(r.URL.Host)
	if err != nil || host == "" || r.URL.User != nil || r.URL.Path != "" || r.URL.RawQuery != "" {
		return Destination{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Destination{}, false
	}
	return ParseDestination(host, uint16(n)), true
}

// proxyAuth reads Proxy-Authorization, which net/http reads of no request.
func proxyAuth(r *http.Request) (user, password string, ok bool) {
	value := r.Header.Get("Proxy-Authorization")
	if value == "" {
		return "", "", false
	}
	user, password, _ = (&http.Request{Header: http.Header{"Authorization": {value}}}).BasicAuth()
	return user, password, true // one that is not understood is a wrong one
}

// refuse answers why the client is not connected.
func (f connectFront) refuse(s *session, err error) {
	var why *refusal
	if errors.As(err, &why) {
		f.answer(s, why.status, why.text)
		return
	}
	f.answer(s, http.StatusServiceUnavailable, "the environment is ending")
}

// answer is one that ends the connection.
func (connectFront) answer(s *session, status int, text string) {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n",
		status, http.StatusText(status), len(text)+1)
	switch status {
	case http.StatusProxyAuthRequired:
		b.WriteString("Proxy-Authenticate: Basic realm=\"environment\", charset=\"UTF-8\"\r\n")
	case http.StatusMethodNotAllowed:
		b.WriteString("Allow: CONNECT\r\n")
	}
	b.WriteString("\r\n" + text + "\n")
	s.soon()
	_, _ = s.conn.Write([]byte(b.String())) // a client that is gone needs none
}
