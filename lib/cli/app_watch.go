package cli

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// appWatch shows changes as they come.
func appWatch(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "watch [UID]", Args: cobra.MaximumNArgs(1), ValidArgsFunction: s.completeApp,
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

// watchSlack is how much further back a look asks for what ended than to the one before: it may have become visible
// later than it ended, and clocks are set.
const watchSlack = 5 * time.Second

// watchAll shows the changes of all Applications that the user may see, beginning with those that are active.
func (s *shell) watchAll(ctx context.Context) error {
	api, err := s.api(ctx)
	if err != nil {
		return err
	}
	w := &watched{last: time.Now()}
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
	last   time.Time // of the last look that was answered
}

// maxEndedWithin is the most that a node takes.
const maxEndedWithin = time.Hour

// look asks for the states of all that is active or ended since the last look, and returns the new ones. Each look
// reaches less far back than the one before saw, so that nothing is told twice.
func (w *watched) look(ctx context.Context, api client.ClientWithResponsesInterface) ([]apiv1.ApplicationState, error) {
	now := time.Now()
	within := int(math.Ceil(min(now.Sub(w.last)+watchSlack, maxEndedWithin).Seconds()))
	list, err := result(api.ApplicationActiveListWithResponse(ctx, &apiv1.ApplicationActiveListParams{EndedWithin: &within}))
	if err != nil {
		return nil, err
	}
	w.last = now
	return w.note(*list), nil
}

// note keeps the states in the place of those before, and returns what changed.
func (w *watched) note(list []apiv1.ActiveApplication) []apiv1.ApplicationState {
	var changes []apiv1.ApplicationState
	states := make(map[apiv1.UID]apiv1.ApplicationState, len(list))
	for _, a := range list {
		states[a.Application.UID] = a.State
		if w.states[a.Application.UID].UID != a.State.UID {
			changes = append(changes, a.State)
		}
	}
	w.states = states
	return changes
}
