package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// seen are the newest signs of life of the members: they are not stored each
// time.
func (h *handlers) seen() map[model.UID]time.Time {
	seen := make(map[model.UID]time.Time)
	for _, m := range h.Cluster.Members() {
		seen[m.UID] = m.LastSeen
	}
	seen[h.Node] = h.LastSeen()
	return seen
}

// toNode shows a node with its newest sign of life.
func toNode(n model.Node, seen time.Time) apiv1.Node {
	if seen.After(n.UpdatedAt) {
		n.UpdatedAt = seen.UTC()
	}
	return apiv1.Node{
		UID: n.UID, Address: n.Address, CreatedAt: n.CreatedAt, Definition: toNodeDefinition(n.Definition),
		LocationName: n.LocationName, Name: n.Name, Pubkey: n.Pubkey, UpdatedAt: n.UpdatedAt,
	}
}

// toNodeDefinition shows host facts in the shape of contract 7, all keys
// present whatever an old database holds.
func toNodeDefinition(facts json.RawMessage) apiv1.NodeDefinition {
	var d apiv1.NodeDefinition
	if err := json.Unmarshal(facts, &d); err != nil {
		d = apiv1.NodeDefinition{}
	}
	d.CPU, d.Nets = orList(d.CPU), orList(d.Nets)
	d.Disks, d.Host, d.Memory = orObject(d.Disks), orObject(d.Host), orObject(d.Memory)
	return d
}

func orList(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return json.RawMessage("[]")
	}
	return raw
}

type nodeList struct{ list[model.Node] }

// VisitNodeListResponse implements the generated answer.
func (l nodeList) VisitNodeListResponse(w http.ResponseWriter) error { return l.write(w) }

// NodeList lists the nodes. A retired one is none any more, and its name is free.
func (h *handlers) NodeList(ctx context.Context, r apiv1.NodeListRequestObject) (apiv1.NodeListResponseObject, error) {
	nodes := h.unretired(h.Store.ListNodes(ctx, query(ctx, r.Params.Filter)))
	seen := h.seen()
	return nodeList{newList(h, "node", nodes, func(n model.Node) apiv1.Node { return toNode(n, seen[n.UID]) })}, nil
}

func (h *handlers) unretired(nodes iter.Seq2[model.Node, error]) iter.Seq2[model.Node, error] {
	return func(yield func(model.Node, error) bool) {
		for n, err := range nodes {
			if _, retired := h.Store.Retirement(n.UID); retired && err == nil {
				continue
			}
			if !yield(n, err) {
				return
			}
		}
	}
}

// NodeThisGet shows this node.
func (h *handlers) NodeThisGet(
	context.Context, apiv1.NodeThisGetRequestObject,
) (apiv1.NodeThisGetResponseObject, error) {
	n, ok := h.Store.Node()
	if !ok {
		return nil, errors.New("this node is not stored")
	}
	return apiv1.NodeThisGet200JSONResponse(toNode(n, h.LastSeen())), nil
}
