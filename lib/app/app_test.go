package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/logging"
)

// output collects what a console prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// testOptions are those of a node in a folder of its own on a free port; printed returns its output so far.
func testOptions(t *testing.T) (opts Options, printed func() string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "fish.yml")
	text := "directory: " + filepath.Join(dir, "data") + "\napi_address: 127.0.0.1:0\nproxy_ssh_address: 127.0.0.1:0\nproxy_socks_address: 127.0.0.1:0\nnode_name: fish\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(t.Context(), config.Flags{File: file}, config.SystemHost())
	if err != nil {
		t.Fatal(err)
	}
	out := &output{}
	console := logging.NewConsole(out)
	stop := console.RunDetached()
	flush := sync.OnceFunc(func() { stop(time.Minute) })
	t.Cleanup(flush)
	log := slog.New(logging.NewHandler(console, logging.Options{Level: slog.LevelInfo}))
	return Options{Config: cfg, Logger: log, Console: console, Stderr: io.Discard}, func() string { flush(); return out.String() }
}

// client trusts the CA of the node's folder.
func client(t *testing.T, dir string, http2 bool) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: http2}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func mustNew(t *testing.T, opts Options) *App {
	t.Helper()
	a, err := New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop() })
	return a
}

func TestNodeServesAndStops(t *testing.T) {
	opts, printed := testOptions(t)
	a := mustNew(t, opts)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()

	for _, http2 := range []bool{false, true} {
		resp, body := get(t, client(t, opts.Config.Directory, http2), "https://"+a.Addr()+"/nothing")
		if resp.StatusCode != http.StatusNotFound || body != "{\"message\":\"Not Found\"}\n" || (resp.ProtoMajor == 2) != http2 {
			t.Errorf("HTTP/2 %v: %s %s %q, want a 404 in JSON", http2, resp.Proto, resp.Status, body)
		}
		if got, want := resp.Header.Get("Content-Type"), "application/json; charset=UTF-8"; got != want {
			t.Errorf("Content-Type = %q, want %q", got, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v, want nil after a cancel", err)
	}
	var lines []string
	for line := range strings.Lines(printed()) {
		switch {
		case strings.HasPrefix(line, "{"):
			line = regexp.MustCompile(`"(uri|status)":[^,]+`).FindAllString(line, -1)[0] + "\n"
		case strings.Contains(line, "component=crypt"), strings.Contains(line, "host facts"): // of a slow machine
			continue
		}
		lines = append(lines, line)
	}
	want := []string{
		"INFO:\tAPI listening on: " + a.Addr() + "\n", "INFO:\tPROXYSSH listening on: " + a.ssh.listener.Addr().String() + "\n",
		"INFO:\tPROXYSOCKS listening on: " + a.socks.Addr().String() + "\n", "INFO:\tFish initialized\n",
		"\"uri\":\"/nothing\"\n", "\"uri\":\"/nothing\"\n", "INFO:\tFish stopping...\n", "INFO:\tFish stopped\n",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("console (-want +got):\n%s", diff)
	}
}

func TestPlainHTTPIsToldSo(t *testing.T) {
	opts, _ := testOptions(t)
	a := mustNew(t, opts)
	a.Start()
	resp, body := get(t, &http.Client{Timeout: time.Minute}, "http://"+a.Addr()+"/api/v1/user/me/")
	if want := "Client sent an HTTP request to an HTTPS server.\n"; resp.StatusCode != http.StatusBadRequest || body != want {
		t.Errorf("plain HTTP: %s %q, want 400 %q", resp.Status, body, want)
	}
}

// A certificate that nobody signed is no reason to refuse a client (contract 3).
func TestClientCertificateIsNotChecked(t *testing.T) {
	opts, _ := testOptions(t)
	a := mustNew(t, opts)
	a.Start()
	stranger, err := crypt.LoadOrCreate(crypt.Options{Directory: t.TempDir(), NodeName: "stranger", NodeAddress: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, opts.Config.Directory, false)
	asked := false
	c.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		return stranger.Certificate(), nil
	}
	if resp, _ := get(t, c, "https://"+a.Addr()+"/"); resp.StatusCode != http.StatusNotFound || !asked {
		t.Errorf("with a stranger's certificate: %s, certificate asked for: %v", resp.Status, asked)
	}
}

func TestNewRollsBack(t *testing.T) {
	opts, _ := testOptions(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	opts.Config.APIAddress = taken.Addr().String()
	if _, err := New(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "listen for api: listen tcp "+taken.Addr().String()) {
		t.Errorf("New on a taken port = %v, want an error that names it", err)
	}
	opts.Config.Directory = filepath.Join(opts.Config.TLSCACrt, "x")
	if _, err := New(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "create directory") {
		t.Errorf("New below a file = %v, want an error about the directory", err)
	}
	for _, o := range []Options{{}, {Config: opts.Config}, {Config: opts.Config, Logger: opts.Logger}} {
		if _, err := New(t.Context(), o); err == nil || !strings.Contains(err.Error(), "missing") {
			t.Errorf("New(%+v) = %v, want what is missing", o, err)
		}
	}
}

func TestRequestStop(t *testing.T) {
	opts, _ := testOptions(t)
	a := mustNew(t, opts)
	a.RequestStop()
	a.RequestStop()
	if err := a.Run(t.Context()); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if _, err := net.DialTimeout("tcp", a.Addr(), time.Second); err == nil {
		t.Error("the listener is still there after Run")
	}
}

func TestFailedPartEndsTheNode(t *testing.T) {
	for _, reason := range []error{errors.New("disk is gone"), nil} {
		opts, _ := testOptions(t)
		a := mustNew(t, opts)
		a.addPart("store", func(context.Context) error { return reason })
		err := a.Run(t.Context())
		want := "run store: returned unexpectedly"
		if reason != nil {
			want = "run store: disk is gone"
		}
		if err == nil || err.Error() != want {
			t.Errorf("Run = %v, want %q", err, want)
		}
	}
}

func TestStopOrderAndErrors(t *testing.T) {
	opts, _ := testOptions(t)
	a := mustNew(t, opts)
	var order []string
	note := func(name string, err error) func(context.Context) error {
		return func(context.Context) error { order = append(order, name); return err }
	}
	a.cleanups.add("database", note("database", errors.New("no")))
	a.cleanups.add("file", note("file", nil))
	for _, name := range []string{"writer", "loop"} {
		a.addPart(name, func(ctx context.Context) error {
			<-ctx.Done()
			order = append(order, name)
			return errors.New("late")
		})
	}
	a.Start()
	err := a.Stop()
	if want := "stop loop: late\nstop writer: late\nstop database: no"; err == nil || err.Error() != want {
		t.Errorf("Stop = %v, want %q", err, want)
	}
	if diff := cmp.Diff([]string{"loop", "writer", "file", "database"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if again := a.Stop(); again == nil || again.Error() != err.Error() {
		t.Errorf("second Stop = %v, want the same answer", again)
	}
}

func TestCleanupIsBounded(t *testing.T) {
	var a App
	release := make(chan struct{})
	a.startPart(part{"stuck", func(context.Context) error { <-release; return nil }})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.cleanups.run(ctx); err == nil || err.Error() != "stop stuck: did not stop in time" {
		t.Errorf("stop of a part that ignores it = %v, want that it did not stop in time", err)
	}
	close(release)
}
