package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// appDeallocate gives environments back.
func appDeallocate(s *shell) *cobra.Command {
	var wait bool
	var timeout time.Duration
	c := &cobra.Command{
		Use: "deallocate UID...", Aliases: []string{"recall", "release"}, Args: cobra.MinimumNArgs(1),
		Short: "Give environments back, or give up waiting for them",
		Long: `Give environments back, or give up waiting for them. One that is given back already is no error, so the command may be
repeated. With --wait it returns when nothing is left of them, or when one is recalled that had no environment yet; exit
code 4 says that this took too long: the node goes on trying.`,
		ValidArgsFunction: s.completeApps,
		RunE: func(cmd *cobra.Command, args []string) error {
			uids, err := parseUIDs("an application", args)
			if err != nil {
				return err
			}
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			return s.deallocate(cmd.Context(), api, uids, wait, timeout)
		},
	}
	c.Flags().BoolVarP(&wait, "wait", "w", false, "wait until nothing is left")
	c.Flags().DurationVar(&timeout, "timeout", defaultWait, "how long to wait; 0 for as long as it takes")
	return c
}

// parseUIDs reads all UIDs before anything is done to the first.
func parseUIDs(what string, texts []string) ([]apiv1.UID, error) {
	var uids []apiv1.UID
	for _, text := range texts {
		uid, err := parseUID(what, text)
		if err != nil {
			return nil, err
		}
		uids = append(uids, uid)
	}
	return uids, nil
}

// deallocate requests the end of all, then waits for each.
func (s *shell) deallocate(ctx context.Context, api client.ClientWithResponsesInterface, uids []apiv1.UID, wait bool, timeout time.Duration) error {
	states := make([]apiv1.ApplicationState, len(uids))
	for i, uid := range uids {
		var err error
		if states[i], err = requestEnd(ctx, api, uid); err != nil {
			return err
		}
	}
	if wait {
		bounded, cancel := withTimeout(ctx, timeout)
		defer cancel()
		for i, uid := range uids {
			state, err := follow(bounded, api, uid, s.showChange, over)
			if err != nil {
				return unfinished(ctx, err, fmt.Sprintf("application %s is %s after %v", uid, state.Status, timeout),
					"the node goes on releasing it")
			}
			states[i] = state
		}
	}
	return s.print(s.statesView(states))
}

// requestEnd asks for the end of an Application. One that is ending already is as good.
func requestEnd(ctx context.Context, api client.ClientWithResponsesInterface, uid apiv1.UID) (apiv1.ApplicationState, error) {
	state, err := result(api.ApplicationDeallocateWithResponse(ctx, uid))
	if err == nil {
		return *state, nil
	}
	if !isStatus(err, 400) { // absent, not the user's, or not active any more
		return apiv1.ApplicationState{}, err
	}
	now, stateErr := currentState(ctx, api, uid)
	if stateErr != nil {
		return now, stateErr
	}
	if active(now.Status) {
		return now, err
	}
	return now, nil
}

// statesView shows the states of several Applications; one object for one.
func (s *shell) statesView(states []apiv1.ApplicationState) view {
	v := view{Data: states, Header: []string{"UID", "STATUS", "SINCE", "DESCRIPTION"}}
	if len(states) == 1 {
		v.Data = states[0]
	}
	for _, state := range states {
		v.Names = append(v.Names, state.ApplicationUID.String())
		v.Rows = append(v.Rows, []string{state.ApplicationUID.String(), string(state.Status), age(s.Now(), state.CreatedAt), state.Description})
	}
	return v
}
