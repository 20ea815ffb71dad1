package auth

import (
	"encoding/binary"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// version tells the states of a user apart that outcomes are bound to. The
// clock alone would not do: two nodes may have given one reading to two
// passwords of a user, of which one then takes the other's place everywhere.
type version struct {
	clock model.HLC
	mark  uint64 // of the password's hash and its random salt
}

func versionOf(u model.User) version { return version{u.HLC, markOf(u.Hash)} }

// markOf is no digest, only what differs by chance: both are random.
func markOf(h model.PasswordHash) uint64 {
	var salt, hash [8]byte
	copy(salt[:], h.Salt)
	copy(hash[:], h.Hash)
	return binary.LittleEndian.Uint64(salt[:]) ^ binary.LittleEndian.Uint64(hash[:])
}
