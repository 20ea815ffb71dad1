package cluster

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Options are what a Cluster needs. Functions are called often and must not
// block, but for Healthy, Secure and Serve.
type Options struct {
	Self        Self
	Join        []string // addresses, host:port, of any other members
	MaxLinks    int      // 0 means peers.DefaultMax
	Transport   Transport
	Replication Replication
	// Healthy looks whether the node can do its work: the database takes a
	// write, the loops go round. Its ctx has a deadline.
	Healthy func(ctx context.Context) error
	// Lapsed says that the database may lack what this node wrote and others
	// know: then it is ready when it knows what all know that can be reached.
	// Nil: it never does.
	Lapsed func() bool
	// Report is what changes about the node and others should know.
	Report func() Report
	// Known are the nodes that the database knows, retired ones too; without
	// this one.
	Known func() []Known
	// Secure runs mutual TLS inside a relay. want is nil for the server.
	Secure func(ctx context.Context, conn net.Conn, want *model.UID, client bool) (net.Conn, error)
	// Serve has a connection that another member dialled, after Secure. It is
	// closed when Serve returns.
	Serve func(ctx context.Context, conn net.Conn)
	Log   *slog.Logger
	// Now is the time of day, to compare clocks; all else uses the monotonic
	// clock. Default time.Now.
	Now func() time.Time
}

// Self is who this node is, for as long as the process lives.
type Self struct {
	Node     model.UID
	Name     string
	Address  string // host:port where others reach it
	Location string
	Program  string // version
	Cluster  []byte // SHA-256 of the public key of the cluster's first CA
	Boot     uint64 // random, of this process
}

// Report is what a node says of itself that changes.
type Report struct {
	Incarnation uint32
	RowSeq      uint64 // newest durable row of the own origin
	Maintenance bool
	Signer      bool // it holds the CA's key
	Available   bool // election.safety is available
	Load        wire.Load
	VoteLoad    uint8     // percent: applications' share of the node
	NotAfter    time.Time // of its certificate
	Shares      []string  // shared outside things that it is configured for
	Succession  uint64    // model.SumOfRetirements of those that it knows
}

// Known is a node that the database knows.
type Known struct {
	Node     model.UID
	Name     string
	Address  string
	Location string
	Retired  bool
	Seen     time.Time // last sign of life that is stored; zero if there is none
}

func (o Options) validate() (Options, error) {
	switch {
	case o.Transport == nil, o.Replication == nil, o.Log == nil:
		return o, errors.New("make cluster: transport, replication and log are needed")
	case o.Self.Node == model.NilUID, o.Self.Boot == 0, o.Self.Name == "":
		return o, errors.New("make cluster: node, name and boot are needed")
	case o.Healthy == nil, o.Report == nil, o.Known == nil, o.Secure == nil, o.Serve == nil:
		return o, errors.New("make cluster: a function is missing")
	case o.MaxLinks < 0 || o.MaxLinks == 1:
		return o, errors.New("make cluster: a node needs at least 2 links")
	}
	if o.Lapsed == nil {
		o.Lapsed = func() bool { return false }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, nil
}

// chance is the source of the choices among equals: another one in each
// process, the same for one boot.
func (s Self) chance() *rand.Rand { return rand.New(rand.NewPCG(s.Boot, 0)) } // nothing secret
