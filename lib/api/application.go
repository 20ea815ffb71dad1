package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

func toApplication(a model.Application) apiv1.Application {
	return apiv1.Application{
		UID: a.UID, CreatedAt: a.CreatedAt, LabelUID: a.LabelUID, Metadata: orObject(a.Metadata), OwnerName: a.OwnerName,
	}
}

// application returns an application that the caller may use. absent makes the
// error where there is none: which status that is depends on the route
// (contract 6).
func (h *handlers) application(
	ctx context.Context, uid model.UID, absent func(format string, args ...any) error,
) (*model.Entry, error) {
	e, err := h.Store.Application(ctx, uid)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, &absence{of: uid, here: h.hasApplication(uid), answer: absent("Unable to find the Application: %s", uid)}
	case err != nil:
		return nil, err
	case h.outdated(e):
		return nil, errBehind()
	}
	return e, needOwner(ctx, e)
}

// outdated reports whether others may have told more of the application than
// is here: a client that saw it ALLOCATED elsewhere must not be told that it is
// NEW. What this node decides itself, and what is over, does not change.
func (h *handlers) outdated(e *model.Entry) bool {
	return !e.Fold.Final && !model.SamePrefix(e.Application.UID, h.Node) && !h.Cluster.Ready()
}

func (h *handlers) hasApplication(uid model.UID) func(context.Context) bool {
	return func(ctx context.Context) bool {
		_, err := h.Store.Application(ctx, uid)
		return err == nil
	}
}

// needOwner lets the owner of an application pass, and the admin.
func needOwner(ctx context.Context, e *model.Entry) error {
	if caller := callerOf(ctx); e.Application.OwnerName == caller.Name || caller.IsAdmin() {
		return nil
	}
	return badRequest("Only the owner of the Application and 'admin' user can do that")
}

type applicationList struct{ list[model.Application] }

// VisitApplicationListResponse implements the generated answer.
func (l applicationList) VisitApplicationListResponse(w http.ResponseWriter) error {
	return l.write(w)
}

// ApplicationList lists the caller's applications, all for the admin.
func (h *handlers) ApplicationList(
	ctx context.Context, r apiv1.ApplicationListRequestObject,
) (apiv1.ApplicationListResponseObject, error) {
	applications := h.Store.ListApplications(ctx, query(ctx, r.Params.Filter))
	return applicationList{newList(h, "application", applications, toApplication)}, nil
}

// ApplicationGet shows an application.
func (h *handlers) ApplicationGet(
	ctx context.Context, r apiv1.ApplicationGetRequestObject,
) (apiv1.ApplicationGetResponseObject, error) {
	e, err := h.application(ctx, r.UID, notFound)
	if err != nil {
		return nil, err
	}
	return apiv1.ApplicationGet200JSONResponse(toApplication(e.Application)), nil
}

// ApplicationCreate asks for an environment; the caller becomes the owner.
func (h *handlers) ApplicationCreate(
	ctx context.Context, r apiv1.ApplicationCreateRequestObject,
) (apiv1.ApplicationCreateResponseObject, error) {
	application := model.Application{
		LabelUID: r.Body.LabelUID, OwnerName: callerOf(ctx).Name, Metadata: orObject(r.Body.Metadata),
	}
	if err := application.Validate(); err != nil {
		return nil, badRequest("Unable to create application: %v", err)
	}
	done, ok := h.Election.Admit()
	if !ok {
		return nil, errGiving()
	}
	defer done()
	e, err := h.Store.CreateApplication(ctx, application)
	switch {
	case errors.Is(err, store.ErrLabelUnknown):
		return nil, &absence{
			of:     h.labelMaker(application.LabelUID), // whose maker takes the application, rather than this node one that it can not check
			answer: badRequest("Unable to create application: there is no label %s", application.LabelUID),
		}
	case err != nil:
		return nil, err
	}
	return apiv1.ApplicationCreate200JSONResponse(toApplication(e.Application)), nil
}

// givingRetry is when a node that was about to stop is worth another try: it is away then, or has not stopped.
const givingRetry = 5 * time.Second

// errGiving is the answer of a node that stops for maintenance: what it accepted now would be handed to nobody, and wait
// for as long as it is away.
func errGiving() error {
	return &failure{
		status: http.StatusServiceUnavailable, retryAfter: givingRetry,
		message: "This node stops for maintenance and has handed over what waits: ask another node of the cluster, or try again when it is back",
	}
}

// ApplicationStateGet shows the current state: the most frequent request.
func (h *handlers) ApplicationStateGet(
	ctx context.Context, r apiv1.ApplicationStateGetRequestObject,
) (apiv1.ApplicationStateGetResponseObject, error) {
	e, err := h.current(ctx, r.UID, notFound)
	if err != nil {
		return nil, stateOf(r.UID, err)
	}
	return (*stateAnswer)(&e.Fold.Current), nil
}

// ApplicationResourceGet shows the resource of an application.
func (h *handlers) ApplicationResourceGet(
	ctx context.Context, r apiv1.ApplicationResourceGetRequestObject,
) (apiv1.ApplicationResourceGetResponseObject, error) {
	e, err := h.current(ctx, r.UID, badRequest)
	if err != nil {
		return nil, err
	}
	if e.Resource == nil {
		return nil, h.noResource(e)
	}
	return apiv1.ApplicationResourceGet200JSONResponse(toResource(*e.Resource)), nil
}

// noResource is the answer for an application without one. Before it was
// allocated as far as is known here, whoever would allocate it knows better.
func (h *handlers) noResource(e *model.Entry) error {
	uid := e.Application.UID
	missing := &absence{
		answer: notFound("The Application has no Resource, its status is %s", e.Fold.Status()),
		here: func(ctx context.Context) bool {
			e, err := h.Store.Application(ctx, uid)
			return err == nil && e.Resource != nil
		},
	}
	switch grant := e.Fold.Grant; {
	case e.Fold.Waiting():
		retirements, handovers := h.Store.Succession() // the origin may have given it away and be off
		missing.of = cmp.Or(model.Arbiter(e.Application, retirements, handovers), uid)
	case e.Fold.Status() == model.StatusElected && grant != nil && grant.Decision != nil:
		missing.of = grant.Decision.Winner
	}
	return missing
}

// ApplicationDeallocate asks for the end of an application.
func (h *handlers) ApplicationDeallocate(
	ctx context.Context, r apiv1.ApplicationDeallocateRequestObject,
) (apiv1.ApplicationDeallocateResponseObject, error) {
	if _, err := h.application(ctx, r.UID, badRequest); err != nil {
		return nil, err
	}
	uid := h.newUID()
	e, err := h.Store.Update(ctx, r.UID, func(e *model.Entry) (model.Change, error) {
		change, err := model.RequestRelease(e, "Requested by user "+callerOf(ctx).Name)
		if err == nil {
			change.States[0].UID = uid
		}
		return change, err
	})
	if notActive, ok := errors.AsType[model.NotActiveError](err); ok {
		return nil, badRequest("%v", notActive)
	}
	if err != nil {
		return nil, err
	}
	for i := range e.States {
		if e.States[i].UID == uid {
			return (*stateAnswer)(&e.States[i]), nil
		}
	}
	return (*stateAnswer)(&e.Fold.Current), nil
}
