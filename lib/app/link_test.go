package app

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/link"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
)

// TestLinksBesideTheAPI has links on the API's own listener: they take no
// client's place, outlive its time-outs, and end with a reason when the node stops.
func TestLinksBesideTheAPI(t *testing.T) {
	dir := t.TempDir()
	a, aHello := linkTransport(t, dir, "a")
	b, bHello := linkTransport(t, dir, "b")
	s := bareServer(t, func(o *serverOptions) {
		limits := *o.limits
		limits.APIMaxConnections, limits.APIReadTimeout, limits.APIWriteTimeout, limits.APIIdleTimeout = 1, time.Second, time.Second, time.Second
		o.limits = &limits
	})
	b.Attach(s.http)
	s.handle(http.HandlerFunc(ok))
	stopServer, served := runFor(func(ctx context.Context) error { return s.run(ctx) })
	defer stopServer()
	stopB, endedB := runFor(func(ctx context.Context) error {
		return b.Run(ctx, link.Handlers{Incoming: func(_ context.Context, p *link.Pending) { _, _ = p.Accept(bHello) }})
	})
	defer stopB()
	stopA, endedA := runFor(func(ctx context.Context) error { return a.Run(ctx, link.Handlers{}) })
	var links []*link.Link
	for range 3 { // more than there are places for clients
		links = append(links, dialUntil(t, a, s.addr(), aHello))
	}
	waitFor(t, s, "links that count as clients no longer", func() bool { return len(s.conns.open) == 0 })

	for _, h2 := range []bool{false, true} {
		transport := &http.Transport{ForceAttemptHTTP2: h2, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		if !h2 {
			transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		}
		client := &http.Client{Transport: transport}
		resp, _ := get(t, client, "https://"+s.addr())
		if want := map[bool]int{false: 1, true: 2}[h2]; resp.ProtoMajor != want {
			t.Errorf("protocol = %s, want HTTP/%d", resp.Proto, want)
		}
		transport.CloseIdleConnections()
		waitFor(t, s, "the client's end", func() bool { return len(s.conns.open) == 0 })
	}
	select {
	case <-links[0].Done():
		t.Fatalf("the link ended: %v", links[0].Err())
	case <-time.After(1200 * time.Millisecond): // the API's time-outs
	}

	begin := time.Now()
	stopB()
	stopServer()
	if err := <-served; err != nil {
		t.Errorf("stop of the server: %v", err)
	}
	if err := <-endedB; err != nil {
		t.Errorf("stop of the links: %v", err)
	}
	took := time.Since(begin)
	t.Logf("stop with 3 links took %v", took)
	if took > time.Second {
		t.Errorf("stop took %v", took)
	}
	for _, l := range links {
		<-l.Done()
		if no := (*link.Refused)(nil); !errors.As(l.Err(), &no) || no.Code != wire.CodeStopping {
			t.Errorf("Err() = %v", l.Err())
		}
	}
	stopA()
	<-endedA
}

// linkTransport is a node of the folder's cluster.
func linkTransport(t *testing.T, dir, name string) (*link.Transport, wire.Hello) {
	t.Helper()
	id, err := crypt.LoadOrCreate(crypt.Options{Directory: dir, NodeName: name, NodeAddress: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	boot := uint64(time.Now().UnixNano())
	transport, err := link.New(link.Options{
		Certificate: func() *tls.Certificate { return id.Certificate() }, Roots: id.CAPool, Boot: boot, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return transport, wire.Hello{ProtocolMin: wire.ProtocolMin, ProtocolMax: wire.ProtocolMax, Node: id.UID, Name: name, Boot: boot}
}

// runFor runs a component; stop tells it to end, and its error follows.
func runFor(run func(context.Context) error) (stop func(), ended chan error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended = make(chan error, 1)
	go func() { ended <- run(ctx) }()
	return cancel, ended
}

// dialUntil dials until both sides have started.
func dialUntil(t *testing.T, a *link.Transport, address string, hello wire.Hello) *link.Link {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		l, err := a.Dial(t.Context(), address, nil, hello)
		if err == nil {
			return l
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
