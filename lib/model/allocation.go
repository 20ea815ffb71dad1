package model

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// Allocation is the executor's own record of one grant: what it promised to
// the driver and what came of it. It is written, durable, before the driver is
// asked for anything, and stays open until the driver confirmed that nothing
// of it exists any more.
type Allocation struct {
	ApplicationUID UID
	Epoch          uint32
	NodeUID        UID
	// Token names the environment towards the driver: 32 hex digits, random,
	// known before anything is created. Empty only in an adopted old database.
	Token string
	// MetaToken is the secret part of the environment's own metadata URL: 32
	// hex digits.
	MetaToken       string
	LabelUID        UID
	DefinitionIndex int
	// Definition is a copy: the Label may be deleted while the environment lives.
	Definition LabelDefinition
	// Metadata is what the environment is told: the Application's with the
	// Label's on top (contract 11).
	Metadata json.RawMessage
	// LabelMetadata is the Label's part of Metadata, a copy like Definition.
	LabelMetadata json.RawMessage
	// Identifier is the driver's name for the environment, known once it
	// answered.
	Identifier string
	// Failure says why the grant ends in ERROR once the environment is gone:
	// the description of that row. Empty for all that end otherwise.
	Failure    string
	CreatedAt  time.Time
	ReleasedAt time.Time // zero while open
}

// Open reports whether something of this allocation may still exist.
func (a Allocation) Open() bool { return a.ReleasedAt.IsZero() }

// ProxyCredential is by which an environment that shares the address of its
// host tells the SOCKS proxy who it is: a user name and a password of its own.
// It says nothing of the MetaToken. ok is false for an environment that has no
// token, as those of an adopted old database.
func (a Allocation) ProxyCredential() (user, password string, ok bool) {
	if a.MetaToken == "" {
		return "", "", false
	}
	sum := sha256.Sum256([]byte("aquarium-fish proxy credential\x00" + a.MetaToken))
	return a.ApplicationUID.String(), hex.EncodeToString(sum[:16]), true
}

// Resource is the v1 view of an Allocation while its Application is ALLOCATED.
// Only the executor writes it.
type Resource struct {
	UID             UID
	ApplicationUID  UID
	LabelUID        UID
	NodeUID         UID
	DefinitionIndex int
	Identifier      string
	IPAddr          string
	HWAddr          string
	Authentication  *Authentication
	Metadata        json.RawMessage
	CreatedAt       time.Time
	UpdatedAt       time.Time
	HLC             HLC
}

// MergeMetadata lays the Label's metadata over the Application's: on equal
// keys the Label wins, at the top level only (contract 11). Keys keep the
// Application's order, new ones follow in the Label's. Values are kept byte
// for byte. An error says which of the two is not a JSON object.
func MergeMetadata(application, label json.RawMessage) (json.RawMessage, error) {
	return mergeObjects(application, label)
}
