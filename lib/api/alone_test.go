package api

import (
	"context"
	"errors"
	"net"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// errAlone is what a node that has no cluster answers where others would be
// needed.
var errAlone = errors.New("this node is alone: it has no cluster")

// alone is the Cluster of a node that has caught up and knows of no other.
type alone struct {
	uid  model.UID
	name string
}

func (a alone) Members() []status.Member {
	return []status.Member{{UID: a.uid, Name: a.name, State: status.StateActive, LastSeen: lastSeen, Healthy: true, Ready: true}}
}

func (a alone) Status() status.Status {
	return status.Status{Node: a.uid, Ready: true, Members: a.Members(), Components: [][]model.UID{{a.uid}}}
}

func (alone) Ready() bool { return true }

func (alone) Dial(context.Context, model.UID) (net.Conn, error) { return nil, errAlone }

func (alone) Replicated(context.Context) error { return errAlone }
