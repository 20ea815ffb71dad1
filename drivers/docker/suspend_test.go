package docker

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// TestFreezerGivesUp: a container that could not be frozen at once is tried again,
// and not for ever.
func TestFreezerGivesUp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		failures int32
		ok       bool
	}{{"now and then", toggleTries - 1, true}, {"always", toggleTries, false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				w.Header().Set("Api-Version", "1.41")
				switch {
				case strings.HasSuffix(q.URL.Path, "/json"):
					_, _ = io.WriteString(w, `{"Id": "c", "Config": {}, "State": {"Status": "running", "Running": true}}`)
				case strings.HasSuffix(q.URL.Path, "/pause") && tries.Add(1) <= tt.failures:
					w.WriteHeader(http.StatusInternalServerError)
					_, _ = io.WriteString(w, `{"message": "OCI runtime pause failed: unable to freeze: unknown"}`)
				}
			}))
			defer server.Close()
			cli, err := newClient(address{url: "tcp://" + server.Listener.Addr().String()}, settings{}, make(doubts, 1))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cli.Close() }()
			d := &driver{engine: cli}
			err = d.bring(t.Context(), "c", container.StatePaused, func(ctx context.Context, id string) error {
				_, err := cli.ContainerPause(ctx, id, client.ContainerPauseOptions{})
				return err
			})
			if (err == nil) != tt.ok || tries.Load() != toggleTries {
				t.Errorf("bring() = %v after %d tries", err, tries.Load())
			}
		})
	}
}
