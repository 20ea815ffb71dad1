package link

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// muxData is a frame of the multiplexer that opens a stream with data.
func muxData(stream uint32, data []byte) []byte {
	b := []byte{0, muxTypeData, 0, 1} // version, type, SYN
	b = binary.BigEndian.AppendUint32(b, stream)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// FuzzAccept sends bytes to a node that takes links, in place of the hello,
// of the streams, or inside one: whatever they are, the link ends when the
// connection does, and nothing is left of it.
func FuzzAccept(f *testing.F) {
	id, err := crypt.LoadOrCreate(crypt.Options{Directory: f.TempDir(), NodeName: "a", NodeAddress: "127.0.0.1:1"})
	if err != nil {
		f.Fatal(err)
	}
	peer := identity{node: model.UID{9}, name: "fuzz", chain: nil}
	transport, err := New(Options{
		Certificate: func() *tls.Certificate { return id.Certificate() }, Roots: id.CAPool, Boot: 1, Log: slog.New(slog.DiscardHandler),
		Limits: Limits{Handshake: 300 * time.Millisecond, Farewell: 50 * time.Millisecond, Send: time.Second, Recheck: time.Hour},
	})
	if err != nil {
		f.Fatal(err)
	}
	hello := wire.Hello{ProtocolMin: 1, ProtocolMax: 1, Node: peer.node, Boot: 2}
	frame, err := frameOf(hello)
	if err != nil {
		f.Fatal(err)
	}
	handlers := Handlers{
		Incoming: func(_ context.Context, p *Pending) {
			l, err := p.Accept(hello)
			if err != nil {
				return
			}
			go func() {
				for {
					if _, err := l.Receive(context.Background()); err != nil {
						return
					}
				}
			}()
			go func() {
				for {
					if _, err := l.ReceiveData(context.Background()); err != nil {
						return
					}
				}
			}()
		},
		Relay: func(_ context.Context, _ model.UID, _ uint8, c net.Conn) { _, _ = io.Copy(c, c) },
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = transport.Run(ctx, handlers) }()
	f.Cleanup(func() { cancel(); <-ended })

	f.Add(byte(0), frame)
	f.Add(byte(0), []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(byte(1), muxData(1, append([]byte("c"), frame...)))
	f.Add(byte(1), []byte{0, 1, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Add(byte(1), []byte{0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add(byte(2), frame)
	f.Add(byte(3), []byte(deflated(frame)))
	f.Add(byte(4), append(make([]byte, 17), "\x00\x00\x01a\x01\x00\x00\x02\x00\x00"...))
	f.Add(byte(4), append(make([]byte, 17), "\x03\x00\x02hi"...))
	f.Fuzz(func(t *testing.T, stage byte, data []byte) {
		if len(data) > 64<<10 {
			t.Skip("more than a hello and a few frames")
		}
		var send []byte
		if stage %= 5; stage > 0 {
			send = append(send, frame...)
		}
		if stage > 1 {
			data = muxData(1, append([]byte{"..cdr"[stage]}, data...))
		}
		here, there := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, here) }()
		go func() {
			_ = here.SetWriteDeadline(time.Now().Add(5 * time.Second))
			_, _ = here.Write(append(send, data...))
			_ = here.Close()
		}()
		link := transport.admit(ctx, there, peer, handlers)
		if link == nil {
			return
		}
		select {
		case <-link.Done():
			if link.Err() == nil {
				t.Error("the link ended without a reason")
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the link did not end:\n%s", leftovers(0))
		}
	})
}

// FuzzHello reads any bytes as the first frame.
func FuzzHello(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, 1, 0xa0})
	f.Add([]byte{0, 0, 0, 2, 2, 0xa0})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &counter{data: data}
		h, err := readHello(r)
		if err == nil && h.Node == model.NilUID {
			t.Errorf("a hello of nobody was taken: %+v", h)
		}
		if r.asked > wire.MaxControl {
			t.Errorf("%d bytes were read", r.asked)
		}
	})
}

// counter counts what is read.
type counter struct {
	data  []byte
	asked int
}

func (c *counter) Read(b []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.data)
	c.data = c.data[n:]
	c.asked += n
	return n, nil
}
