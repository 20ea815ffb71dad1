package overlay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// maxAnswerHeader bounds the header of an answer: ours are below 1 KB.
const maxAnswerHeader = 64 << 10

// maxInstead bounds the body of an answer that gives no connection away. Who
// asked reads it, such as the JSON of a refusal, of which a part says nothing:
// ours are below 1 KB.
const maxInstead = 4 << 10

// StatusError is the answer of a member that does not give its connection away.
type StatusError struct {
	Status int
	Text   string // the body of its answer, at most 4 KB of it
}

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("member answered %d: %s", e.Status, e.Text)
}

// Upgrade asks a member for the connection itself, which speaks the protocol
// from then on. ctx bounds the asking alone. *UnreachableError says that nothing
// was asked, *StatusError what the member answered instead; after another error
// the member may have done what was asked.
func (c *Client) Upgrade(
	ctx context.Context, member model.UID, e Envelope, r Request, protocol string,
) (_ net.Conn, header http.Header, err error) {
	req, err := newRequest(ctx, member, r)
	if err != nil {
		return nil, nil, fmt.Errorf("make request: %w", err)
	}
	e.put(req.Header)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", protocol)
	conn, err := dial(ctx, c.dialer, req.URL.Host+":80")
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // ends what waits for it
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err() // the deadline may be set at any moment
		}
		if err != nil {
			_ = conn.Close()
		}
	}()
	if err := req.Write(conn); err != nil {
		return nil, nil, fmt.Errorf("ask member: %w", err)
	}
	bounded := &io.LimitedReader{R: conn, N: maxAnswerHeader}
	reader := bufio.NewReader(bounded)
	res, err := http.ReadResponse(reader, req) //nolint:bodyclose // it ends with the connection
	if err != nil {
		return nil, nil, fmt.Errorf("ask member: %w", err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(res.Body, maxInstead)) // as far as it came
		return nil, nil, &StatusError{res.StatusCode, strings.TrimSpace(string(text))}
	}
	bounded.N = math.MaxInt64 // what follows is the connection's
	return &buffered{Conn: conn, r: reader}, res.Header, nil
}

// buffered is a connection of which the beginning was read already.
type buffered struct {
	net.Conn

	r io.Reader
}

// Read implements net.Conn.
func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) } //nolint:wrapcheck // a wrapper adds nothing

// TakeOver gives the handler the connection of its request, which speaks the
// protocol from then on: the answer is written, with the header. It counts no
// more among the connections that are served: whoever takes it over bounds
// their number, and closes it. After an error nothing was written and the
// handler answers.
func TakeOver(w http.ResponseWriter, r *http.Request, protocol string, header http.Header) (net.Conn, error) {
	if r.Header.Get("Upgrade") != protocol {
		return nil, errors.New("the request does not ask for protocol " + protocol)
	}
	raw, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("take over connection: %w", err)
	}
	if c, ok := raw.(*conn); ok {
		c.release()
	}
	_ = raw.SetDeadline(time.Time{}) // of the request; one that is closed tells at the first use
	answer := http.Response{
		StatusCode: http.StatusSwitchingProtocols, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
	}
	for name, values := range header {
		answer.Header[name] = values
	}
	answer.Header.Set("Connection", "Upgrade")
	answer.Header.Set("Upgrade", protocol)
	if err := answer.Write(rw); err == nil {
		_ = rw.Flush() // as above
	}
	return &buffered{Conn: raw, r: rw.Reader}, nil
}
