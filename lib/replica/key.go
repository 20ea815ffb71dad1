package replica

import (
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Noun is what a row may hold.
type Noun interface {
	model.User | model.Label | model.Node | model.Location | model.ServiceMapping | model.Application |
		model.ApplicationState | model.ApplicationTask | model.Resource | model.Retirement | model.Handover | model.Ownership |
		model.ResourceAccess | model.AccessUse
}

// KeyOf returns under which kind and key a noun is kept: its UID, or the name
// of a user or location, or for a Retirement the node that it retires and its
// successor: what either of two successors did has to be known. The key of an
// AccessUse holds the Resource beside the credentials, so that it says who may
// write it: no other node's row comes in its place.
func KeyOf[T Noun](noun T) (Kind, []byte) {
	switch n := any(noun).(type) {
	case model.User:
		return KindUser, []byte(n.Name)
	case model.Label:
		return KindLabel, n.UID[:]
	case model.Node:
		return KindNode, n.UID[:]
	case model.Location:
		return KindLocation, []byte(n.Name)
	case model.ServiceMapping:
		return KindServiceMapping, n.UID[:]
	case model.Application:
		return KindApplication, n.UID[:]
	case model.ApplicationState:
		return KindApplicationState, n.UID[:]
	case model.ApplicationTask:
		return KindApplicationTask, n.UID[:]
	case model.Resource:
		return KindResource, n.UID[:]
	case model.Retirement:
		return KindRetirement, append(n.NodeUID[:], n.Successor[:]...)
	case model.Handover:
		return KindHandover, n.UID[:]
	case model.Ownership:
		return KindOwnership, n.UID[:]
	case model.ResourceAccess:
		return KindResourceAccess, n.UID[:]
	case model.AccessUse:
		return KindAccessUse, append(n.AccessUID[:], n.ResourceUID[:]...)
	}
	panic(fmt.Sprintf("replica: no kind for %T", noun)) // the constraint lists all of them
}

// UIDKey returns the UID that the key of a noun is, for those that are kept by
// UID.
func UIDKey(key []byte) (model.UID, error) {
	if len(key) != len(model.UID{}) {
		return model.NilUID, fmt.Errorf("read key: %d bytes are no UID", len(key))
	}
	return model.UID(key), nil
}
