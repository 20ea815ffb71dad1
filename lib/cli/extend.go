package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// Shell is what the command of a driver takes from this command line: it asks nodes as the others do, prints like them,
// and fails like them.
type Shell struct {
	s      *shell
	client client.ClientWithResponsesInterface // once it was needed: who is asked for a password is asked once
}

// Flags declares on a command, for those below it too, the flags that say which node to ask, as whom, and in which form to
// print.
func (h *Shell) Flags(c *cobra.Command) {
	h.s.register(c.PersistentFlags())
	h.s.completeFlags(c)
}

// NodeFlag declares --node on a command, for those below it too.
func (h *Shell) NodeFlag(c *cobra.Command, node *string) {
	c.PersistentFlags().StringVar(node, "node", "", "name or UID of the node; by default the one that answers")
	completeFlag(c, "node", h.s.completeNodes)
}

// api connects to the node that the user means.
func (h *Shell) api(ctx context.Context) (client.ClientWithResponsesInterface, error) {
	if h.client != nil {
		return h.client, nil
	}
	var err error
	h.client, err = h.s.api(ctx)
	return h.client, err
}

// DriverCommands are the commands that the ready driver instances of a node have, by instance. An empty node is the one
// that answers.
func (h *Shell) DriverCommands(ctx context.Context, node string) (map[string][]drivers.Command, error) {
	api, err := h.api(ctx)
	if err != nil {
		return nil, err
	}
	list, err := member{api, node}.commands(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string][]drivers.Command{}
	for _, c := range *list {
		found[c.Instance] = append(found[c.Instance], drivers.Command{Name: c.Name, Help: c.Help, Changes: c.Changes})
	}
	return found, nil
}

// DoDriverCommand has a driver instance of a node do a command.
func (h *Shell) DoDriverCommand(ctx context.Context, node, instance, command string, args json.RawMessage) (json.RawMessage, error) {
	api, err := h.api(ctx)
	if err != nil {
		return nil, err
	}
	done, err := member{api, node}.do(ctx, apiv1.DriverCommandRequest{Instance: instance, Command: command, Args: args})
	if err != nil {
		return nil, err
	}
	return done.Result, nil
}

// NodeNames are the names of the nodes by their UID.
func (h *Shell) NodeNames(ctx context.Context) (map[string]string, error) {
	api, err := h.api(ctx)
	if err != nil {
		return nil, err
	}
	list, err := result(api.NodeListWithResponse(ctx, nil))
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, n := range *list {
		names[n.UID.String()] = n.Name
	}
	return names, nil
}

// Print shows tables, the first row of which is the header and which are left out if they have no other; or data, where the
// user wants JSON or YAML, or names.
func (h *Shell) Print(data any, names []string, tables ...[][]string) error {
	if h.s.output != outputTable && h.s.output != "" {
		return h.s.print(view{Data: data, Names: names})
	}
	var b bytes.Buffer
	for _, t := range tables {
		if len(t) < 2 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		writeTable(&b, t[0], t[1:])
	}
	if _, err := h.s.Stdout.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// Note tells something on stderr that is no output.
func (h *Shell) Note(format string, args ...any) {
	h.s.note("%s", printable(fmt.Sprintf(format, args...)))
}

// Usage makes an error of the command line.
func (h *Shell) Usage(format string, args ...any) error { return usagef(format, args...) }

// NotFound makes the error of a command about something that is not there.
func (h *Shell) NotFound(format string, args ...any) error { return notFoundf(format, args...) }

// Now is the time that ages count to.
func (h *Shell) Now() time.Time { return h.s.Now() }

// commands are those of its driver instances.
func (m member) commands(ctx context.Context) (*apiv1.DriverCommandList, error) {
	if m.ref == "" {
		return result(m.api.NodeThisDriverCommandListWithResponse(ctx))
	}
	return result(m.api.MemberDriverCommandListWithResponse(ctx, m.ref))
}

// do has one of its driver instances do a command.
func (m member) do(ctx context.Context, r apiv1.DriverCommandRequest) (*apiv1.DriverCommandResult, error) {
	if m.ref == "" {
		return result(m.api.NodeThisDriverCommandRunWithResponse(ctx, r))
	}
	return result(m.api.MemberDriverCommandRunWithResponse(ctx, m.ref, r))
}
