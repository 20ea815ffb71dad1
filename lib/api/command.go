package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/calls"
	"github.com/aquarium-fish/aquarium-fish/lib/operate"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// Commands are those that the driver instances of this node have for an admin.
type Commands interface {
	List() []operate.Command
	Find(instance, command string) (drivers.Command, bool)
	// Do takes drivers.CommandTimeout at most.
	Do(ctx context.Context, instance, command string, args json.RawMessage) (json.RawMessage, error)
}

// commandSlack is what the way to a member and back takes beside a command.
const commandSlack = 8 * time.Second

// What only the admin may do with commands.
const listingCommands, runningCommands = "list driver commands", "run driver commands"

// NodeThisDriverCommandRun checks the body.
func (g guard) NodeThisDriverCommandRun(w http.ResponseWriter, r *http.Request) {
	if g.takeBody(w, r, keyMessage) {
		g.ServerInterface.NodeThisDriverCommandRun(w, r)
	}
}

// MemberDriverCommandRun checks the body.
func (g guard) MemberDriverCommandRun(w http.ResponseWriter, r *http.Request, node apiv1.Member) {
	if g.takeBody(w, r, keyMessage) {
		g.ServerInterface.MemberDriverCommandRun(w, r, node)
	}
}

// NodeThisDriverCommandList lists the commands of this node's driver instances,
// for the admin.
func (h *handlers) NodeThisDriverCommandList(
	ctx context.Context, _ apiv1.NodeThisDriverCommandListRequestObject,
) (apiv1.NodeThisDriverCommandListResponseObject, error) {
	if err := needAdmin(ctx, listingCommands); err != nil {
		return nil, err
	}
	list := apiv1.NodeThisDriverCommandList200JSONResponse{}
	for _, c := range h.Commands.List() {
		list = append(list, apiv1.DriverCommand{Instance: c.Instance, Name: c.Name, Help: c.Help, Changes: c.Changes})
	}
	return list, nil
}

// NodeThisDriverCommandRun has a driver instance of this node do a command, for
// the admin.
func (h *handlers) NodeThisDriverCommandRun(
	ctx context.Context, r apiv1.NodeThisDriverCommandRunRequestObject,
) (apiv1.NodeThisDriverCommandRunResponseObject, error) {
	if err := needAdmin(ctx, runningCommands); err != nil {
		return nil, err
	}
	instance, command := r.Body.Instance, r.Body.Command
	switch {
	case instance == "":
		return nil, badRequest("Unable to run the command: instance can't be empty")
	case command == "":
		return nil, badRequest("Unable to run the command: command can't be empty")
	}
	// The server's deadlines are for answers that come at once.
	rc := http.NewResponseController(exchangeOf(ctx))
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Now().Add(drivers.CommandTimeout + h.ChunkTimeout))
	result, err := h.Commands.Do(ctx, instance, command, r.Body.Args)
	if err != nil {
		return nil, h.commandFailure(ctx, instance, command, err)
	}
	return apiv1.NodeThisDriverCommandRun200JSONResponse{Instance: instance, Command: command, Result: result}, nil
}

// commandFailure is the answer for a command that was not done. What a driver
// failed with is told too: the admin is who can mend it.
func (h *handlers) commandFailure(ctx context.Context, instance, command string, err error) error {
	absent, isAbsent := errors.AsType[*calls.InstanceError](err)
	away, isAway := errors.AsType[*operate.NotReadyError](err)
	what := fmt.Sprintf("Unable to run the command %q: ", short(command))
	switch {
	case isAway:
		return &failure{status: http.StatusServiceUnavailable, message: what + away.Error()}
	case isAbsent:
		return notFound("Unable to find the driver instance: %v", absent)
	case errors.Is(err, drivers.ErrCommandUnknown):
		return notFound("Unable to find the command %q: %v", short(command), err)
	case errors.Is(err, drivers.ErrCommandArgument):
		return badRequest("%s%v", what, err)
	case errors.Is(err, drivers.ErrCommandRefused):
		return &failure{status: http.StatusConflict, message: what + err.Error()}
	case errors.Is(err, calls.ErrBusy):
		return &failure{status: http.StatusServiceUnavailable, message: what + err.Error(), retryAfter: busyRetry}
	case errors.Is(err, calls.ErrStopping), errors.Is(err, calls.ErrLate), errors.Is(err, operate.ErrGoesOn):
		return &failure{status: http.StatusServiceUnavailable, message: what + err.Error()}
	case ctx.Err() != nil:
		return err
	}
	h.Logger.Warn("driver command failed", "component", "api", keyRequestID, exchangeOf(ctx).id, "instance", instance, "command", command, "error", err)
	text := what + "driver " + instance + " failed: " + err.Error()
	if c, ok := h.Commands.Find(instance, command); ok && c.Changes {
		text += "; it may have done a part of it"
	}
	return &failure{status: http.StatusServiceUnavailable, message: text}
}

// commandDeed is what the audit says of a command; one that only looks is no
// deed.
func (h *handlers) commandDeed(r apiv1.NodeThisDriverCommandRunRequestObject) (deed, bool) {
	c, ok := h.Commands.Find(r.Body.Instance, r.Body.Command)
	if !ok || !c.Changes {
		return deed{}, false
	}
	d := deed{action: "driver.command", name: c.Name, detail: "of driver " + short(r.Body.Instance)}
	if object := textOf(r.Body.Args, c.Object); object != "" {
		d.detail += " for " + short(object)
	}
	return d, true
}

// textOf is the text that a JSON object has under a key; empty if it has none.
func textOf(object json.RawMessage, key string) string {
	var fields map[string]json.RawMessage
	var text string
	if key == "" || json.Unmarshal(object, &fields) != nil || json.Unmarshal(fields[key], &text) != nil {
		return ""
	}
	return text
}

// MemberDriverCommandList lists the commands of a member's driver instances, for
// the admin.
func (h *handlers) MemberDriverCommandList(
	ctx context.Context, r apiv1.MemberDriverCommandListRequestObject,
) (apiv1.MemberDriverCommandListResponseObject, error) {
	return nil, atMember(ctx, r.Node, listingCommands)
}

// MemberDriverCommandRun has a driver instance of a member do a command, for the
// admin.
func (h *handlers) MemberDriverCommandRun(
	ctx context.Context, r apiv1.MemberDriverCommandRunRequestObject,
) (apiv1.MemberDriverCommandRunResponseObject, error) {
	if err := needAdmin(ctx, runningCommands); err != nil {
		return nil, err
	}
	return nil, &memberWanted{r.Node, drivers.CommandTimeout + commandSlack}
}
