package sshproxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/proxy/ssh/relay"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// ServerVersion is how the proxy introduces itself (contract 22).
const ServerVersion = "SSH-2.0-AquariumFishProxy"

const (
	// DefaultMaxSessions is how many logged-in connections there are at most: at
	// 200 KB when idle they take 200 MB.
	DefaultMaxSessions = 1000
	// DefaultGrace is how long a session goes on when its environment is given
	// back: enough to read the message, not enough to keep anything.
	DefaultGrace = 10 * time.Second
)

// Store is what the proxy reads.
type Store interface {
	Access(uid model.UID) (store.AccessView, bool)
	AccessByDigest(digest []byte) (store.AccessView, bool)
	AccessByKey(publicKey []byte) (store.AccessView, bool)
	Resource(uid model.UID) (model.Resource, *model.Entry, bool)
	UserByName(name string) (model.User, bool)
	Subscribe(kinds ...store.Kind) *store.Subscription
}

// Limits slow down who tries credentials.
type Limits interface {
	// Throttled is how long an address has to wait after too many failures; 0:
	// not at all.
	Throttled(remote, user string) time.Duration
	// Failed counts a failure.
	Failed(remote, user string)
}

// Audit takes who did what.
type Audit interface {
	Note(e audit.Event)
	Login(user, remote, requestID string, result audit.Result)
}

// Recorder keeps what is seen on terminals.
type Recorder interface {
	// Record begins a recording; name says where it will be found.
	Record(at time.Time, resource, session model.UID, t relay.Terminal) (recording relay.Recording, name string, err error)
}

// Options is what a Server needs.
type Options struct {
	// Listener takes the clients; the server closes it.
	Listener net.Listener
	// HostKey is the proxy's own.
	HostKey ssh.Signer
	Store   Store
	// Executor reaches environments, wherever they run.
	Executor Executor
	Limits   Limits
	Audit    Audit
	// Recorder is used for environments that are to be recorded; without one
	// nobody gets into those.
	Recorder Recorder
	// NodeName is for messages to users.
	NodeName string
	// Node is this node: the entry of its sessions.
	Node model.UID
	// MaxSessions bounds the logged-in connections. Default: DefaultMaxSessions.
	MaxSessions int
	// Grace is how long a session goes on when its environment is given back.
	// Below 0: it is cut at once; 0: DefaultGrace.
	Grace  time.Duration
	Logger *slog.Logger
}

func (o Options) validate() error {
	switch {
	case o.Listener == nil, o.HostKey == nil, o.Store == nil, o.Executor == nil:
		return errors.New("check ssh proxy options: Listener, HostKey, Store or Executor is missing")
	case o.Limits == nil, o.Audit == nil, o.Logger == nil:
		return errors.New("check ssh proxy options: Limits, Audit or Logger is missing")
	}
	return nil
}

// Opening is what an entry asks of an executor.
type Opening struct {
	AccessUID   model.UID `json:"access"`
	ResourceUID model.UID `json:"resource"`
	SessionUID  model.UID `json:"session"`
}

// Opened is a connection to the SSH server of an environment.
type Opened struct {
	net.Conn

	// HostKey is what that server has to show, in the wire form of SSH; empty:
	// nobody has been there yet.
	HostKey []byte
	// Record says that terminals are to be recorded.
	Record bool
}

// Executor reaches the environments of one node, or of all. Its errors are
// Refusals, or say that it was not reached: then nothing was used.
type Executor interface {
	// Open connects to the environment, if the credentials are still good. It
	// uses nothing up. Unless Use follows within a minute the connection is cut.
	Open(ctx context.Context, node model.UID, o Opening) (*Opened, error)
	// Use uses the credentials up: durable, for one session. The same use again
	// is answered as before.
	Use(ctx context.Context, node model.UID, use model.AccessUse) error
}
