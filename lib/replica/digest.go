package replica

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Buckets is how many parts a kind's rows are compared in.
const Buckets = 256

// Bucket names one part of one kind's rows, without those of applications that
// were closed before the horizon.
type Bucket struct {
	Kind    Kind
	Number  uint8
	Horizon time.Time
}

// Digest sums up the rows of one kind: two nodes with equal digests hold the
// same rows in the same versions. The zero value is that of no rows. The order
// in which rows are added does not matter, so it can be kept up to date or
// counted anew.
type Digest [Buckets]uint64

// Toggle adds a row that is not in the digest and removes one that is.
func (d *Digest) Toggle(key []byte, version Version) {
	d[BucketOf(key)] ^= fingerprint(key, version)
}

// Empty reports whether no row is in the digest.
func (d *Digest) Empty() bool { return *d == Digest{} }

// Differing returns the buckets in which the two digests differ.
func (d *Digest) Differing(other *Digest) []uint8 {
	var differing []uint8
	for i := range d {
		if d[i] != other[i] {
			differing = append(differing, uint8(i))
		}
	}
	return differing
}

// BucketOf returns the bucket of a key.
func BucketOf(key []byte) uint8 {
	sum := sha256.Sum256(key)
	return sum[0]
}

// fingerprint is 64 bits of a row's key and version: state and version of a
// row are one, so the body needs not be read.
func fingerprint(key []byte, v Version) uint64 {
	b := make([]byte, 0, 64+len(key))
	b = binary.BigEndian.AppendUint64(b, uint64(v.HLC))
	b = append(b, v.Origin.Node[:]...)
	b = binary.BigEndian.AppendUint32(b, v.Origin.Incarnation)
	b = binary.BigEndian.AppendUint64(b, v.Seq)
	b = append(b, key...)
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:])
}
