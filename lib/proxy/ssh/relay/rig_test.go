package relay

import (
	"crypto/ed25519"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// rig is a client and a target of crypto/ssh with a relay between them, all in
// one bubble of synctest: whoever is left behind fails the test.
type rig struct {
	t      *testing.T
	relay  *Relay
	client *ssh.Client
	// clientWire and targetWire are below the two far ends.
	clientWire, targetWire *Wire
	target                 *ssh.ServerConn
	channels               <-chan ssh.NewChannel // that reach the target
	requests               <-chan *ssh.Request
	ended                  chan struct{} // closed when the relay has
}

// far is what the client does with channels and requests that reach it; nil
// refuses them.
type far struct {
	channels func(<-chan ssh.NewChannel)
	requests func(<-chan *ssh.Request)
}

func newRig(t *testing.T, o Options, f far) *rig {
	t.Helper()
	r := &rig{t: t, ended: make(chan struct{})}
	key := newKey(t)
	var setup sync.WaitGroup
	// Client and proxy.
	a, b := pipe()
	r.clientWire = NewWire(a)
	var clientConn ssh.Conn
	var clientChannels <-chan ssh.NewChannel
	var clientRequests <-chan *ssh.Request
	setup.Go(func() { clientConn, clientChannels, clientRequests = dialed(t, r.clientWire) })
	o.Client = served(t, b, key)
	setup.Wait()
	if f.channels != nil {
		go f.channels(clientChannels)
		clientChannels = nil
	}
	if f.requests != nil {
		go f.requests(clientRequests)
		clientRequests = nil
	}
	r.client = newClient(clientConn, clientChannels, clientRequests)
	// Proxy and target.
	c, d := pipe()
	r.targetWire = NewWire(d)
	setup.Go(func() {
		var err error
		if r.target, r.channels, r.requests, err = ssh.NewServerConn(r.targetWire, config(key)); err != nil {
			t.Errorf("target: %v", err)
		}
		r.targetWire.Free()
	})
	wire := NewWire(c)
	o.Target.Wire = wire
	o.Target.Conn, o.Target.Channels, o.Target.Requests = dialed(t, wire)
	setup.Wait()
	r.relay = New(o)
	go func() {
		defer close(r.ended)
		r.relay.Run()
	}()
	return r
}

// stop ends the client and waits for the relay.
func (r *rig) stop() {
	_ = r.client.Close()
	<-r.ended
	_ = r.target.Close()
}

func newClient(c ssh.Conn, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) *ssh.Client {
	if channels == nil {
		none := make(chan ssh.NewChannel)
		close(none)
		channels = none
	}
	if requests == nil {
		none := make(chan *ssh.Request)
		close(none)
		requests = none
	}
	return ssh.NewClient(c, channels, requests)
}

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func config(key ssh.Signer) *ssh.ServerConfig {
	c := &ssh.ServerConfig{NoClientAuth: true}
	c.AddHostKey(key)
	return c
}

func dialed(t *testing.T, w *Wire) (ssh.Conn, <-chan ssh.NewChannel, <-chan *ssh.Request) {
	conn, channels, requests, err := ssh.NewClientConn(w, "", &ssh.ClientConfig{HostKeyCallback: ssh.InsecureIgnoreHostKey()}) //nolint:gosec // a test's own
	if err != nil {
		t.Errorf("client: %v", err)
	}
	w.Free()
	return conn, channels, requests
}

func served(t *testing.T, c net.Conn, key ssh.Signer) Side {
	t.Helper()
	s := Side{Wire: NewWire(c)}
	conn, channels, requests, err := ssh.NewServerConn(s.Wire, config(key))
	if err != nil {
		t.Fatalf("proxy: %v", err)
	}
	s.Conn, s.Channels, s.Requests = conn.Conn, channels, requests
	return s
}

// pipe is a connection with a buffer, as that of a kernel: net.Pipe has none, and
// two ends that both write would wait for each other.
func pipe() (a, b net.Conn) {
	x, y := newStream(), newStream()
	return &pipeEnd{in: x, out: y}, &pipeEnd{in: y, out: x}
}

type pipeEnd struct {
	net.Conn // for what is never called

	in, out *stream
}

func (p *pipeEnd) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipeEnd) Write(b []byte) (int, error) { return p.out.write(b) }
func (p *pipeEnd) Close() error {
	p.in.close()
	p.out.close()
	return nil
}
func (*pipeEnd) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (*pipeEnd) RemoteAddr() net.Addr { return &net.TCPAddr{} }

type stream struct {
	mu     sync.Mutex
	news   *sync.Cond
	data   []byte
	closed bool
}

const streamSize = 64 << 10

func newStream() *stream {
	s := &stream{}
	s.news = sync.NewCond(&s.mu)
	return s
}

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.data) == 0 && !s.closed {
		s.news.Wait()
	}
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.data)
	s.data = s.data[n:]
	s.news.Broadcast()
	return n, nil
}

func (s *stream) write(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(b) > 0 {
		for len(s.data) >= streamSize && !s.closed {
			s.news.Wait()
		}
		if s.closed {
			return n, io.ErrClosedPipe
		}
		some := min(len(b), streamSize-len(s.data))
		s.data = append(s.data, b[:some]...)
		b, n = b[some:], n+some
		s.news.Broadcast()
	}
	return n, nil
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.news.Broadcast()
}
