package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/proxy"
)

// maxProxyAnswer bounds the answer of a proxy to CONNECT.
const maxProxyAnswer = 16 << 10

// Proxies returns a function for Options.Proxy: HTTPS_PROXY and NO_PROXY of the
// environment, as they are at the moment of the call. A configured proxy, for
// example socks5://user:password@host:1080, takes the place of HTTPS_PROXY;
// NO_PROXY still names what is reached without it. This machine is always
// reached directly.
func Proxies(configured string) (func(*url.URL) (*url.URL, error), error) {
	env := httpproxy.FromEnvironment()
	if configured != "" {
		u, err := url.Parse(configured)
		if err != nil || u.Host == "" {
			return nil, errors.New("read proxy: want a URL as socks5://host:port or http://host:port") // it may hold a password
		}
		if err := knownProxy(u); err != nil {
			return nil, err
		}
		env.HTTPSProxy = configured
	}
	return env.ProxyFunc(), nil
}

func knownProxy(u *url.URL) error {
	switch u.Scheme {
	case "socks5", "socks5h", "http", "https":
		return nil
	}
	return fmt.Errorf("read proxy: scheme %q is none of socks5, socks5h, http, https", u.Scheme)
}

// connect returns a TCP connection to address, by way of a proxy if one is set.
func (t *Transport) connect(ctx context.Context, address string) (net.Conn, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("read address: %w; want host:port", err)
	}
	if strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f }) { // other nodes tell addresses: none may write a proxy's headers
		return nil, fmt.Errorf("read address: %q holds a space or a control character; want host:port", address)
	}
	ctx, cancel := context.WithTimeout(ctx, t.o.Limits.Dial)
	defer cancel()
	via, err := t.o.Proxy(&url.URL{Scheme: "https", Host: address})
	if err != nil {
		return nil, errors.New("read proxy: HTTPS_PROXY is no URL") // the error would show its password
	}
	var dialer net.Dialer
	if via == nil {
		return dialer.DialContext(ctx, "tcp", address)
	}
	if err := knownProxy(via); err != nil {
		return nil, err
	}
	conn, err := throughProxy(ctx, &dialer, via, address)
	if err != nil {
		return nil, fmt.Errorf("by proxy %s: %w", via.Host, err)
	}
	return conn, nil
}

func throughProxy(ctx context.Context, dialer *net.Dialer, via *url.URL, address string) (net.Conn, error) {
	if via.Scheme == "socks5" || via.Scheme == "socks5h" {
		return throughSOCKS(ctx, dialer, via, address)
	}
	conn, err := dialer.DialContext(ctx, "tcp", withPort(via))
	if err != nil {
		return nil, err
	}
	if via.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: via.Hostname(), MinVersion: tls.VersionTLS12})
	}
	lift := bound(ctx, conn)
	defer lift()
	if err := askConnect(conn, via, address); err != nil {
		abort(conn)
		return nil, err
	}
	return conn, nil
}

func throughSOCKS(ctx context.Context, dialer *net.Dialer, via *url.URL, address string) (net.Conn, error) {
	var auth *proxy.Auth
	if via.User != nil {
		password, _ := via.User.Password()
		auth = &proxy.Auth{User: via.User.Username(), Password: password}
	}
	socks, err := proxy.SOCKS5("tcp", withPort(via), auth, dialer)
	if err != nil {
		return nil, err
	}
	d, ok := socks.(proxy.ContextDialer)
	if !ok {
		return nil, errors.New("the SOCKS dialer takes no deadline")
	}
	return d.DialContext(ctx, "tcp", address)
}

// withPort returns the proxy's host:port.
func withPort(via *url.URL) string {
	port := via.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[via.Scheme]
	}
	if port == "" {
		port = "1080"
	}
	return net.JoinHostPort(via.Hostname(), port)
}

// askConnect asks an HTTP proxy for a tunnel.
func askConnect(conn net.Conn, via *url.URL, address string) error {
	ask := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if via.User != nil {
		password, _ := via.User.Password()
		ask += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(via.User.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, ask+"\r\n"); err != nil {
		return fmt.Errorf("ask for a tunnel: %w", err)
	}
	r := bufio.NewReader(io.LimitReader(conn, maxProxyAnswer))
	answer, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return fmt.Errorf("read its answer: %w", err)
	}
	_ = answer.Body.Close() // a tunnel has none
	switch {
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("it answered %q: let it allow CONNECT to this port, or name the node in NO_PROXY", answer.Status)
	case r.Buffered() > 0:
		return errors.New("it sent more than an answer")
	}
	return nil
}
