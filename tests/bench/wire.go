package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// patience is how long a client waits for an answer: longer than any sound
// server takes, so that a hang ends the run with an error.
const patience = 30 * time.Second

// server is where requests go.
type server struct {
	address string
	tls     *tls.Config
}

// conn is one HTTP/1.1 connection that sends prepared requests and reads
// answers with a Content-Length, one after the other.
type conn struct {
	net  net.Conn
	buf  []byte
	have int // bytes of buf that were read and not used
}

// dial connects and shakes hands.
func (s server) dial(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d := tls.Dialer{Config: s.tls}
	c, err := d.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return &conn{net: c, buf: make([]byte, 4<<10)}, nil
}

// close ends the connection; there is nothing left that an error could spoil.
func (c *conn) close() { _ = c.net.Close() }

// answer is what a server said. Its bytes are valid until the next request.
type answer struct {
	status int
	head   []byte // the header fields
	body   []byte
	size   int // of all
}

// do sends a request and reads the answer, within patience.
func (c *conn) do(request []byte) (answer, error) {
	if err := c.net.SetDeadline(time.Now().Add(patience)); err != nil {
		return answer{}, fmt.Errorf("set deadline: %w", err)
	}
	return c.exchange(request)
}

// exchange is do under the deadline that is set.
func (c *conn) exchange(request []byte) (answer, error) {
	if _, err := c.net.Write(request); err != nil {
		return answer{}, fmt.Errorf("send request: %w", err)
	}
	c.have = 0
	for {
		if err := c.read(); err != nil {
			return answer{}, err
		}
		a, whole, err := parse(c.buf[:c.have])
		if err != nil || whole {
			return a, err
		}
		if a.size > len(c.buf) {
			c.buf = append(c.buf, make([]byte, a.size-len(c.buf))...)
		}
	}
}

// read takes what has come, and makes room for more where there is none.
func (c *conn) read() error {
	if c.have == len(c.buf) {
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	n, err := c.net.Read(c.buf[c.have:])
	c.have += n
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

var errAnswer = errors.New("not an HTTP/1.1 answer with a Content-Length")

// parse reads an answer, if it is whole; size says how long it will be as soon
// as the headers are there.
func parse(b []byte) (a answer, whole bool, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return answer{}, false, nil
	}
	head, ok := bytes.CutPrefix(b[:end+2], []byte("HTTP/1.1 "))
	if !ok || len(head) < 5 {
		return answer{}, false, errAnswer
	}
	if a.status, err = strconv.Atoi(string(head[:3])); err != nil {
		return answer{}, false, errAnswer
	}
	const field = "\r\nContent-Length: "
	at := bytes.Index(head, []byte(field))
	if at < 0 {
		return answer{}, false, errAnswer
	}
	value, _, _ := bytes.Cut(head[at+len(field):], []byte("\r\n"))
	length, err := strconv.Atoi(string(value))
	if err != nil || length < 0 {
		return answer{}, false, errAnswer
	}
	a.head, a.size = head[bytes.IndexByte(head, '\n')+1:], end+4+length
	if len(b) < a.size {
		return a, false, nil
	}
	a.body = b[end+4 : a.size]
	return a, true, nil
}

// user is who asks.
type user struct{ name, password string }

// get prepares a GET.
func get(u user, path string) []byte { return request("GET", path, u, "") }

// post prepares a POST of JSON.
func post(u user, path, body string) []byte { return request("POST", path, u, body) }

// request prepares the bytes of a request as a plain HTTP library sends them.
func request(method, path string, u user, body string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: application/json\r\n", method, path)
	if u.name != "" {
		fmt.Fprintf(&b, "Authorization: Basic %s\r\n", base64.StdEncoding.EncodeToString([]byte(u.name+":"+u.password)))
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}
