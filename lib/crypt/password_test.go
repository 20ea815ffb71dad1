package crypt

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestSelfCheckValue(t *testing.T) { // contract 21
	const want = "f3ca14a142596fe4b1c5441cc962cf88b8f7c59243abfbca89f34e24aa8c9e25"
	h := hashWithSalt("abcdefghijklmnopqrstuvwxyz012345", []byte("abcdefgh"))
	if got := hex.EncodeToString(h.Hash); got != want {
		t.Errorf("hash = %s, want %s", got, want)
	}
}

func TestVerifyPassword(t *testing.T) {
	good := HashPassword("right")
	legacy := model.PasswordHash{Algo: "Argon2", Memory: 1024, Iterations: 1, Threads: 1, Salt: []byte("12345678")}
	legacy.Hash = argon2.IDKey([]byte("right"), legacy.Salt, 1, 1024, 1, 32)
	with := func(change func(*model.PasswordHash)) model.PasswordHash {
		h := good
		change(&h)
		return h
	}
	tests := []struct {
		name, password string
		hash           model.PasswordHash
		want           bool
		err            error
	}{
		{"right", "right", good, true, nil},
		{"wrong", "Right", good, false, nil},
		{"empty", "", good, false, nil},
		{"legacy right", "right", legacy, true, nil},
		{"legacy wrong", "x", legacy, false, nil},
		{"no hash at all", "", model.PasswordHash{}, false, ErrBadHash},
		{"unknown algorithm", "right", with(func(h *model.PasswordHash) { h.Algo = "md5" }), false, ErrBadHash},
		{"no threads", "right", with(func(h *model.PasswordHash) { h.Threads = 0 }), false, ErrBadHash},
		{"no iterations", "right", with(func(h *model.PasswordHash) { h.Iterations = 0 }), false, ErrBadHash},
		{"endless", "right", with(func(h *model.PasswordHash) { h.Iterations = 1 << 30 }), false, ErrBadHash},
		{"too much memory", "right", with(func(h *model.PasswordHash) { h.Memory = 1<<20 + 1 }), false, ErrBadHash},
		{"empty stored hash", "right", with(func(h *model.PasswordHash) { h.Hash = nil }), false, ErrBadHash},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := VerifyPassword(tt.hash, tt.password)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("VerifyPassword = %v, %v, want %v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestHashParameters(t *testing.T) {
	h := HashPassword("x")
	other := HashPassword("x")
	if h.Algo != "Argon2id" || h.Memory != 65536 || h.Iterations != 1 || h.Threads != 8 || len(h.Salt) != 8 || len(h.Hash) != 32 {
		t.Errorf("hash parameters = %+v, want those of contract 21", h)
	}
	if string(h.Salt) == string(other.Salt) {
		t.Error("two hashes share a salt")
	}
	legacy := h
	legacy.Algo, legacy.Memory, legacy.Threads = "Argon2", 524288, 1
	for _, tt := range []struct {
		name   string
		hash   model.PasswordHash
		rehash bool
		cost   int64
	}{
		{"current", h, false, 64 << 20},
		{"dummy", DummyHash(), false, 64 << 20},
		{"legacy", legacy, true, 512 << 20},
		{"unusable", model.PasswordHash{}, true, 0},
	} {
		if got := NeedsRehash(tt.hash); got != tt.rehash {
			t.Errorf("%s: NeedsRehash = %v, want %v", tt.name, got, tt.rehash)
		}
		if got := HashCost(tt.hash); got != tt.cost {
			t.Errorf("%s: HashCost = %d, want %d", tt.name, got, tt.cost)
		}
	}
}

func TestRandomPassword(t *testing.T) {
	const runs = 2000
	count := map[rune]int{}
	for range runs {
		p := RandomPassword()
		if len(p) != 64 {
			t.Fatalf("length of %q = %d, want 64", p, len(p))
		}
		for _, r := range p {
			count[r]++
		}
	}
	if len(count) != 58 || strings.ContainsAny(passwordAlphabet, "lIO0") {
		t.Errorf("%d symbols used, want 58 without l, I, O and 0", len(count))
	}
	// 128,000 draws: about 2,207 each, standard deviation 47. A modulo bias
	// would give the first 24 symbols a quarter more.
	for r, n := range count {
		if n < 1900 || n > 2520 {
			t.Errorf("symbol %q drawn %d times, want about 2207", r, n)
		}
	}
}
