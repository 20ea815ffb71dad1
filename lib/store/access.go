package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// One-time credentials are written by any node, and used up by the one that runs
// the environment. Their rows for the other nodes are all that is stored of them;
// accessbook.go is what is in memory.

var (
	// ErrTooMany says that a Resource has as many unused credentials as it may
	// have.
	ErrTooMany = errors.New("too many unused credentials for this resource; use one of them, or wait until they expire")
	// ErrAccessUsed says that another session has used the credentials.
	ErrAccessUsed = errors.New("the credentials were used; ask for new ones")
	// ErrAccessExpired says that the credentials are too old.
	ErrAccessExpired = errors.New("the credentials have expired; ask for new ones")
	// ErrAccessAhead says that the credentials are of a time that has not come
	// yet by this node's clock.
	ErrAccessAhead = errors.New("the credentials are of a time that has not come yet; look at the clocks of the nodes, then ask for new ones")
	// ErrAccessDoubt says that this node's database is older than what the node
	// did, so that it can not tell whether the credentials were used. Lapsed and
	// Restored tell until when.
	ErrAccessDoubt = errors.New("the node that runs the environment does not know yet whether the credentials were used, " +
		"as its database was put back; try again later, or ask for new ones")
	// ErrNotAllocated says that the environment is not there, or not of this node.
	ErrNotAllocated = errors.New("the environment is not allocated on this node")
	// ErrHostKey says that the environment shows another host key than at its
	// first use: it may be another machine.
	ErrHostKey = errors.New("the environment shows another host key than before; if that is right, allocate another one")
)

var (
	errNoAccess = errors.New("credentials have a user, the SHA-256 of a password or a public key or both, and a time to come at which they expire")
	errNoUse    = errors.New("a use names credentials, a session, the node that the client came to, and the host key of the environment")
)

// maxUnused is how many credentials of a Resource may wait to be used, those that
// expired left out: more than somebody asks for at once, and some 40 KB in the
// memory of each node.
const maxUnused = 64

// AccessView are credentials and whether they were used. What it points to is
// shared: it must not be changed.
type AccessView struct {
	model.ResourceAccess

	Used bool
}

// CreateAccess stores one-time credentials for a Resource, of any node, with UID,
// application, creation and clock reading filled in. ErrNotFound if the Resource
// is not there now, ErrTooMany if it has as many unused ones as it may have;
// replica.ErrTooLarge.
func (s *Store) CreateAccess(ctx context.Context, a model.ResourceAccess) (model.ResourceAccess, error) {
	var created model.ResourceAccess
	err := s.do(ctx, func(t *tx) (err error) {
		created, err = t.createAccess(a)
		return err
	})
	if err != nil {
		return model.ResourceAccess{}, fmt.Errorf("create access: %w", err)
	}
	return created, nil
}

func (t *tx) createAccess(a model.ResourceAccess) (model.ResourceAccess, error) {
	if a.UserName == "" || len(a.Digest) == 0 && len(a.PublicKey) == 0 || len(a.Digest) != 0 && len(a.Digest) != sha256.Size ||
		a.Expired(t.now) {
		return a, errNoAccess
	}
	app := t.store.memory.resources[a.ResourceUID] // the caller has seen it, so it was committed
	e, err := t.find(app)
	if err != nil {
		return a, err
	}
	if !shows(e, a.ResourceUID) {
		return a, fmt.Errorf("resource %s: %w", a.ResourceUID, ErrNotFound)
	}
	if t.accessesOf(app).unused(t.now) >= maxUnused {
		return a, ErrTooMany
	}
	a.UID, a.ApplicationUID, a.CreatedAt, a.HLC = t.store.uids.New(t.now), app, t.now, t.store.clock.Next(t.now)
	a.ExpiresAt = stamp(a.ExpiresAt)
	if err := record(t, a, replica.EncodeResourceAccess, app); err != nil {
		return a, err
	}
	t.keepAccess(a, nil)
	return a, nil
}

// shows reports whether the Resource is there: that of another grant of the
// application is not.
func shows(e *model.Entry, resource model.UID) bool {
	return e != nil && e.Resource != nil && e.Resource.UID == resource
}

// UseAccess uses credentials up, for one session, and returns after that is
// durable. AccessUID, SessionUID, EntryUID, Client and HostKey are given, the rest
// is filled in. Only the node that runs the environment may ask. The same session
// that shows the same host key gets the same answer again, also after a restart:
// its first one may have been lost.
//
// ErrNotFound if the credentials are not known here (yet), ErrAccessUsed,
// ErrAccessExpired, ErrAccessAhead, ErrAccessDoubt, ErrNotAllocated, and ErrHostKey
// if the Resource has shown another one; replica.ErrTooLarge, ErrUnavailable. An
// error of ctx leaves open whether they are used up: ask again with the same
// session.
func (s *Store) UseAccess(ctx context.Context, use model.AccessUse) (model.AccessUse, error) {
	if use.AccessUID == model.NilUID || use.SessionUID == model.NilUID || use.EntryUID == model.NilUID || len(use.HostKey) == 0 {
		return model.AccessUse{}, errNoUse
	}
	var used model.AccessUse
	err := s.do(ctx, func(t *tx) (err error) {
		used, err = t.useAccess(use)
		return err
	})
	if err != nil {
		return model.AccessUse{}, fmt.Errorf("use access %s: %w", use.AccessUID, err)
	}
	return used, nil
}

// useAccess decides by the rows: what is in memory leaves out what is old.
func (t *tx) useAccess(use model.AccessUse) (model.AccessUse, error) {
	row, err := t.findRow(replica.KindResourceAccess, use.AccessUID[:])
	if err != nil {
		return use, err
	}
	if row == nil {
		return use, ErrNotFound
	}
	a, err := storedNoun(row, replica.DecodeResourceAccess)
	if err != nil {
		return use, fmt.Errorf("read row: %w", err)
	}
	earlier, err := t.useOf(a)
	if err != nil {
		return use, err
	}
	if earlier != nil {
		return *earlier, sameUse(*earlier, use)
	}
	e, err := t.find(a.ApplicationUID)
	if err != nil {
		return use, err
	}
	if !shows(e, a.ResourceUID) || e.Resource.NodeUID != t.store.opts.Node {
		return use, ErrNotAllocated
	}
	if t.store.forgotUse(a, row.Version.HLC) {
		return use, ErrAccessDoubt
	}
	if err := usable(a, t.now); err != nil {
		return use, err
	}
	if pin, known := t.accessesOf(a.ApplicationUID).hostKey(); known && !bytes.Equal(pin, use.HostKey) {
		return use, ErrHostKey
	}
	return t.writeUse(a, use)
}

func (t *tx) writeUse(a model.ResourceAccess, use model.AccessUse) (model.AccessUse, error) {
	use.ResourceUID, use.ApplicationUID, use.UserName = a.ResourceUID, a.ApplicationUID, a.UserName
	use.UsedAt, use.HLC = t.now, t.store.clock.Next(t.now)
	if err := record(t, use, replica.EncodeAccessUse, use.ApplicationUID); err != nil {
		return use, err
	}
	t.keepUse(use)
	return use, nil
}

// sameUse returns nil if a use that is there is the one that is asked for.
func sameUse(there, asked model.AccessUse) error {
	switch {
	case there.SessionUID != asked.SessionUID:
		return ErrAccessUsed
	case !bytes.Equal(there.HostKey, asked.HostKey):
		return ErrHostKey
	}
	return nil
}

// usable says why credentials can not be used now by their age. The clock of the
// node that runs the environment counts, another one's wrote the times: so they
// are good for their lifetime and maxAhead at most, whatever these clocks say.
func usable(a model.ResourceAccess, now time.Time) error {
	switch {
	case a.Expired(now):
		return ErrAccessExpired
	case a.CreatedAt.After(now.Add(maxAhead)):
		return ErrAccessAhead
	}
	return nil
}

// forgotUse reports whether the credentials, whose row has that clock reading, may
// have been used by this node without its database knowing.
func (s *Store) forgotUse(a model.ResourceAccess, made model.HLC) bool {
	return s.lapse.Load().forgotUse(made, model.SamePrefix(a.UID, s.opts.Node)) || s.mark.Load().forgotUse(made)
}

// forgotUse reports whether credentials may have been used before the lapse: all
// that were known here then. Those of this node are by its clock, others' may have
// been ahead of it.
func (l *lapse) forgotUse(made model.HLC, own bool) bool {
	switch {
	case l == nil:
		return false
	case own:
		return made <= l.until
	}
	return made <= l.until+model.HLC(maxAhead)
}

// forgotUse reports whether credentials are in a copy of the database that nobody
// has confirmed.
func (m *mark) forgotUse(made model.HLC) bool {
	return m != nil && !m.taken.IsZero() && made <= m.until
}

// useOf is the use of credentials; nil if there is none.
func (t *tx) useOf(a model.ResourceAccess) (*model.AccessUse, error) {
	kind, key := replica.KeyOf(model.AccessUse{AccessUID: a.UID, ResourceUID: a.ResourceUID})
	row, err := t.findRow(kind, key)
	if err != nil || row == nil {
		return nil, err
	}
	use, err := storedNoun(row, replica.DecodeAccessUse)
	if err != nil {
		return nil, fmt.Errorf("read row: %w", err)
	}
	return &use, nil
}
