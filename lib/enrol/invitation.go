package enrol

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"time"
)

// Bounds of invitations.
const (
	// DefaultValid is how long an invitation can be redeemed: long enough to walk to the machine.
	DefaultValid = 15 * time.Minute
	// MinValid is the least that may be asked for instead: who copies a token needs some seconds.
	MinValid = 10 * time.Second
	// MaxValid is the most: a token that lies about for longer is somebody else's some day.
	MaxValid = 7 * 24 * time.Hour
	// maxInvitations bounds those that are kept: a hall of Macs at once.
	maxInvitations = 1000
	// keepEnded is how long one that ended is kept, so that who comes late hears why.
	keepEnded = 24 * time.Hour
	// clockSlack is how far the clock may go back without ending an invitation.
	clockSlack = time.Minute
)

// Invitation is what the issuer keeps of a token: not its secret.
type Invitation struct {
	ID        string    `json:"id"` // for people: the first 8 hex digits of Hash
	Name      string    `json:"name"`
	Hash      []byte    `json:"hash"` // Secret.Hash
	By        string    `json:"by"`   // the user who invited
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	// Key is crypt's SHA-256 of the public key that redeemed it, RedeemedAt when; nil as long as nobody did.
	Key        []byte    `json:"key,omitempty"`
	RedeemedAt time.Time `json:"redeemed_at,omitzero"`
	Address    string    `json:"address,omitempty"` // that the node gave as its own
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
}

// Statuses of an invitation.
const (
	StatusOpen     = "open"
	StatusRedeemed = "redeemed"
	StatusExpired  = "expired"
	StatusRevoked  = "revoked"
)

// Status is how an invitation stands.
func (i Invitation) Status(now time.Time) string {
	switch {
	case !i.RevokedAt.IsZero():
		return StatusRevoked
	case i.Key != nil:
		return StatusRedeemed
	case i.ended(now):
		return StatusExpired
	}
	return StatusOpen
}

// ended reports whether its time is over. A clock that went back must not prolong it.
func (i Invitation) ended(now time.Time) bool {
	return !now.Before(i.ExpiresAt) || now.Before(i.CreatedAt.Add(-clockSlack))
}

// find returns the invitation with this secret. Every hash is compared, and in constant time: how long it takes tells
// nothing.
func find(all []Invitation, secret Secret) (at int) {
	hash := secret.Hash()
	at = -1
	for i, inv := range all {
		if subtle.ConstantTimeCompare(inv.Hash, hash[:]) == 1 {
			at = i
		}
	}
	return at
}

// redeem decides whether an invitation may be redeemed by this name and key now. The same key may come again within its
// time: the answer to it may have been lost.
func redeem(i Invitation, name string, key [sha256.Size]byte, now time.Time) *Refusal {
	const again = "ask for another one: aquarium-fish cluster invite "
	same := i.Key != nil && subtle.ConstantTimeCompare(i.Key, key[:]) == 1
	switch {
	case !i.RevokedAt.IsZero():
		return &Refusal{CodeRevoked, "The invitation of " + i.Name + " was revoked: " + again + i.Name}
	case i.Key != nil && !same:
		return &Refusal{CodeUsed, fmt.Sprintf("The invitation of %s was redeemed at %s with another key, and works once: if it was not you, "+
			"somebody else has the token, so remove that machine; %s%s", i.Name, i.RedeemedAt.UTC().Format(time.DateTime+" MST"), again, i.Name)}
	case now.Before(i.CreatedAt.Add(-clockSlack)):
		return &Refusal{CodeClock, "The clock of the node went back since the invitation was made: set it right, and " + again + i.Name}
	case i.ended(now):
		return &Refusal{CodeExpired, fmt.Sprintf("The invitation of %s expired at %s: %s%s", i.Name, i.ExpiresAt.UTC().Format(time.DateTime+" MST"), again, i.Name)}
	case name != i.Name:
		return &Refusal{CodeName, fmt.Sprintf("The invitation is for a node named %s, not %s: set node_name: %s, or %s%s", i.Name, name, i.Name, again, name)}
	}
	return nil
}

// prune drops what ended long ago. An invitation whose times lie far ahead, as of a clock that was wrong, goes too once
// it can not be redeemed.
func prune(all []Invitation, now time.Time) []Invitation {
	return slices.DeleteFunc(slices.Clone(all), func(i Invitation) bool {
		return now.After(i.ExpiresAt.Add(keepEnded)) || now.Before(i.CreatedAt.Add(-keepEnded))
	})
}
