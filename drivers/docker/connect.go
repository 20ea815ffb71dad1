package docker

import (
	"context"
	"crypto/tls"
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
	"github.com/docker/go-connections/tlsconfig"
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
	// names it; verify as DOCKER_TLS_VERIFY says.
	certs  string
	verify bool
}

// addresses are the engines to try, in order: what is configured is the only one.
func addresses(s settings) []address {
	if s.DockerHost != "" {
		return []address{{url: s.DockerHost}}
	}
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		return []address{{url: host, certs: os.Getenv("DOCKER_CERT_PATH"), verify: os.Getenv("DOCKER_TLS_VERIFY") != ""}}
	}
	home, _ := os.UserHomeDir() // without one there are fewer places to look at
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
		engine, f, err := connectTo(ctx, a, s, d)
		if err != nil {
			errs = append(errs, fmt.Errorf("engine at %s: %w", a.url, err))
			continue
		}
		log.Info("engine found", "docker_host", a.url, "version", f.version, "cores", f.cores, "ram_bytes", f.ram)
		if strings.HasPrefix(a.url, "tcp://") && !secured(a, s) {
			log.Warn("the engine is reached without TLS: who can reach it too owns its machine; set tls_ca_crt, tls_crt and tls_key", "docker_host", a.url)
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
	if err := checkAddress(a.url); err != nil {
		return nil, facts{}, err
	}
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
		return nil, facts{}, err
	}
	return engine, f, nil
}

// ask is what an engine answers first.
func ask(ctx context.Context, engine *client.Client) (facts, error) {
	if _, err := engine.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		if errors.Is(err, os.ErrPermission) {
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

func secured(a address, s settings) bool { return s.withTLS() || a.certs != "" }

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
	if u.Scheme == "tcp" && secured(a, s) {
		if base.TLSClientConfig, err = tlsOf(a, s); err != nil {
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

func tlsOf(a address, s settings) (*tls.Config, error) {
	opts := tlsconfig.Options{
		CAFile: s.TLSCACrt, CertFile: s.TLSCrt, KeyFile: s.TLSKey, ExclusiveRootPools: s.TLSCACrt != "",
	}
	if !s.withTLS() {
		opts = tlsconfig.Options{
			CAFile: filepath.Join(a.certs, "ca.pem"), CertFile: filepath.Join(a.certs, "cert.pem"), KeyFile: filepath.Join(a.certs, "key.pem"),
			InsecureSkipVerify: !a.verify,
		}
	}
	opts.MinVersion = tls.VersionTLS12
	c, err := tlsconfig.Client(opts)
	if err != nil {
		return nil, fmt.Errorf("read the files of TLS: %w", err)
	}
	return c, nil
}
