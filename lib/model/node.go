package model

import (
	"encoding/json"
	"time"
)

// Node is one Aquarium Fish process with its key. Only the node itself writes
// it.
type Node struct {
	UID          UID
	Name         string
	Address      string
	LocationName string
	Pubkey       []byte          // PKIX DER
	Definition   json.RawMessage // host facts: cpu, disks, host, memory, nets (contract 7)
	CreatedAt    time.Time
	UpdatedAt    time.Time // the last sign of life
	HLC          HLC
}
