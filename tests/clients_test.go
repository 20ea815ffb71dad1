package tests

import (
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestThousandIdleConnections(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	const count = 1000
	n.Request("GET", mePath, nil)   // it is not about the hash of the first login
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
	best := time.Hour // of three: other tests run beside this one
	for range 3 {
		start := time.Now()
		want(t, "beside 1000 idle connections", n.Fresh().Request("GET", mePath, nil), 200, "")
		best = min(best, time.Since(start))
	}
	if best > time.Second {
		t.Errorf("beside %d idle connections a request takes %v", count, best)
	}
	if took := n.Stop(); took > 2*time.Second {
		t.Errorf("SIGTERM to exit took %v", took)
	}
}
