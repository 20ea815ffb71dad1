package auth

import (
	"context"
	"errors"
	"log/slog"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// users is what we need of the store: a read without I/O.
type users interface {
	UserByName(name string) (model.User, bool)
}

// Options make an Authenticator. Zero values take the defaults named.
type Options struct {
	// Users is the read model of the users. Required.
	Users users
	// Rehash stores a hash with today's parameters for a user whose password
	// was just verified, unless the user's HLC or hash is another one than was
	// read. Nil: never. It returns the user's new HLC.
	Rehash func(ctx context.Context, read model.User, hash model.PasswordHash) (model.HLC, error)
	Log    *slog.Logger
	// HashMemory bounds the bytes that password hashes in progress take
	// together; a hash that needs more than all of it runs alone. 256 MiB.
	HashMemory int64
	// QueueLength bounds the credentials that wait for a hash. 1024, which is
	// 30 s of work at 30 hashes a second.
	QueueLength int
	// CacheSize bounds the verified credentials remembered. 10,000; negative
	// turns the cache off, so that each request costs a hash.
	CacheSize int
	// Limits bound the failed attempts.
	Limits Limits
}

func (o Options) withDefaults() (Options, error) {
	if o.Users == nil {
		return o, errors.New("no users to authenticate")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.HashMemory <= 0 {
		o.HashMemory = 256 << 20
	}
	if o.QueueLength <= 0 {
		o.QueueLength = 1024
	}
	if o.CacheSize == 0 {
		o.CacheSize = 10_000
	}
	o.Limits = o.Limits.withDefaults()
	return o, nil
}
