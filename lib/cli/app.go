package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// appCommand is the noun of Applications.
func appCommand(s *shell) *cobra.Command {
	c := s.noun("app", "Ask for environments, watch them, give them back",
		appRun(s),
		appList(s),
		appGet(s),
		appState(s),
		appExplain(s),
		appResource(s),
		appAccess(s),
		appSSH(s),
		appSCP(s),
		appForward(s),
		appLogins(s),
		appWatch(s),
		appDeallocate(s),
	)
	c.Aliases = []string{"application", "apps"}
	return c
}

// appState shows where an Application stands.
func appState(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "state UID", Short: "Show the current state of an application", Args: cobra.ExactArgs(1),
		ValidArgsFunction: s.completeApp,
		RunE: func(cmd *cobra.Command, args []string) error {
			api, uid, err := s.apiFor(cmd.Context(), "an application", args[0])
			if err != nil {
				return err
			}
			state, err := result(api.ApplicationStateGetWithResponse(cmd.Context(), uid))
			if err != nil {
				return explainApp(err, args[0])
			}
			return s.print(s.stateView(*state))
		},
	}
}

// stateView shows one state.
func (s *shell) stateView(state apiv1.ApplicationState) view {
	return view{
		Data: state, Names: []string{string(state.Status)},
		Header: []string{"STATUS", "SINCE", "DESCRIPTION"},
		Rows:   [][]string{{string(state.Status), age(s.Now(), state.CreatedAt), state.Description}},
	}
}

// explainApp says what to do about an Application that is not there.
func explainApp(err error, uid string) error {
	if isStatus(err, 404) {
		return notFoundf("there is no application %s: 'aquarium-fish app list' shows those there are", uid)
	}
	return err
}

// currentState asks for the state of an Application.
func currentState(ctx context.Context, api client.ClientWithResponsesInterface, uid apiv1.UID) (apiv1.ApplicationState, error) {
	state, err := result(api.ApplicationStateGetWithResponse(ctx, uid))
	if err != nil {
		return apiv1.ApplicationState{}, explainApp(err, fmt.Sprint(uid))
	}
	return *state, nil
}
