package cli

import (
	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// mappingCommand is the noun of ServiceMappings.
func mappingCommand(s *shell) *cobra.Command {
	c := s.noun("mapping", "Say which services environments reach through the SOCKS proxy", mappingList(s), mappingCreate(s), mappingRemove(s))
	c.Aliases = []string{"servicemapping"}
	return c
}

func mappingList(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List service mappings (admin)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			list, err := result(api.ServiceMappingListWithResponse(cmd.Context(), nil))
			if err != nil {
				return err
			}
			return s.print(s.mappingsView(list, *list))
		},
	}
}

func (s *shell) mappingsView(data any, list []apiv1.ServiceMapping) view {
	v := view{Data: data, Header: []string{"UID", "SERVICE", "REDIRECT", "LOCATION", "APPLICATION", "AGE"}, Empty: "no service mappings"}
	for _, m := range list {
		app := "all"
		if m.ApplicationUID != (apiv1.UID{}) {
			app = m.ApplicationUID.String()
		}
		v.Names = append(v.Names, m.UID.String())
		v.Rows = append(v.Rows, []string{m.UID.String(), m.Service, m.Redirect, m.LocationName, app, age(s.Now(), m.CreatedAt)})
	}
	return v
}

func mappingCreate(s *shell) *cobra.Command {
	var app, location string
	c := &cobra.Command{
		Use: "create SERVICE REDIRECT", Short: "Create a service mapping (admin, or the owner of the application)", Args: cobra.ExactArgs(2),
		Example: "  aquarium-fish mapping create artifacts.example.com 10.0.0.7 --app UID",
		RunE: func(cmd *cobra.Command, args []string) error {
			request := apiv1.ServiceMappingRequest{Service: args[0], Redirect: args[1], LocationName: location}
			if app != "" {
				uid, err := parseUID("an application", app)
				if err != nil {
					return err
				}
				request.ApplicationUID = uid
			}
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			m, err := result(api.ServiceMappingCreateWithResponse(cmd.Context(), request))
			if err != nil {
				return err
			}
			return s.print(s.mappingsView(m, []apiv1.ServiceMapping{*m}))
		},
	}
	c.Flags().StringVar(&app, "app", "", "UID of the only application that it holds for")
	c.Flags().StringVar(&location, "location", "", "name of the only location that it holds at")
	return c
}

func mappingRemove(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "rm UID...", Aliases: []string{"remove", "delete"}, Short: "Remove service mappings (admin)", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			uids, err := parseUIDs("a service mapping", args)
			if err != nil {
				return err
			}
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			for _, uid := range uids {
				if _, err := result(api.ServiceMappingGetWithResponse(cmd.Context(), uid)); err != nil {
					return err
				}
				if _, err := result(api.ServiceMappingDeleteWithResponse(cmd.Context(), uid)); err != nil {
					return err
				}
				s.note("service mapping %s removed", uid)
			}
			return nil
		},
	}
}
