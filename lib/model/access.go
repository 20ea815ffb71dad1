package model

import "time"

// ResourceAccess are one-time credentials for the SSH proxy: a password or a
// key, whichever is used first. Any node writes it, once; it is good for as
// long as its Resource is there, until it expires or is used.
type ResourceAccess struct {
	UID            UID
	ResourceUID    UID
	ApplicationUID UID
	// UserName is who asked for it, and the login name that it is good for.
	UserName string
	// Digest is the SHA-256 of the password. No salt and no costly hash: the
	// password is not chosen by a person, it has more than 300 random bits.
	Digest []byte
	// PublicKey is the key in the wire form of SSH (RFC 4253, 6.6).
	PublicKey []byte
	CreatedAt time.Time
	ExpiresAt time.Time
	HLC       HLC
}

// Expired reports whether the credentials are too old.
func (a ResourceAccess) Expired(now time.Time) bool { return !now.Before(a.ExpiresAt) }

// AccessUse says that credentials were used. Only the node that runs the
// environment writes it, once for each ResourceAccess: who finds one there
// already has come too late.
type AccessUse struct {
	AccessUID      UID // its key, with the Resource
	ResourceUID    UID
	ApplicationUID UID
	// SessionUID is the session that used them: the same one may ask again, as
	// its first answer may have been lost.
	SessionUID UID
	// EntryUID is the node that the client connected to.
	EntryUID UID
	// UserName is the user, Client the address it came from.
	UserName string
	Client   string
	// HostKey is the key that the environment showed, in the wire form of SSH.
	// That of a Resource's first use is expected of it from then on.
	HostKey []byte
	UsedAt  time.Time
	HLC     HLC
}
