package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// defaultWait is how long commands wait without being told: as long as a node lets a driver allocate by default, so
// that nothing in a build hangs for ever.
const defaultWait = 30 * time.Minute

// runFlags are those of `app run`.
type runFlags struct {
	metadata     []string
	metadataFile string
	wait         bool
	timeout      time.Duration
}

// appRun asks for an environment.
func appRun(s *shell) *cobra.Command {
	f := &runFlags{}
	c := &cobra.Command{
		Use: "run LABEL[:VERSION]", Aliases: []string{"create"}, Args: cobra.ExactArgs(1),
		Short: "Ask for an environment of a label, its newest version unless one is named",
		Long: `Ask for an environment of a label, named by NAME (its newest version), NAME:VERSION or UID.

With --wait it returns when the environment is there and shows where. Exit code 4: not in time, and the application goes
on. 5: the application ended without an environment. What an interrupt leaves goes on too. Give it back in any case:
'aquarium-fish app deallocate UID'.`,
		Example: `  aquarium-fish app run ubuntu2004 --wait --timeout 10m --metadata JENKINS_AGENT_NAME=agent-1
  uid=$(aquarium-fish app run ubuntu2004 -o name)`,
		ValidArgsFunction: s.completeLabels,
		RunE:              func(cmd *cobra.Command, args []string) error { return s.runApp(cmd.Context(), args[0], f) },
	}
	c.Flags().StringArrayVarP(&f.metadata, "metadata", "m", nil, "KEY=VALUE that the environment can read; may be repeated, wins over the file")
	c.Flags().StringVar(&f.metadataFile, "metadata-file", "", "JSON or YAML file of an object of metadata; - is stdin")
	c.Flags().BoolVarP(&f.wait, "wait", "w", false, "wait until the environment is there")
	c.Flags().DurationVar(&f.timeout, "timeout", defaultWait, "how long to wait; 0 for as long as it takes")
	return c
}

// runApp sends the Application, waits for it where told to, and shows it.
func (s *shell) runApp(ctx context.Context, ref string, f *runFlags) error {
	metadata, err := s.readMetadata(f.metadataFile, f.metadata)
	if err != nil {
		return err
	}
	api, err := s.api(ctx)
	if err != nil {
		return err
	}
	label, err := findLabel(ctx, api, ref)
	if err != nil {
		return err
	}
	app, err := result(api.ApplicationCreateWithResponse(ctx, apiv1.ApplicationRequest{LabelUID: label.UID, Metadata: metadata}))
	if err != nil {
		return lostApp(err)
	}
	if !f.wait {
		return s.showApp(ctx, api, *app, labelName(label))
	}
	s.note("application %s", app.UID) // before the wait: an interrupt must not lose it
	if err := s.waitAllocated(ctx, api, app.UID, f.timeout); err != nil {
		return err
	}
	return s.showApp(ctx, api, *app, labelName(label))
}

// lostApp says that an Application may exist whose UID nobody was told.
func lostApp(err error) error {
	var unreached *unreachableError
	if errors.As(err, &unreached) && !unreached.unsent {
		return fmt.Errorf("the application may have been created all the same, see 'aquarium-fish app list --active' before you try again: %w", err)
	}
	return err
}

// appGet shows one Application.
func appGet(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "get UID", Short: "Show an application, its state and its environment", Args: cobra.ExactArgs(1),
		ValidArgsFunction: s.completeApp,
		RunE: func(cmd *cobra.Command, args []string) error {
			api, uid, err := s.apiFor(cmd.Context(), "an application", args[0])
			if err != nil {
				return err
			}
			app, err := result(api.ApplicationGetWithResponse(cmd.Context(), uid))
			if err != nil {
				return explainApp(err, args[0])
			}
			names, err := labelNames(cmd.Context(), api, []apiv1.UID{app.LabelUID})
			if err != nil {
				return err
			}
			return s.showApp(cmd.Context(), api, *app, names[app.LabelUID])
		},
	}
}

// appDetails is one Application with what is known of it.
type appDetails struct {
	Application apiv1.Application      `json:"application"`
	Label       string                 `json:"label"`
	State       apiv1.ApplicationState `json:"state"`
	Resource    *apiv1.Resource        `json:"resource,omitempty"`
}

// showApp asks for the state of the Application and for its environment and shows all of it.
func (s *shell) showApp(ctx context.Context, api client.ClientWithResponsesInterface, app apiv1.Application, label string) error {
	d := appDetails{Application: app, Label: label}
	var err error
	if d.State, err = currentState(ctx, api, app.UID); err != nil {
		return err
	}
	if d.State.Status == apiv1.ApplicationStatusALLOCATED {
		r, err := result(api.ApplicationResourceGetWithResponse(ctx, app.UID))
		if err != nil && !isStatus(err, 404) { // gone between the two questions
			return err
		}
		d.Resource = r
	}
	rows := [][]string{
		{"UID", app.UID.String()}, {"Label", label}, {"Owner", app.OwnerName}, {"Age", age(s.Now(), app.CreatedAt)},
		{"Status", string(d.State.Status)}, {"Since", age(s.Now(), d.State.CreatedAt)}, {"Description", d.State.Description},
		{"Metadata", string(app.Metadata)},
	}
	if d.Resource != nil {
		rows = append(rows, resourceRows(*d.Resource)...)
	}
	return s.print(view{Data: d, Names: []string{app.UID.String()}, Rows: rows})
}
