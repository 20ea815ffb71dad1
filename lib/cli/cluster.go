package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// clusterCommand is the noun of the cluster. What works on the folder of a node is added to it elsewhere.
func clusterCommand(s *shell) *cobra.Command {
	return s.noun("cluster", "Look at the cluster, invite machines into it, join it, retire those that are gone",
		clusterStatus(s),
		clusterInvite(s),
		clusterInvitations(s),
		clusterRevoke(s),
		clusterRetire(s),
		clusterRetirements(s),
	)
}

func clusterInvite(s *shell) *cobra.Command {
	var valid time.Duration
	var via []string
	var renew bool
	c := &cobra.Command{
		Use: "invite NAME", Short: "Print a token by which one machine joins the cluster as NAME (admin)", Args: cobra.ExactArgs(1),
		Long: `Print a token by which one machine joins the cluster as the node NAME. It works once, within its time, and only while the
node that answers here runs: that one signs the new node's certificate, so it has to have the CA's key (ca.key). Whoever has
the token can become a member: hand it over as you would a password, and not as an argument of a command.`,
		Example: "  aquarium-fish cluster invite mac-7 -o name | ssh mac-7 aquarium-fish cluster join --cfg fish.yml",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			request := apiv1.ClusterInvitationRequest{Name: args[0], Valid: valid.String(), Addresses: via, Renew: renew}
			made, err := result(api.ClusterInvitationCreateWithResponse(cmd.Context(), request))
			if err != nil {
				return err
			}
			if s.output == outputTable {
				s.note("on the new machine, until %s: 'aquarium-fish cluster join --cfg FILE', and paste the token", made.ExpiresAt.Local().Format(time.TimeOnly))
			}
			return s.print(view{Data: made, Names: []string{made.Token}, Rows: [][]string{
				{"Name", made.Name}, {"Expires", made.ExpiresAt.Local().Format(time.DateTime)}, {"ID", made.ID}, {"Token", made.Token},
			}})
		},
	}
	c.Flags().DurationVar(&valid, "valid", 15*time.Minute, "how long it can be redeemed, 10s to 168h")
	c.Flags().StringSliceVar(&via, "via", nil, "host:port where the new machine reaches the node, if not at its node_address; may be given more than once")
	c.Flags().BoolVar(&renew, "renew", false, "NAME is a member whose certificate has expired: it gets another one for the key that it has")
	return c
}

func clusterInvitations(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "invitations", Short: "List the invitations of the node that answers (admin)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			all, err := result(api.ClusterInvitationListWithResponse(cmd.Context()))
			if err != nil {
				return err
			}
			return s.printInvitations(*all)
		},
	}
}

func clusterRevoke(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID|NAME", Short: "End an invitation that nobody has redeemed (admin)", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			ended, err := result(api.ClusterInvitationDeleteWithResponse(cmd.Context(), args[0]))
			if err != nil {
				return err
			}
			return s.printInvitations(*ended)
		},
	}
}

func (s *shell) printInvitations(all []apiv1.ClusterInvitation) error {
	v := view{Data: all, Header: []string{"ID", "NAME", "STATUS", "BY", "AGE", "EXPIRES", "ADDRESS"}, Empty: "no invitations"}
	for _, i := range all {
		v.Names = append(v.Names, i.ID)
		v.Rows = append(v.Rows, []string{
			i.ID, printable(i.Name), i.Status, printable(i.By), age(s.Now(), i.CreatedAt), i.ExpiresAt.Local().Format(time.DateTime), printable(i.Address),
		})
	}
	return s.print(v)
}
