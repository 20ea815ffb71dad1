package api

import (
	"context"
	"net"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// Cluster is the other members, as far as the handlers care. Its methods but
// Dial and Replicated answer from memory.
type Cluster interface {
	// Members are all, this node and retired ones included.
	Members() []status.Member
	// Status is what this node tells people.
	Status() status.Status
	// Ready says that this node has caught up with the others: what it does not
	// know is not there, unless another member has only just made it.
	Ready() bool
	// Dial connects to a member, authenticated and encrypted end to end.
	Dial(ctx context.Context, member model.UID) (net.Conn, error)
	// Replicated returns nil once a second node has all that this node has
	// stored so far. An error says that it may not have.
	Replicated(ctx context.Context) error
}

// ClusterStatus shows the cluster: all to the admin, to others what they need
// to choose a node and to understand an answer.
func (h *handlers) ClusterStatus(
	ctx context.Context, _ apiv1.ClusterStatusRequestObject,
) (apiv1.ClusterStatusResponseObject, error) {
	s := h.Cluster.Status()
	if !callerOf(ctx).IsAdmin() {
		s = publicStatus(s)
	}
	return apiv1.ClusterStatus200JSONResponse(toStatus(s)), nil
}

// publicStatus leaves out what helps nobody but who runs the cluster, or who
// would harm it.
func publicStatus(s status.Status) status.Status {
	s.Links, s.Ownership = nil, nil
	members := make([]status.Member, len(s.Members))
	for i, m := range s.Members {
		members[i] = status.Member{
			UID: m.UID, Name: m.Name, Location: m.Location, State: m.State, LastSeen: m.LastSeen, Version: m.Version,
			ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax, Healthy: m.Healthy, Ready: m.Ready, Maintenance: m.Maintenance,
			Safety: m.Safety, Lag: m.Lag,
		}
	}
	s.Members = members
	return s
}

func toStatus(s status.Status) apiv1.ClusterStatus {
	view := apiv1.ClusterStatus{
		UID: s.Cluster, NodeUID: s.Node, Ready: s.Ready, Reason: s.Reason,
		Members: []apiv1.ClusterMember{}, Links: []apiv1.ClusterLink{}, Ownership: []apiv1.ClusterOwnership{},
		Components: append([][]model.UID{}, s.Components...),
	}
	members := append([]status.Member{}, s.Members...)
	status.Sort(members)
	for _, m := range members {
		view.Members = append(view.Members, toMember(m, s.Node))
	}
	for _, l := range s.Links {
		view.Links = append(view.Links, apiv1.ClusterLink{FromUID: l.From, ToUID: l.To, RttMs: milliseconds(l.RTT), Bridge: l.Bridge})
	}
	for _, o := range s.Ownership {
		view.Ownership = append(view.Ownership, apiv1.ClusterOwnership{Thing: o.Thing, NodeUID: o.Node})
	}
	return view
}

func toMember(m status.Member, self model.UID) apiv1.ClusterMember {
	view := apiv1.ClusterMember{
		UID: m.UID, Name: m.Name, Address: m.Address, LocationName: m.Location, State: string(m.State), Self: m.UID == self,
		LastSeen: orNever(m.LastSeen), Neighbour: m.Neighbour, Version: m.Version, ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax,
		Incarnation: m.Incarnation, Healthy: m.Healthy, Ready: m.Ready, Maintenance: m.Maintenance, Signer: m.Signer, Safety: m.Safety,
		Applications: m.Applications, Lag: m.Lag, CertificateExpires: orNever(m.CertificateExpires),
		Load: apiv1.ClusterLoad{CPU: int(m.Load.CPU), Memory: int(m.Load.Memory), Disk: int(m.Load.Disk)},
	}
	if m.ClockOffset != nil {
		ms := m.ClockOffset.Milliseconds()
		view.ClockOffsetMs = &ms
	}
	return view
}

// milliseconds has the digits that tell something.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond).Microseconds()) / 1000
}
