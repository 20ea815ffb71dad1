package cluster

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Transport makes and takes links. The peer of each has proved the key of the
// Node in its hello, and that its certificate is of this cluster. It logs each
// refusal, that of this side and that of the other one.
type Transport interface {
	// Run takes links and relays until ctx is done; then it ends all links
	// with wire.CodeStopping and returns when they and their handlers have
	// ended.
	Run(ctx context.Context, h Handlers) error
	// Dial makes a link. want, if not nil, is the node that has to be there.
	// An error that wraps a *Refused says why one side wants no link.
	Dial(ctx context.Context, address string, want *model.UID, hello wire.Hello) (Link, error)
	// Forward carries a relay that came in on by way of next, over at most
	// ttl further links, until it has ended.
	Forward(ctx context.Context, in net.Conn, next Link, dst model.UID, ttl uint8) error
}

// Handlers are who gets what comes in.
type Handlers struct {
	// Incoming decides on a node that asks for a link: it calls Accept or
	// Refuse before it returns.
	Incoming func(ctx context.Context, p Pending)
	// Relay has a connection to be carried to dst; it is closed when Relay
	// returns.
	Relay func(ctx context.Context, dst model.UID, ttl uint8, conn net.Conn)
}

// Pending is a node that asks for a link.
type Pending interface {
	Hello() wire.Hello
	Accept(hello wire.Hello) (Link, error)
	Refuse(r wire.Refuse)
}

// Link is a connection with a neighbour. All methods may be called at the same
// time. A neighbour that is silent for six seconds is given up.
type Link interface {
	Peer() wire.Hello
	Outgoing() bool // this side dialled
	// Send queues a control message: it blocks while the queue is full, and
	// fails when the link has ended. Receive returns the next one that came.
	Send(ctx context.Context, message any) error
	Receive(ctx context.Context) (any, error)
	SendData(ctx context.Context, message any) error
	ReceiveData(ctx context.Context) (any, error)
	OpenRelay(ctx context.Context, dst model.UID, ttl uint8) (net.Conn, error)
	RTT() time.Duration
	// Close ends the link and tells the other side why.
	Close(code wire.Code, text string)
	Done() <-chan struct{}
	Err() error // why it ended, after Done
}

// Refused is why there is no link.
type Refused struct {
	wire.Refuse
	Node model.UID // who answered; nil if unknown
}

// Error implements error.
func (r *Refused) Error() string { return fmt.Sprintf("link refused: %s (code %d)", r.Text, r.Code) }

// Replication is what carries rows over a link: lib/cluster/repl.
type Replication interface {
	// Vector is what is durable here; a copy.
	Vector() replica.Vector
	Session(o SessionOptions) Session
}

// Session is the replication of one link.
type Session interface {
	// Run replicates until ctx is done (nil) or the link is of no more use.
	Run(ctx context.Context) error
	// Advert takes in an advert that came; it does not block.
	Advert(advert wire.Advert)
}

// SessionOptions are what a Session needs of its link.
type SessionOptions struct {
	Name         string // the neighbour's, for the log
	Conn         Conn
	Advertise    func(ctx context.Context, advert wire.Advert) error
	Told, Theirs replica.Vector // of the two hellos
	Outgoing     bool
}

// Conn is the data stream of a link.
type Conn interface {
	SendData(ctx context.Context, message any) error
	ReceiveData(ctx context.Context) (any, error)
}
