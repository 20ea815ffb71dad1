package socksproxy

import (
	"context"
	"fmt"
	"net"
	"time"
)

// keepAlive finds a peer that is gone without a word within two minutes.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4}
}

// Listen binds the address for a Server. Without multipath TCP, which Go
// listens for unless told otherwise: splice(2) knows plain TCP best.
func Listen(ctx context.Context, address string) (*net.TCPListener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive()}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for socks: %w", err)
	}
	return l.(*net.TCPListener), nil // of "tcp"
}
