package crypt

import (
	"crypto/rand"
)

// passwordAlphabet leaves out what people misread: l, I, O and 0 (contract 10).
const passwordAlphabet = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ123456789"

// passwordLen is the length of a generated password (contract 10).
const passwordLen = 64

// RandomPassword returns 64 characters, each with equal chance of every symbol.
func RandomPassword() string {
	// Bytes past the last whole multiple of the alphabet would favour its
	// beginning, so they are thrown away.
	const limit = 256 - 256%len(passwordAlphabet)
	out := make([]byte, 0, passwordLen)
	var pool [2 * passwordLen]byte
	for {
		_, _ = rand.Read(pool[:])
		for _, b := range pool {
			if int(b) >= limit {
				continue
			}
			if out = append(out, passwordAlphabet[int(b)%len(passwordAlphabet)]); len(out) == passwordLen {
				return string(out)
			}
		}
	}
}
