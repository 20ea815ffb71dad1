package repl

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Store is the database, as far as replication needs it.
type Store interface {
	// Origin is the one that this node writes as. It changes when the node
	// takes a new incarnation.
	Origin() replica.Origin
	// Vector is what is durable here; a copy.
	Vector() replica.Vector
	// Forgotten looks in what another node knows for an origin of this node, up
	// to a number that nobody can have from this store.
	Forgotten(theirs replica.Vector) (origin replica.Origin, seq uint64, forgotten bool)
	// Advanced gets a token after Vector has grown; tokens coalesce. The
	// engine is its only reader.
	Advanced() <-chan struct{}
	// Rows returns what is current of origin after a sequence number: From is
	// after, To the highest number that is covered. One row is returned
	// whatever its size.
	Rows(ctx context.Context, origin replica.Origin, after uint64, limit replica.Limit) (replica.Batch, error)
	// Replicate takes in batches of one or more origins; those of one origin
	// follow each other, and what is known already is skipped. An error says
	// that at least one was not taken in; others may have been.
	Replicate(ctx context.Context, batches []replica.Batch) error
	// Writable returns nil, or why the store takes no writes at all, whatever
	// is in them.
	Writable() error
	// Digests sums up all rows, without those of applications that were closed
	// before horizon.
	Digests(ctx context.Context, horizon time.Time) (map[replica.Kind]*replica.Digest, error)
	// Horizon is until when applications may have closed that were removed
	// here: nothing of those can be compared.
	Horizon() time.Time
	// Bucket returns rows of one bucket in the order of their keys, from after
	// on (nil: the first), without those of applications that were closed
	// before the bucket's horizon. Fewer than the limit allows: there are no
	// more.
	Bucket(ctx context.Context, bucket Bucket, after []byte, limit replica.Limit) ([]replica.Row, error)
	// MergeRows takes in rows by replica.Merge alone, whatever the vector
	// says, and returns those that were news. Rows of applications that were
	// closed before horizon are left out.
	MergeRows(ctx context.Context, rows []replica.Row, horizon time.Time) ([]replica.Row, error)
}

// Bucket names one part of one kind's rows.
type Bucket = replica.Bucket

// Conn is the data stream of a link. SendData blocks while the other side is
// slow. Messages are values: wire.Rows, wire.DigestAsk, wire.Digests and
// wire.BucketRows; others are skipped. The engine calls SendData from one goroutine at a time, and
// ReceiveData from another one.
type Conn interface {
	SendData(ctx context.Context, message any) error
	ReceiveData(ctx context.Context) (any, error)
}

// ErrMisbehaving says that the other side sent what no node may send: the
// link should be closed.
var ErrMisbehaving = errors.New("the other side sent what no node may send")

// Options are what an Engine needs. Zero values take the default.
type Options struct {
	Store Store
	Log   *slog.Logger
	// Interval is the shortest time between two rounds of pushes on a link
	// that is busy. After quiet a change goes out at once. Default 100 ms.
	Interval time.Duration
	// AdvertInterval is the shortest time between two adverts of the vector
	// on a link. Default 1 s.
	AdvertInterval time.Duration
	// Gather is the longest time that rows that came wait for company before
	// they are written, while many come. Default 250 ms.
	Gather time.Duration
	// Batch bounds what goes into one message. Default 256 rows, 256 KiB.
	Batch replica.Limit
	// Write bounds how many rows are written in one transaction, because the
	// node's own writes wait meanwhile. Default 500.
	Write int
	// Inbox bounds the bytes that were received and not yet written, of all
	// links together. Default 8 MiB.
	Inbox int
	// LinkBytes caps the bytes of rows, before compression, that are sent on a
	// link per second. Default 8 MiB: a million rows in about a minute.
	LinkBytes int
	// Far is how many sequence numbers somebody may lack before it counts as
	// far behind, and is served by one link only. Default 5000.
	Far uint64
	// CompareInterval is how often the digests of a link's two sides are
	// compared. Default 1 h; negative: only when asked for.
	CompareInterval time.Duration
	// CompareAge is how long an application must be closed before it is left
	// out of digests. Default 12 h.
	CompareAge time.Duration
	// Rewound is called when somebody knows more of an origin of this node
	// than it can have from its database (Store.Forgotten), which was restored
	// or copied. It must not block.
	Rewound func(origin replica.Origin, seq uint64)
}

// maxAhead is how far a row may be ahead of the local clock. One that is
// further would make every later reading of the hybrid clock wrong by as much.
const maxAhead = 5 * time.Minute

func (o Options) withDefaults() (Options, error) {
	if o.Store == nil || o.Log == nil {
		return o, errors.New("make replication engine: store and log are needed")
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.Interval, 100 * time.Millisecond}, {&o.AdvertInterval, time.Second}, {&o.Gather, 250 * time.Millisecond},
		{&o.CompareInterval, time.Hour}, {&o.CompareAge, 12 * time.Hour},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *int
		value int
	}{
		{&o.Batch.Rows, 256}, {&o.Batch.Bytes, 256 << 10}, {&o.Write, 500}, {&o.Inbox, 8 << 20}, {&o.LinkBytes, 8 << 20},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
		if *d.field < 0 {
			return o, errors.New("make replication engine: a limit is negative")
		}
	}
	if o.Far == 0 {
		o.Far = 5000
	}
	if o.Interval < 0 || o.AdvertInterval <= 0 || o.Gather < 0 {
		return o, errors.New("make replication engine: an interval is negative")
	}
	if o.Batch.Rows > replica.MaxBatchRows || o.Batch.Bytes > replica.MaxBatchBytes-replica.MaxBody-replica.MaxKey {
		return o, errors.New("make replication engine: batch is larger than a receiver takes")
	}
	if o.Rewound == nil {
		o.Rewound = func(replica.Origin, uint64) {}
	}
	return o, nil
}

// SessionOptions are what a Session needs of its link.
type SessionOptions struct {
	// Name is the other side's, for the log.
	Name string
	Conn Conn
	// Advertise sends an advert on the control stream. It may block.
	Advertise func(ctx context.Context, advert wire.Advert) error
	// Told is the vector of the hello that this side sent, Theirs that of the
	// hello that came.
	Told, Theirs replica.Vector
	// Outgoing says that this side dialled: it begins what needs one beginner.
	Outgoing bool
}
