package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// voteCommand is the noun of Votes.
func voteCommand(s *shell) *cobra.Command {
	return s.noun("vote", "Look at votes (admin)", voteList(s))
}

func voteList(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "list [APPLICATION]", Aliases: []string{"ls"}, Short: "List how nodes voted on applications", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: s.completeApp,
		RunE: func(cmd *cobra.Command, args []string) error {
			params := &apiv1.VoteListParams{}
			if len(args) > 0 {
				uid, err := parseUID("an application", args[0])
				if err != nil {
					return err
				}
				filter := "application_uid=" + quoted(uid.String())
				params.Filter = &filter
			}
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			votes, err := result(api.VoteListWithResponse(cmd.Context(), params))
			if err != nil {
				return err
			}
			return s.print(s.votesView(*votes))
		},
	}
}

func (s *shell) votesView(votes []apiv1.Vote) view {
	v := view{Data: votes, Header: []string{"APPLICATION", "ROUND", "NODE", "DEFINITION", "AGE"}, Empty: "no votes"}
	for _, vote := range votes {
		fits := strconv.Itoa(vote.Available)
		if vote.Available < 0 {
			fits = "none fits"
		}
		v.Names = append(v.Names, vote.UID.String())
		v.Rows = append(v.Rows, []string{vote.ApplicationUID.String(), strconv.Itoa(int(vote.Round)), vote.NodeUID.String(), fits, age(s.Now(), vote.CreatedAt)})
	}
	return v
}
