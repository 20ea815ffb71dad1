package cli

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// appWatch shows changes as they come.
func appWatch(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "watch [UID]", Args: cobra.MaximumNArgs(1), ValidArgsFunction: s.completeApps,
		Short: "Show each change of an application until it ends, or of all until you interrupt",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return s.watchAll(cmd.Context())
			}
			api, uid, err := s.apiFor(cmd.Context(), "an application", args[0])
			if err != nil {
				return err
			}
			return s.watchOne(cmd.Context(), api, uid)
		},
	}
}

// watchOne shows the changes of an Application until it is over.
func (s *shell) watchOne(ctx context.Context, api client.ClientWithResponsesInterface, uid apiv1.UID) error {
	var written error
	_, err := follow(ctx, api, uid, func(state apiv1.ApplicationState) { written = s.printChange(state) },
		func(status apiv1.ApplicationStatus) bool { return over(status) || written != nil })
	if written != nil {
		return written
	}
	return err
}

// printChange shows one change: a line, or one object of JSON or a document of YAML.
func (s *shell) printChange(state apiv1.ApplicationState) error {
	var b bytes.Buffer
	switch s.output {
	case outputJSON, outputName, outputYAML:
		v := view{Data: state, Names: []string{fmt.Sprintf("%s %s", state.ApplicationUID, state.Status)}}
		if s.output == outputYAML {
			b.WriteString("---\n")
		}
		if _, err := s.Stdout.Write(b.Bytes()); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
		return s.print(v)
	}
	const widest = len(apiv1.ApplicationStatusDEALLOCATED)
	fmt.Fprintf(&b, "%s  %s  %-*s  %s\n", state.CreatedAt.Local().Format(time.TimeOnly), state.ApplicationUID, widest, state.Status, printable(state.Description))
	if _, err := s.Stdout.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// watchEvery is how often all Applications are looked at.
const watchEvery = time.Second

// watchAll shows the changes of all Applications that the user may see, beginning with those that are active.
func (s *shell) watchAll(ctx context.Context) error {
	api, err := s.api(ctx)
	if err != nil {
		return err
	}
	w := &watched{states: map[apiv1.UID]apiv1.ApplicationState{}}
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for first := true; ; first = false {
		changes, err := w.look(ctx, api)
		if err != nil && (first || !passing(err)) {
			return err
		}
		for _, state := range changes {
			if first && over(state.Status) {
				continue
			}
			if err := s.printChange(state); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// watched is what is known of the Applications under watch.
type watched struct {
	states map[apiv1.UID]apiv1.ApplicationState
}

// look asks for the states of those that may have changed, and returns the new ones.
func (w *watched) look(ctx context.Context, api client.ClientWithResponsesInterface) ([]apiv1.ApplicationState, error) {
	apps, err := findApps(ctx, api, &listFlags{})
	if err != nil {
		return nil, err
	}
	present := map[apiv1.UID]bool{}
	var ask []apiv1.Application
	for _, app := range apps {
		present[app.UID] = true
		if state, known := w.states[app.UID]; !known || !final(state.Status) {
			ask = append(ask, app)
		}
	}
	rows, err := withStates(ctx, api, ask)
	if err != nil {
		return nil, err
	}
	for uid := range w.states {
		if !present[uid] {
			delete(w.states, uid)
		}
	}
	return w.note(rows), nil
}

// note keeps the states and returns those that changed.
func (w *watched) note(rows []appRow) []apiv1.ApplicationState {
	var changes []apiv1.ApplicationState
	for _, r := range rows {
		if known := w.states[r.UID]; known.UID != r.State.UID {
			w.states[r.UID] = r.State
			changes = append(changes, r.State)
		}
	}
	return changes
}

// final reports whether no other state can follow.
func final(status apiv1.ApplicationStatus) bool {
	return status == apiv1.ApplicationStatusDEALLOCATED || status == apiv1.ApplicationStatusERROR
}
