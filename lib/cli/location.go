package cli

import (
	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// locationCommand is the noun of Locations.
func locationCommand(s *shell) *cobra.Command {
	return s.noun("location", "Name the sites that nodes belong to (admin)", locationList(s), locationCreate(s))
}

func locationList(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List locations", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			list, err := result(api.LocationListWithResponse(cmd.Context(), nil))
			if err != nil {
				return err
			}
			return s.print(s.locationsView(list, *list))
		},
	}
}

func (s *shell) locationsView(data any, list []apiv1.Location) view {
	v := view{Data: data, Header: []string{"NAME", "AGE", "DESCRIPTION"}, Empty: "no locations"}
	for _, l := range list {
		v.Names = append(v.Names, l.Name)
		v.Rows = append(v.Rows, []string{l.Name, age(s.Now(), l.CreatedAt), l.Description})
	}
	return v
}

func locationCreate(s *shell) *cobra.Command {
	var description string
	c := &cobra.Command{
		Use: "create NAME", Short: "Create a location", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			l, err := result(api.LocationCreateWithResponse(cmd.Context(), apiv1.LocationRequest{Name: args[0], Description: description}))
			if err != nil {
				return err
			}
			return s.print(s.locationsView(l, []apiv1.Location{*l}))
		},
	}
	c.Flags().StringVar(&description, "description", "", "what it is")
	return c
}
