// Package crypt makes and checks what a node keeps secret or proves itself
// with: password hashes, random passwords and tokens, the cluster CA, the
// node's key and certificate, the SSH host key.
package crypt

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The parameters of new password hashes (contract 21).
const (
	algoCurrent = "Argon2id"
	algoLegacy  = "Argon2" // the same function, named so by old databases

	hashMemory     = 64 << 10 // KiB
	hashIterations = 1
	hashThreads    = 8
	hashLen        = 32
	saltLen        = 8
)

// The parameters of a stored hash are data, perhaps another node's. These
// bounds keep a damaged or hostile row from eating the machine; the legacy
// hashes (512 MiB, 1, 1) pass.
const (
	maxMemory     = 1 << 20 // KiB
	maxIterations = 16
	minHashLen    = 16
	maxHashLen    = 64
)

// ErrBadHash says that a stored password hash has parameters that we do not
// compute: no password matches it.
var ErrBadHash = errors.New("stored password hash is not usable")

// HashPassword returns the hash to store for a password, with a fresh salt. It
// takes about 60 ms and 64 MiB: callers on behalf of clients go through the
// memory budget of lib/auth.
func HashPassword(password string) model.PasswordHash {
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // never fails (crypto/rand documents a crash instead)
	return hashWithSalt(password, salt)
}

func hashWithSalt(password string, salt []byte) model.PasswordHash {
	return model.PasswordHash{
		Algo: algoCurrent, Memory: hashMemory, Iterations: hashIterations, Threads: hashThreads, Salt: salt,
		Hash: argon2.IDKey([]byte(password), salt, hashIterations, hashMemory, hashThreads, hashLen),
	}
}

// VerifyPassword tells whether the password belongs to the hash; the
// comparison takes the same time wherever they differ. The error is
// ErrBadHash.
func VerifyPassword(h model.PasswordHash, password string) (bool, error) {
	if err := checkHash(h); err != nil {
		return false, err
	}
	got := argon2.IDKey([]byte(password), h.Salt, h.Iterations, h.Memory, h.Threads, uint32(len(h.Hash)))
	return subtle.ConstantTimeCompare(got, h.Hash) == 1, nil
}

func checkHash(h model.PasswordHash) error {
	switch {
	case h.Algo != algoCurrent && h.Algo != algoLegacy:
		return fmt.Errorf("%w: unknown algorithm", ErrBadHash)
	case h.Memory < 1 || h.Memory > maxMemory, h.Iterations < 1 || h.Iterations > maxIterations, h.Threads < 1,
		len(h.Hash) < minHashLen || len(h.Hash) > maxHashLen:
		return fmt.Errorf("%w: parameters out of range", ErrBadHash)
	}
	return nil
}

// NeedsRehash tells whether the hash should be made anew at the next good
// login because its parameters are not those of today.
func NeedsRehash(h model.PasswordHash) bool {
	return h.Algo != algoCurrent || h.Memory != hashMemory || h.Iterations != hashIterations ||
		h.Threads != hashThreads || len(h.Hash) != hashLen || len(h.Salt) < saltLen
}

// HashCost returns the bytes of memory that verifying against the hash takes,
// 0 if it is not usable.
func HashCost(h model.PasswordHash) int64 {
	if checkHash(h) != nil {
		return 0
	}
	return int64(h.Memory) << 10
}

// DummyHash returns a hash that no password matches and that costs as much to
// verify as a real one, for the login of a user who does not exist.
func DummyHash() model.PasswordHash {
	h := model.PasswordHash{
		Algo: algoCurrent, Memory: hashMemory, Iterations: hashIterations, Threads: hashThreads,
		Salt: make([]byte, saltLen), Hash: make([]byte, hashLen),
	}
	_, _ = rand.Read(h.Salt)
	_, _ = rand.Read(h.Hash)
	return h
}
