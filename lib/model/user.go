package model

import (
	"bytes"
	"errors"
	"time"
)

// AdminName is the one user with rights over everything (contract 10: there
// are no roles).
const AdminName = "admin"

// User is somebody who may use the API. Any node writes it; the last writer
// wins.
type User struct {
	Name      string
	Hash      PasswordHash
	CreatedAt time.Time
	UpdatedAt time.Time
	// HLC orders the versions of this row. It is the version that verified
	// credentials are bound to.
	HLC HLC
}

// PasswordHash is a password's hash with the parameters it was made with
// (contract 21).
type PasswordHash struct {
	Algo       string // "Argon2id", or "Argon2" for hashes of old databases
	Memory     uint32 // KiB
	Iterations uint32
	Threads    uint8
	Salt       []byte
	Hash       []byte
}

// Equal reports whether two are of the same password, made at the same time.
func (h PasswordHash) Equal(other PasswordHash) bool {
	return h.Algo == other.Algo && h.Memory == other.Memory && h.Iterations == other.Iterations && h.Threads == other.Threads &&
		bytes.Equal(h.Salt, other.Salt) && bytes.Equal(h.Hash, other.Hash)
}

// Validate checks what a client may set.
func (u User) Validate() error {
	if u.Name == "" {
		return errors.New("name can't be empty")
	}
	return nil
}
