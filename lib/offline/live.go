package offline

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
)

const (
	// askTimeout bounds one question to the node.
	askTimeout = 20 * time.Second
	// maxAnswer bounds an answer in bytes: a dump of 10,000 goroutines fits.
	maxAnswer = 32 << 20
)

// reach says how to reach the node.
type reach struct{ address string }

// questions are what a running node is asked, by the name of the part. A node
// of another version may not know all.
func questions() map[string]string {
	const api = "/api/v1/node/this/"
	return map[string]string{
		"node.json": api, "drivers.json": api + "drivers", "drain.json": api + "drain",
		"goroutines.txt": api + "profiling/goroutine?debug=1", "heap.pprof": api + "profiling/heap",
	}
}

// live asks the running node, as the admin that the environment names.
func (b *bundle) live(ctx context.Context, cfg *config.Config, l reach) {
	user, password := os.Getenv("AQUARIUM_FISH_USER"), os.Getenv("AQUARIUM_FISH_PASSWORD")
	if user == "" || password == "" {
		b.missing("the running node", errors.New("AQUARIUM_FISH_USER and AQUARIUM_FISH_PASSWORD are not set"))
		return
	}
	b.secrets = append(b.secrets, password)
	client, err := trusting(cfg.TLSCACrt)
	if err != nil {
		b.missing("the running node", err)
		return
	}
	defer client.CloseIdleConnections()
	base := "https://" + reachable(addressOf(cfg, l.address))
	for name, path := range questions() {
		data, err := ask(ctx, client, base+path, [2]string{user, password})
		b.add(name, data, err)
	}
}

// reachable makes an address to dial of one to listen on.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// trusting is a client that trusts the cluster's CA alone.
func trusting(caFile string) (*http.Client, error) {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("read CA: no certificate in %s", caFile)
	}
	return &http.Client{Timeout: askTimeout, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}, nil
}

func ask(ctx context.Context, client *http.Client, url string, who [2]string) (_ []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(who[0], who[1])
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the node answers %d %.200s", resp.StatusCode, data)
	}
	return data, err
}
