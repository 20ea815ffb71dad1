package api

import (
	"context"
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

func toVote(v model.Vote) apiv1.Vote {
	return apiv1.Vote{
		UID: v.UID, ApplicationUID: v.ApplicationUID, Available: v.Available, CreatedAt: v.CreatedAt, NodeUID: v.NodeUID,
		Rand: v.Rand, Round: v.Round,
	}
}

type voteList struct{ list[model.Vote] }

// VisitVoteListResponse implements the generated answer.
func (l voteList) VisitVoteListResponse(w http.ResponseWriter) error { return l.write(w) }

// VoteList lists the votes of open rounds and those that decided a grant, for
// the admin.
func (h *handlers) VoteList(ctx context.Context, r apiv1.VoteListRequestObject) (apiv1.VoteListResponseObject, error) {
	if err := needAdmin(ctx, "list votes"); err != nil {
		return nil, err
	}
	votes := h.Store.ListVotes(ctx, query(ctx, r.Params.Filter), h.Election.OpenVotes())
	return voteList{newList(h, "vote", votes, toVote)}, nil
}
