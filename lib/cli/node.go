package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// nodeCommand is the noun of Nodes.
func nodeCommand(s *shell) *cobra.Command {
	c := s.noun("node", "Look at nodes and their drivers, drain them",
		nodeList(s),
		nodeGet(s),
		nodeMaintenance(s),
		nodeDrivers(s),
		nodeSSH(s),
		nodeDrain(s),
		nodeUndrain(s),
	)
	c.Aliases = []string{"nodes"}
	return c
}

func nodeList(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List nodes and when each was last heard of", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			nodes, err := result(api.NodeListWithResponse(cmd.Context(), nil))
			if err != nil {
				return err
			}
			v := view{Data: nodes, Header: []string{"NAME", "ADDRESS", "LOCATION", "HEARD OF", "AGE", "UID"}, Empty: "no nodes"}
			for _, n := range *nodes {
				v.Names = append(v.Names, n.Name)
				v.Rows = append(v.Rows, []string{n.Name, n.Address, n.LocationName, age(s.Now(), n.UpdatedAt), age(s.Now(), n.CreatedAt), n.UID.String()})
			}
			return s.print(v)
		},
	}
}

func nodeGet(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "get [NAME|UID]", Short: "Show a node, or the one that answers", Args: cobra.MaximumNArgs(1), ValidArgsFunction: s.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			var n *apiv1.Node
			if len(args) == 0 {
				n, err = result(api.NodeThisGetWithResponse(cmd.Context()))
			} else {
				n, err = findNode(cmd.Context(), api, args[0])
			}
			if err != nil {
				return err
			}
			return s.print(view{Data: n, Names: []string{n.Name}, Rows: [][]string{
				{"Name", n.Name}, {"UID", n.UID.String()}, {"Address", n.Address}, {"Location", n.LocationName},
				{"Heard of", age(s.Now(), n.UpdatedAt)}, {"Age", age(s.Now(), n.CreatedAt)},
			}})
		},
	}
}

// findNode finds a node by its name or UID.
func findNode(ctx context.Context, api client.ClientWithResponsesInterface, ref string) (*apiv1.Node, error) {
	nodes, err := result(api.NodeListWithResponse(ctx, nil))
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(*nodes, func(n apiv1.Node) bool { return n.Name == ref || n.UID.String() == ref })
	if i < 0 {
		return nil, notFoundf("there is no node %q: 'aquarium-fish node list' shows those there are", ref)
	}
	return &(*nodes)[i], nil
}

// completeNodes completes names of nodes.
func (s *shell) completeNodes(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return s.complete(func(ctx context.Context, api client.ClientWithResponsesInterface) ([]cobra.Completion, error) {
		nodes, err := result(api.NodeListWithResponse(ctx, nil))
		if err != nil {
			return nil, err
		}
		var names []cobra.Completion
		for _, n := range *nodes {
			names = append(names, printable(n.Name))
		}
		return names, nil
	})(cmd, args, word)
}

func nodeMaintenance(s *shell) *cobra.Command {
	var shutdown, cancel bool
	var delay time.Duration
	c := &cobra.Command{
		Use: "maintenance on|off [NODE]", Args: cobra.MatchAll(cobra.RangeArgs(1, 2), onOrOff), ValidArgsFunction: s.completeMaintenance,
		Short: "Let a node, the one that answers by default, take no new applications, or take them again (admin)",
		Long: `Let a node take no new applications, or take them again. Running ones go on. NODE is the name or UID of any member, whichever
node is asked; without it, it is the node that answers. With 'on --shutdown' the node stops when nothing runs any more, with
'off --shutdown' at once, each after --delay; --cancel-shutdown takes that back.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := s.one(cmd.Context(), args[1:])
			if err != nil {
				return err
			}
			enable := args[0] == "on"
			p := apiv1.NodeThisMaintenanceParams{Enable: &enable}
			if shutdown || cancel {
				p.Shutdown = &shutdown
			}
			if cmd.Flags().Changed("delay") {
				text := delay.String()
				p.ShutdownDelay = &text
			}
			done, err := m.maintain(cmd.Context(), p)
			if err != nil {
				return err
			}
			return s.print(view{Data: done, Names: args[:1], Rows: maintenanceRows(*done)})
		},
	}
	c.Flags().BoolVar(&shutdown, "shutdown", false, "stop the node too")
	c.Flags().BoolVar(&cancel, "cancel-shutdown", false, "take a shutdown back")
	c.Flags().DurationVar(&delay, "delay", 0, "how long to wait before the stop")
	c.MarkFlagsMutuallyExclusive("shutdown", "cancel-shutdown")
	return c
}

// onOrOff checks the first argument.
func onOrOff(_ *cobra.Command, args []string) error {
	if args[0] != "on" && args[0] != "off" {
		return fmt.Errorf("invalid argument %q", args[0])
	}
	return nil
}

// completeNode completes the name of one node.
func (s *shell) completeNode(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return s.completeNodes(cmd, args, word)
}

// completeMaintenance completes the switch, then the name of a node.
func (s *shell) completeMaintenance(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return []cobra.Completion{"on", "off"}, cobra.ShellCompDirectiveNoFileComp
	}
	return s.completeNode(cmd, args[1:], word)
}

func maintenanceRows(m apiv1.NodeMaintenance) [][]string {
	words := map[bool]string{true: "on", false: "off"}
	rows := [][]string{{"Maintenance", words[m.Enable != nil && *m.Enable]}}
	if m.Shutdown != nil {
		word := "cancelled"
		if *m.Shutdown {
			word = "ordered"
		}
		rows = append(rows, []string{"Shutdown", word})
	}
	if m.ShutdownDelay != nil {
		rows = append(rows, []string{"Delay", *m.ShutdownDelay})
	}
	return rows
}
