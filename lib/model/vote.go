package model

import "time"

// Vote is a node's answer to "can you run this application now?" in one round.
// Each node writes its own. Open rounds are held in memory; those of a decided
// round are kept inside its grant.
type Vote struct {
	UID            UID       `json:"UID"`
	ApplicationUID UID       `json:"application_UID"`
	NodeUID        UID       `json:"node_UID"`
	Round          uint16    `json:"round"`
	Available      int       `json:"available"` // index of the first definition that fits, -1 for none
	Rand           uint32    `json:"rand"`
	CreatedAt      time.Time `json:"created_at"`
}

// Yes reports whether the node can run the application.
func (v Vote) Yes() bool { return v.Available >= 0 }

// Decision is what an arbiter decided and on which votes, kept in the ELECTED
// row so that anyone can check it.
type Decision struct {
	Round      uint16 `json:"round"`
	Winner     UID    `json:"winner"`
	Definition int    `json:"definition"` // index that the winner voted for
	Yes        []Vote `json:"yes"`
	No         int    `json:"no"`      // how many active nodes voted no
	Missing    int    `json:"missing"` // how many active nodes had not voted when the time was up
}
