package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/overlay"
)

// flushed notes what had been written at each flush.
type flushed struct {
	*httptest.ResponseRecorder

	at []int
}

// FlushError implements what http.ResponseController looks for.
func (f *flushed) FlushError() error {
	f.at = append(f.at, f.Body.Len())
	return nil
}

// forwarding is what copyAnswer needs of the handlers, and an exchange.
func forwarding(w http.ResponseWriter) (*handlers, *exchange) {
	h := &handlers{Options: Options{ChunkTimeout: time.Second, StreamTimeout: time.Minute}}
	return h, (&API{}).newExchange(w, httptest.NewRequest(http.MethodGet, "/", nil))
}

// answerOf is a member's answer.
func answerOf(length int64, body io.Reader) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, ContentLength: length, Body: io.NopCloser(body),
		Header: http.Header{
			"Content-Type": {"text/event-stream"}, "X-Request-Id": {"theirs"}, "Connection": {"close"}, "Retry-After": {"7"},
			"Www-Authenticate": {"basic"}, replicaHeader: {"true"},
		},
	}
}

// inParts gives one part at each read, and then the error.
type inParts struct {
	parts []string
	err   error
}

func (p *inParts) Read(b []byte) (int, error) {
	if len(p.parts) == 0 {
		return 0, p.err
	}
	n := copy(b, p.parts[0])
	p.parts = p.parts[1:]
	return n, nil
}

func TestAnswerPassesAsItComes(t *testing.T) {
	w := &flushed{ResponseRecorder: httptest.NewRecorder()}
	h, e := forwarding(w)
	h.copyAnswer(e, answerOf(-1, &inParts{[]string{"one", "two"}, io.EOF}), func(error) {})
	if w.Body.String() != "onetwo" || len(w.at) != 2 || w.at[0] != 3 {
		t.Errorf("passed on %q with flushes at %v, want each part flushed", w.Body, w.at)
	}
	got := w.Header()
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "X-Request-Id": e.id, "Connection": "", "Retry-After": "7", "Www-Authenticate": "",
		replicaHeader: "true", "Cache-Control": "no-store",
	} {
		if got.Get(name) != want {
			t.Errorf("header %s is %q, want %q", name, got.Get(name), want)
		}
	}
	w = &flushed{ResponseRecorder: httptest.NewRecorder()}
	h, e = forwarding(w)
	h.copyAnswer(e, answerOf(6, strings.NewReader("onetwo")), func(error) {})
	if w.Body.String() != "onetwo" || len(w.at) != 0 {
		t.Errorf("an answer of known length: %q with flushes at %v", w.Body, w.at)
	}
}

// aborted runs f and reports whether it cut the connection.
func aborted(f func()) (cut bool) {
	defer func() { cut = recover() == http.ErrAbortHandler }() //nolint:errorlint // net/http compares it so
	f()
	return false
}

// TestHalfAnswerIsCut: nobody takes a part for the whole.
func TestHalfAnswerIsCut(t *testing.T) {
	w := httptest.NewRecorder()
	h, e := forwarding(w)
	if !aborted(func() {
		h.copyAnswer(e, answerOf(-1, &inParts{[]string{"[1,"}, io.ErrUnexpectedEOF}), func(error) {})
	}) {
		t.Errorf("the client took %q for the whole", w.Body)
	}
}

// TestSilenceEndsAnAnswer: a member may be silent for StreamTimeout.
func TestSilenceEndsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := forwarding(httptest.NewRecorder())
		ctx, cancel := context.WithCancelCause(t.Context())
		r, w := io.Pipe()
		context.AfterFunc(ctx, func() { _ = w.CloseWithError(context.Cause(ctx)) }) // as the transport does
		go func() {
			for range 3 {
				time.Sleep(h.StreamTimeout - time.Second)
				_, _ = w.Write([]byte("still there\n"))
			}
		}()
		began := time.Now()
		if !aborted(func() { h.copyAnswer(e, answerOf(-1, r), cancel) }) {
			t.Error("the answer has ended well")
		}
		if took, want := time.Since(began), 4*h.StreamTimeout-3*time.Second; took != want {
			t.Errorf("it was cut after %v, want %v", took, want)
		}
	})
}

func TestUnfit(t *testing.T) {
	b := status.Member{Name: "b"}
	for code, want := range map[int]int{200: 0, 400: 0, 404: 0, 500: 0, 503: 0, 403: 503, 401: 503} {
		err := unfit(b, &http.Response{StatusCode: code})
		f, _ := errors.AsType[*failure](err)
		if (err == nil) != (want == 0) || want != 0 && (f == nil || f.status != want || f.retryAfter <= 0) {
			t.Errorf("status %d: %v, want status %d", code, err, want)
		}
	}
	if err := unfit(b, &http.Response{StatusCode: http.StatusSwitchingProtocols}); err == nil {
		t.Error("a switch of protocols is passed on")
	}
}

// TestAway: what the client is told of a member that gave no answer.
func TestAway(t *testing.T) {
	never := &overlay.UnreachableError{Err: errors.New("no way")}
	for _, tt := range []struct {
		name    string
		err     error
		changes bool
		want    string
	}{
		{"not sent", never, false, "can not be reached"},
		{"not sent, would change", never, true, "can not be reached"},
		{"read, lost", io.EOF, false, "can not be reached"},
		{"changed, lost", io.EOF, true, "may have done it"},
		{"late", errLate, true, "may have done it"},
		{"crowd", errCrowded, true, "Too many"},
	} {
		h, n := &handlers{}, newExchangeOf(tt.changes)
		h.Logger = slog.New(slog.DiscardHandler)
		err := h.away(context.WithValue(t.Context(), exchangeKey{}, n), status.Member{Name: "b"}, tt.err)
		f, ok := errors.AsType[*failure](err)
		if !ok || f.status != http.StatusServiceUnavailable || f.retryAfter <= 0 || !strings.Contains(f.message, tt.want) {
			t.Errorf("%s: %v, want 503 with %q", tt.name, err, tt.want)
		}
	}
	left, cancel := context.WithCancel(t.Context())
	cancel()
	err := (&handlers{}).away(context.WithValue(left, exchangeKey{}, newExchangeOf(true)), status.Member{}, io.EOF)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the client left: %v", err)
	}
}

func newExchangeOf(changes bool) *exchange {
	_, e := forwarding(httptest.NewRecorder())
	e.changes = changes
	return e
}

// TestLongListPasses: longer than a chunk, whole, and without a length.
func TestLongListPasses(t *testing.T) {
	f := newFarm(t)
	e := f.a.application(t, f.a.label(t, "linux"), "alice")
	path := "/api/v1/application/" + e.Application.UID.String() + "/task/"
	long := strings.Repeat("x", 20<<10)
	for i := range 4 {
		r := f.c.do(t, call{user: "alice", method: http.MethodPost, path: path, body: fmt.Sprintf(`{"task":"t%d","when":"%s"}`, i, long)})
		if r.status != http.StatusOK {
			t.Fatalf("task = %d %.80s", r.status, r.body)
		}
	}
	here, there := f.a.do(t, call{user: "alice", path: path}), f.c.do(t, call{user: "alice", path: path})
	if here.body != there.body || len(there.body) < 4*len(long) {
		t.Errorf("C passes on %d bytes of %d", len(there.body), len(here.body))
	}
	if pretty := f.c.do(t, call{user: "alice", path: path + "?pretty"}); !strings.Contains(pretty.body, "\n    \"task\": \"t3\"") {
		t.Errorf("indented it ends %.200s", pretty.body[len(pretty.body)-200:])
	}
}
