package store

import (
	"context"
	"errors"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var (
	// ErrTooMany says that a Resource has as many unused credentials as it may
	// have: use one of them, or wait until they expire.
	ErrTooMany = errors.New("too many unused credentials for this resource; use one of them, or wait until they expire")
	// ErrAccessUsed says that another session has used the credentials.
	ErrAccessUsed = errors.New("the credentials were used; ask for new ones")
	// ErrAccessExpired says that the credentials are too old.
	ErrAccessExpired = errors.New("the credentials have expired; ask for new ones")
	// ErrAccessAhead says that the credentials are of a time that has not come
	// yet by this node's clock.
	ErrAccessAhead = errors.New("the credentials are of a time that has not come yet; look at the clocks of the nodes, then ask for new ones")
	// ErrAccessDoubt says that this node's database is older than what the node
	// did, so that it can not tell whether the credentials were used. It will:
	// Lapsed and Restored tell until when.
	ErrAccessDoubt = errors.New("the node that runs the environment does not know again yet whether the credentials were used; try again later, or ask for new ones")
	// ErrNotAllocated says that the environment is not there, or not of this node.
	ErrNotAllocated = errors.New("the environment is not allocated on this node")
	// ErrHostKey says that the environment shows another host key than at its
	// first use: it may be another machine.
	ErrHostKey = errors.New("the environment shows another host key than before")
)

// AccessView are credentials and whether they were used.
type AccessView struct {
	model.ResourceAccess

	Used bool
}

// CreateAccess stores one-time credentials for a Resource, of any node, with UID,
// application, time and clock reading filled in. ErrNotFound if the Resource is
// not there now, ErrTooMany if it has as many unused ones as it may have.
func (s *Store) CreateAccess(ctx context.Context, a model.ResourceAccess) (model.ResourceAccess, error) {
	return model.ResourceAccess{}, errNotYet
}

// UseAccess uses credentials up, for one session: it returns after that is
// durable. AccessUID, SessionUID, EntryUID, Client and HostKey are given, the rest
// is filled in. The same session gets the same answer again, also after a restart.
// Only the node of the Resource may ask.
//
// ErrNotFound if the credentials are not known here (yet), ErrAccessUsed,
// ErrAccessExpired, ErrAccessAhead, ErrNotAllocated, ErrHostKey if the Resource has
// shown another one, ErrAccessDoubt, ErrUnavailable.
func (s *Store) UseAccess(ctx context.Context, use model.AccessUse) (model.AccessUse, error) {
	return model.AccessUse{}, errNotYet
}

var errNotYet = errors.New("credentials can not be stored yet")

// AccessByDigest finds credentials by the SHA-256 of the password.
func (s *Store) AccessByDigest(digest []byte) (AccessView, bool) { return AccessView{}, false }

// AccessByKey finds credentials by the public key, in the wire form of SSH.
func (s *Store) AccessByKey(publicKey []byte) (AccessView, bool) { return AccessView{}, false }

// Access returns credentials. Those of a Resource that is gone, and those that
// expired a while ago, are not found.
func (s *Store) Access(uid model.UID) (AccessView, bool) { return AccessView{}, false }

// HostKey is the host key that is expected of a Resource: that of its first use,
// in the wire form of SSH.
func (s *Store) HostKey(resource model.UID) (hostKey []byte, known bool) { return nil, false }

// AccessUses are the uses of a Resource, in the order of its node. The slice is
// shared: it must not be changed.
func (s *Store) AccessUses(resource model.UID) []model.AccessUse { return nil }
