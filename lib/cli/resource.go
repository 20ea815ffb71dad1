package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// resourceCommand is the noun of Resources.
func resourceCommand(s *shell) *cobra.Command {
	return s.noun("resource", "Show what is allocated (admin)", resourceList(s), resourceGet(s))
}

func resourceList(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the resources that are allocated now", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			list, err := result(api.ResourceListWithResponse(cmd.Context(), nil))
			if err != nil {
				return err
			}
			v := view{Data: list, Header: []string{"UID", "APPLICATION", "IDENTIFIER", "ADDRESS", "AGE"}, Empty: "no resources"}
			for _, r := range *list {
				v.Names = append(v.Names, r.UID.String())
				v.Rows = append(v.Rows, []string{r.UID.String(), r.ApplicationUID.String(), r.Identifier, r.IPAddr, age(s.Now(), r.CreatedAt)})
			}
			return s.print(v)
		},
	}
}

func resourceGet(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "get UID", Short: "Show a resource", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, uid, err := s.apiFor(cmd.Context(), "a resource", args[0])
			if err != nil {
				return err
			}
			r, err := result(api.ResourceGetWithResponse(cmd.Context(), uid))
			if err != nil {
				return err
			}
			return s.print(resourceView(*r))
		},
	}
}

// appResource shows the environment of an Application.
func appResource(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "resource UID", Short: "Show the environment that an application has", Args: cobra.ExactArgs(1),
		Long:              "Show the environment that an application has. Its credentials are in the forms json and yaml only.",
		ValidArgsFunction: s.completeApp,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := s.resourceOf(cmd, args[0])
			if err != nil {
				return err
			}
			return s.print(resourceView(*r))
		},
	}
}

// resourceOf asks for the Resource of an Application.
func (s *shell) resourceOf(cmd *cobra.Command, app string) (*apiv1.Resource, error) {
	api, uid, err := s.apiFor(cmd.Context(), "an application", app)
	if err != nil {
		return nil, err
	}
	return resourceAt(cmd.Context(), api, uid)
}

// resourceAt asks a node for the Resource of an Application.
func resourceAt(ctx context.Context, api client.ClientWithResponsesInterface, uid apiv1.UID) (*apiv1.Resource, error) {
	r, err := result(api.ApplicationResourceGetWithResponse(ctx, uid))
	if err == nil || !isStatus(err, 404) && !isStatus(err, 400) {
		return r, err
	}
	state, stateErr := currentState(ctx, api, uid) // absent, or somebody else's
	if stateErr != nil {
		return nil, stateErr
	}
	return nil, notFoundf("application %s has no environment, it is %s: %s", uid, state.Status, printable(state.Description))
}

// appAccess asks for credentials of the SSH proxy.
func appAccess(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "access UID", Short: "Get credentials for one SSH login to the environment of an application", Args: cobra.ExactArgs(1),
		Long: `Get credentials for the SSH proxy: the first login uses them up, and each call makes new ones. The private key is in the
forms json and yaml. 'aquarium-fish node ssh' tells the proxy's host key. 'app ssh', 'app scp' and 'app forward' do all of it.`,
		ValidArgsFunction: s.completeApp,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := s.resourceOf(cmd, args[0])
			if err != nil {
				return err
			}
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			a, err := result(api.ResourceAccessGetWithResponse(cmd.Context(), r.UID))
			if err != nil {
				return err
			}
			return s.print(view{Data: a, Names: []string{a.UID.String()}, Rows: [][]string{
				{"Address", a.Address}, {"Username", a.Username}, {"Password", a.Password},
			}})
		},
	}
}

func resourceView(r apiv1.Resource) view {
	rows := append([][]string{{"UID", r.UID.String()}, {"Application", r.ApplicationUID.String()}, {"Label", r.LabelUID.String()}}, resourceRows(r)...)
	return view{Data: r, Names: []string{r.UID.String()}, Rows: rows}
}

// resourceRows show where an environment is, without its secrets.
func resourceRows(r apiv1.Resource) [][]string {
	rows := [][]string{
		{"Identifier", r.Identifier}, {"IP address", r.IPAddr}, {"HW address", r.HWAddr},
		{"Node", r.NodeUID.String()}, {"Definition", strconv.Itoa(r.DefinitionIndex)},
	}
	if a := r.Authentication; a != nil {
		rows = append(rows, []string{"Login", a.Username}, []string{"Port", strconv.Itoa(a.Port)})
	}
	return rows
}
