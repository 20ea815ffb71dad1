package api

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/auth"
)

// discard is a writer that costs nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkState is the most frequent request through the whole chain, without
// the network: goal < 8 us and < 25 allocations.
func BenchmarkState(b *testing.B) {
	n := newNode(b)
	authenticator, err := auth.New(auth.Options{Users: n.store})
	if err != nil {
		b.Fatal(err)
	}
	run(b, authenticator.Run)
	handler := n.handler(b, slog.New(slog.DiscardHandler), authenticator)
	uid := n.application(b, n.label(b, "linux"), "alice").Application.UID
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/v1/application/"+uid.String()+"/state", nil)
	r.SetBasicAuth("alice", password)
	check := httptest.NewRecorder()
	handler.ServeHTTP(check, r)
	if check.Code != http.StatusOK {
		b.Fatalf("got %d %s", check.Code, check.Body)
	}
	w := &discard{make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		handler.ServeHTTP(w, r)
	}
}
