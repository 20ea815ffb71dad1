package logging

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// accessLine serves one request and returns its line, decoded.
func accessLine(t *testing.T, r *http.Request, h http.HandlerFunc, uri func(*http.Request) string) map[string]any {
	t.Helper()
	out := &output{}
	c := NewConsole(out)
	func() {
		defer func() { _ = recover() }()
		NewAccessLog(c, uri).Wrap(h).ServeHTTP(httptest.NewRecorder(), r)
	}()
	c.flush(nil)
	if strings.Count(out.all(), "\n") != 1 {
		t.Fatalf("access log = %q, want one line", out.all())
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(out.all()), &line); err != nil {
		t.Fatalf("line %q is no JSON: %v", out.all(), err)
	}
	return line
}

func TestAccessLine(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "https://fish:8001/api/v1/label/?filter=secret", strings.NewReader("12345"))
	r.RemoteAddr = "[::1]:4711"
	r.Header.Set("User-Agent", `curl "x" \ `+"\n\x7fä😀")
	line := accessLine(t, r, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request-Id", "r-1")
		w.(interface{ NoteUser(name string) }).NoteUser("al\"ice")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte("bad"))
	}, nil)
	for key, want := range map[string]any{
		"id": "r-1", "remote_ip": "::1", "user": `al"ice`, "host": "fish:8001", "method": "POST", "uri": "/api/v1/label/", "proto": "HTTP/1.1",
		"user_agent": `curl "x" \ ` + "\n\x7fä😀", "status": 400.0, "bytes_in": 5.0, "bytes_out": 3.0,
	} {
		if line[key] != want {
			t.Errorf("%s = %v, want %v", key, line[key], want)
		}
	}
	if _, err := time.Parse(time.RFC3339Nano, line["time"].(string)); err != nil || line["latency"].(float64) <= 0 {
		t.Errorf("time = %v (%v), latency = %v", line["time"], err, line["latency"])
	}
}

func TestAccessStatus(t *testing.T) {
	tests := []struct {
		name string
		h    http.HandlerFunc
		want float64
	}{
		{"nothing written", func(http.ResponseWriter, *http.Request) {}, 200},
		{"only a body", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil) }, 200},
		{"early hints first", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNotFound)
		}, 404},
		{"twice", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			w.WriteHeader(http.StatusInternalServerError)
		}, 404},
		{"panic before an answer", func(http.ResponseWriter, *http.Request) { panic("x") }, 0},
		{"panic after the header", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			panic("x")
		}, 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			line := accessLine(t, httptest.NewRequest(http.MethodGet, "/", nil), tt.h, nil)
			if line["status"] != tt.want || line["user"] != "" {
				t.Errorf("status = %v, user = %v, want %v and none", line["status"], line["user"], tt.want)
			}
		})
	}
}

func TestAccessHidesSecretsAndCutsTexts(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/meta/v1/0123456789abcdef/data/", nil)
	r.Header.Set("User-Agent", strings.Repeat("x", 100_000))
	line := accessLine(t, r, func(http.ResponseWriter, *http.Request) {}, func(*http.Request) string { return "/meta/v1/***/data/" })
	if line["uri"] != "/meta/v1/***/data/" || len(line["user_agent"].(string)) != maxField {
		t.Errorf("uri = %v, user agent of %d bytes, want it hidden and at most %d bytes", line["uri"], len(line["user_agent"].(string)), maxField)
	}
}

func TestAppendJSONIsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "text")
		var got string
		if err := json.Unmarshal(appendJSON(nil, want), &got); err != nil || (got != want && len(want) <= maxField) {
			t.Fatalf("%q reads back as %q, %v", want, got, err)
		}
	})
}

// Handlers must still reach the connection through the recorder.
func TestAccessKeepsTheControls(t *testing.T) {
	c := NewConsole(io.Discard)
	errs := make(chan error, 3)
	srv := httptest.NewServer(NewAccessLog(c, nil).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		control := http.NewResponseController(w)
		errs <- control.SetWriteDeadline(time.Now().Add(time.Minute))
		_, _ = w.Write([]byte("x"))
		errs <- control.Flush()
		conn, _, err := w.(http.Hijacker).Hijack()
		errs <- err
		if err == nil {
			_ = conn.Close()
		}
	})))
	defer srv.Close()
	if resp, err := http.Get(srv.URL); err == nil {
		_ = resp.Body.Close()
	}
	for i := range 3 {
		if err := <-errs; err != nil {
			t.Errorf("control %d: %v", i, err)
		}
	}
}

func BenchmarkAccessLog(b *testing.B) {
	c := NewConsole(io.Discard)
	h := NewAccessLog(c, nil).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	r, w := httptest.NewRequest(http.MethodGet, "/api/v1/application/0b0d6c4e/state", nil), httptest.NewRecorder()
	b.ReportAllocs()
	n := 0
	var spare []byte
	for b.Loop() {
		h.ServeHTTP(w, r)
		if n++; n%100 == 0 {
			spare = c.flush(spare)
		}
	}
}
