package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
)

// digest stands for a name and a password together. Without this process's key
// it tells nothing about them.
type digest [sha256.Size]byte

// keyer makes digests with a random key that lives as long as the process.
type keyer struct{ states sync.Pool }

type keyState struct {
	mac hash.Hash
	buf []byte
	sum digest
}

func newKeyer() *keyer {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key)
	return &keyer{states: sync.Pool{New: func() any {
		return &keyState{mac: hmac.New(sha256.New, key), buf: make([]byte, 0, 256)}
	}}}
}

func (k *keyer) digest(name, password string) digest {
	s := k.states.Get().(*keyState)
	defer k.states.Put(s)
	s.mac.Reset()
	// The length keeps a zero byte in the name from looking like the end of it.
	s.buf = binary.LittleEndian.AppendUint64(s.buf[:0], uint64(len(name)))
	s.buf = append(append(s.buf, name...), password...)
	s.mac.Write(s.buf)
	clear(s.buf) // no password stays in the pool
	if cap(s.buf) > 4096 {
		s.buf = make([]byte, 0, 256)
	}
	s.mac.Sum(s.sum[:0])
	return s.sum
}
