package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/retire"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// retirementStore keeps who is out of the cluster for good.
type retirementStore interface {
	Retirements() []model.Retirement
	Retirement(node model.UID) (model.Retirement, bool)
	CreateRetirement(ctx context.Context, r model.Retirement) (model.Retirement, error)
}

// ClusterRetirementCreate checks the body.
func (g guard) ClusterRetirementCreate(w http.ResponseWriter, r *http.Request) {
	if g.takeBody(w, r, keyMessage) {
		g.ServerInterface.ClusterRetirementCreate(w, r)
	}
}

// ClusterRetirementList shows who was retired, to the admin.
func (h *handlers) ClusterRetirementList(
	ctx context.Context, _ apiv1.ClusterRetirementListRequestObject,
) (apiv1.ClusterRetirementListResponseObject, error) {
	if err := needAdmin(ctx, "see retired nodes"); err != nil {
		return nil, err
	}
	members, views := h.Cluster.Members(), []apiv1.ClusterRetirement{}
	all := h.Store.Retirements()
	for _, r := range all {
		if first, _ := model.Retired(r.NodeUID, all); first.Successor != r.Successor {
			continue // another one came first: see lib/retire
		}
		views = append(views, toRetirement(r, members))
	}
	return apiv1.ClusterRetirementList200JSONResponse(views), nil
}

// ClusterRetirementCreate takes a node out of the cluster for good, for the
// admin.
func (h *handlers) ClusterRetirementCreate(
	ctx context.Context, r apiv1.ClusterRetirementCreateRequestObject,
) (apiv1.ClusterRetirementCreateResponseObject, error) {
	if err := needAdmin(ctx, "retire nodes"); err != nil {
		return nil, err
	}
	if !h.Cluster.Ready() {
		return nil, errBehind()
	}
	members := h.Cluster.Members()
	plan, err := retire.Decide(
		retire.Ask{Node: r.Body.Node, Successor: r.Body.Successor, Force: r.Body.Force, Off: r.Body.AlsoOff, By: callerOf(ctx).Name},
		retire.View{Self: h.Node, Members: members, Retirements: h.Store.Retirements()},
	)
	if no, ok := errors.AsType[*retire.Refusal](err); ok && no.Unknown {
		return nil, notFound("%s", no.Message)
	}
	if err != nil {
		return nil, badRequest("Unable to retire: %s", err)
	}
	if !plan.Already && !r.Body.DryRun {
		if plan, err = h.retire(ctx, plan); err != nil {
			return nil, err
		}
	}
	return apiv1.ClusterRetirementCreate200JSONResponse{
		Already: plan.Already, Applications: plan.Node.Applications, Running: plan.Running, Unreachable: append([]string{}, plan.Unasked...),
		Retirement: toRetirement(plan.Retirement, members),
	}, nil
}

// retire stores what was decided. Another request may have been faster: then
// what that one stored is the answer.
func (h *handlers) retire(ctx context.Context, plan retire.Plan) (retire.Plan, error) {
	made, err := h.Store.CreateRetirement(ctx, plan.Retirement)
	if errors.Is(err, store.ErrExists) {
		made, plan.Already = plan.Retirement, true
		if stored, ok := h.Store.Retirement(plan.Node.UID); ok {
			made = stored
		}
		err = nil
	}
	if err != nil {
		return plan, err
	}
	if !plan.Already {
		h.Logger.Warn("node was retired", "component", "api", "retired", plan.Node.Name, "node", plan.Node.UID, "successor", plan.Successor.Name,
			"forced", made.Forced, "user", made.By)
	}
	plan.Retirement = made
	return plan, nil
}

func toRetirement(r model.Retirement, members []status.Member) apiv1.ClusterRetirement {
	view := apiv1.ClusterRetirement{
		NodeUID: r.NodeUID, Name: nameOfMember(members, r.NodeUID), SuccessorUID: r.Successor, SuccessorName: nameOfMember(members, r.Successor),
		Forced: r.Forced, By: r.By,
	}
	if !r.CreatedAt.IsZero() {
		at := r.CreatedAt
		view.CreatedAt = &at
	}
	return view
}

// nameOfMember is what people call a member; its UID if nobody knows.
func nameOfMember(members []status.Member, uid model.UID) string {
	if m, ok := status.Find(members, uid.String()); ok && m.Name != "" {
		return m.Name
	}
	return uid.String()
}
