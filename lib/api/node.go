package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// toNode shows of this node itself its newest sign of life, which is not
// stored each time.
func (h *handlers) toNode(n model.Node) apiv1.Node {
	if n.UID == h.Node {
		if seen := h.LastSeen(); seen.After(n.UpdatedAt) {
			n.UpdatedAt = seen.UTC()
		}
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

// NodeList lists the nodes.
func (h *handlers) NodeList(ctx context.Context, r apiv1.NodeListRequestObject) (apiv1.NodeListResponseObject, error) {
	nodes := h.Store.ListNodes(ctx, query(ctx, r.Params.Filter))
	return nodeList{newList(h, "node", nodes, h.toNode)}, nil
}

// NodeThisGet shows this node.
func (h *handlers) NodeThisGet(
	context.Context, apiv1.NodeThisGetRequestObject,
) (apiv1.NodeThisGetResponseObject, error) {
	n, ok := h.Store.Node()
	if !ok {
		return nil, errors.New("this node is not stored")
	}
	return apiv1.NodeThisGet200JSONResponse(h.toNode(n)), nil
}
