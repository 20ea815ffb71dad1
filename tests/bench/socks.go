package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// socksOverBare is the goal of the SOCKS proxy: its throughput, of the barest
// relay that there is, io.Copy between two TCP connections in a process of its
// own, as the node is.
const socksOverBare = 0.90

// socksTurns is how often each way has its turn in one repetition.
const socksTurns = 5

// sink is a server that throws away what it gets, and counts it.
type sink struct {
	listener net.Listener
	serving  sync.WaitGroup
	received atomic.Int64
	grown    chan struct{} // capacity 1
}

func newSink(ctx context.Context) (*sink, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &sink{listener: l, grown: make(chan struct{}, 1)}
	s.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.serving.Go(func() { s.swallow(c) })
		}
	})
	return s, nil
}

func (s *sink) swallow(c net.Conn) {
	defer func() { _ = c.Close() }() // nothing is written
	buf := make([]byte, 1<<20)
	for {
		n, err := c.Read(buf)
		s.received.Add(int64(n))
		select {
		case s.grown <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (s *sink) close() {
	_ = s.listener.Close()
	s.serving.Wait()
}

// send sends so many bytes and waits until they are there.
func (s *sink) send(ctx context.Context, c net.Conn, size int64) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	block := make([]byte, min(size, 1<<20))
	begin, want := time.Now(), s.received.Load()+size
	for sent := int64(0); sent < size; sent += int64(len(block)) {
		if _, err := c.Write(block); err != nil {
			return 0, fmt.Errorf("send: %w", err)
		}
	}
	for s.received.Load() < want {
		select {
		case <-s.grown:
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for what was sent: %w", ctx.Err())
		}
	}
	return time.Since(begin), nil
}

// relayEnv makes this program the barest relay that there is. It holds the
// address that it carries to.
const relayEnv = "FISH_BENCH_RELAY"

// serveRelay prints its address and carries one connection to the target, until
// standard input ends.
func serveRelay(target string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	failed := make(chan error, 2)
	go func() { failed <- carry(l, target) }()
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin) // ends with the process that started this one
		failed <- err
	}()
	return <-failed
}

// carry takes one connection in and copies from it to the target.
func carry(l net.Listener, target string) error {
	from, err := l.Accept()
	if err != nil {
		return err
	}
	to, err := net.Dial("tcp", target)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return err
}

func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return c, nil
}

// bySOCKS connects to the service through the proxy, as its environment.
func bySOCKS(ctx context.Context, proxy, service string) (net.Conn, error) {
	c, err := dialTCP(ctx, proxy)
	if err != nil {
		return nil, err
	}
	hello := append([]byte("\x05\x01\x00\x05\x01\x00\x03"), byte(len(service)))
	hello = append(append(hello, service...), 0, 80)
	if _, err := c.Write(hello); err != nil {
		return nil, errors.Join(fmt.Errorf("ask the proxy: %w", err), c.Close())
	}
	answer := make([]byte, 2+10)
	if _, err := io.ReadFull(c, answer); err != nil || answer[3] != 0 {
		return nil, errors.Join(fmt.Errorf("the proxy answers %q", answer), err, c.Close())
	}
	return c, nil
}

// measureSOCKS lets the proxy and a bare relay take turns.
func (b *bench) measureSOCKS(ctx context.Context) error {
	s, err := newSink(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	return b.with(ctx, func(n *node) error {
		api, err := n.dial(ctx)
		if err != nil {
			return err
		}
		defer api.close()
		admin := user{"admin", b.adminPassword}
		if _, err := (life{api, admin, b.label, eagerPause}).create(ctx); err != nil {
			return err
		}
		_, err = api.create(admin, "/api/v1/servicemapping/", fmt.Sprintf(`{"service":"sink","redirect":%q}`, s.listener.Addr()))
		if err != nil {
			return err
		}
		return b.socksAgainstBare(ctx, s, after(n.output.text(), "PROXYSOCKS listening on: "))
	})
}

func (b *bench) socksAgainstBare(ctx context.Context, s *sink, proxy string) error {
	relay, err := startChild(ctx, relayEnv, s.listener.Addr().String())
	if err != nil {
		return err
	}
	defer relay.close()
	near, err := dialTCP(ctx, relay.address)
	if err != nil {
		return err
	}
	defer func() { _ = near.Close() }() // all was received
	through, err := bySOCKS(ctx, proxy, "sink")
	if err != nil {
		return err
	}
	defer func() { _ = through.Close() }() // all was received
	var bare, socks, connects []time.Duration
	for range b.plan.reps * socksTurns {
		for _, way := range []struct {
			conn net.Conn
			took *[]time.Duration
		}{{near, &bare}, {through, &socks}} {
			took, err := s.send(ctx, way.conn, b.plan.socksBytes)
			if err != nil {
				return err
			}
			*way.took = append(*way.took, took)
		}
		begin := time.Now()
		c, err := bySOCKS(ctx, proxy, "sink")
		if err != nil {
			return err
		}
		connects = append(connects, time.Since(begin))
		_ = c.Close() // nothing was sent
	}
	rate := func(took []time.Duration) float64 { return float64(b.plan.socksBytes) / median(took).Seconds() / 1e6 }
	b.table.atLeast("SOCKS: throughput, of a bare io.Copy relay", "%.0f %%", 100*rate(socks)/rate(bare), 100*socksOverBare,
		fmt.Sprintf("%.0f MB/s, bare %.0f", rate(socks), rate(bare)))
	b.table.note("SOCKS: a connection, greeting to answer, p50", brief(median(connects)), "")
	return nil
}
