package model

import (
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

// Validate checks what a client may set.
func (u User) Validate() error {
	if u.Name == "" {
		return errors.New("name can't be empty")
	}
	return nil
}
