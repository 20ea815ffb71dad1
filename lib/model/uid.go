package model

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/google/uuid"
)

// UID identifies a noun in the whole cluster. The first 6 bytes are those of
// the node that made it (contract 20), so that any node can tell whom to ask
// about a UID that it does not know.
type UID = uuid.UUID

// NilUID is the UID of nothing.
var NilUID = uuid.Nil //nolint:gochecknoglobals // constant

// uidEpoch is the millisecond that time-ordered UIDs count from: 2024-01-01 UTC.
// 42 bits of milliseconds from there last until 2163.
const uidEpoch = 1704067200000

// prefixLen is how many bytes of the node's UID start each UID it makes.
const prefixLen = 6

// SamePrefix reports whether both UIDs were made by the same node; a node's
// own UID counts as made by itself.
func SamePrefix(a, b UID) bool {
	return [prefixLen]byte(a[:prefixLen]) == [prefixLen]byte(b[:prefixLen])
}

// UIDSource makes UIDs that sort by the time they were made, which keeps
// inserts at the right edge of the database's trees. It is safe for use by
// many goroutines.
type UIDSource struct {
	prefix [prefixLen]byte

	mu   sync.Mutex
	last int64 // guarded by mu: the newest millisecond used
}

// NewUIDSource returns a source of UIDs made by the given node.
func NewUIDSource(node UID) *UIDSource {
	s := &UIDSource{}
	copy(s.prefix[:], node[:prefixLen])
	return s
}

// New returns a fresh UID: node prefix, version nibble 4, 42 bits of time in
// milliseconds, 32 random bits. The time grows with each UID of one source, also
// when the wall clock falls: no two have the random bits alone to differ by.
func (s *UIDSource) New(now time.Time) UID {
	ms := now.UnixMilli() - uidEpoch
	s.mu.Lock()
	ms = max(ms, s.last+1)
	s.last = ms
	s.mu.Unlock()

	var u UID
	copy(u[:], s.prefix[:])
	binary.BigEndian.PutUint16(u[6:], 0x4000|uint16(ms>>30)&0x0fff)
	u[8] = 0x80 | byte(ms>>24)&0x3f
	u[9], u[10], u[11] = byte(ms>>16), byte(ms>>8), byte(ms)
	_, _ = rand.Read(u[12:]) // never fails (crypto/rand documents a crash instead)
	return u
}

// GrantUID is the UID of the ELECTED row of an epoch. It follows from the
// application and the epoch, so that no epoch can be granted twice.
func GrantUID(application UID, epoch uint32) UID {
	return derive(application, "grant", binary.BigEndian.AppendUint32(nil, epoch))
}

// VoteUID is the UID of a node's vote for an application in a round.
func VoteUID(application, node UID, round uint16) UID {
	return derive(node, "vote", binary.BigEndian.AppendUint16(append(application[:], node[:]...), round))
}

// derive hashes kind, maker and data into a UID with the maker's prefix.
func derive(maker UID, kind string, data []byte) UID {
	h := sha256.New()
	h.Write([]byte(kind))
	h.Write(maker[:])
	h.Write(data)
	var u UID
	copy(u[:], h.Sum(nil))
	copy(u[:], maker[:prefixLen])
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}
