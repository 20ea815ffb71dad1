package link

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// ALPN is the name of the protocol in the TLS handshake.
const ALPN = "aquarium/1"

// Options are what a Transport needs. Certificate and Roots are called for
// each handshake and once a minute, so that new files serve without a restart;
// they must not block.
type Options struct {
	Certificate func() *tls.Certificate // the node's own, with the chain to its CA
	Roots       func() *x509.CertPool   // all CAs of the cluster
	Boot        uint64                  // random, of this process: tells the node itself from a copy of its key
	Limits      Limits
	// Proxy says by which proxy an https URL is reached, nil for none; see Proxies.
	Proxy func(*url.URL) (*url.URL, error)
	Log   *slog.Logger
}

// validate fills in defaults.
func (o Options) validate() (Options, error) {
	if o.Certificate == nil || o.Roots == nil {
		return o, errors.New("link options lack the certificate or the CAs")
	}
	if o.Proxy == nil {
		o.Proxy = func(*url.URL) (*url.URL, error) { return nil, nil } //nolint:nilnil // means: none
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Limits = o.Limits.withDefaults()
	return o, nil
}

// Limits bound what a link waits for and holds. A zero takes the default.
type Limits struct {
	Dial      time.Duration // to connect, with the proxy: 5 s
	Handshake time.Duration // TLS and hello together: 10 s
	KeepAlive time.Duration // between two pings: 2 s
	Dead      time.Duration // a neighbour that was silent for this long is gone: 6 s
	Send      time.Duration // for the neighbour to take one control message: 10 s
	Farewell  time.Duration // for the neighbour to take the reason of an end: 1 s
	Recheck   time.Duration // between two looks at a neighbour's certificate: 1 min
	Queue     int           // control messages (at most 1 MB each) that wait to be sent, and that wait to be received: 64
	Pending   int           // neighbours whose hello is looked at, at once: 32
	Strangers int           // refused ones that are told why, at once: 16
	Relays    int           // relay streams that this side has open over one link: 128; it takes twice as many
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Dial:      cmp.Or(l.Dial, 5*time.Second),
		Handshake: cmp.Or(l.Handshake, 10*time.Second),
		KeepAlive: cmp.Or(l.KeepAlive, 2*time.Second),
		Dead:      cmp.Or(l.Dead, 6*time.Second),
		Send:      cmp.Or(l.Send, 10*time.Second),
		Farewell:  cmp.Or(l.Farewell, time.Second),
		Recheck:   cmp.Or(l.Recheck, time.Minute),
		Queue:     cmp.Or(l.Queue, 64),
		Pending:   cmp.Or(l.Pending, 32),
		Strangers: cmp.Or(l.Strangers, 16),
		Relays:    cmp.Or(l.Relays, 128),
	}
}

// Handlers are who gets what comes in. Their ctx ends with the transport, that
// of Relay with the link too; the transport waits for them.
type Handlers struct {
	// Incoming decides on a neighbour that asks for a link: it calls Accept or
	// Refuse before it returns.
	Incoming func(ctx context.Context, p *Pending)
	// Relay has a connection that a neighbour wants to be carried to dst, over
	// at most ttl further links: see Forward. conn is closed when Relay returns;
	// Reset ends it with a reason.
	Relay func(ctx context.Context, dst model.UID, ttl uint8, conn net.Conn)
}

// notReady is the answer while nobody decides.
func notReady() *Refused {
	return refuse(wire.CodeStopping, "the node is starting or stopping: ask again later")
}
