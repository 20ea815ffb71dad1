package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// keepExpired is how long credentials stay in memory after they expired, so
	// that who comes with them is told that.
	keepExpired = 10 * time.Minute
	// keepUsed is how many used credentials of a Resource stay in memory at most,
	// the newest: who comes with older ones is told that there are none.
	keepUsed = 256
)

// accessSet is what is in memory of the credentials of one Resource. It is never
// changed, only replaced; nil is an empty one.
type accessSet struct {
	resource model.UID
	views    []AccessView      // by clock reading, UID
	uses     []model.AccessUse // by clock reading, UID: the Resource's first, and those of the views
}

func viewOrder(a, b AccessView) int {
	return cmp.Or(cmp.Compare(a.HLC, b.HLC), bytes.Compare(a.UID[:], b.UID[:]))
}

func useOrder(a, b model.AccessUse) int {
	return cmp.Or(cmp.Compare(a.HLC, b.HLC), bytes.Compare(a.AccessUID[:], b.AccessUID[:]))
}

// newAccessSet is of all credentials of a Resource, and of all their uses.
func newAccessSet(resource model.UID, accesses []model.ResourceAccess, uses []model.AccessUse, now time.Time) *accessSet {
	used := make(map[model.UID]bool, len(uses))
	for _, u := range uses {
		used[u.AccessUID] = true
	}
	set := &accessSet{resource: resource, uses: uses}
	for _, a := range accesses {
		set.views = append(set.views, AccessView{ResourceAccess: a, Used: used[a.UID]})
	}
	slices.SortFunc(set.views, viewOrder)
	slices.SortFunc(set.uses, useOrder)
	return set.trimmed(now)
}

// withAccess has credentials more, or in the place of those of the UID, with their
// use if there is one.
func (set *accessSet) withAccess(a model.ResourceAccess, use *model.AccessUse, now time.Time) *accessSet {
	next := set.clone(a.ResourceUID)
	view := AccessView{ResourceAccess: a, Used: use != nil}
	next.views = put(next.views, view, func(v AccessView) bool { return v.UID == a.UID })
	slices.SortFunc(next.views, viewOrder)
	if use != nil {
		next.addUse(*use)
	}
	return next.trimmed(now)
}

// withUse has a use more, or in the place of that of the same credentials.
func (set *accessSet) withUse(use model.AccessUse, now time.Time) *accessSet {
	next := set.clone(use.ResourceUID)
	if v := next.view(use.AccessUID); v != nil {
		v.Used = true
	}
	next.addUse(use)
	return next.trimmed(now)
}

func (set *accessSet) clone(resource model.UID) *accessSet {
	next := &accessSet{resource: resource}
	if set != nil {
		next.views, next.uses = slices.Clone(set.views), slices.Clone(set.uses)
	}
	return next
}

func (set *accessSet) addUse(use model.AccessUse) {
	set.uses = put(set.uses, use, func(u model.AccessUse) bool { return u.AccessUID == use.AccessUID })
	slices.SortFunc(set.uses, useOrder)
}

// trimmed leaves out what is old, and is nil if nothing is left.
func (set *accessSet) trimmed(now time.Time) *accessSet {
	if set == nil {
		return nil
	}
	next, used := &accessSet{resource: set.resource}, 0
	kept := make(map[model.UID]bool, len(set.views))
	for _, v := range slices.Backward(set.views) {
		if v.Used {
			used++
		}
		if v.Used && used > keepUsed || v.Expired(now.Add(-keepExpired)) {
			continue
		}
		next.views = append(next.views, v)
		kept[v.UID] = true
	}
	slices.Reverse(next.views)
	for i, u := range set.uses {
		if i == 0 || kept[u.AccessUID] {
			next.uses = append(next.uses, u)
		}
	}
	if len(next.views) == 0 && len(next.uses) == 0 {
		return nil
	}
	return next
}

// stale reports whether trimmed would leave out something by its age.
func (set *accessSet) stale(now time.Time) bool {
	return slices.ContainsFunc(set.views, func(v AccessView) bool { return v.Expired(now.Add(-keepExpired)) })
}

// view is that of the credentials, nil if they are not there.
func (set *accessSet) view(uid model.UID) *AccessView {
	if set == nil {
		return nil
	}
	i := slices.IndexFunc(set.views, func(v AccessView) bool { return v.UID == uid })
	if i < 0 {
		return nil
	}
	return &set.views[i]
}

// unused is how many credentials wait to be used.
func (set *accessSet) unused(now time.Time) (n int) {
	if set == nil {
		return 0
	}
	for _, v := range set.views {
		if !v.Used && !v.Expired(now) {
			n++
		}
	}
	return n
}

// hostKey is that of the first use.
func (set *accessSet) hostKey() (hostKey []byte, known bool) {
	if set == nil || len(set.uses) == 0 {
		return nil, false
	}
	return set.uses[0].HostKey, true
}

// accessBook is the part of the read model that finds credentials: of the
// Resources that are there, and no others.
//
// Passwords are looked up by their digest, in a map. That takes a time that
// depends on digests which are there, and tells nothing: who tries passwords can
// not choose a digest, and each password has 300 random bits.
type accessBook struct {
	sets     map[model.UID]*accessSet // by application
	owner    map[model.UID]model.UID  // credentials to application
	byDigest map[[sha256.Size]byte][]model.UID
	byKey    map[[sha256.Size]byte][]model.UID // by the SHA-256 of the public key
}

func newAccessBook() *accessBook {
	return &accessBook{
		sets: make(map[model.UID]*accessSet), owner: make(map[model.UID]model.UID),
		byDigest: make(map[[sha256.Size]byte][]model.UID), byKey: make(map[[sha256.Size]byte][]model.UID),
	}
}

// put replaces the set of an application; nil takes it out.
func (b *accessBook) put(app model.UID, set *accessSet) {
	gone, come := differ(b.sets[app], set)
	for _, v := range gone {
		delete(b.owner, v.UID)
		b.eachIndex(v, func(index map[[sha256.Size]byte][]model.UID, at [sha256.Size]byte) {
			rest := slices.DeleteFunc(slices.Clone(index[at]), func(uid model.UID) bool { return uid == v.UID })
			if index[at] = rest; len(rest) == 0 {
				delete(index, at)
			}
		})
	}
	for _, v := range come {
		b.owner[v.UID] = app
		b.eachIndex(v, func(index map[[sha256.Size]byte][]model.UID, at [sha256.Size]byte) {
			index[at] = append(slices.Clip(index[at]), v.UID)
		})
	}
	if b.sets[app] = set; set == nil {
		delete(b.sets, app)
	}
}

// differ is which credentials one set has that the other has not, and the other
// way round. What was stamped anew is of both: they are found by it all the same.
func differ(old, next *accessSet) (gone, come []AccessView) {
	var a, b []AccessView // in order
	if old != nil {
		a = old.views
	}
	if next != nil {
		b = next.views
	}
	for len(a) > 0 && len(b) > 0 {
		switch order := viewOrder(a[0], b[0]); {
		case order < 0:
			gone, a = append(gone, a[0]), a[1:]
		case order > 0:
			come, b = append(come, b[0]), b[1:]
		default:
			if !bytes.Equal(a[0].Digest, b[0].Digest) || !bytes.Equal(a[0].PublicKey, b[0].PublicKey) {
				gone, come = append(gone, a[0]), append(come, b[0])
			}
			a, b = a[1:], b[1:]
		}
	}
	return append(gone, a...), append(come, b...)
}

// eachIndex names where the credentials are found. Password and key have a map
// each: who has a public key, which is no secret, has no password.
func (b *accessBook) eachIndex(v AccessView, use func(index map[[sha256.Size]byte][]model.UID, at [sha256.Size]byte)) {
	if len(v.Digest) == sha256.Size {
		use(b.byDigest, [sha256.Size]byte(v.Digest))
	}
	if len(v.PublicKey) > 0 {
		use(b.byKey, sha256.Sum256(v.PublicKey))
	}
}

// keepOf drops what is in memory of an application whose entry does not show that
// Resource any more.
func (b *accessBook) keepOf(app model.UID, e *model.Entry) {
	if set := b.sets[app]; set != nil && !shows(e, set.resource) {
		b.put(app, nil)
	}
}

// stale reports whether trim would leave out something.
func (b *accessBook) stale(now time.Time) bool {
	for _, set := range b.sets {
		if set.stale(now) {
			return true
		}
	}
	return false
}

// trim leaves out what is old, of all.
func (b *accessBook) trim(now time.Time) {
	for app, set := range b.sets {
		if set.stale(now) {
			b.put(app, set.trimmed(now))
		}
	}
}

// find is the view of credentials that did not expire long ago.
func (b *accessBook) find(uid model.UID, now time.Time) (AccessView, bool) {
	v := b.sets[b.owner[uid]].view(uid)
	if v == nil || v.Expired(now.Add(-keepExpired)) {
		return AccessView{}, false
	}
	return *v, true
}

// best is the view of those credentials that can be used, else of the newest.
func (b *accessBook) best(uids []model.UID, now time.Time) (best AccessView, found bool) {
	for _, uid := range uids {
		v, known := b.find(uid, now)
		if !known {
			continue
		}
		if good := !v.Used && !v.Expired(now); good || !found || viewOrder(v, best) > 0 {
			best, found = v, true
			if good {
				break
			}
		}
	}
	return best, found
}

// AccessByDigest finds credentials by the SHA-256 of the password.
func (s *Store) AccessByDigest(digest []byte) (AccessView, bool) {
	if len(digest) != sha256.Size {
		return AccessView{}, false
	}
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	b := s.memory.accesses
	return b.best(b.byDigest[[sha256.Size]byte(digest)], s.opts.Now())
}

// AccessByKey finds credentials by the public key, in the wire form of SSH. Where
// several have that key it is one that can be used, if there is one.
func (s *Store) AccessByKey(publicKey []byte) (AccessView, bool) {
	at := sha256.Sum256(publicKey)
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	b := s.memory.accesses
	return b.best(b.byKey[at], s.opts.Now())
}

// Access returns credentials. Those of a Resource that is gone, and those that
// expired a while ago, are not found.
func (s *Store) Access(uid model.UID) (AccessView, bool) {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return s.memory.accesses.find(uid, s.opts.Now())
}

// HostKey is the host key that is expected of a Resource, in the wire form of SSH:
// that of its first use. The bytes are shared: they must not be changed.
func (s *Store) HostKey(resource model.UID) (hostKey []byte, known bool) {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return s.memory.accessSet(resource).hostKey()
}

// AccessUses are the uses of a Resource's credentials, in the order of its node:
// the first one, and those of credentials that did not expire long ago. The slice
// is shared: it must not be changed.
func (s *Store) AccessUses(resource model.UID) []model.AccessUse {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	if set := s.memory.accessSet(resource); set != nil {
		return set.uses
	}
	return nil
}

// accessSet is that of a Resource. The caller holds the lock.
func (m *memory) accessSet(resource model.UID) *accessSet {
	set := m.accesses.sets[m.resources[resource]]
	if set == nil || set.resource != resource {
		return nil
	}
	return set
}
