package tests

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestThousandIdleConnections(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	const count = 1000
	gate := make(chan struct{}, 16) // handshakes at a time: two cores do them
	var all sync.WaitGroup
	var failures = make(chan error, count)
	for range count {
		all.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", n.Address(), n.TLS())
			if err != nil {
				failures <- err
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
		})
	}
	all.Wait()
	close(failures)
	for err := range failures {
		t.Fatalf("open an idle connection: %v", err)
	}
	start := time.Now()
	if got := n.Fresh().Request("GET", mePath, nil); got.Status != http.StatusOK {
		t.Errorf("beside %d idle connections: status %d %s", count, got.Status, got.Body)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("beside %d idle connections a request took %v", count, took)
	}
	if took := n.Stop(); took > 2*time.Second {
		t.Errorf("SIGTERM to exit took %v", took)
	}
}
