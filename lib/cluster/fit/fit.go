// Package fit fits the real links (lib/cluster/link) and the real replication
// (lib/cluster/repl) to what a cluster asks for.
package fit

import (
	"context"
	"errors"
	"net"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/link"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/repl"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Transport is a link.Transport as a cluster uses it.
type Transport struct{ link *link.Transport }

var _ cluster.Transport = Transport{}

// NewTransport returns t as a cluster uses it.
func NewTransport(t *link.Transport) Transport { return Transport{t} }

// Run implements cluster.Transport.
func (t Transport) Run(ctx context.Context, h cluster.Handlers) error {
	return t.link.Run(ctx, link.Handlers{
		Incoming: func(ctx context.Context, p *link.Pending) { h.Incoming(ctx, pending{p}) },
		Relay:    h.Relay,
	})
}

// Dial implements cluster.Transport.
func (t Transport) Dial(ctx context.Context, address string, want *model.UID, hello wire.Hello) (cluster.Link, error) {
	l, err := t.link.Dial(ctx, address, want, hello)
	if err != nil {
		return nil, refused(err)
	}
	return neighbour{l}, nil
}

// Forward implements cluster.Transport.
func (t Transport) Forward(ctx context.Context, in net.Conn, next cluster.Link, dst model.UID, ttl uint8) error {
	_, err := link.Forward(ctx, in, next, dst, ttl)
	return err
}

// Secure runs mutual TLS inside a relay; see cluster.Options.
func (t Transport) Secure(ctx context.Context, conn net.Conn, want *model.UID, client bool) (net.Conn, error) {
	s, err := t.link.Secure(ctx, conn, want, client)
	if err != nil {
		return nil, err // not a nil *Secured in an interface
	}
	return s, nil
}

// refused turns the refusal in an error into the cluster's, if there is one.
func refused(err error) error {
	var no *link.Refused
	if !errors.As(err, &no) {
		return err
	}
	return &cluster.Refused{Refuse: wire.Refuse{Code: no.Code, Text: no.Text, Try: no.Try}, Node: no.Node}
}

// pending is a link.Pending whose Accept returns the cluster's Link.
type pending struct{ *link.Pending }

// Accept implements cluster.Pending.
func (p pending) Accept(hello wire.Hello) (cluster.Link, error) {
	l, err := p.Pending.Accept(hello)
	if err != nil {
		return nil, err
	}
	return neighbour{l}, nil
}

// neighbour is a link.Link whose errors are the cluster's.
type neighbour struct{ *link.Link }

// Err implements cluster.Link.
func (n neighbour) Err() error { return refused(n.Link.Err()) }

// Replication is a repl.Engine as a cluster uses it.
type Replication struct {
	engine *repl.Engine
	store  repl.Store
}

var _ cluster.Replication = Replication{}

// NewReplication returns the engine of the store as a cluster uses it. The
// caller runs the engine.
func NewReplication(engine *repl.Engine, store repl.Store) Replication {
	return Replication{engine, store}
}

// Vector implements cluster.Replication.
func (r Replication) Vector() replica.Vector { return r.store.Vector() }

// Session implements cluster.Replication.
func (r Replication) Session(o cluster.SessionOptions) cluster.Session {
	return r.engine.Session(repl.SessionOptions{
		Name: o.Name, Conn: o.Conn, Advertise: o.Advertise, Told: o.Told, Theirs: o.Theirs, Outgoing: o.Outgoing,
	})
}
