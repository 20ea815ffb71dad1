package logging

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxField bounds each text of a client in the access log, in bytes.
const maxField = 2 << 10

// AccessLog writes one JSON object per request to the console (contract 4). Requests never wait for it.
type AccessLog struct {
	console *Console
	uri     func(*http.Request) string
	buffers sync.Pool
}

// NewAccessLog makes an access log. uri says what is shown of the request's address: addresses that carry a secret must
// be shortened there. nil shows the path without the query.
func NewAccessLog(console *Console, uri func(*http.Request) string) *AccessLog {
	if uri == nil {
		uri = func(r *http.Request) string { return r.URL.Path }
	}
	return &AccessLog{console: console, uri: uri, buffers: sync.Pool{New: func() any {
		b := make([]byte, 0, 512)
		return &b
	}}}
}

// Wrap logs every request that next has handled, also one whose handler panics. The response header `X-Request-Id`, if
// the handler sets it, becomes the `id`. The writer that next gets has a method NoteUser(name string): what it is given
// becomes the `user`, which is empty without.
func (a *AccessLog) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		start := time.Now()
		defer func() { a.log(rec, r, start) }()
		next.ServeHTTP(rec, r)
		rec.returned = true
	})
}

// log queues one line.
func (a *AccessLog) log(rec *recorder, r *http.Request, start time.Time) {
	buf := a.buffers.Get().(*[]byte)
	b := *buf
	b = append(b[:0], `{"time":"`...)
	b = start.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","id":`...)
	b = appendJSON(b, rec.Header().Get("X-Request-Id"))
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	for _, field := range [...]struct{ name, value string }{
		{"remote_ip", host}, {"user", rec.user}, {"host", r.Host}, {"method", r.Method}, {"uri", a.uri(r)},
		{"proto", r.Proto}, {"user_agent", r.UserAgent()},
	} {
		b = append(append(append(b, `,"`...), field.name...), `":`...)
		b = appendJSON(b, field.value)
	}
	b = strconv.AppendInt(append(b, `,"status":`...), int64(rec.finalStatus()), 10)
	b = strconv.AppendInt(append(b, `,"latency":`...), time.Since(start).Nanoseconds(), 10)
	b = strconv.AppendInt(append(b, `,"bytes_in":`...), max(r.ContentLength, 0), 10)
	b = strconv.AppendInt(append(b, `,"bytes_out":`...), rec.bytes, 10)
	b = append(b, "}\n"...)
	a.console.WriteLater(b)
	*buf = b
	a.buffers.Put(buf)
}

// appendJSON prints a JSON string of ASCII only, cut to maxField.
func appendJSON(b []byte, s string) []byte {
	if len(s) > maxField {
		s = s[:maxField]
	}
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r >= ' ' && r < 0x7f:
			b = append(b, byte(r))
		case r > 0xffff:
			r -= 0x10000
			b = appendHex(appendHex(b, 0xd800+r>>10), 0xdc00+r&0x3ff)
		default:
			b = appendHex(b, r)
		}
	}
	return append(b, '"')
}

func appendHex(b []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// recorder notes what a handler answered.
type recorder struct {
	http.ResponseWriter

	user     string
	status   int
	bytes    int64
	returned bool
}

// NoteUser notes who sent the request. Only a name whose password was right belongs here: what strangers type into that
// field is now and then their password.
func (r *recorder) NoteUser(name string) { r.user = name }

// WriteHeader notes the status; an informational one is followed by another.
func (r *recorder) WriteHeader(status int) {
	if r.status < http.StatusOK && r.status != http.StatusSwitchingProtocols {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes of the body.
func (r *recorder) Write(p []byte) (int, error) {
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the deadlines and Flush.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Flush sends what is buffered, for handlers that ask the writer itself.
func (r *recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }

// Hijack hands out the connection, for handlers that ask the writer itself.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		return nil, nil, err
	}
	r.status = http.StatusSwitchingProtocols
	return conn, rw, err
}

// finalStatus is what the client saw: 200 unless the handler said otherwise, 0 if it panicked before it said anything,
// as the connection was cut then.
func (r *recorder) finalStatus() int {
	if r.status == 0 && r.returned {
		return http.StatusOK
	}
	return r.status
}
