package logging

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxField bounds each text of a client in the access log, in bytes.
const maxField = 2 << 10

// AccessLog writes one JSON object per request to the console (contract 4). Requests never wait for it.
type AccessLog struct {
	console *Console
	uri     func(*http.Request) string
	stamps  stamps
}

// NewAccessLog makes an access log. uri says what is shown of the request's address: addresses that carry a secret must
// be shortened there. nil shows the path without the query.
func NewAccessLog(console *Console, uri func(*http.Request) string) *AccessLog {
	if uri == nil {
		uri = func(r *http.Request) string { return r.URL.Path }
	}
	return &AccessLog{console: console, uri: uri}
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

// log queues one line. It is written by hand, as it is a part of every request.
func (a *AccessLog) log(rec *recorder, r *http.Request, start time.Time) {
	var room [512]byte // enough for most
	b := append(room[:0], `{"time":"`...)
	b = a.stamps.append(b, start)
	b = appendField(b, `","id":`, first(rec.Header()["X-Request-Id"]))
	b = appendField(b, `,"remote_ip":`, hostOf(r.RemoteAddr))
	b = appendField(b, `,"user":`, rec.user)
	b = appendField(b, `,"host":`, r.Host)
	b = appendField(b, `,"method":`, r.Method)
	b = appendField(b, `,"uri":`, a.uri(r))
	b = appendField(b, `,"proto":`, r.Proto)
	b = appendField(b, `,"user_agent":`, first(r.Header["User-Agent"]))
	b = strconv.AppendInt(append(b, `,"status":`...), int64(rec.finalStatus()), 10)
	b = strconv.AppendInt(append(b, `,"latency":`...), time.Since(start).Nanoseconds(), 10)
	b = strconv.AppendInt(append(b, `,"bytes_in":`...), max(r.ContentLength, 0), 10)
	b = strconv.AppendInt(append(b, `,"bytes_out":`...), rec.bytes, 10)
	a.console.WriteLater(append(b, "}\n"...))
}

// first is the value of a header.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// hostOf is the host of a socket's address.
func hostOf(address string) string {
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return address
	}
	return strings.Trim(address[:i], "[]")
}

// appendField prints a key, with what stands around it, and a value.
func appendField(b []byte, key, value string) []byte { return appendJSON(append(b, key...), value) }

// appendJSON prints a JSON string of ASCII only, cut to maxField.
func appendJSON(b []byte, s string) []byte {
	if len(s) > maxField {
		s = s[:maxField]
	}
	b = append(b, '"')
	if isPlain(s) {
		return append(append(b, s...), '"')
	}
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

// isPlain reports whether a text stands for itself in JSON.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
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
