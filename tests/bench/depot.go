package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// warmBytes is how much goes through a proxy before it is measured: windows are
// open then.
const warmBytes = 4 << 20

// depot is what clients load from and to: the first byte that a client sends
// says whether it wants zeros or brings some, both without end.
type depot struct{ listener net.Listener }

func openDepot(l net.Listener) *depot {
	d := &depot{l}
	go d.serve()
	return d
}

func (d *depot) serve() {
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }() // the client counts what it got
			kind := make([]byte, 1)
			if _, err := io.ReadFull(conn, kind); err != nil {
				return
			}
			if kind[0] == 'd' {
				_, _ = io.Copy(conn, zeros{}) // until the client has enough
				return
			}
			taken, _ := io.Copy(io.Discard, onlyReader{conn}) // to its end
			_, _ = fmt.Fprintf(conn, "%d\n", taken)
		}()
	}
}

// onlyReader keeps io.Copy from asking the kernel to throw away what arrives:
// it is to be taken, as programs do.
type onlyReader struct{ io.Reader }

func (d *depot) close() { _ = d.listener.Close() }

// zeros are without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// depotName is the service that is mapped to the depot.
const depotName = "depot"

// depotWay connects to the depot.
type depotWay func(ctx context.Context) (net.Conn, error)

// load and store are how many bytes a second get through.
func (d depotWay) load(ctx context.Context, size int64) (float64, error) {
	conn, err := d(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }() // there is more
	if _, err := conn.Write([]byte("d")); err != nil {
		return 0, fmt.Errorf("load: %w", err)
	}
	src := onlyReader{conn}
	if _, err := io.CopyN(io.Discard, src, warmBytes); err != nil {
		return 0, fmt.Errorf("load: %w", err)
	}
	begin := time.Now()
	if _, err := io.CopyN(io.Discard, src, size); err != nil {
		return 0, fmt.Errorf("load: %w", err)
	}
	return float64(size) / time.Since(begin).Seconds(), nil
}

func (d depotWay) store(ctx context.Context, size int64) (float64, error) {
	conn, err := d(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }() // all was said
	if _, err := conn.Write([]byte("u")); err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	begin := time.Now()
	if _, err := io.CopyN(conn, zeros{}, size); err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	var taken int64
	if _, err := fmt.Fscanln(conn, &taken); err != nil || taken != size {
		return 0, fmt.Errorf("store: %d bytes arrived, want %d: %w", taken, size, err)
	}
	return float64(size) / time.Since(begin).Seconds(), nil
}

// depotDirections are the two that data flows in.
func depotDirections() []depotDirection {
	return []depotDirection{{"to the environment", depotWay.load}, {"from the environment", depotWay.store}}
}

type depotDirection struct {
	name    string
	measure func(d depotWay, ctx context.Context, size int64) (float64, error)
}

// comparison is what two ways got through, in bytes a second.
type comparison struct{ ours, theirs, ratio float64 }

func (c comparison) String() string {
	return fmt.Sprintf("%.0f MB/s of %.0f MB/s", c.ours/1e6, c.theirs/1e6)
}

// takeTurns measures two ways one after the other, so many times. The ratio is
// the median of those of the turns.
func takeTurns(reps int, ours, theirs func() (float64, error)) (comparison, error) {
	var a, b, ratios []float64
	for range reps {
		x, err := ours()
		if err != nil {
			return comparison{}, err
		}
		y, err := theirs()
		if err != nil {
			return comparison{}, err
		}
		a, b, ratios = append(a, x), append(b, y), append(ratios, x/y)
	}
	return comparison{median(a), median(b), median(ratios)}, nil
}
