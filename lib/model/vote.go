package model

import (
	"encoding/binary"
	"time"
)

// The values of Vote.Available that are no index: the node can not run the
// application now; could not even if it were empty and all its drivers were
// there; could not even if it were empty, until a driver is back or the like.
const (
	VoteNo    = -1
	VoteNever = -2
	VoteAway  = -3
)

// Vote is a node's answer to "can you run this application now?" in one round.
// Each node writes its own. Open rounds are held in memory; those of a decided
// round are kept inside its grant.
type Vote struct {
	UID            UID       `json:"UID"`
	ApplicationUID UID       `json:"application_UID"`
	NodeUID        UID       `json:"node_UID"`
	Round          uint16    `json:"round"`
	Available      int       `json:"available"` // index of the first definition that fits, or VoteNo, VoteNever, VoteAway
	Rand           uint32    `json:"rand"`
	CreatedAt      time.Time `json:"created_at"`
	// Cached says that the node has the image of that definition at hand.
	Cached bool `json:"cached,omitempty"`
	// Coming says of an image that is not at hand that it is being fetched there,
	// and comes on.
	Coming bool `json:"coming,omitempty"`
	// Location is where the node is; empty if it did not say.
	Location string `json:"location,omitempty"`
	// Boot is random, of the process that voted: see VoteUID.
	Boot uint64 `json:"boot,omitempty"`
	// Load is how much of its cpu and memory the node has promised, in percent.
	Load uint8 `json:"load,omitempty"`
}

// VoteRand is the random part of a vote. It follows from the vote's UID, so
// that anyone can check it.
func VoteRand(vote UID) uint32 { return binary.BigEndian.Uint32(vote[12:]) }

// Yes reports whether the node can run the application.
func (v Vote) Yes() bool { return v.Available >= 0 }

// Decision is what an arbiter decided and on which votes, kept in the ELECTED
// row so that anyone can check it.
type Decision struct {
	Round      uint16 `json:"round"`
	Winner     UID    `json:"winner"`
	Definition int    `json:"definition"` // index that the winner voted for
	// Location is where the application's origin is: of equals a node there
	// wins.
	Location string `json:"location,omitempty"`
	Yes      []Vote `json:"yes"`     // the winner's first
	No       int    `json:"no"`      // how many active nodes voted no
	Missing  int    `json:"missing"` // how many active nodes had not voted when the time was up
}

// Vote is the vote of the node that the decision counts; ok is false if there
// is none.
func (d Decision) Vote(node UID) (vote Vote, ok bool) {
	for _, v := range d.Yes {
		if v.NodeUID == node {
			return v, true
		}
	}
	return Vote{}, false
}
