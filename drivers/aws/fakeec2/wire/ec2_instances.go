package wire

import (
	"context"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func (h *Handler) describeInstances(f form) run {
	get := list(h, f, listing[cloud.Instance]{
		action: "DescribeInstances", ids: "InstanceId", idFilter: "instance-id", missing: "InvalidInstanceID.NotFound",
		idOf:  func(i cloud.Instance) string { return i.ID },
		fetch: h.backend.Instances,
	})
	type reply struct {
		head
		Reservations set[reservation] `xml:"reservationSet"`
		NextToken    string           `xml:"nextToken,omitempty"`
	}
	return func(ctx context.Context) (any, error) {
		page, next, err := get(ctx)
		return &reply{Reservations: setOf(page, reserve), NextToken: next}, err
	}
}

// changedItem is an instance that begins to change. Its states before and after
// are left out, as cloud.API does not tell them.
type changedItem struct {
	InstanceID string `xml:"instanceId"`
}

type changeReply struct {
	head
	Instances set[changedItem] `xml:"instancesSet"`
}

func changed(ids []string) *changeReply {
	return &changeReply{Instances: setOf(ids, func(id string) changedItem { return changedItem{id} })}
}

// readIDs reads a list that has to name something.
func readIDs(f form, name string) []string {
	ids := f.texts(name)
	if len(ids) == 0 {
		f.required(name + ".1")
	}
	return ids
}

func (h *Handler) stopInstances(f form) run {
	ids := readIDs(f, "InstanceId")
	how := cloud.Stop{Hibernate: f.flag("Hibernate"), Force: f.flag("Force")}
	return func(ctx context.Context) (any, error) {
		for _, id := range ids {
			if err := h.backend.StopInstance(ctx, id, how); err != nil {
				return nil, err
			}
		}
		return changed(ids), nil
	}
}

func (h *Handler) startInstances(f form) run {
	ids := readIDs(f, "InstanceId")
	return func(ctx context.Context) (any, error) {
		for _, id := range ids {
			if err := h.backend.StartInstance(ctx, id); err != nil {
				return nil, err
			}
		}
		return changed(ids), nil
	}
}

func (h *Handler) terminateInstances(f form) run {
	ids := readIDs(f, "InstanceId")
	return func(ctx context.Context) (any, error) {
		return changed(ids), h.backend.TerminateInstances(ctx, ids)
	}
}

func (h *Handler) describeSpotRequests(f form) run {
	get := list(h, f, listing[cloud.SpotRequest]{
		action: "DescribeSpotInstanceRequests", ids: "SpotInstanceRequestId", idFilter: "spot-instance-request-id",
		missing: "InvalidSpotInstanceRequestID.NotFound",
		idOf:    func(s cloud.SpotRequest) string { return s.ID },
		fetch:   h.backend.SpotRequests,
	})
	type item struct {
		ID         string       `xml:"spotInstanceRequestId"`
		InstanceID string       `xml:"instanceId,omitempty"`
		State      string       `xml:"state"`
		Status     string       `xml:"status>code,omitempty"`
		Type       string       `xml:"type"`
		Tags       set[tagItem] `xml:"tagSet"`
	}
	type reply struct {
		head
		Requests  set[item] `xml:"spotInstanceRequestSet"`
		NextToken string    `xml:"nextToken,omitempty"`
	}
	return func(ctx context.Context) (any, error) {
		page, next, err := get(ctx)
		return &reply{NextToken: next, Requests: setOf(page, func(s cloud.SpotRequest) item {
			return item{s.ID, s.InstanceID, s.State, s.Status, "one-time", tagSet(s.Tags)}
		})}, err
	}
}

func (h *Handler) cancelSpotRequests(f form) run {
	ids := readIDs(f, "SpotInstanceRequestId")
	type item struct {
		ID    string `xml:"spotInstanceRequestId"`
		State string `xml:"state"`
	}
	type reply struct {
		head
		Requests set[item] `xml:"spotInstanceRequestSet"`
	}
	return func(ctx context.Context) (any, error) {
		return &reply{Requests: setOf(ids, func(id string) item { return item{id, "cancelled"} })}, h.backend.CancelSpotRequests(ctx, ids)
	}
}
