package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// member is one node to ask through the node that answers; that one itself if
// it is empty. Its name may be anything that the cluster knows it by.
type member struct {
	api client.ClientWithResponsesInterface
	ref string
}

// drivers lists its driver instances.
func (m member) drivers(ctx context.Context) (*apiv1.DriverInstanceList, error) {
	if m.ref == "" {
		return result(m.api.NodeThisDriversWithResponse(ctx))
	}
	return result(m.api.MemberDriversWithResponse(ctx, m.ref))
}

// drain shows whether it is drained.
func (m member) drain(ctx context.Context) (*apiv1.NodeDrain, error) {
	if m.ref == "" {
		return result(m.api.NodeThisDrainGetWithResponse(ctx))
	}
	return result(m.api.MemberDrainGetWithResponse(ctx, m.ref))
}

// ssh shows where its SSH proxy is.
func (m member) ssh(ctx context.Context) (*apiv1.NodeSSH, error) {
	if m.ref == "" {
		return result(m.api.NodeThisSSHGetWithResponse(ctx))
	}
	return result(m.api.MemberSSHGetWithResponse(ctx, m.ref))
}

// setDrain drains it or puts it back to work.
func (m member) setDrain(ctx context.Context, enable, persist bool) (*apiv1.NodeDrain, error) {
	request := apiv1.NodeDrainRequest{Enable: &enable, Persist: persist}
	if m.ref == "" {
		return result(m.api.NodeThisDrainSetWithResponse(ctx, request))
	}
	return result(m.api.MemberDrainSetWithResponse(ctx, m.ref, request))
}

// maintain changes its maintenance.
func (m member) maintain(ctx context.Context, p apiv1.NodeThisMaintenanceParams) (*apiv1.NodeMaintenance, error) {
	if m.ref == "" {
		return result(m.api.NodeThisMaintenanceWithResponse(ctx, &p))
	}
	other := apiv1.MemberMaintenanceParams(p)
	return result(m.api.MemberMaintenanceWithResponse(ctx, m.ref, &other))
}

// memberFlags say which members a command is for.
type memberFlags struct{ all bool }

func (f *memberFlags) register(c *cobra.Command) {
	c.Flags().BoolVar(&f.all, "all", false, "every member of the cluster that is there")
}

// one is the member that the arguments name, or the node that answers.
func (s *shell) one(ctx context.Context, args []string) (member, error) {
	api, err := s.api(ctx)
	if err != nil {
		return member{}, err
	}
	m := member{api: api}
	if len(args) > 0 {
		if args[0] == "" {
			return m, usagef("the name of the node is empty")
		}
		m.ref = args[0]
	}
	return m, nil
}

// everyone are the members that can be asked. Of the others it tells on stderr,
// and returns an error beside them, for the end.
func (s *shell) everyone(ctx context.Context) ([]member, error) {
	api, err := s.api(ctx)
	if err != nil {
		return nil, err
	}
	status, err := result(api.ClusterStatusWithResponse(ctx))
	if err != nil {
		return nil, err
	}
	var list []member
	for _, m := range status.Members {
		switch m.State {
		case stateActive, stateInactive:
			list = append(list, member{api, m.Name})
		case stateRetired:
		default:
			s.note("left out: %s is %s", m.Name, m.State)
			err = errLeftOut
		}
	}
	return list, err
}

var errLeftOut = errors.New("not every member was there: see above")

// The states of members that commands know; more may come.
const (
	stateActive      = "active"
	stateInactive    = "inactive"
	stateUnreachable = "unreachable"
	stateRetired     = "retired"
)

// each does something for every member, and goes on where one fails.
func (s *shell) each(ctx context.Context, f func(member) error) error {
	list, left := s.everyone(ctx)
	if left != nil && list == nil {
		return left
	}
	for _, m := range list {
		if err := f(m); err != nil {
			if ctx.Err() != nil {
				return err
			}
			s.note("%s: %v", printable(m.ref), err)
			left = errLeftOut
		}
	}
	return left
}

// notBoth refuses a member beside --all.
func notBoth(f memberFlags, args []string) error {
	if f.all && len(args) > 0 {
		return usagef("give the name of a node, or --all, not both")
	}
	return nil
}
