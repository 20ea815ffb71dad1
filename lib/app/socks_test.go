package app

import (
	"context"
	"net"
	"strings"
	"testing"
)

// A node whose SOCKS address is taken runs, and says so once.
func TestSOCKSAddressIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	opts, printed := testOptions(t)
	opts.Config.ProxySOCKSAddress = taken.Addr().String()
	a := mustNew(t, opts)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Run(ctx); err != nil {
		t.Errorf("Run = %v", err)
	}
	text := printed()
	if strings.Count(text, "proxy_socks_address") == 0 || strings.Count(text, "WARN:") != 1 || strings.Contains(text, "PROXYSOCKS") {
		t.Errorf("printed %s, want one warning that names proxy_socks_address", text)
	}
}
