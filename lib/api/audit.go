package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/auth"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// Audit takes down who did what. None of its methods but Read waits for a disk.
type Audit interface {
	Note(e audit.Event)
	Login(user, remote, requestID string, result audit.Result)
	Read(ctx context.Context, q audit.Query) (audit.Page, error)
}

// deed is what the audit says of a request that changes something.
type deed struct {
	action, uid, name, detail string
}

// deedOf says what a request asks for; response is nil where it was not done.
// Requests that only read are no deeds. What it takes from them are names and
// UIDs: no password, no metadata, no options.
func deedOf(request, response any) (deed, bool) {
	switch r := request.(type) {
	case apiv1.UserCreateRequestObject:
		return userDeed(r, response), true
	case apiv1.UserDeleteRequestObject:
		return deed{action: "user.remove", name: r.Name}, true
	case apiv1.LabelCreateRequestObject:
		d := deed{action: "label.create", name: labelName(r.Body.Name, r.Body.Version)}
		if made, ok := response.(apiv1.LabelCreate200JSONResponse); ok {
			d.uid = made.UID.String()
		}
		return d, true
	case apiv1.LabelDeleteRequestObject:
		return deed{action: "label.remove", uid: r.UID.String()}, true
	case apiv1.LocationCreateRequestObject:
		return deed{action: "location.create", name: r.Body.Name}, true
	case apiv1.ServiceMappingCreateRequestObject:
		d := deed{action: "servicemapping.create", name: r.Body.Service}
		if made, ok := response.(apiv1.ServiceMappingCreate200JSONResponse); ok {
			d.uid = made.UID.String()
		}
		return d, true
	case apiv1.ServiceMappingDeleteRequestObject:
		return deed{action: "servicemapping.remove", uid: r.UID.String()}, true
	case apiv1.NodeThisMaintenanceRequestObject:
		return deed{action: "maintenance.change", detail: maintenanceText(r.Params)}, true
	case apiv1.NodeThisDrainSetRequestObject:
		return deed{action: "drain.change", detail: drainText(*r.Body)}, true
	case apiv1.NodeThisProfilingGetRequestObject:
		return deed{action: "node.profile", name: r.Profile}, true
	case apiv1.NodeThisImagePullRequestObject:
		return deed{action: "image.pull", uid: r.Body.LabelUID.String()}, true
	case apiv1.NodeThisImageRemoveRequestObject:
		return deed{action: "image.remove", name: r.Params.ID, detail: "of driver " + short(r.Params.Instance)}, true
	}
	return applicationDeed(request, response)
}

// applicationDeed is deedOf for what concerns applications.
func applicationDeed(request, response any) (deed, bool) {
	switch r := request.(type) {
	case apiv1.ApplicationCreateRequestObject:
		d := deed{action: "application.create", detail: "of label " + r.Body.LabelUID.String()}
		if made, ok := response.(apiv1.ApplicationCreate200JSONResponse); ok {
			d.uid = made.UID.String()
		}
		return d, true
	case apiv1.ApplicationDeallocateRequestObject:
		return deed{action: "application.deallocate", uid: r.UID.String()}, true
	case apiv1.ApplicationTaskCreateRequestObject:
		d := deed{action: "task.create", name: r.Body.Task, detail: "for application " + r.UID.String()}
		if made, ok := response.(apiv1.ApplicationTaskCreate200JSONResponse); ok {
			d.uid = made.UID.String()
		}
		return d, true
	case apiv1.ResourceAccessGetRequestObject:
		d := deed{action: "access.create", uid: r.UID.String()}
		if made, ok := response.(apiv1.ResourceAccessGet200JSONResponse); ok {
			d.detail = "credentials " + made.UID.String()
		}
		return d, true
	}
	return clusterDeed(request, response)
}

// clusterDeed is deedOf for what concerns the cluster.
func clusterDeed(request, response any) (deed, bool) {
	switch r := request.(type) {
	case apiv1.ClusterInvitationCreateRequestObject:
		d := deed{action: "cluster.invite", name: r.Body.Name}
		if made, ok := response.(apiv1.ClusterInvitationCreate200JSONResponse); ok {
			d.detail = "invitation " + made.ID
		}
		return d, true
	case apiv1.ClusterInvitationDeleteRequestObject:
		return deed{action: "cluster.revoke", name: r.Ref}, true
	case apiv1.ClusterRetirementCreateRequestObject:
		return retirementDeed(r, response), !r.Body.DryRun
	}
	return deed{}, false
}

func retirementDeed(r apiv1.ClusterRetirementCreateRequestObject, response any) deed {
	d := deed{action: "cluster.retire", name: short(r.Body.Node)}
	made, ok := response.(apiv1.ClusterRetirementCreate200JSONResponse)
	if !ok {
		return d
	}
	d.name, d.uid, d.detail = made.Retirement.Name, made.Retirement.NodeUID.String(), "successor "+made.Retirement.SuccessorName
	switch {
	case made.Already:
		d.detail += ", retired before"
	case made.Retirement.Forced:
		d.detail += ", forced"
	}
	return d
}

func userDeed(r apiv1.UserCreateRequestObject, response any) deed {
	d := deed{action: "user.set", name: r.Body.Name}
	if made, ok := response.(apiv1.UserCreate200JSONResponse); ok {
		d.detail = "password changed"
		if made.CreatedAt.Equal(made.UpdatedAt) {
			d.detail = "created"
		}
	}
	return d
}

func maintenanceText(p apiv1.NodeThisMaintenanceParams) string {
	parts := []string{"enable=true"}
	if p.Enable != nil {
		parts[0] = fmt.Sprintf("enable=%v", *p.Enable)
	}
	if p.Shutdown != nil {
		parts = append(parts, fmt.Sprintf("shutdown=%v", *p.Shutdown))
	}
	if p.ShutdownDelay != nil {
		parts = append(parts, "shutdown_delay="+short(*p.ShutdownDelay))
	}
	return strings.Join(parts, " ")
}

func drainText(r apiv1.NodeDrainRequest) string {
	enable := "?" // not said, which is refused
	if r.Enable != nil {
		enable = fmt.Sprint(*r.Enable)
	}
	return fmt.Sprintf("enable=%s persist=%v", enable, r.Persist)
}

// audited stands around every handler, where caller, request and outcome are
// known and nothing has to be parsed again.
func (h *handlers) audited(next apiv1.StrictHandlerFunc, _ string) apiv1.StrictHandlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (response any, err error) {
		err = errPanicked // until the handler returns
		gone := h.nameOfRemoved(request)
		defer func() { h.noteDeed(exchangeOf(ctx), request, response, err, gone) }()
		response, err = next(ctx, w, r, request)
		return response, err
	}
}

// nameOfRemoved is the name of what a request is about to remove by its UID:
// afterwards nobody knows it any more.
func (h *handlers) nameOfRemoved(request any) string {
	switch r := request.(type) {
	case apiv1.LabelDeleteRequestObject:
		if l, ok := h.Store.Label(r.UID); ok {
			return labelName(l.Name, l.Version)
		}
	case apiv1.NodeThisImagePullRequestObject: // later it may be removed
		if l, ok := h.Store.Label(r.Body.LabelUID); ok {
			return labelName(l.Name, l.Version)
		}
	case apiv1.ServiceMappingDeleteRequestObject:
		if m, ok := h.Store.ServiceMapping(r.UID); ok {
			return m.Service
		}
	}
	return ""
}

// labelName is how people name a version of a label.
func labelName(name string, version int) string { return fmt.Sprintf("%s:%d", name, version) }

var errPanicked = errors.New("handler panicked")

func (h *handlers) noteDeed(e *exchange, request, response any, err error, gone string) {
	if err != nil {
		response = nil
	}
	d, ok := deedOf(request, response)
	if r, isCommand := request.(apiv1.NodeThisDriverCommandRunRequestObject); isCommand {
		d, ok = h.commandDeed(r)
	}
	if !ok || e.elsewhere { // who does it notes it
		return
	}
	h.Audit.Note(audit.Event{
		Action: d.action, User: e.caller.Name, Address: e.request.RemoteAddr, RequestID: e.id,
		ObjectUID: d.uid, ObjectName: cmp.Or(d.name, gone), Result: resultOf(err), Detail: d.detail,
	})
}

// resultOf tells the caller's fault from the node's.
func resultOf(err error) audit.Result {
	if err == nil {
		return audit.ResultOK
	}
	if f, ok := errors.AsType[*failure](err); ok && f.status < http.StatusInternalServerError || errors.Is(err, auth.ErrUnauthorized) {
		return audit.ResultRefused
	}
	return audit.ResultFailed
}

// noteLogin tells the audit what came of credentials. A name that is nobody's
// is left out: it may be a password that was typed into the wrong field.
func (a *API) noteLogin(e *exchange, r *http.Request, name string, err error) {
	result := audit.ResultOK
	switch {
	case err == nil:
	case errors.Is(err, auth.ErrUnauthorized):
		result = audit.ResultRefused
	default:
		if _, limited := errors.AsType[*auth.LimitedError](err); !limited {
			return // busy, or the client left: says nothing about the credentials
		}
		result = audit.ResultLimited
	}
	if err != nil && !a.known(name) {
		name = ""
	}
	a.audit.Login(name, r.RemoteAddr, e.id, result)
}

// AuditList shows who did what, for the admin.
func (h *handlers) AuditList(ctx context.Context, r apiv1.AuditListRequestObject) (apiv1.AuditListResponseObject, error) {
	if err := needAdmin(ctx, "see the audit"); err != nil {
		return nil, err
	}
	p := r.Params
	if p.Limit < 0 || p.Limit > audit.MaxLimit {
		return nil, badRequest("Invalid format for parameter limit: it must be from 1 to %d", audit.MaxLimit)
	}
	if p.Result != "" && !audit.Result(p.Result).Valid() {
		return nil, badRequest("Invalid format for parameter result: it must be ok, refused, failed or limited")
	}
	q := audit.Query{
		Since: p.Since, Until: p.Until, User: p.User, Action: p.Action, Result: audit.Result(p.Result), Limit: p.Limit, Cursor: p.Cursor,
	}
	if p.Object != model.NilUID {
		q.ObjectUID = p.Object.String()
	}
	page, err := h.Audit.Read(ctx, q)
	if errors.Is(err, audit.ErrBadCursor) {
		return nil, badRequest("Invalid format for parameter cursor: take the next of a page as it is, or leave it out to begin with the newest")
	}
	if err != nil {
		return nil, err
	}
	return apiv1.AuditList200JSONResponse(toAuditPage(page)), nil
}

func toAuditPage(page audit.Page) apiv1.AuditPage {
	events := make([]apiv1.AuditEvent, len(page.Events))
	for i, e := range page.Events {
		events[i] = apiv1.AuditEvent{
			Seq: e.Seq, Time: e.Time, Action: e.Action, User: e.User, Address: e.Address, RequestID: e.RequestID,
			ObjectUID: e.ObjectUID, ObjectName: e.ObjectName, Result: string(e.Result), Count: e.Count, Detail: e.Detail,
		}
	}
	return apiv1.AuditPage{Events: events, Next: page.Next}
}
