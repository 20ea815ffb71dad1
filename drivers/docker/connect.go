package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/docker/go-connections/sockets"
	"github.com/moby/moby/client"
)

// facts are what an engine says of itself and its machine.
type facts struct {
	id        string // of the engine
	host      string // where it is
	version   string
	cores     uint
	ram       uint64 // bytes
	swapLimit bool   // it can bound swap
}

// address is one engine to try.
type address struct {
	url string
	// certs is a folder with ca.pem, cert.pem and key.pem as DOCKER_CERT_PATH
	// names it; empty without TLS. verify is as DOCKER_TLS_VERIFY says.
	certs  string
	verify bool
}

// addresses are the engines to try, in order: what is configured is the only one.
func addresses(s settings) []address {
	if s.DockerHost != "" {
		return []address{{url: s.DockerHost}}
	}
	home, _ := os.UserHomeDir() // without one there are fewer places to look at
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		a := address{url: host, certs: os.Getenv("DOCKER_CERT_PATH"), verify: os.Getenv("DOCKER_TLS_VERIFY") != ""}
		if a.verify && a.certs == "" {
			a.certs = filepath.Join(home, ".docker") // as Docker's own client: who wants a check does not want none
		}
		return []address{a}
	}
	var list []address
	for _, url := range present(usualSockets(runtime.GOOS, home, os.Getenv)) {
		list = append(list, address{url: url})
	}
	return list
}

// connect finds an engine that answers.
func connect(ctx context.Context, s settings, d doubts, log *slog.Logger) (*client.Client, facts, error) {
	list := addresses(s)
	if len(list) == 0 {
		return nil, facts{}, errors.New("no engine: there is no socket at the usual places; start Docker, or set docker_host")
	}
	var errs []error
	for _, a := range list {
		if err := checkAddress(a.url); err != nil { // of it nothing is shown: there may be a password in it
			errs = append(errs, fmt.Errorf("DOCKER_HOST: %w", err))
			continue
		}
		if s.withTLS() && !strings.HasPrefix(a.url, "tcp://") { // who gave certificates wants them used
			errs = append(errs, fmt.Errorf("engine at %s: it is not reached with TLS: set docker_host to tcp://…, or take the files of TLS out", a.url))
			continue
		}
		engine, f, err := connectTo(ctx, a, s, d)
		if err != nil {
			errs = append(errs, fmt.Errorf("engine at %s: %w", a.url, err))
			continue
		}
		log.Info("engine found", "docker_host", a.url, "version", f.version, "cores", f.cores, "ram_bytes", f.ram)
		switch c := certificatesOf(a, s); {
		case c == nil && strings.HasPrefix(a.url, "tcp://"):
			log.Warn("the engine is reached without TLS: who can reach it too owns its machine; set tls_ca_crt, tls_crt and tls_key", "docker_host", a.url)
		case c != nil && c.unchecked:
			log.Warn("the engine's certificate is not checked, it may be anybody: set DOCKER_TLS_VERIFY", "docker_host", a.url)
		}
		if !f.swapLimit {
			log.Warn("the engine's kernel can not bound swap: environments may swap beyond their memory")
		}
		return engine, f, nil
	}
	return nil, facts{}, errors.Join(errs...)
}

// pingTimeout bounds the look for one engine among several.
const pingTimeout = 4 * time.Second

func connectTo(ctx context.Context, a address, s settings, d doubts) (*client.Client, facts, error) {
	engine, err := newClient(a, s, d)
	if err != nil {
		return nil, facts{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	f, err := ask(ctx, engine)
	f.host = a.url
	if err != nil {
		_ = engine.Close() // it holds idle connections only
		return nil, facts{}, certificatesOf(a, s).explain(err)
	}
	return engine, f, nil
}

// ask is what an engine answers first.
func ask(ctx context.Context, engine *client.Client) (facts, error) {
	if _, err := engine.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		if strings.Contains(err.Error(), "permission denied") { // the client keeps no more than these words of the cause
			return facts{}, fmt.Errorf("%w; let the node's user into the group of the socket, often `docker`", err)
		}
		return facts{}, err
	}
	answer, err := engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return facts{}, err
	}
	info := answer.Info
	if info.OSType != "linux" {
		return facts{}, fmt.Errorf("it runs %s containers, and this driver Linux ones: switch it over", info.OSType)
	}
	if info.NCPU < 1 || info.MemTotal < 1 {
		return facts{}, errors.New("it does not say how many cores and how much memory it has")
	}
	return facts{
		id: info.ID, version: info.ServerVersion, cores: uint(info.NCPU), ram: uint64(info.MemTotal), //nolint:gosec // checked to be positive
		swapLimit: info.SwapLimit,
	}, nil
}

// newClient makes a client with a transport of our own: it adds what engines
// before API 1.44 want in another place, and keeps as many connections as
// environments are made at once.
func newClient(a address, s settings, d doubts) (*client.Client, error) {
	u, err := url.Parse(a.url)
	if err != nil {
		return nil, err
	}
	base := &http.Transport{MaxIdleConns: 32, MaxIdleConnsPerHost: 32, IdleConnTimeout: 30 * time.Second}
	scheme := "http"
	if c := certificatesOf(a, s); c != nil {
		if base.TLSClientConfig, err = c.config(time.Now()); err != nil {
			return nil, err
		}
		scheme = "https"
	}
	where := u.Host
	if u.Scheme != "tcp" {
		where = u.Host + u.Path
	}
	if err := sockets.ConfigureTransport(base, u.Scheme, where); err != nil {
		return nil, err
	}
	return client.New(client.WithHost(a.url), client.WithScheme(scheme), client.WithHTTPClient(&http.Client{
		Transport: doubting{oldEngines{base}, d}, CheckRedirect: client.CheckRedirect,
	}))
}
