package link

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestMain fails the run if anything of a link outlives the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leftovers(10 * time.Second); left != "" && code == 0 {
		fmt.Println("goroutines of links were left behind:\n" + left)
		code = 1
	}
	os.Exit(code)
}

// leftovers waits until no goroutine runs code of a link or its multiplexer,
// and returns the stacks of those that still do.
func leftovers(patience time.Duration) string {
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		var dump bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&dump, 2)
		var left []string
		for _, g := range strings.Split(dump.String(), "\n\n") {
			if strings.Contains(g, "yamux.") || strings.Contains(g, "link.(*Link)") || strings.Contains(g, "link.(*Transport).admit") {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return ""
		}
		if time.Now().After(end) {
			return strings.Join(left, "\n\n")
		}
	}
}

// farm is a folder with a CA that nodes get their identity from.
type farm struct {
	t   *testing.T
	dir string
}

func newFarm(t *testing.T) farm { return farm{t: t, dir: t.TempDir()} }

func (f farm) identity(name string) *crypt.Identity {
	f.t.Helper()
	id, err := crypt.LoadOrCreate(crypt.Options{Directory: f.dir, NodeName: name, NodeAddress: "127.0.0.1:1"})
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

// signed is a certificate for the key of id, with a change, signed by the
// farm's CA.
func (f farm) signed(id *crypt.Identity, change func(*x509.Certificate)) *tls.Certificate {
	f.t.Helper()
	data, err := os.ReadFile(filepath.Join(f.dir, "ca.key"))
	if err != nil {
		f.t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		f.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: id.Certificate().Leaf.Subject.CommonName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	change(template)
	public := id.Certificate().PrivateKey.(crypto.Signer).Public()
	der, err := x509.CreateCertificate(rand.Reader, template, id.CAs()[0], public, key)
	if err != nil {
		f.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, id.CAs()[0].Raw}, PrivateKey: id.Certificate().PrivateKey, Leaf: leaf}
}

// book is a log that tests read.
type book struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.Write(p)
}

// find returns the lines that hold all words.
func (b *book) find(words ...string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []string
next:
	for _, line := range strings.Split(b.lines.String(), "\n") {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

func (b *book) await(t *testing.T, words ...string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); len(b.find(words...)) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.mu.Lock()
			defer b.mu.Unlock()
			t.Fatalf("no log line with %q came in:\n%s", words, b.lines.String())
		}
	}
}

// fish is a node as far as links go: a transport on an HTTPS server.
type fish struct {
	*Transport
	id     *crypt.Identity
	addr   string
	log    *book
	server *http.Server
	links  chan *Link // accepted
	stop   func()     // ends the transport and waits

	mu     sync.Mutex
	cert   *tls.Certificate // nil: the identity's
	roots  *x509.CertPool
	decide func(context.Context, *Pending) // nil: accept
	relay  relayHandler
}

func (n *fish) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

func (n *fish) hello() wire.Hello {
	return wire.Hello{
		ProtocolMin: wire.ProtocolMin, ProtocolMax: wire.ProtocolMax, Program: "test", Cluster: []byte("cluster"), Node: n.id.UID,
		Name: n.id.Certificate().Leaf.Subject.CommonName, Address: n.addr, Boot: n.o.Boot, Wall: time.Now().UnixNano(),
	}
}

// start runs a node of the farm.
func (f farm) start(id *crypt.Identity, change ...func(*Options)) *fish {
	t := f.t
	t.Helper()
	n := &fish{id: id, log: &book{}, links: make(chan *Link, 64), roots: id.CAPool()}
	o := Options{
		Certificate: func() *tls.Certificate {
			n.mu.Lock()
			defer n.mu.Unlock()
			if n.cert != nil {
				return n.cert
			}
			return id.Certificate()
		},
		Roots: func() *x509.CertPool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.roots
		},
		Boot: uint64(time.Now().UnixNano()),
		Log:  slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&o)
	}
	var err error
	if n.Transport, err = New(o); err != nil {
		t.Fatal(err)
	}
	n.serve(t)
	n.run(t)
	return n
}

// run runs the transport until the test ends or stop is called.
func (n *fish) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx, Handlers{Incoming: n.incoming, Relay: n.relayed}) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("run transport: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("the transport did not end; goroutines:\n%s", leftovers(0))
		}
	})
	t.Cleanup(n.stop)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, _, ok := n.enter(); ok {
			n.leave()
			return
		}
		if time.Now().After(end) {
			t.Fatal("the transport did not begin")
		}
	}
}

// serverTimeout is short, as links have to outlive it; a handshake on a slow machine takes less.
const serverTimeout = 3 * time.Second

// serve starts the HTTPS server, with the node's limits.
func (n *fish) serve(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.addr = listener.Addr().String()
	n.server = &http.Server{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "ok "+r.Proto) }),
		TLSConfig: n.id.ServerTLS(), ReadHeaderTimeout: serverTimeout, ReadTimeout: serverTimeout, WriteTimeout: serverTimeout,
		IdleTimeout: time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	n.Attach(n.server)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = n.server.ServeTLS(listener, "", "")
	}()
	t.Cleanup(func() {
		_ = n.server.Close()
		<-served
	})
}

func (n *fish) incoming(ctx context.Context, p *Pending) {
	n.mu.Lock()
	decide := n.decide
	n.mu.Unlock()
	if decide != nil {
		decide(ctx, p)
		return
	}
	if l, err := p.Accept(n.hello()); err == nil {
		n.links <- l
	}
}

func (n *fish) relayed(ctx context.Context, dst model.UID, ttl uint8, conn net.Conn) {
	n.mu.Lock()
	relay := n.relay
	n.mu.Unlock()
	if relay == nil {
		Reset(conn, "no route")
		return
	}
	relay(ctx, dst, ttl, conn)
}

// dial makes a link and returns both ends of it.
func (n *fish) dial(t *testing.T, to *fish) (here, there *Link) {
	t.Helper()
	here, err := n.Dial(t.Context(), to.addr, &to.id.UID, n.hello())
	if err != nil {
		t.Fatal(err)
	}
	select {
	case there = <-to.links:
	case <-time.After(10 * time.Second):
		t.Fatal("the link did not arrive")
	}
	return here, there
}

// pair is two nodes with a link.
func pair(t *testing.T, change ...func(*Options)) (a, b *fish, here, there *Link) {
	t.Helper()
	f := newFarm(t)
	a, b = f.start(f.identity("a"), change...), f.start(f.identity("b"), change...)
	here, there = a.dial(t, b)
	return a, b, here, there
}

func awaitDone(t *testing.T, l *Link) error {
	t.Helper()
	select {
	case <-l.Done():
	case <-time.After(20 * time.Second):
		t.Fatalf("the link did not end; goroutines:\n%s", leftovers(0))
	}
	return l.Err()
}

func limits(change func(*Limits)) func(*Options) { return func(o *Options) { change(&o.Limits) } }

func via(proxy string) func(*Options) {
	return func(o *Options) {
		o.Proxy = func(*url.URL) (*url.URL, error) { return url.Parse(proxy) }
	}
}

// noise is data that does not compress, the same each time.
func noise(n int) []byte {
	b := make([]byte, n)
	src := mathrand.NewChaCha8([32]byte{1})
	_, _ = src.Read(b)
	return b
}
