package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/enrol"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// Enrolment gives out invitations into the cluster.
type Enrolment interface {
	Invite(ctx context.Context, in enrol.Invite) (enrol.Invited, error)
	Invitations() []enrol.Invitation
	Revoke(ref, by string) ([]enrol.Invitation, error)
}

// ClusterInvitationCreate checks the body.
func (g guard) ClusterInvitationCreate(w http.ResponseWriter, r *http.Request) {
	if g.takeBody(w, r, keyMessage) {
		g.ServerInterface.ClusterInvitationCreate(w, r)
	}
}

// mayInvite is what all handlers of invitations ask.
func (h *handlers) mayInvite(ctx context.Context) error {
	if err := needAdmin(ctx, "invite nodes"); err != nil {
		return err
	}
	if h.Enrolment == nil {
		return badRequest("This node gives out no invitations")
	}
	return nil
}

// ClusterInvitationList shows the invitations, to the admin.
func (h *handlers) ClusterInvitationList(
	ctx context.Context, _ apiv1.ClusterInvitationListRequestObject,
) (apiv1.ClusterInvitationListResponseObject, error) {
	if err := h.mayInvite(ctx); err != nil {
		return nil, err
	}
	return apiv1.ClusterInvitationList200JSONResponse(toInvitations(h.Enrolment.Invitations())), nil
}

// ClusterInvitationCreate invites a machine, for the admin.
func (h *handlers) ClusterInvitationCreate(
	ctx context.Context, r apiv1.ClusterInvitationCreateRequestObject,
) (apiv1.ClusterInvitationCreateResponseObject, error) {
	if err := h.mayInvite(ctx); err != nil {
		return nil, err
	}
	in := enrol.Invite{Name: r.Body.Name, By: callerOf(ctx).Name, Renew: r.Body.Renew, Addresses: r.Body.Addresses}
	if r.Body.Valid != "" {
		var err error
		if in.Valid, err = time.ParseDuration(r.Body.Valid); err != nil || in.Valid == 0 {
			return nil, badRequest("Unable to invite: valid is %q, want a duration like 15m", short(r.Body.Valid))
		}
	}
	made, err := h.Enrolment.Invite(ctx, in)
	if err != nil {
		return nil, ofEnrolment(err)
	}
	return apiv1.ClusterInvitationCreate200JSONResponse{
		ID: made.ID, Name: made.Name, Status: made.Status(time.Now()), By: made.By,
		CreatedAt: made.CreatedAt, ExpiresAt: made.ExpiresAt, Token: made.Token,
	}, nil
}

// ClusterInvitationDelete revokes an invitation, for the admin.
func (h *handlers) ClusterInvitationDelete(
	ctx context.Context, r apiv1.ClusterInvitationDeleteRequestObject,
) (apiv1.ClusterInvitationDeleteResponseObject, error) {
	if err := h.mayInvite(ctx); err != nil {
		return nil, err
	}
	ended, err := h.Enrolment.Revoke(r.Ref, callerOf(ctx).Name)
	if err != nil {
		return nil, ofEnrolment(err)
	}
	return apiv1.ClusterInvitationDelete200JSONResponse(toInvitations(ended)), nil
}

// ofEnrolment is the answer to an error of Enrolment: a refusal is for the client.
func ofEnrolment(err error) error {
	if refused, ok := errors.AsType[*enrol.Refusal](err); ok {
		return badRequest("%s", refused.Message)
	}
	return err
}

func toInvitations(all []enrol.Invitation) []apiv1.ClusterInvitation {
	views, now := make([]apiv1.ClusterInvitation, len(all)), time.Now()
	for n, i := range all {
		views[n] = apiv1.ClusterInvitation{
			ID: i.ID, Name: i.Name, Status: i.Status(now), By: i.By, CreatedAt: i.CreatedAt, ExpiresAt: i.ExpiresAt, Address: i.Address,
		}
		if i.Key != nil {
			views[n].RedeemedAt = &i.RedeemedAt
		}
	}
	return views
}
