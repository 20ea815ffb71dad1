package app

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// storedOnly is a member, as far as its database goes.
func storedOnly(t *testing.T) *member {
	t.Helper()
	self, log := model.UID{1}, slog.New(slog.DiscardHandler)
	db, err := store.OpenMemory(t.Context(), store.Options{Node: self, Logger: log}, store.NewDisk())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.PutNode(t.Context(), model.Node{UID: self, Name: "a", Pubkey: []byte("key")}); err != nil {
		t.Fatal(err)
	}
	return &member{memberOptions: memberOptions{store: db, log: log}}
}

// askedCovers is the answer to a vector, for which is waited for a second.
func askedCovers(t *testing.T, m *member, query string, body []byte) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return askedCoversFor(ctx, m, query, body)
}

func askedCoversFor(ctx context.Context, m *member, query string, body []byte) int {
	answer := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, coversPath+query, bytes.NewReader(body))
	m.serveMembers(http.NotFoundHandler(), nil).ServeHTTP(answer, r)
	return answer.Code
}

// TestCovers: the answer comes when the rows are there, and not before.
func TestCovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storedOnly(t)
		vector := func(more uint64) []byte {
			data, err := replica.Vector{m.store.Origin(): m.store.Vector()[m.store.Origin()] + more}.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		if got := askedCovers(t, m, "", vector(0)); got != http.StatusNoContent {
			t.Errorf("of what is there: %d", got)
		}
		began := time.Now()
		if got := askedCovers(t, m, "", vector(1)); got != http.StatusServiceUnavailable || time.Since(began) < time.Second {
			t.Errorf("of what does not come: %d after %v, want 503 after a second", got, time.Since(began))
		}
		began = time.Now()
		if got := askedCoversFor(t.Context(), m, "", vector(1)); got != http.StatusServiceUnavailable || time.Since(began) != coversBound {
			t.Errorf("of what does not come, by one who waits for ever: %d after %v, want 503 after %v", got, time.Since(began), coversBound)
		}
		next := vector(1)
		go func() {
			time.Sleep(100 * time.Millisecond)
			_, _ = m.store.PutLocation(context.Background(), model.Location{Name: "lab"})
		}()
		if got := askedCovers(t, m, "", next); got != http.StatusNoContent {
			t.Errorf("of what comes: %d", got)
		}
		before := m.store.Vector()[m.store.Origin()]
		if got := askedCovers(t, m, "?durable=1", vector(0)); got != http.StatusNoContent || m.store.Vector()[m.store.Origin()] == before {
			t.Errorf("durable: %d, want 204 after a commit of its own", got)
		}
		for name, body := range map[string]string{"nonsense": "\xff\xff\xff", "too much": strings.Repeat("x", maxMemberBody+1)} {
			if got := askedCovers(t, m, "", []byte(body)); got != http.StatusBadRequest {
				t.Errorf("%s: %d, want 400", name, got)
			}
		}
	})
}

// TestRenewalOfAStranger: who is not in the database gets nothing signed.
func TestRenewalOfAStranger(t *testing.T) {
	m := storedOnly(t)
	answer := httptest.NewRecorder()
	m.serveMembers(http.NotFoundHandler(), nil).ServeHTTP(answer, httptest.NewRequest(http.MethodPost, renewPath, strings.NewReader("request")))
	if answer.Code != http.StatusServiceUnavailable {
		t.Errorf("status = %d, want 503", answer.Code)
	}
	answer = httptest.NewRecorder()
	m.serveMembers(http.NotFoundHandler(), nil).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/api/v1/label/", nil))
	if answer.Code != http.StatusNotFound {
		t.Errorf("another path has %d, want what answers users", answer.Code)
	}
}

// TestSignerThatHangs: it does not keep the next one from being asked.
func TestSignerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := model.UID{1}
		for range 8 { // in whatever order
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			got, err := askAny(ctx, []model.UID{hangs, {2}}, func(ctx context.Context, signer model.UID) ([]byte, error) {
				if signer == hangs {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return []byte("chain"), ctx.Err()
			})
			cancel()
			if string(got) != "chain" || err != nil {
				t.Fatalf("askAny = %q, %v", got, err)
			}
		}
		if _, err := askAny(t.Context(), nil, nil); err == nil {
			t.Error("nobody signs, and that is no error")
		}
	})
}
