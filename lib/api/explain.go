package api

import (
	"context"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// ApplicationExplain says why an application is in its state.
func (h *handlers) ApplicationExplain(
	ctx context.Context, r apiv1.ApplicationExplainRequestObject,
) (apiv1.ApplicationExplainResponseObject, error) {
	e, err := h.application(ctx, r.UID, notFound)
	if err != nil {
		return nil, err
	}
	current := e.Fold.Current
	x := apiv1.ApplicationExplanation{
		ApplicationUID: e.Application.UID, Status: apiv1.ApplicationStatus(current.Status), Since: current.CreatedAt.UTC(),
		Description: current.Description, Nodes: []apiv1.NodeStanding{},
	}
	if e.Fold.Waiting() {
		h.explainWaiting(ctx, e.Application, &x)
	} else {
		h.explainLife(e, &x)
	}
	return apiv1.ApplicationExplain200JSONResponse(h.explainFarm(ctx, e, x)), nil
}

// explainWaiting fills in how the nodes stand with an application that waits.
func (h *handlers) explainWaiting(ctx context.Context, app model.Application, x *apiv1.ApplicationExplanation) {
	label, ok := h.Store.Label(app.LabelUID)
	if !ok {
		x.Text = "Its label was deleted: it is about to end as ERROR"
		if _, other := h.otherMaker(h.labelMaker(app.LabelUID)); other {
			x.Text = "Its label has not come to this node yet, or was deleted"
		}
		return
	}
	standing := h.Election.Explain(app, label)
	node := apiv1.NodeStanding{NodeUID: h.Node, Definitions: []apiv1.Obstacle{}}
	if n, ok := h.Store.Node(); ok {
		node.Name = n.Name
	}
	for _, o := range standing.Definitions {
		node.Definitions = append(node.Definitions, toObstacle(o, h.visible(ctx, o.Head)))
	}
	x.Nodes = append(x.Nodes, node)
	x.Never = standing.Never // for this node
	x.Text = waitingText(standing)
}

// visible reports whether the caller may see the application.
func (h *handlers) visible(ctx context.Context, app model.UID) bool {
	if app == model.NilUID {
		return false
	}
	_, err := h.application(ctx, app, notFound)
	return err == nil
}

func toObstacle(o election.Obstacle, headVisible bool) apiv1.Obstacle {
	answer := apiv1.Obstacle{DefinitionIndex: o.Definition, Driver: o.Driver, Cause: string(o.Cause), Text: o.Reason}
	if headVisible {
		answer.HeadUID = &o.Head
	}
	if s := o.Shortage; s.Need > 0 {
		answer.Shortage = &apiv1.Shortage{Need: s.Need, Free: s.Free, Limit: s.Limit}
	}
	return answer
}

// waitingText says in a sentence how an application stands that waits.
func waitingText(s election.Standing) string {
	nobody := "No member can ever run this"
	if s.Others {
		nobody = "This node can never run it, others may"
	}
	switch {
	case len(s.Definitions) == 0:
		return "No member can ever run this: its label has no definitions"
	case s.Undecided != "" && (s.Others || !s.Never):
		return "It waits: " + s.Undecided
	case s.Never && len(s.Definitions) == 1:
		return nobody + ": " + s.Definitions[0].Lasting
	case s.Never:
		return fmt.Sprintf(nobody+": none of its %d definitions; of the first: %s", len(s.Definitions), s.Definitions[0].Lasting)
	}
	for _, o := range s.Definitions {
		if o.Cause == election.CauseFits {
			return "It fits: about to be granted"
		}
	}
	if len(s.Definitions) == 1 {
		return "It waits: " + s.Definitions[0].Reason
	}
	return fmt.Sprintf("It waits: none of its %d definitions can run now; of the first: %s", len(s.Definitions), s.Definitions[0].Reason)
}

// explainLife fills in what is to be said of an application that was granted,
// or is over.
func (h *handlers) explainLife(e *model.Entry, x *apiv1.ApplicationExplanation) {
	if t, ok := h.Lifecycle.Trouble(e.Application.UID); ok {
		x.Trouble = &apiv1.Trouble{What: t.What, Error: t.Err.Error(), At: t.At.UTC(), AgainAt: t.Again.UTC()}
	}
	doubtful := h.Store.Doubt(e.Application) == store.Doubtful
	if e.Fold.Status() == model.StatusElected && !doubtful {
		until := h.allocateUntil(e)
		x.Until = &until
	}
	x.Text = lifeText(e, h.AllocateTimeout)
	if h.Lifecycle.Fetching(e.Application.UID) {
		x.Until, x.Text = nil, "Its images are being fetched, which allocate_timeout does not bound"
	}
	if e.Fold.Status() == model.StatusElected && doubtful {
		x.Text = "It was being made in a copy of the database that was put back, and may have been run since: " +
			"aquarium-fish db confirm says whether it is run or ended"
	}
	if x.Trouble != nil {
		x.Text += fmt.Sprintf("; %s: %s", x.Trouble.What, x.Trouble.Error)
	}
}

// allocateUntil is when an allocation has to be there: it counts from when its
// images were, or from the stored intent, which follows the grant at once.
func (h *handlers) allocateUntil(e *model.Entry) time.Time {
	began := e.Fold.Current.CreatedAt
	if a, ok := e.Allocation(e.Fold.Current.Epoch); ok {
		began = a.CreatedAt
	}
	if at := h.Lifecycle.FetchedAt(e.Application.UID); at.After(began) {
		began = at
	}
	return began.Add(h.AllocateTimeout).UTC()
}

func lifeText(e *model.Entry, timeout time.Duration) string {
	switch e.Fold.Status() {
	case model.StatusElected:
		return fmt.Sprintf("Its environment is being made, which may take %v (allocate_timeout)", timeout)
	case model.StatusAllocated:
		return "It runs; deallocate it when it is not needed any more"
	case model.StatusDeallocate:
		return "Its environment is being released, again and again until the driver confirms that nothing is left"
	case model.StatusRecalled:
		if len(e.OpenAllocations()) > 0 {
			return "It was given up, and what was made of its environment is being released"
		}
		return "It was given up before its environment was made; it is over"
	case model.StatusError:
		return "It ended with an error, which its description tells; ask for a new one"
	}
	if e.Fold.Request != nil && e.Fold.Request.Description != "" {
		return "It is over: " + e.Fold.Request.Description
	}
	return "It is over"
}
